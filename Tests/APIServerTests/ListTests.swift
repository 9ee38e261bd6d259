// Lists: exact pages under writes, expiry and its fresh token, what resourceVersion means, bad parameters.

import Client
import HTTP
import Logging
import Objects
import Store
import System
import Testing

@testable import APIServer

private func names(_ answer: Answer) -> [String] {
    (answer.json["items"]?.array ?? []).compactMap { $0.at("metadata", "name")?.string }
}

@Suite struct ListTests {
    let url = "/api/v1/namespaces/default/configmaps"

    /// More changes than the ring holds happen between two pages: the snapshot is kept for the token.
    @Test func pagesOutliveTheRing() async throws {
        let api = try await TestServer()
        for index in 0..<6 { _ = await api.send("POST", url, configMap("c\(index)")) }
        let first = await api.send("GET", url + "?limit=2")
        #expect(names(first) == ["c0", "c1"])
        #expect(first.json.at("metadata", "remainingItemCount") == 4)
        var busy = configMap("c3")
        busy.set("metadata", "namespace", to: "default")
        for step in 0..<11_500 {
            busy.set("data", "n", to: .string("\(step)"))
            _ = try await api.server.client.update(.configMaps, busy)
        }
        _ = await api.send("DELETE", url + "/c2")
        let token = first.json.at("metadata", "continue")?.string ?? ""
        let second = await api.send("GET", url + "?limit=3&continue=\(token)")
        #expect(names(second) == ["c2", "c3", "c4"])
        #expect(second.json["items"]?[1]?["data"] == ["a": "b"])
        #expect(second.version == first.version)
        #expect(second.json.at("metadata", "remainingItemCount") == 1)
        let both = await api.send("GET", url + "?continue=\(token)&resourceVersion=\(first.version)")
        #expect(both.status == 400)
        #expect(both.message == "specifying resource version is not allowed when using continue")
        #expect(await api.send("GET", url + "?continue=\(token)&resourceVersion=0").status == 200)
    }

    private static func core() async throws -> APICore {
        let core = APICore(
            store: MemoryStore(), registry: .standard,
            configuration: APIServerConfiguration(advertiseAddress: IPAddress("192.0.2.1")!),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await core.open()
        try await Bootstrap.run(core)
        return core
    }

    @Test func expiredTokensComeWithAFreshOne() async throws {
        let core = try await Self.core()
        let declaration = try core.declaration(.configMaps)
        for index in 0..<5 {
            _ = try await core.create(declaration, namespace: "default", configMap("c\(index)"), WriteOptions())
        }
        let cache = try core.cache(declaration)
        let filter = ObjectFilter(namespace: "default", selectable: cache.selectable)
        let page = try core.list(declaration, filter, ListOptions(limit: 2))
        _ = try await core.delete(
            declaration, ObjectKey(namespace: "default", name: "c3"), DeleteOptions(), WriteOptions())
        cache.expire(now: .now + .seconds(200))
        let exact = try core.list(declaration, filter, ListOptions(continuation: page.continuation))
        #expect(exact.objects.map(\.name) == ["c2", "c3", "c4"])
        cache.expire(now: .now + .seconds(301))
        var fresh = ""
        do {
            _ = try core.list(declaration, filter, ListOptions(continuation: page.continuation))
            Issue.record("an expired token was taken")
        } catch {
            #expect(error.code == 410 && error.reason == .expired)
            #expect(error.message.hasPrefix("The provided continue parameter is too old"))
            fresh = error.json.at("metadata", "continue")?.string ?? ""
        }
        let rest = try core.list(declaration, filter, ListOptions(continuation: fresh))
        #expect(rest.objects.map(\.name) == ["c2", "c4"])
    }

    @Test func versions() async throws {
        let api = try await TestServer()
        let first = await api.send("POST", url, configMap("a"))
        let second = await api.send("POST", url, configMap("b"))
        #expect(names(await api.send("GET", url + "?resourceVersion=0")) == ["a", "b"])
        let newer = await api.send("GET", url + "?resourceVersion=\(first.version)&resourceVersionMatch=NotOlderThan")
        #expect(names(newer) == ["a", "b"])
        let exact = await api.send("GET", url + "?resourceVersion=\(first.version)&resourceVersionMatch=Exact")
        #expect(names(exact) == ["a"] && exact.version == first.version)
        // The meaning from before resourceVersionMatch.
        let paged = await api.send("GET", url + "?resourceVersion=\(first.version)&limit=10")
        #expect(names(paged) == ["a"])
        for request in ["?resourceVersion=99999999", "/a?resourceVersion=99999999"] {
            let future = await api.send("GET", url + request)
            #expect(future.status == 504 && future.reason == "Timeout")
            #expect(future.message == "Timeout: Too large resource version: 99999999, current: \(second.version)")
            #expect(future.json.at("details", "causes")?[0]?["reason"] == "ResourceVersionTooLarge")
            #expect(future.json.at("details", "retryAfterSeconds") == 1)
            #expect(future.headers["Retry-After"] == "1")
        }
        #expect(await api.send("GET", url + "/a?resourceVersion=0").status == 200)
    }

    @Test(arguments: [
        ("continue=nonsense", 400), ("continue=%00", 400), ("continue=MTox", 400), ("limit=ten", 400),
        ("resourceVersion=abc", 400), ("resourceVersion=-1", 400), ("resourceVersionMatch=Exact", 422),
        ("resourceVersionMatch=Newest&resourceVersion=1", 422), ("resourceVersionMatch=Exact&resourceVersion=0", 422),
        ("sendInitialEvents=true", 422), ("labelSelector=a=b=c", 400), ("labelSelector=!", 400),
        ("fieldSelector=x", 400), ("fieldSelector=spec.x=1", 400), ("limit=99999999999999999999", 400),
    ])
    func badParameters(_ query: String, _ status: Int) async throws {
        let api = try await TestServer()
        let answer = await api.send("GET", url + "?" + query)
        #expect(answer.status == status, "\(answer.text)")
        #expect(answer.json["kind"] == "Status")
    }

    @Test func selectors() async throws {
        let api = try await TestServer()
        await api.namespace("other")
        _ = await api.send("POST", url, configMap("a", labels: ["app": "web", "tier": "1"]))
        _ = await api.send("POST", url, configMap("b", labels: ["app": "db"]))
        _ = await api.send("POST", "/api/v1/namespaces/other/configmaps", configMap("a", labels: ["app": "web"]))
        #expect(names(await api.send("GET", url + "?fieldSelector=metadata.name=a")) == ["a"])
        #expect(names(await api.send("GET", url + "?fieldSelector=metadata.name=a&limit=1")) == ["a"])
        #expect(names(await api.send("GET", url + "?fieldSelector=metadata.name=a&labelSelector=app=db")).isEmpty)
        #expect(names(await api.send("GET", "/api/v1/configmaps?fieldSelector=metadata.name=a")) == ["a", "a"])
        #expect(names(await api.send("GET", url + "?labelSelector=app in (web,db),tier!=1")) == ["b"])
        #expect(
            names(await api.send("GET", "/api/v1/configmaps?fieldSelector=metadata.namespace!=default&labelSelector=app"))
                == ["a"])
        let cut = await api.send("GET", "/api/v1/configmaps?labelSelector=app&limit=2")
        #expect(names(cut).count == 2)
        // With a selector nobody counts what remains.
        #expect(cut.json.at("metadata", "remainingItemCount") == nil)
        let rest = await api.send(
            "GET", "/api/v1/configmaps?labelSelector=app&limit=2&continue=\(cut.json.at("metadata", "continue")?.string ?? "")")
        #expect(names(rest) == ["a"])
    }

    /// Large answers are made off the event loop; they are the same.
    @Test func largeTables() async throws {
        let api = try await TestServer()
        for index in 0..<100 { _ = await api.send("POST", url, configMap("c\(index + 100)")) }
        let table = await api.send(
            "GET", url, headers: ["Accept": "application/json;as=Table;g=meta.k8s.io;v=v1,application/json"])
        #expect(table.status == 200 && table.json["kind"] == "Table")
        #expect((table.json["rows"]?.array?.count ?? 0) >= 100)
        let bad = await api.send(
            "GET", url + "?continue=nonsense",
            headers: ["Accept": "application/json;as=Table;g=meta.k8s.io;v=v1,application/json"])
        #expect(bad.status == 400)
    }

    @Test func framesAreMadeOnceForAll() async throws {
        let core = try await Self.core()
        let declaration = try core.declaration(.configMaps)
        let stored = try await core.create(declaration, namespace: "default", configMap("a"), WriteOptions())
        let cache = try core.cache(declaration)
        let object = try #require(cache.object(namespace: "default", name: "a"))
        let delivery = Delivery(CacheEvent(revision: stored.revision, object: object, previous: nil), tree: nil)
        let views = ObjectViews(declaration)
        func address(_ kind: WatchEvent.Kind, _ view: WatchView) -> UnsafeRawPointer? {
            delivery.frame(kind, view, views).withUnsafeBytes { $0.baseAddress }
        }
        #expect(address(.added, WatchView()) == address(.added, WatchView()))
        #expect(address(.added, WatchView()) != address(.modified, WatchView()))
        let metadata = WatchView(representation: .metadata)
        #expect(address(.added, metadata) == address(.added, metadata))
        #expect(address(.added, metadata) != address(.added, WatchView()))
    }
}

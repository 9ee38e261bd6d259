// Watches: order, resuming, 410, selectors, slow clients, bookmarks, restarts.

import APIServer
import Client
import HTTP
import Objects
import Store
import Testing

private func name(_ event: JSON) -> String { event.at("object", "metadata", "name")?.string ?? "" }
private func version(_ event: JSON) -> UInt64 {
    UInt64(event.at("object", "metadata", "resourceVersion")?.string ?? "") ?? 0
}

@Suite struct WatchTests {
    let url = "/api/v1/namespaces/default/configmaps"

    @Test func fromAList() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, configMap("before"))
        let list = await api.send("GET", url)
        let sink = api.watch(url + "?watch=true&resourceVersion=\(list.version)")
        let created = await api.send("POST", url, configMap("a"))
        _ = await api.send("PUT", url + "/a", configMap("a", ["x": "y"]))
        _ = await api.send("DELETE", url + "/a")
        let events = try await sink.events(atLeast: 3)
        #expect(events.compactMap { $0["type"]?.string } == ["ADDED", "MODIFIED", "DELETED"])
        #expect(events.allSatisfy { name($0) == "a" })
        #expect(events[0]["object"] == created.json)
        #expect(version(events[0]) < version(events[1]))
        #expect(version(events[1]) < version(events[2]))
        #expect(events[2].at("object", "data") == ["x": "y"])
        // Resumed from any event it goes on behind it.
        let resumed = api.watch(url + "?watch=true&resourceVersion=\(version(events[0]))")
        #expect(try await resumed.events(atLeast: 2) == Array(events[1...]))
        sink.finish()
        resumed.finish()
    }

    @Test func fromNowBeginsWithEverything() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, configMap("b"))
        _ = await api.send("POST", url, configMap("a"))
        let sink = api.watch(url + "?watch=true")
        #expect(try await sink.events(atLeast: 2).map(name) == ["a", "b"])
        _ = await api.send("POST", url, configMap("c"))
        #expect(try await sink.events(atLeast: 3).map(name) == ["a", "b", "c"])
        sink.finish()
    }

    @Test func streamedList() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, configMap("a"))
        let query = "?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        let sink = api.watch(url + query)
        let events = try await sink.events(atLeast: 2)
        #expect(events.compactMap { $0["type"]?.string } == ["ADDED", "BOOKMARK"])
        #expect(events[1].at("object", "metadata", "annotations", "k8s.io/initial-events-end") == "true")
        #expect(events[1].at("object", "kind") == "ConfigMap")
        sink.finish()
        let wrong = await api.send("GET", url + "?watch=true&sendInitialEvents=true")
        #expect(wrong.status == 422)
    }

    @Test func initialEventsAreAChoice() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, configMap("a"))
        let rule = "&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        let now = api.watch(url + "?watch=true&sendInitialEvents=false" + rule)
        let without = api.watch(
            url + "?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0")
        let created = await api.send("POST", url, configMap("b"))
        #expect(try await now.events(atLeast: 1).map(name) == ["b"])
        #expect(try await without.events(atLeast: 2).map(name).suffix(1) == ["b"])
        let future = await api.send("GET", url + "?watch=true&sendInitialEvents=true&resourceVersion=99999999" + rule)
        #expect(future.status == 504)
        let fresh = api.watch(url + "?watch=true&sendInitialEvents=true&resourceVersion=\(created.version)" + rule)
        let events = try await fresh.events(atLeast: 3)
        #expect(events.last?["type"] == "BOOKMARK")
        #expect(version(events[events.count - 1]) >= UInt64(created.version) ?? 0)
        for sink in [now, without, fresh] { sink.finish() }
    }

    @Test func oneName() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, configMap("a"))
        _ = await api.send("POST", url, configMap("b"))
        let sink = api.watch(url + "?watch=true&fieldSelector=metadata.name=b")
        #expect(try await sink.events(atLeast: 1).map(name) == ["b"])
        _ = await api.send("PUT", url + "/a", configMap("a", ["x": "y"]))
        _ = await api.send("PUT", url + "/b", configMap("b", ["x": "y"]))
        _ = await api.send("DELETE", url + "/a")
        _ = await api.send("DELETE", url + "/b")
        let events = try await sink.events(atLeast: 3)
        #expect(events.compactMap { $0["type"]?.string } == ["ADDED", "MODIFIED", "DELETED"])
        #expect(events.allSatisfy { name($0) == "b" })
        sink.finish()
        let nodes = api.watch("/api/v1/namespaces?watch=true&fieldSelector=metadata.name=prod")
        await api.namespace("test")
        await api.namespace("prod")
        #expect(try await nodes.events(atLeast: 1).map(name) == ["prod"])
        nodes.finish()
    }

    /// At its end a watch says how far it is, so that its client resumes from there.
    @Test func timedOutWatchesEndWithABookmark() async throws {
        let api = try await TestServer()
        let list = await api.send("GET", url)
        // Before the watch: it ends a second after its start, however slow this machine is.
        await api.namespace("elsewhere")
        let sink = api.watch(
            url + "?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=\(list.version)")
        let events = try await sink.events(atLeast: 1)
        #expect(events.count == 1 && events[0]["type"] == "BOOKMARK")
        #expect(version(events[0]) > UInt64(list.version) ?? 0)
        for _ in 0..<30_000 where !sink.isFinished { try await Task.sleep(for: .milliseconds(2)) }
        #expect(sink.isFinished)
    }

    @Test func tablesAndMetadata() async throws {
        let api = try await TestServer()
        let list = await api.send("GET", url)
        let query = url + "?watch=true&resourceVersion=\(list.version)"
        let table = api.watch(query, headers: ["Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"])
        let metadata = api.watch(
            query, headers: ["Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"])
        _ = await api.send("POST", url, configMap("a"))
        _ = await api.send("DELETE", url + "/a")
        let rows = try await table.events(atLeast: 2)
        #expect(rows[0].at("object", "kind") == "Table")
        #expect(rows[0].at("object", "columnDefinitions")?.array?.isEmpty == false)
        #expect(rows[1].at("object", "columnDefinitions") == .null)
        #expect(rows[1].at("object", "rows")?[0]?.at("object", "kind") == "PartialObjectMetadata")
        let partial = try await metadata.events(atLeast: 2)
        #expect(partial.compactMap { $0["type"]?.string } == ["ADDED", "DELETED"])
        #expect(partial[0].at("object", "kind") == "PartialObjectMetadata" && partial[0].at("object", "data") == nil)
        table.finish()
        metadata.finish()
    }

    @Test func selectorsTurnModifiedAround() async throws {
        let api = try await TestServer()
        let list = await api.send("GET", url)
        let sink = api.watch(url + "?watch=1&labelSelector=app=web&resourceVersion=\(list.version)")
        _ = await api.send("POST", url, configMap("a", labels: ["app": "db"]))
        _ = await api.send("PUT", url + "/a", configMap("a", labels: ["app": "web"]))
        _ = await api.send("PUT", url + "/a", configMap("a", ["new": "x"], labels: ["app": "web"]))
        let last = await api.send("PUT", url + "/a", configMap("a", ["away": "x"], labels: ["app": "db"]))
        _ = await api.send("DELETE", url + "/a")
        let events = try await sink.events(atLeast: 3)
        #expect(events.compactMap { $0["type"]?.string } == ["ADDED", "MODIFIED", "DELETED"])
        // What it saw last, at the version at which it left.
        #expect(events[2].at("object", "data") == ["new": "x"])
        #expect(version(events[2]) == UInt64(last.version))
        sink.finish()

        let pods = api.watch("/api/v1/pods?watch=1&fieldSelector=spec.nodeName=n1")
        _ = await api.send("POST", "/api/v1/namespaces/default/pods", pod("x"))
        _ = await api.send("POST", "/api/v1/namespaces/default/pods", pod("y", node: "n1"))
        #expect(try await pods.events(atLeast: 1).map(name) == ["y"])
        pods.finish()
        let unsupported = await api.send("GET", "/api/v1/pods?fieldSelector=spec.image=x")
        #expect(unsupported.status == 400)
        #expect(unsupported.message.hasSuffix("field label not supported: spec.image"))
    }

    @Test func tooOldAndTooNew() async throws {
        let api = try await TestServer()
        let first = await api.send("POST", url, configMap("a", ["n": "-1"]))
        for index in 0..<11_500 {
            _ = try await api.server.client.update(
                .configMaps,
                {
                    var object = configMap("a", ["n": .string("\(index)")])
                    object.set("metadata", "namespace", to: "default")
                    return object
                }())
        }
        let old = api.watch(url + "?watch=1&resourceVersion=\(first.version)")
        let events = old.events
        #expect(events.count == 1)
        #expect(events[0]["type"] == "ERROR")
        #expect(events[0].at("object", "code") == 410)
        #expect(events[0].at("object", "reason") == "Expired")
        #expect(events[0].at("object", "message")?.string?.hasPrefix("too old resource version: \(first.version) (") == true)
        #expect(old.isFinished)
        let new = api.watch(url + "?watch=1&resourceVersion=99999999")
        #expect(new.events[0].at("object", "reason") == "Timeout")
        #expect(new.events[0].at("object", "details", "causes")?[0]?["reason"] == "ResourceVersionTooLarge")
        await #expect(throws: APIStatus.self) {
            let stream = api.server.client.watch(
                .configMaps, namespace: nil, labels: nil, fields: nil, from: first.version)
            for try await _ in stream {}
        }
    }

    @Test func orderUnderConcurrentWrites() async throws {
        let api = try await TestServer()
        let list = await api.send("GET", url)
        let from = "resourceVersion=\(list.version)"
        let sinks = (0..<20).map { _ in api.watch(url + "?watch=1&\(from)") }
        let filtered = api.watch(url + "?watch=1&labelSelector=writer=3&\(from)")
        let late = TestSink(stalled: true)
        _ = api.watch(url + "?watch=1&\(from)", sink: late)
        await withTaskGroup(of: Void.self) { group in
            for writer in 0..<8 {
                group.addTask {
                    for step in 0..<50 {
                        let name = "w\(writer)-\(step % 5)"
                        let object = configMap(name, ["s": .string("\(step)")], labels: ["writer": .string("\(writer)")])
                        if step < 5 {
                            _ = await api.send("POST", url, object)
                        } else {
                            _ = await api.send("PUT", url + "/" + name, object)
                        }
                    }
                }
            }
        }
        late.drain()
        for sink in sinks + [late] {
            let events = try await sink.events(atLeast: 400)
            #expect(events.count == 400)
            #expect(zip(events, events.dropFirst()).allSatisfy { version($0) < version($1) })
        }
        #expect(try await filtered.events(atLeast: 50).count == 50)
        (sinks + [filtered, late]).forEach { $0.finish() }
    }

    @Test func aSlowClientIsParkedAndCatchesUp() async throws {
        let api = try await TestServer()
        let list = await api.send("GET", url)
        let slow = TestSink(stalled: true)
        _ = api.watch(url + "?watch=1&resourceVersion=\(list.version)", sink: slow)
        let big = JSON.string(String(repeating: "x", count: 100_000))
        for index in 0..<40 { _ = await api.send("POST", url, configMap("c\(index)", ["big": big])) }
        // Past the limit nothing more is queued for it.
        #expect(slow.totalBytes < 1_500_000)
        slow.drain()
        let events = try await slow.events(atLeast: 40)
        #expect(events.map(name) == (0..<40).map { "c\($0)" })
        _ = await api.send("POST", url, configMap("live"))
        #expect(try await slow.events(atLeast: 41).map(name).last == "live")
        slow.finish()
    }

    @Test func timeout() async throws {
        let api = try await TestServer()
        let sink = api.watch(url + "?watch=1&timeoutSeconds=1")
        for _ in 0..<6000 where !sink.isFinished { try await Task.sleep(for: .milliseconds(10)) }
        #expect(sink.isFinished)
    }

    @Test func tableWatch() async throws {
        let api = try await TestServer()
        let accept: HTTPHeaders = ["Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"]
        let sink = api.watch(url + "?watch=1", headers: accept)
        _ = await api.send("POST", url, configMap("a"))
        _ = await api.send("POST", url, configMap("b"))
        let events = try await sink.events(atLeast: 2)
        #expect(events[0].at("object", "kind") == "Table")
        #expect(events[0].at("object", "columnDefinitions")?.array?.first?["name"] == "Name")
        #expect(events[0].at("object", "rows")?[0]?["cells"]?[0] == "a")
        #expect(events[1].at("object", "columnDefinitions") == .null)
        sink.finish()
    }

    @Test func resumesAcrossARestart() async throws {
        let store = MemoryStore()
        let before = try await TestServer(store: store)
        let first = await before.send("POST", url, configMap("a"))
        _ = await before.send("POST", url, configMap("b"))
        try await store.close()
        let after = try await TestServer(store: store)
        let sink = after.watch(url + "?watch=1&resourceVersion=\(first.version)")
        #expect(try await sink.events(atLeast: 1).map(name) == ["b"])
        #expect(await after.send("GET", url + "/a").bytes == first.bytes)
        sink.finish()
    }

    @Test func inProcess() async throws {
        let api = try await TestServer()
        let client: any APIClient = api.server.client
        let list = try await client.list(.configMaps, namespace: "default")
        let stream = client.watch(
            .configMaps, namespace: "default", labels: nil, fields: nil, from: list.resourceVersion)
        var object = configMap("a")
        object.set("metadata", "namespace", to: "default")
        let created = try await client.create(.configMaps, object)
        let patched = try await client.patch(
            .configMaps, ObjectKey(namespace: "default", name: "a"), .merge, ["data": ["k": "v"]], subresource: nil)
        try await client.delete(.configMaps, ObjectKey(namespace: "default", name: "a"))
        var events: [WatchEvent] = []
        for try await event in stream {
            events.append(event)
            if events.count == 3 { break }
        }
        #expect(events.map(\.kind) == [.added, .modified, .deleted])
        #expect(events[0].object == created)
        #expect(events[1].object == patched)
        #expect(try await client.get(.namespaces, ObjectKey(name: "default")).at("status", "phase") == "Active")
        do {
            _ = try await client.get(.configMaps, ObjectKey(namespace: "default", name: "a"))
            Issue.record("it is still there")
        } catch {
            #expect(error.isNotFound)
        }
    }
}

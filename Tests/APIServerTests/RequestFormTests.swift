// What requests of unusual form get: methods where there is none, old paths, indented answers, texts of refusals.

import APIServer
import HTTP
import Objects
import Testing

@Suite struct RequestFormTests {
    private let maps = "/api/v1/namespaces/default/configmaps"

    @Test func acrossNamespacesOneCanOnlyLook() async throws {
        let api = try await TestServer()
        await api.namespace("other")
        _ = await api.send("POST", maps, configMap("a"))
        _ = await api.send("POST", "/api/v1/namespaces/other/configmaps", configMap("b"))
        for method in ["DELETE", "POST", "PUT"] {
            let body = method == "DELETE" ? nil : configMap("c")
            let answer = await api.send(method, "/api/v1/configmaps", body)
            #expect(answer.status == 405)
            #expect(answer.reason == "MethodNotAllowed")
        }
        let all = await api.send("GET", "/api/v1/configmaps?fieldSelector=metadata.name!=kube-root-ca.crt")
        #expect(all.json["items"]?.array?.map { $0.at("metadata", "name")?.string } == ["a", "b"])
        // Where they have no namespace, this is how collections are deleted.
        _ = await api.send("POST", "/apis/storage.k8s.io/v1/csidrivers", ["metadata": ["name": "a.b"], "spec": [:]])
        #expect(await api.send("DELETE", "/apis/storage.k8s.io/v1/csidrivers").status == 200)
        #expect(await api.send("GET", "/apis/storage.k8s.io/v1/csidrivers/a.b").status == 404)
    }

    @Test func discoveryIsRead() async throws {
        let api = try await TestServer()
        for path in ["/version", "/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1"] {
            #expect(await api.send("GET", path).status == 200)
            for method in ["POST", "PUT", "DELETE"] { #expect(await api.send(method, path).status == 405) }
        }
    }

    @Test func watchesByPath() async throws {
        let api = try await TestServer()
        for name in ["a", "b"] { _ = await api.send("POST", maps, configMap(name)) }
        func names(_ sink: TestSink, _ count: Int) async throws -> [String?] {
            defer { sink.finish() }
            return try await sink.events(atLeast: count).map { $0.at("object", "metadata", "name")?.string }
        }
        #expect(try await names(api.watch("/api/v1/watch/namespaces/default/configmaps"), 2) == ["a", "b"])
        #expect(try await names(api.watch("/api/v1/watch/configmaps?fieldSelector=metadata.name=b"), 1) == ["b"])
        let one = api.watch("/api/v1/watch/namespaces/default/configmaps/b")
        _ = await api.send("DELETE", maps + "/a")
        _ = await api.send("DELETE", maps + "/b")
        #expect(try await one.events(atLeast: 2).map { $0["type"]?.string } == ["ADDED", "DELETED"])
        one.finish()
        #expect(await api.send("GET", "/api/v1/watch/namespaces/default/pods/x/log").status == 404)
        #expect(await api.send("DELETE", "/api/v1/watch/namespaces/default/configmaps").status == 405)
        // A name is a name, whatever is in it.
        let none = api.watch("/api/v1/watch/namespaces/default/configmaps/x,metadata.name!=x")
        #expect(none.events.isEmpty)
        none.finish()
    }

    @Test func indented() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", maps, configMap("a", ["k": "v"]))
        let plain = await api.send("GET", maps + "/a")
        for value in ["true", "1"] {
            let pretty = await api.send("GET", maps + "/a?pretty=\(value)")
            #expect(pretty.json == plain.json)
            #expect(pretty.text.contains("{\n  \"apiVersion\": \"v1\",\n  \"data\": {\n    \"k\": \"v\"\n  },\n"))
        }
        for value in ["false", "0", "", "x"] {
            #expect(await api.send("GET", maps + "/a?pretty=\(value)").text == plain.text)
        }
        let list = await api.send("GET", maps + "?pretty=true")
        #expect(list.text.hasPrefix("{\n  \""))
        #expect(list.json["items"]?.array?.count == 1)
        let odd: JSON = ["a": [], "b": [:], "c": [1, "x"]]
        #expect(
            String(decoding: odd.encodeIndented(), as: UTF8.self)
                == "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    \"x\"\n  ]\n}")
    }

    @Test func selectorsAreRefusedInKubernetesWords() async throws {
        let api = try await TestServer()
        let cases = [
            (
                maps + "?fieldSelector=data.a=b",
                "\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            ),
            ("/api/v1/pods?fieldSelector=spec.foo=b", "field label not supported: spec.foo"),
            (maps + "?labelSelector=a,,b", "found ',', expected: identifier after ','"),
            (maps + "?labelSelector=a=b c", "found 'c', expected: ',' or 'end of string'"),
            (maps + "?labelSelector=a in b", "unable to parse requirement: found 'b' expected: '('"),
        ]
        for (url, message) in cases {
            let answer = await api.send("GET", url)
            #expect(answer.status == 400)
            #expect(answer.message == message)
        }
    }

    private static let rbac = "/apis/rbac.authorization.k8s.io/v1"
    private static let putKinds: [(String, String, JSON)] = [
        ("/api/v1/namespaces/default/services", "Service", ["spec": ["ports": [["port": 80]]]]),
        ("/api/v1/namespaces/default/endpoints", "Endpoints", ["subsets": []]),
        ("/api/v1/namespaces/default/limitranges", "LimitRange", ["spec": ["limits": []]]),
        (rbac + "/namespaces/default/roles", "Role", ["rules": []]),
        (rbac + "/clusterroles", "ClusterRole", ["rules": []]),
    ]

    @Test(arguments: putKinds)
    func aPutCreates(_ url: String, _ kind: String, _ object: JSON) async throws {
        let api = try await TestServer()
        var object = object
        object["metadata"] = ["name": "new"]
        let created = await api.send("PUT", url + "/new", object)
        #expect(created.status == 201)
        #expect(created.json["kind"]?.string == kind)
        #expect(await api.send("PUT", url + "/new", created.json).status == 200)
        #expect(await api.send("PUT", maps + "/new", configMap("new")).status == 404)
    }

    @Test func aStatusWriteLeavesMetadataAlone() async throws {
        let api = try await TestServer()
        let schemas = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
        _ = await api.send(
            "POST", schemas,
            ["metadata": ["name": "f", "labels": ["a": "b"]], "spec": ["priorityLevelConfiguration": ["name": "x"]]])
        let patch: JSON = [
            "metadata": ["labels": ["a": "c"], "annotations": ["d": "e"], "finalizers": ["x.y/z"]],
            "status": ["conditions": [["type": "Dangling", "status": "True"]]],
        ]
        let headers: HTTPHeaders = ["Content-Type": "application/merge-patch+json"]
        let patched = await api.send("PATCH", schemas + "/f/status", patch, headers: headers)
        #expect(patched.status == 200)
        #expect(patched.json.at("metadata", "labels") == ["a": "b"])
        #expect(patched.json.at("metadata", "annotations") == nil)
        #expect(patched.json.at("metadata", "finalizers") == nil)
        #expect(patched.json.at("status", "conditions")?.array?.count == 1)
    }

    @Test func ownersWithoutAName() async throws {
        let api = try await TestServer()
        let created = await api.send("POST", maps, configMap("a"))
        let entry = created.json.at("metadata", "managedFields")?.array?.first
        #expect(entry?["operation"] == "Update")
        #expect(entry?.object?.contains { $0.key == "manager" } == false)
        var owned = configMap("b")
        owned.set(
            "metadata", "ownerReferences", to: [["apiVersion": "v1", "kind": "Event", "name": "e", "uid": "u"]])
        let refused = await api.send("POST", maps, owned)
        #expect(refused.status == 422)
        #expect(refused.message.hasSuffix("/v1, Kind=Event is disallowed from being an owner"))
    }
}

// Bodies and paths that no honest client sends: each gets its own 4xx, and nothing is stored.

import Client
import HTTP
import Objects
import Testing

@testable import APIServer

@Suite struct BadInputTests {
    let url = "/api/v1/namespaces/default/configmaps"

    private func post(_ api: TestServer, _ body: [UInt8], _ type: String = "application/json") async -> Answer {
        await api.answer(api.request("POST", url, body: body, headers: ["Content-Type": type]))
    }

    private static func configMap(_ data: String) -> [UInt8] {
        Array(#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":\#(data)}"#.utf8)
    }

    @Test func jsonThatIsNone() async throws {
        let api = try await TestServer()
        var bodies: [[UInt8]] = [
            "", "\0", "null", "[]", "1e999", "\"x", "{", "{\"apiVersion\":\"v1\"", "nul", "{\"a\":01}", "[1,]",
        ].map { (text: String) in Array(text.utf8) }
        // Depth bombs, not closed and closed.
        bodies.append([UInt8](repeating: UInt8(ascii: "["), count: 1 << 20))
        let deep = String(repeating: #"{"a":"#, count: 10_000) + "1" + String(repeating: "}", count: 10_000)
        bodies.append(Self.configMap(deep))
        // Bad UTF-8: a lone continuation, an overlong slash, a surrogate.
        let bad: [[UInt8]] = [[0x80], [0xc0, 0xaf], [0xed, 0xa0, 0x80]]
        for bytes in bad {
            let head: [UInt8] = Self.configMap(#"{"a":""#).dropLast()
            let tail: [UInt8] = Array(#""}}"#.utf8)
            bodies.append(head + bytes + tail)
        }
        bodies += [#"{"a":1}"#, #"{"a":"b"} trailing"#, "[1,2]"].map { (text: String) in Self.configMap(text) }
        for body in bodies {
            let answer = await post(api, body)
            #expect(answer.status == 400 || answer.status == 422, "\(String(decoding: body.prefix(60), as: UTF8.self))")
            #expect(answer.json["kind"] == "Status" && answer.json["status"] == "Failure")
        }
        let left = await api.send("GET", url)
        #expect(left.json["items"] == [])
    }

    @Test func numbersThatDoNotFit() async throws {
        let api = try await TestServer()
        let deployments = "/apis/apps/v1/namespaces/default/deployments"
        for number in ["99999999999999999999", "1e400", "-9223372036854775809", "2147483648", "1.5", "\"3\""] {
            let body = """
                {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x"},"spec":{"replicas":\(number),
                "selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},
                "spec":{"containers":[{"name":"c","image":"i"}]}}}}
                """
            let answer = await api.answer(
                api.request("POST", deployments, body: Array(body.utf8), headers: ["Content-Type": "application/json"]))
            #expect(answer.status == 400 || answer.status == 422, "\(number): \(answer.text)")
        }
        #expect(await api.send("GET", deployments + "/x").status == 404)
    }

    @Test func duplicateKeys() async throws {
        let api = try await TestServer()
        let body = Self.configMap(#"{"a":"1","a":"2"}"#)
        let strict = await api.answer(
            api.request(
                "POST", url + "?fieldValidation=Strict", body: body, headers: ["Content-Type": "application/json"]))
        #expect(strict.status == 400 && strict.message.contains(#"duplicate field "data.a""#), "\(strict.text)")
        let warned = await post(api, body)
        #expect(warned.status == 201 && warned.headers["Warning"]?.contains("duplicate field") == true)
        #expect(warned.json.at("data", "a") == "2")
    }

    @Test func yamlBodies() async throws {
        let api = try await TestServer()
        let created = await post(
            api, Array("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\ndata:\n  a: \"1\"\n".utf8),
            "application/yaml")
        #expect(created.status == 201)
        let laughs = (1...9).reduce("a0: &a0 [x,x,x,x,x,x,x,x,x]\n") { text, level in
            text + "a\(level): &a\(level) [\((0..<9).map { _ in "*a\(level - 1)" }.joined(separator: ","))]\n"
        }
        for body in ["a: [", "a: b: c", "--- 1\n--- 2", "{a: b", "a: &x *x", laughs, "\u{0}", "!!binary x: y"] {
            let answer = await post(api, Array(body.utf8), "application/yaml")
            #expect(answer.status == 400, "\(body.prefix(30)): \(answer.text)")
        }
        let shown = await api.send("GET", url + "/one", headers: ["Accept": "application/yaml"])
        #expect(shown.headers["Content-Type"] == "application/yaml")
        let parsed = try YAML.parse(shown.bytes)
        #expect(parsed == [await api.send("GET", url + "/one").json])
        #expect(shown.text.hasPrefix("apiVersion: v1\ndata:\n  a: \"1\"\nkind: ConfigMap\nmetadata:\n"))
        let list = await api.send("GET", url, headers: ["Accept": "application/yaml"])
        #expect(try YAML.parse(list.bytes) == [await api.send("GET", url).json])
        #expect(await api.send("GET", url + "?watch=true", headers: ["Accept": "application/yaml"]).status == 406)
    }

    @Test func whatYAMLKeepsApart() throws {
        let value: JSON = [
            "": "", "yes": "yes", "n": .null, "list": [[], [:], [["a": 1, "b": [2]], "- x"], "#", " lead", "trail "],
            "text": "a: b", "lines": "one\ntwo\n", "quote": "it's \"so\"", "time": "12:30:45", "number": "0x10",
            "date": "2026-01-01", "star": "*a", "tab": "a\tb", "unicode": "ünï", "colon": "a:", "float": 1.5,
            "true": true, "~": "~", "big": .int(.max), "nested": ["deep": ["er": []]], "image": "demo:1.2", "dash": "-",
        ]
        #expect(try YAML.parse(value.encodeYAML()) == [value])
    }

    @Test func pathsThatNameNothing() async throws {
        let api = try await TestServer()
        for path in [
            "/api/v1/namespaces/default/configmaps/%00", "/api/v1/namespaces/%2e%2e/configmaps/x", "/api/v1/nothing",
            "/apis/apps/v9/deployments", "/api/v1/namespaces/default/pods/x/y/z/w",
            "/api/v1/namespaces/default/configmaps/" + String(repeating: "a", count: 10_000), "/%ff%fe",
        ] {
            let answer = await api.send("GET", path)
            #expect(answer.status == 404, "\(path.prefix(60)): \(answer.status)")
        }
        let name = await api.send("POST", url, named("../../etc"))
        #expect(name.status == 422)
        #expect(await api.send("BREW", url).status == 405)
    }

    @Test func tooManyAtOnce() {
        let places = InFlight(writeLimit: 2, readLimit: 1)
        #expect(places.enter(.write) != nil && places.enter(.write) != nil)
        #expect(places.enter(.write) == nil)
        #expect(places.enter(.write, exempt: true) != nil)
        #expect(places.enter(.read) != nil && places.enter(.read) == nil)
        for _ in 0..<2 { places.leave(.write) }
        #expect(places.now == (1, 1))
        #expect(places.enter(.write) != nil)
        let refused = Responses.failure(.tooManyRequests("too many requests, please try again later"))
        #expect(refused.status == 429 && refused.headers["Retry-After"] == "1")
    }

    @Test func metricsNameRequests() async throws {
        let api = try await TestServer()
        let nobody = Peer(address: "192.0.2.9")
        let apply = ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "a"]] as JSON
        _ = await api.send(
            "PATCH", url + "/a?fieldManager=me", apply, headers: ["Content-Type": "application/apply-patch+yaml"])
        _ = await api.send("GET", url)
        _ = await api.send("GET", "/api/v1/configmaps")
        _ = await api.send("GET", "/api/v1/namespaces/default/status")
        _ = await api.send("GET", url + "/a/made-up")
        _ = await api.send("HEAD", url + "/a")
        _ = await api.send("BREW", url + "/a")
        _ = await api.send("GET", "/version")
        // Refused before anybody asked what it means: a POST, and a GET that is no list yet.
        _ = await api.send("POST", url, apply, peer: nobody)
        _ = await api.send("GET", url, peer: nobody)
        let page = await api.send("GET", "/metrics")
        for labels in [
            #"code="201",group="",resource="configmaps",scope="resource",subresource="",verb="APPLY",version="v1""#,
            #"code="200",group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1""#,
            #"code="200",group="",resource="configmaps",scope="cluster",subresource="",verb="LIST",version="v1""#,
            #"code="200",group="",resource="namespaces",scope="resource",subresource="status",verb="GET",version="v1""#,
            #"code="404",group="",resource="configmaps",scope="resource",subresource="",verb="GET",version="v1""#,
            #"code="200",group="",resource="configmaps",scope="resource",subresource="",verb="HEAD",version="v1""#,
            #"code="405",group="",resource="configmaps",scope="resource",subresource="",verb="other",version="v1""#,
            #"code="200",group="",resource="",scope="",subresource="",verb="GET",version="""#,
            #"code="403",group="",resource="configmaps",scope="namespace",subresource="",verb="POST",version="v1""#,
            #"code="403",group="",resource="configmaps",scope="namespace",subresource="",verb="GET",version="v1""#,
        ] {
            #expect(page.text.contains("apiserver_request_total{\(labels)} 1\n"), "\(labels)")
        }
    }

    @Test func metricsCountRequests() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, named("a"))
        _ = await api.send("POST", url, named("a"))
        _ = await api.send("GET", url + "/a")
        _ = await api.send("GET", "/apis/example.com/v1/made-up")
        let sink = api.watch(url + "?watch=true")
        func line(_ text: String, _ start: String) -> String? {
            text.split(separator: "\n").map(String.init).first { $0.hasPrefix(start) }
        }
        let page = await api.send("GET", "/metrics")
        #expect(page.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8")
        let created = #"apiserver_request_total{code="201",group="",resource="configmaps",scope="resource","#
            + #"subresource="",verb="POST",version="v1"}"#
        #expect(line(page.text, created) == created + " 1")
        #expect(line(page.text, created.replacing("201", with: "409"))?.hasSuffix(" 1") == true)
        let count = #"apiserver_request_duration_seconds_count{group="",resource="configmaps",scope="resource","#
            + #"subresource="",verb="POST",version="v1"}"#
        #expect(line(page.text, count) == count + " 2")
        #expect(page.text.contains(#"verb="POST",version="v1",le="+Inf"} 2"#))
        #expect(line(page.text, "apiserver_longrunning_requests")?.hasSuffix(" 1") == true)
        #expect(line(page.text, #"apiserver_storage_objects{resource="configmaps"}"#)?.hasSuffix(" 1") == true)
        #expect(line(page.text, "process_resident_memory_bytes") != nil)
        #expect(!page.text.contains("made-up"))
        sink.finish()
        let after = await api.send("GET", "/metrics")
        #expect(line(after.text, "apiserver_longrunning_requests")?.hasSuffix(" 0") == true)
    }

    @Test(arguments: ChannelProtocol.allCases) func channelProtocols(_ wire: ChannelProtocol) throws {
        let bytes = Array("hello \u{1}".utf8)
        let message = wire.encode(2, bytes)
        #expect(wire.decode(message)?.channel == 2)
        #expect(wire.decode(message)?.bytes == bytes)
        #expect(wire.decode([]) == nil)
        if wire.isText {
            #expect(message.first == UInt8(ascii: "2"))
            #expect(wire.decode(Array("0***".utf8)) == nil && wire.decode(Array("xAA==".utf8)) == nil)
        }
        #expect(ChannelProtocol.choose([wire.rawValue]) == wire)
        #expect(ChannelProtocol.choose(["SPDY/3.1"]) == nil && ChannelProtocol.choose([]) == .v1)
    }
}

private func named(_ name: String) -> JSON { configMap(name) }

/// Requests that once stopped noded, destroyed what they should only have tried, or did more than they were allowed to.
@Suite struct OverreachTests {
    @Test func endlessTimesAreCapped() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", "/api/v1/namespaces/default/pods", pod("p"))
        let deleted = await api.send(
            "DELETE", "/api/v1/namespaces/default/pods/p?gracePeriodSeconds=9223372036854775807&dryRun=All")
        #expect(deleted.status == 200)
        let eviction: JSON = [
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": ["name": "p"], "deleteOptions": ["dryRun": ["All"]],
        ]
        #expect(await api.send("POST", "/api/v1/namespaces/default/pods/p/eviction", eviction).status == 201)
        let pod = await api.send("GET", "/api/v1/namespaces/default/pods/p")
        #expect(pod.status == 200 && pod.json.at("metadata", "deletionTimestamp") == nil)
    }

    @Test func aDefinitionNeverTakesABuiltInsPlace() async throws {
        let api = try await TestServer()
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        let made = await api.send(
            "POST", definitions,
            [
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": [
                    "name": "roles.rbac.authorization.k8s.io",
                    "annotations": ["api-approved.kubernetes.io": "https://example.org/1"],
                ],
                "spec": [
                    "group": "rbac.authorization.k8s.io", "scope": "Namespaced", "names": ["kind": "Role", "plural": "roles"],
                    "versions": [
                        [
                            "name": "v9", "served": true, "storage": true,
                            "schema": ["openAPIV3Schema": ["type": "object", "x-kubernetes-preserve-unknown-fields": true]],
                        ]
                    ],
                ],
            ])
        #expect(made.status == 201)
        let found = await api.send("GET", definitions + "/roles.rbac.authorization.k8s.io")
        let conditions = found.json.at("status", "conditions")?.array ?? []
        #expect(conditions.first { $0["type"] == "NamesAccepted" }?["status"] == "False")
        #expect(await api.send("GET", "/apis/rbac.authorization.k8s.io/v9/roles").status == 404)
        #expect(await api.send("GET", "/apis/rbac.authorization.k8s.io/v1/roles").status == 200)
        _ = await api.send("DELETE", definitions + "/roles.rbac.authorization.k8s.io")
        #expect(await api.send("GET", "/apis/rbac.authorization.k8s.io/v1/roles").status == 200)
    }
}

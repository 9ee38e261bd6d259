// The HTTP face: negotiation, unknown paths, access, paging, discovery, health, services' addresses.

import APIServer
import HTTP
import Objects
import Store
import Testing

@Suite struct FrontTests {
    let url = "/api/v1/namespaces/default/configmaps"

    @Test func pathsAndMethods() async throws {
        let api = try await TestServer()
        for path in ["/nothing", "/api/v1/nothing", "/apis/none.example.com/v1", "/api/v1/namespaces/default/nothing/x"] {
            let answer = await api.send("GET", path)
            #expect(answer.status == 404)
            #expect(answer.text == "404 page not found\n")
        }
        let post = await api.send("POST", url + "/named", configMap("named"))
        #expect(post.status == 405)
        #expect(post.reason == "MethodNotAllowed")
        #expect(post.message == "the server does not allow this method on the requested resource")
        #expect(await api.send("PUT", url, configMap("x")).status == 405)
        #expect(await api.send("GET", "/api/v1/namespaces/default/bindings").status == 405)
    }

    @Test func access() async throws {
        let api = try await TestServer()
        let anonymous = Peer(address: "192.0.2.9")
        let refused = await api.send("GET", "/api/v1/namespaces/default/pods", peer: anonymous)
        #expect(refused.status == 403)
        #expect(
            refused.message == "pods is forbidden: User \"system:anonymous\" cannot list resource \"pods\" in API group "
                + "\"\" in the namespace \"default\"")
        #expect(refused.json.at("details", "kind") == "pods")
        #expect(await api.send("GET", "/readyz", peer: anonymous).status == 200)
        #expect(await api.send("GET", "/version", peer: anonymous).status == 200)
        #expect(await api.send("GET", "/openapi/v2", peer: anonymous).status == 403)
        let token = await api.send(
            "GET", url, headers: ["Authorization": "Bearer nonsense"], peer: anonymous)
        #expect(token.status == 401)
        #expect(token.message == "Unauthorized")
        let user = Peer(address: "192.0.2.9", certificate: ClientCertificate(commonName: "jane"))
        let jane = await api.send("DELETE", "/api/v1/nodes/n1", peer: user)
        #expect(
            jane.message == "nodes \"n1\" is forbidden: User \"jane\" cannot delete resource \"nodes\" in API group \"\" "
                + "at the cluster scope")
    }

    @Test func negotiation() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, configMap("a", ["k1": "v", "k2": "v"]))
        let table = await api.send(
            "GET", url, headers: ["Accept": "application/json;as=Table;v=v1;g=meta.k8s.io, application/json"])
        #expect(table.json["kind"] == "Table")
        #expect(table.json["apiVersion"] == "meta.k8s.io/v1")
        #expect(
            table.json["columnDefinitions"]?.array?.compactMap { $0["name"]?.string } == ["Name", "Data", "Age"])
        #expect(table.json["rows"]?[0]?["cells"]?[0] == "a")
        #expect(table.json["rows"]?[0]?["cells"]?[1] == 2)
        #expect(table.json["rows"]?[0]?.at("object", "kind") == "PartialObjectMetadata")
        let partial = await api.send(
            "GET", url, headers: ["Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"])
        #expect(partial.json["kind"] == "PartialObjectMetadataList")
        #expect(partial.json["items"]?[0]?["data"] == nil)
        let protobuf = await api.send("GET", url, headers: ["Accept": "application/vnd.kubernetes.protobuf"])
        #expect(protobuf.status == 406)
        #expect(protobuf.reason == "NotAcceptable")
        let both = await api.send(
            "GET", url, headers: ["Accept": "application/vnd.kubernetes.protobuf,application/json"])
        #expect(both.status == 200)
        let body = await api.send(
            "POST", url, configMap("p"), headers: ["Content-Type": "application/x-protobuf"])
        #expect(body.status == 415)
        let yaml = await api.answer(
            api.request(
                "POST", url, body: Array("kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: yam\ndata:\n  a: b\n".utf8),
                headers: ["Content-Type": "application/yaml"]))
        #expect(yaml.status == 201)
        #expect(yaml.json.at("data", "a") == "b")
        let broken = await api.answer(
            api.request("POST", url, body: Array("{\"kind\":".utf8), headers: ["Content-Type": "application/json"]))
        #expect(broken.status == 400)
        #expect(broken.reason == "BadRequest")
    }

    @Test func paging() async throws {
        let api = try await TestServer()
        for index in 0..<25 { _ = await api.send("POST", url, configMap("c\(index + 10)")) }
        let first = await api.send("GET", url + "?limit=10")
        #expect(first.json["items"]?.array?.count == 10)
        #expect(first.json.at("metadata", "remainingItemCount") == 15)
        let token = first.json.at("metadata", "continue")?.string ?? ""
        // The pages are those of the first page's moment.
        _ = await api.send("DELETE", url + "/c25")
        _ = await api.send("POST", url, configMap("c21-new"))
        _ = await api.send("PUT", url + "/c22", configMap("c22", ["changed": "yes"]))
        let second = await api.send("GET", url + "?limit=10&continue=\(token)")
        #expect(second.version == first.version)
        let last = await api.send("GET", url + "?continue=\(second.json.at("metadata", "continue")?.string ?? "")")
        #expect(last.json.at("metadata", "continue") == nil)
        let all = [first, second, last].flatMap { $0.json["items"]?.array ?? [] }
        #expect(all.compactMap { $0.at("metadata", "name")?.string } == (10..<35).map { "c\($0)" })
        #expect(all.allSatisfy { $0["data"] == ["a": "b"] })
        let exact = await api.send("GET", url + "?resourceVersion=\(first.version)&resourceVersionMatch=Exact")
        #expect(exact.json["items"] == .array(all))
        #expect(await api.send("GET", url + "?limit=2&continue=nonsense").status == 400)
        let future = await api.send("GET", url + "?resourceVersion=99999999")
        #expect(future.status == 504)
    }

    @Test func discovery() async throws {
        let api = try await TestServer()
        let core = await api.send("GET", "/api/v1")
        #expect(core.json["kind"] == "APIResourceList")
        let names = core.json["resources"]?.array?.compactMap { $0["name"]?.string } ?? []
        #expect(names.contains("pods"))
        #expect(names.contains("pods/log"))
        #expect(await api.send("GET", "/apis").json["kind"] == "APIGroupList")
        #expect(await api.send("GET", "/apis/apps").json["kind"] == "APIGroup")
        let aggregated = await api.send(
            "GET", "/apis", headers: ["Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"])
        #expect(aggregated.json["kind"] == "APIGroupDiscoveryList")
        #expect(aggregated.headers["Content-Type"]?.contains("as=APIGroupDiscoveryList") == true)
        let version = await api.send("GET", "/version")
        #expect(version.json["gitVersion"] == "v1.36.1+noded.1")
        #expect(version.json["minor"] == "36")
        let index = await api.send("GET", "/openapi/v3")
        let path = index.json.at("paths", "apis/apps/v1", "serverRelativeURL")?.string ?? ""
        let document = await api.send("GET", path)
        #expect(document.status == 200)
        #expect(document.json["openapi"]?.string?.hasPrefix("3.") == true)
        let cached = await api.send("GET", path, headers: ["If-None-Match": document.headers["ETag"] ?? ""])
        #expect(cached.status == 304)
        #expect(await api.send("GET", "/openapi/v2").json["swagger"] == "2.0")
    }

    @Test func health() async throws {
        let api = try await TestServer(open: false)
        #expect(await api.send("GET", "/livez").text == "ok")
        let early = await api.send("GET", "/readyz")
        #expect(early.status == 500)
        #expect(early.text.contains("[-]store failed: reason withheld\n"))
        #expect(await api.send("GET", url).status == 503)
        try await api.server.open()
        #expect(await api.send("GET", "/readyz").text == "ok")
        let verbose = await api.send("GET", "/readyz?verbose")
        #expect(verbose.text.hasPrefix("[+]ping ok\n[+]store ok\n"))
        #expect(verbose.text.hasSuffix("readyz check passed\n"))
        #expect(await api.send("GET", "/readyz/store").text == "ok")
        #expect(await api.send("GET", "/readyz/nonsense").status == 404)
        api.server.addHealthCheck(HealthCheck(name: "node") { "not there" })
        #expect(await api.send("GET", "/readyz").status == 500)
        #expect(await api.send("GET", "/readyz?exclude=node").status == 200)
    }

    @Test func bootstrap() async throws {
        let api = try await TestServer()
        let service = await api.send("GET", "/api/v1/namespaces/default/services/kubernetes")
        #expect(service.json.at("spec", "clusterIP") == "10.43.0.1")
        let slice = await api.send("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
        #expect(slice.json.at("endpoints")?[0]?["addresses"] == ["192.0.2.1"])
        let namespaces = await api.send("GET", "/api/v1/namespaces")
        #expect(
            namespaces.json["items"]?.array?.compactMap { $0.at("metadata", "name")?.string }
                == ["default", "kube-node-lease", "kube-public", "kube-system"])
    }

    @Test func eventsInBothGroups() async throws {
        let api = try await TestServer()
        let event: JSON = [
            "apiVersion": "v1", "kind": "Event", "metadata": ["name": "e1", "namespace": "default"],
            "involvedObject": ["kind": "Pod", "namespace": "default", "name": "p"], "reason": "Started",
            "message": "Started container main", "type": "Normal", "count": 1,
            "source": ["component": "kubelet"], "firstTimestamp": "2026-01-01T00:00:00Z",
            "lastTimestamp": "2026-01-01T00:00:00Z",
        ]
        let created = await api.send("POST", "/api/v1/namespaces/default/events", event)
        #expect(created.status == 201)
        let other = await api.send("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e1")
        #expect(other.json["apiVersion"] == "events.k8s.io/v1")
        #expect(other.json["note"] == "Started container main")
        #expect(other.json.at("regarding", "name") == "p")
        let list = await api.send(
            "GET", "/apis/events.k8s.io/v1/events?fieldSelector=regarding.name=p")
        #expect(list.json["items"]?.array?.count == 1)
        #expect(list.json["items"]?[0]?["note"] == "Started container main")
        #expect(await api.send("GET", "/api/v1/events?fieldSelector=involvedObject.name=q").json["items"] == [])
    }
}

@Suite struct ServiceTests {
    let url = "/api/v1/namespaces/default/services"

    static func service(_ name: String, _ spec: JSON = [:]) -> JSON {
        var object: JSON = [
            "apiVersion": "v1", "kind": "Service", "metadata": ["name": .string(name)],
            "spec": ["selector": ["app": .string(name)], "ports": [["port": 80]]],
        ]
        for (key, value) in spec.object ?? JSONObject() { object.set("spec", key, to: value) }
        return object
    }

    @Test func clusterAddresses() async throws {
        let store = MemoryStore()
        let api = try await TestServer(store: store)
        let first = await api.send("POST", url, Self.service("a"))
        #expect(first.status == 201)
        let address = first.json.at("spec", "clusterIP")?.string ?? ""
        #expect(address.hasPrefix("10.43.0."))
        #expect(first.json.at("spec", "clusterIPs") == [.string(address)])
        #expect(first.json.at("spec", "ipFamilies") == ["IPv4"])
        let taken = await api.send("POST", url, Self.service("b", ["clusterIP": .string(address)]))
        #expect(taken.status == 422)
        #expect(
            taken.message == "Service \"b\" is invalid: spec.clusterIPs: Invalid value: [\"\(address)\"]: "
                + "failed to allocate IP \(address): provided IP is already allocated")
        #expect(await api.send("POST", url, Self.service("c", ["clusterIP": "192.0.2.7"])).status == 422)
        let headless = await api.send("POST", url, Self.service("d", ["clusterIP": "None"]))
        #expect(headless.json.at("spec", "clusterIPs") == ["None"])
        let dns = await api.send("POST", url, Self.service("dns", ["clusterIP": "10.43.0.10"]))
        #expect(dns.status == 201)
        // An update that leaves the address out keeps it.
        let updated = await api.send("PUT", url + "/a", Self.service("a", ["sessionAffinity": "ClientIP"]))
        #expect(updated.json.at("spec", "clusterIP")?.string == address)
        let moved = await api.send(
            "PATCH", "\(url)/a", ["spec": ["clusterIP": "10.43.9.9"]],
            headers: ["Content-Type": "application/merge-patch+json"])
        #expect(moved.status == 422)
        #expect(
            moved.message == "Service \"a\" is invalid: spec.clusterIPs[0]: Invalid value: [\"10.43.9.9\"]: may not change once set")
        // The address is free again after the delete, and held after a restart.
        _ = await api.send("DELETE", url + "/dns")
        #expect(await api.send("POST", url, Self.service("e", ["clusterIP": "10.43.0.10"])).status == 201)
        try await store.close()
        let again = try await TestServer(store: store)
        #expect(await again.send("POST", url, Self.service("f", ["clusterIP": "10.43.0.10"])).status == 422)
    }

    @Test func theWholeRangeOnce() async throws {
        let api = try await TestServer()
        let addresses = await withTaskGroup(of: String?.self) { group in
            for index in 0..<260 {
                group.addTask {
                    let answer = await api.send("POST", url, Self.service("s\(index)"))
                    return answer.status == 201 ? answer.json.at("spec", "clusterIP")?.string : nil
                }
            }
            return await group.reduce(into: [String]()) { if let address = $1 { $0.append(address) } }
        }
        // 256 less network, broadcast, the API's and DNS's.
        #expect(addresses.count == 252)
        #expect(Set(addresses).count == 252)
        #expect(!addresses.contains("10.43.0.1"))
        #expect(!addresses.contains("10.43.0.10"))
        let full = await api.send("POST", url, Self.service("late"))
        #expect(full.status == 500)
        // A create that fails gives its address back.
        _ = await api.send("DELETE", url + "/s0")
        #expect(await api.send("POST", url, Self.service("s1")).status == 409)
        #expect(await api.send("POST", url, Self.service("late")).status == 201)
    }

    @Test func nodePorts() async throws {
        let api = try await TestServer()
        let first = await api.send("POST", url, Self.service("a", ["type": "NodePort"]))
        let port = first.json.at("spec", "ports")?[0]?["nodePort"]?.int ?? 0
        #expect((30000...32767).contains(port))
        let taken = await api.send(
            "POST", url,
            Self.service("b", ["type": "NodePort", "ports": [["port": 80, "nodePort": .int(port)]]]))
        #expect(taken.status == 422)
        #expect(taken.message.contains("spec.ports[0].nodePort: Invalid value: \(port): provided port is already allocated"))
        let outside = await api.send(
            "POST", url, Self.service("b", ["type": "NodePort", "ports": [["port": 80, "nodePort": 80]]]))
        #expect(
            outside.message.contains(
                "provided port is not in the valid range. The range of valid ports is 30000-32767"))
        let kept = await api.send("PUT", url + "/a", Self.service("a", ["type": "NodePort"]))
        #expect(kept.json.at("spec", "ports")?[0]?["nodePort"]?.int == port)
        let plain = await api.send("PUT", url + "/a", Self.service("a", ["type": "ClusterIP"]))
        #expect(plain.json.at("spec", "ports")?[0]?["nodePort"] == nil)
        let freed = await api.send(
            "POST", url,
            Self.service("c", ["type": "NodePort", "ports": [["port": 80, "nodePort": .int(port)]]]))
        #expect(freed.status == 201)
    }

    @Test func aServicesTypeIsChangedWithoutWhatOnlyTheOldOneNeeds() async throws {
        let url = "/api/v1/namespaces/default/services"
        let api = try await TestServer()
        let made = await api.send(
            "POST", url,
            Self.service(
                "a",
                ["type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000,
                    "loadBalancerClass": "example.com/own"]))
        #expect(made.status == 201, "\(made.message)")
        let merge: HTTPHeaders = ["Content-Type": "application/merge-patch+json"]
        let between = await api.send(
            "PATCH", url + "/a", ["spec": ["externalTrafficPolicy": "Cluster"]], headers: merge)
        #expect(between.status == 200 && between.json.at("spec", "healthCheckNodePort") == nil, "\(between.message)")
        let plain = await api.send("PATCH", url + "/a", ["spec": ["type": "ClusterIP"]], headers: merge)
        #expect(plain.status == 200, "\(plain.message)")
        for field in ["externalTrafficPolicy", "allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            #expect(plain.json.at("spec", field) == nil)
        }
        // What the client asks for anew is refused.
        let both = await api.send(
            "PATCH", url + "/a", ["spec": ["externalTrafficPolicy": "Local"]], headers: merge)
        #expect(both.status == 422)
    }

    /// Who may not ask is told so by the head of the request, before there is a body.
    @Test func bodiesAreScreened() async throws {
        let api = try await TestServer()
        let url = "/api/v1/namespaces/default/configmaps"
        func screen(_ method: String, _ path: String, token: String? = nil, peer: Peer = Peer(address: "192.0.2.9")) -> String {
            let headers: HTTPHeaders = token.map { ["Authorization": "Bearer \($0)"] } ?? [:]
            switch api.server.screen(HTTPRequest(method: method, path: path, headers: headers, peer: peer)) {
            case .refused(let response): return "\(response.status)"
            case .stranger: return "stranger"
            case .known: return "known"
            case .exempt: return "exempt"
            }
        }
        #expect(screen("POST", url) == "403")
        #expect(screen("POST", url, token: "nonsense") == "401")
        #expect(screen("POST", url, token: "letmein") == "403")
        #expect(screen("POST", url, token: "master-key") == "exempt")
        #expect(screen("POST", url, peer: TestServer.admin) == "exempt")
        #expect(screen("GET", "/livez") == "stranger")
        let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        #expect(screen("POST", review, token: "letmein") == "known")
        #expect(screen("POST", review) == "403")
        // Refusals are counted like others.
        #expect(await api.send("GET", "/metrics").text.contains(#"code="403""#))
    }
}

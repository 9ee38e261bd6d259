// pods/proxy, services/proxy, nodes/proxy: where a request goes, what of it goes there, who may. The bytes themselves
// are Transport's (ForwardTests).

import HTTP
import Objects
import System
import Testing

@testable import APIServer

@Suite struct ProxyTests {
    private let pods = "/api/v1/namespaces/default/pods"
    private let services = "/api/v1/namespaces/default/services"

    /// A pod with an address and ports, as a kubelet leaves it.
    private func run(
        _ api: TestServer, _ name: String, _ addresses: [String], ports: JSON = [["name": "web", "containerPort": 8080]]
    ) async {
        var object = pod(name, node: "n1")
        object["spec"] = ["nodeName": "n1", "containers": [["name": "main", "image": "demo:1", "ports": ports]]]
        #expect(await api.send("POST", pods, object).status == 201)
        var status: JSON = ["phase": "Running", "podIPs": .array(addresses.map { ["ip": .string($0)] })]
        status["podIP"] = addresses.first.map { .string($0) }
        let patched = await api.send(
            "PATCH", "\(pods)/\(name)/status", ["status": status],
            headers: ["Content-Type": "application/merge-patch+json"])
        #expect(patched.status == 200)
    }

    private func serve(_ api: TestServer, _ name: String, ports: JSON) async {
        let answer = await api.send(
            "POST", services,
            ["metadata": ["name": .string(name)], "spec": ["ports": ports, "selector": ["app": "x"]]])
        #expect(answer.status == 201)
    }

    private func slice(
        _ api: TestServer, _ name: String, of service: String, _ address: String, pod: String?, ready: Bool = true,
        ports: JSON = [["name": "http", "port": 8080], ["name": "tls", "port": 8443]], namespace: String = "default"
    ) async {
        var endpoint: JSON = ["addresses": [.string(address)], "conditions": ["ready": .bool(ready)]]
        if let pod { endpoint["targetRef"] = ["kind": "Pod", "namespace": .string(namespace), "name": .string(pod)] }
        let answer = await api.send(
            "POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
            [
                "metadata": ["name": .string(name), "labels": ["kubernetes.io/service-name": .string(service)]],
                "addressType": "IPv4", "endpoints": [endpoint], "ports": ports,
            ])
        #expect(answer.status == 201)
    }

    @Test func aPodByNumberByNameAndByItsFirstPort() async throws {
        let api = try await TestServer()
        await run(api, "web", ["10.42.0.5"])
        for (name, target) in [
            ("web", "10.42.0.5 8080 /a/b"), ("web:web", "10.42.0.5 8080 /a/b"), ("web:99", "10.42.0.5 99 /a/b"),
            ("https:web:8443", "10.42.0.5 8443 /a/b"), ("http:web:", "10.42.0.5 8080 /a/b"),
        ] {
            #expect(await api.send("GET", "\(pods)/\(name)/proxy/a/b").text == target, "\(name)")
        }
        await run(api, "bare", ["10.42.0.6"], ports: [])
        #expect(await api.send("GET", "\(pods)/bare/proxy/").text == "10.42.0.6 80 /")
        for (name, message) in [
            ("ftp:web:1", "invalid pod request \"ftp:web:1\""), ("a:b:c:d", "invalid pod request \"a:b:c:d\""),
            ("web:nope", "pod \"web\" has no port \"nope\""), ("web:70000", "pod \"web\" has no port \"70000\""),
        ] {
            let refused = await api.send("GET", "\(pods)/\(name)/proxy/")
            #expect(refused.status == 400)
            #expect(refused.message == message)
        }
        #expect(await api.send("GET", "\(pods)/none/proxy/").message == "pods \"none\" not found")
        #expect(await api.send("CONNECT", "\(pods)/web/proxy/").status == 405)
    }

    @Test(arguments: [
        "127.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "224.0.0.1",
        "0.0.0.0", "::",
    ])
    func someAddressesAreNobodys(_ address: String) async throws {
        let api = try await TestServer()
        await run(api, "web", [address])
        let refused = await api.send("GET", "\(pods)/web/proxy/")
        #expect(refused.status == 400)
        #expect(refused.message == "address not allowed")
    }

    @Test func aPodWithoutAnAddress() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", pods, pod("p"))
        #expect(await api.send("GET", "\(pods)/p/proxy/").message == "address not allowed")
    }

    @Test func aServiceByItsPorts() async throws {
        let api = try await TestServer()
        await run(api, "web", ["10.42.0.5"])
        await serve(api, "web", ports: [["name": "http", "port": 80], ["name": "tls", "port": 443]])
        let empty = await api.send("GET", "\(services)/web:http/proxy/")
        #expect(empty.status == 503)
        #expect(empty.reason == "ServiceUnavailable")
        #expect(empty.message == "no endpoints available for service \"web:http\"")
        await slice(api, "web-1", of: "web", "10.42.0.5", pod: "web")
        #expect(await api.send("GET", "\(services)/web:http/proxy/x").text == "10.42.0.5 8080 /x")
        #expect(await api.send("GET", "\(services)/web:80/proxy/x").text == "10.42.0.5 8080 /x")
        #expect(await api.send("GET", "\(services)/https:web:443/proxy/x").text == "10.42.0.5 8443 /x")
        #expect(
            await api.send("GET", "\(services)/web:81/proxy/").message == "no service port 81 found for service \"web\"")
        #expect(
            await api.send("GET", "\(services)/web/proxy/").message == "no endpoints available for service \"web\"")
        #expect(await api.send("GET", "\(services)/none:http/proxy/").status == 404)
    }

    /// A slice is written by hand as easily as by a controller.
    @Test func aServiceLeadsToReadyPodsOnly() async throws {
        let api = try await TestServer()
        await api.namespace("other")
        await run(api, "web", ["10.42.0.5", "127.0.0.1"])
        await serve(api, "web", ports: [["name": "http", "port": 80]])
        await slice(api, "unready", of: "web", "10.42.0.5", pod: "web", ready: false)
        await slice(api, "nobody", of: "web", "10.42.0.9", pod: nil)
        await slice(api, "liar", of: "web", "10.42.0.10", pod: "web")
        await slice(api, "gone", of: "web", "10.42.0.11", pod: "gone")
        await slice(api, "strange", of: "web", "10.42.0.5", pod: "web", namespace: "other")
        await slice(api, "another", of: "other", "10.42.0.5", pod: "web")
        #expect(await api.send("GET", "\(services)/web:http/proxy/").status == 503)
        await slice(api, "true", of: "web", "10.42.0.5", pod: "web")
        for _ in 0..<10 {
            #expect(await api.send("GET", "\(services)/web:http/proxy/").text == "10.42.0.5 8080 /")
        }
    }

    @Test func thePathGoesAsItCame() async throws {
        let api = try await TestServer()
        await run(api, "web", ["10.42.0.5"])
        let answer = await api.send("GET", "\(pods)/web/proxy/a%2Fb//c/../proxy/%20/")
        #expect(answer.text == "10.42.0.5 8080 /a%2Fb//c/../proxy/%20/")
        #expect(answer.headers["X-Forwarded-Uri"] == "\(pods)/web/proxy/a%2Fb//c/../proxy/%20/")
        for method in ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] {
            #expect(await api.send(method, "\(pods)/web/proxy/x").text == "10.42.0.5 8080 /x", "\(method)")
        }
        // A page whose links are relative: the browser must be below it.
        let moved = await api.send("GET", "\(pods)/web/proxy?a=b")
        #expect(moved.status == 301)
        #expect(moved.headers["Location"] == "\(pods)/web/proxy/?a=b")
        #expect(await api.send("POST", "\(pods)/web/proxy").text == "10.42.0.5 8080 /")
    }

    @Test func credentialsStayHere() async throws {
        let api = try await TestServer()
        await run(api, "web", ["10.42.0.5"])
        let answer = await api.send(
            "GET", "\(pods)/web/proxy/",
            headers: [
                "Host": "api:6443", "Authorization": "Bearer master-key", "Impersonate-User": "kubernetes-admin",
                "Impersonate-Group": "system:masters", "Connection": "X-Secret, keep-alive", "X-Secret": "1",
                "Keep-Alive": "5", "Cookie": "session=1", "X-Forwarded-For": "192.0.2.9", "Accept": "text/html",
                "Sec-WebSocket-Protocol": "chat, base64url.bearer.authorization.k8s.io.bWFzdGVyLWtleQ",
            ])
        let names = Set(answer.headers.fields.map { $0.name.lowercased() })
        #expect(
            names == [
                "host", "cookie", "x-forwarded-for", "accept", "sec-websocket-protocol", "x-forwarded-uri",
            ])
        #expect(answer.headers["Sec-WebSocket-Protocol"] == "chat")
        #expect(answer.headers["Host"] == "api:6443")
        #expect(answer.headers["X-Forwarded-For"] == "192.0.2.9, 127.0.0.1")
    }

    @Test func redirectsStayBelowTheProxy() async throws {
        let proxy = ProxyLocation(prefix: "/p/proxy", server: "10.42.0.5:80", host: "api:6443")
        for (location, expected) in [
            ("/login?to=/x#top", "/p/proxy/login?to=/x#top"), ("login", "login"), ("../up", "../up"),
            ("http://10.42.0.5:80/a/", "/p/proxy/a/"), ("http://10.42.0.5/a", "/p/proxy/a"),
            ("//10.42.0.5:80/a", "/p/proxy/a"), ("https://api:6443/a", "https://api:6443/p/proxy/a"),
            ("https://example.com/a", "https://example.com/a"), ("/p/proxy/a", "/p/proxy/a"),
            ("/p/proxyish", "/p/proxy/p/proxyish"), ("/../../api/v1/secrets", "/p/proxy/api/v1/secrets"),
            ("/p/proxy/../../api", "/p/proxy/api"), ("/a/./b/..", "/p/proxy/a/"), ("mailto:a@b", "mailto:a@b"), ("", ""),
        ] {
            #expect(proxy.rewrite(location) == expected, "\(location)")
        }
        let api = try await TestServer()
        await run(api, "web", ["10.42.0.5"])
        guard case .forward(let forwarding) = api.request("GET", "\(pods)/web/proxy/") else {
            Issue.record("not forwarded")
            return
        }
        #expect(forwarding.answered(302, ["Location": "/x", "A": "b"])["Location"] == "\(pods)/web/proxy/x")
        let failure = try JSON.parse(forwarding.failed("dial tcp: refused").body.flatMap { Array($0) })
        #expect(failure["message"] == "error trying to reach service: dial tcp: refused")
        #expect(failure["code"] == 503)
    }

    @Test func rightsAreThoseOfTheVerb() async throws {
        let api = try await TestServer()
        await run(api, "web", ["10.42.0.5"])
        for (name, verb) in [("reader", "get"), ("writer", "create")] {
            _ = await api.send(
                "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
                [
                    "metadata": ["name": .string(name)],
                    "rules": [["apiGroups": [""], "resources": ["pods/proxy"], "verbs": [.string(verb)]]],
                ])
            _ = await api.send(
                "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
                [
                    "metadata": ["name": .string(name)],
                    "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": .string(name)],
                    "subjects": [["apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": .string(name)]],
                ])
        }
        func status(_ method: String, as user: String) async -> Int {
            let peer = Peer(address: "192.0.2.7", certificate: ClientCertificate(commonName: user))
            return await api.send(method, "\(pods)/web/proxy/", peer: peer).status
        }
        #expect(await status("GET", as: "reader") == 299)
        #expect(await status("POST", as: "reader") == 403)
        #expect(await status("POST", as: "writer") == 299)
        #expect(await status("DELETE", as: "writer") == 403)
        #expect(await status("OPTIONS", as: "reader") == 403)
        #expect(await status("GET", as: "nobody") == 403)
    }

    @Test func bodiesAreNotGatheredForPodsAndServicesOnly() async throws {
        let api = try await TestServer()
        #expect(api.server.forwards(path: "\(pods)/a:1/proxy/x"))
        #expect(api.server.forwards(path: "\(services)/a/proxy"))
        #expect(!api.server.forwards(path: "/api/v1/nodes/a/proxy/x"))
        #expect(!api.server.forwards(path: "\(pods)/proxy"))
        #expect(!api.server.forwards(path: "\(pods)/a/status/proxy"))
        #expect(!api.server.forwards(path: "/apis/x/v1/namespaces/default/pods/a/proxy"))
    }

    @Test func aNodeAnswersItself() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", "/api/v1/nodes", ["metadata": ["name": "n1"]])
        #expect(await api.send("GET", "/api/v1/nodes/n1/proxy/healthz").text == "n1 is well")
        #expect(await api.send("GET", "/api/v1/nodes/https:n1:10250/proxy/healthz").text == "n1 is well")
        #expect(await api.send("GET", "/api/v1/nodes/n1/proxy/nothing").status == 404)
        #expect(await api.send("GET", "/api/v1/nodes/n2/proxy/healthz").status == 404)
        #expect(await api.send("GET", "/api/v1/nodes/n1:6443/proxy/healthz").status == 400)
        #expect(await api.send("POST", "/api/v1/nodes/n1/proxy/healthz").status == 405)
    }
}

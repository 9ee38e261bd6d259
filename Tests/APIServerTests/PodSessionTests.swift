// How many connections to pods may be open: of all users, of one, and of a port-forward.

import HTTP
import Objects
import Synchronization
import Testing

@testable import APIServer
@testable import SPDY

@Suite(.timeLimit(.minutes(5))) struct PodSessionTests {
    private let pods = "/api/v1/namespaces/default/pods"
    private let upgrade: HTTPHeaders = ["Upgrade": "websocket", "Sec-WebSocket-Protocol": "v5.channel.k8s.io"]
    private let tunnel: HTTPHeaders = ["Upgrade": "websocket", "Sec-WebSocket-Protocol": "SPDY/3.1+portforward.k8s.io"]

    private func peer(_ name: String) -> Peer {
        Peer(address: "192.0.2.7", certificate: ClientCertificate(commonName: name))
    }

    /// A server with a running pod `p`, and users `ann` and `bob` who may do everything.
    private func serve(limit: Int, userLimit: Int) async throws -> TestServer {
        let api = try await TestServer { configuration in
            configuration.maxSessions = limit
            configuration.maxUserSessions = userLimit
        }
        api.node.session.withLock { $0 = TestExec(exitCode: 0) }
        _ = await api.send("POST", pods, pod("p", node: "n1"))
        let status = await api.send(
            "PATCH", pods + "/p/status", ["status": ["phase": "Running", "podIP": "10.42.0.5"]],
            headers: ["Content-Type": "application/merge-patch+json"])
        #expect(status.status == 200)
        let subjects: [JSON] = ["ann", "bob"].map {
            ["apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": .string($0)]
        }
        let bound = await api.send(
            "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            [
                "metadata": ["name": "all"], "subjects": .array(subjects),
                "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"],
            ])
        #expect(bound.status == 201)
        return api
    }

    private func proxy(_ api: TestServer, as user: String) -> HTTPReply {
        api.request("GET", pods + "/p/proxy/x", peer: peer(user))
    }

    private func code(_ reply: HTTPReply) -> Int {
        switch reply {
        case .forward, .webSocket: 0
        case .response(let response): response.status
        default: -1
        }
    }

    @Test func oneUserAndAllUsersAreBounded() async throws {
        let api = try await serve(limit: 3, userLimit: 2)
        var held = [proxy(api, as: "ann"), proxy(api, as: "ann")]
        #expect(held.allSatisfy { code($0) == 0 })
        let refused = await api.answer(proxy(api, as: "ann"))
        #expect(refused.status == 429)
        #expect(refused.reason == "TooManyRequests")
        #expect(refused.headers["Retry-After"] == "1")
        #expect(
            refused.message
                == "user \"ann\" has too many connections to pods open (2), please close some or try again later")
        // Somebody else's does not count for her, but for the server.
        held.append(api.request("GET", pods + "/p/exec?command=sh&stdout=true", headers: upgrade, peer: peer("bob")))
        #expect(code(held[2]) == 0)
        let full = await api.answer(proxy(api, as: "bob"))
        #expect(full.status == 429)
        #expect(full.message == "too many connections to pods are open (3), please close some or try again later")
        for url in ["/p/exec?command=sh&stdout=true", "/p/attach?stdout=true"] {
            #expect(code(api.request("GET", pods + url, headers: upgrade, peer: peer("bob"))) == 429, "\(url)")
        }
        #expect(code(api.request("GET", pods + "/p/portforward", headers: tunnel, peer: peer("bob"))) == 429)
        // What opens nothing is not refused, and who looks after the server is not, either.
        #expect(await api.send("GET", pods + "/p", peer: peer("ann")).status == 200)
        for _ in 0..<5 { held.append(api.request("GET", pods + "/p/proxy/x")) }
        #expect(held.allSatisfy { code($0) == 0 })
        // An end makes room: of an exchange, and of an upgrade that never came.
        held.removeFirst()
        held.append(proxy(api, as: "ann"))
        held.remove(at: 1)
        held.append(api.request("GET", pods + "/p/portforward", headers: tunnel, peer: peer("bob")))
        #expect(held.allSatisfy { code($0) == 0 })
        #expect(code(proxy(api, as: "bob")) == 429)
        #expect(api.server.front.sessions.count == 3)
        held = []
        #expect(api.server.front.sessions.count == 0)
    }

    @Test func aSessionLastsAsLongAsItsWebSocket() async throws {
        let api = try await serve(limit: 10, userLimit: 1)
        let url = pods + "/p/exec?command=cat&stdin=true&stdout=true"
        let socket = TestSocket()
        func start() -> Task<Void, Never>? {
            guard case .webSocket(_, let run) = api.request("GET", url, headers: upgrade, peer: peer("ann")) else {
                return nil
            }
            return Task { await run(socket) }
        }
        let running = try #require(start())
        socket.client.yield([0] + Array("echo".utf8))
        while !socket.sent.withLock({ $0.contains([1] + Array("echo".utf8)) }) {
            try await Task.sleep(for: .milliseconds(2))
        }
        #expect(code(proxy(api, as: "ann")) == 429)
        socket.client.finish()
        await running.value
        while api.server.front.sessions.count > 0 { try await Task.sleep(for: .milliseconds(2)) }
        #expect(code(proxy(api, as: "ann")) == 0)
    }

    /// The tunnel is one, each of its connections another.
    @Test func aPortForwardsConnectionsAreBounded() async throws {
        let api = try await serve(limit: 10, userLimit: 2)
        let socket = TestSocket()
        func frames() throws -> [SPDYFrame] {
            var reader = SPDYReader()
            return try reader.take(Array(socket.sent.withLock { $0 }.joined()))
        }
        func until(_ frame: SPDYFrame) async throws {
            while try !frames().contains(frame) { try await Task.sleep(for: .milliseconds(2)) }
        }
        func start() -> Task<Void, Never>? {
            let reply = api.request("GET", pods + "/p/portforward", headers: tunnel, peer: peer("ann"))
            guard case .webSocket(_, let run) = reply else { return nil }
            return Task { await run(socket) }
        }
        let running = try #require(start())
        socket.client.yield(PortForwardTests.opened)
        try await until(.headers(stream: 3, fin: false))
        socket.client.yield(PortForwardTests.openedLater)
        // Without words, which would end kubectl.
        try await until(.reset(stream: 7, status: 3))
        try await until(.data(stream: 5, fin: true, []))
        // The first one goes on.
        socket.client.yield(SPDYWriter.data(stream: 3, fin: false, Array("hi".utf8)))
        try await until(.data(stream: 3, fin: false, Array("hi".utf8)))
        #expect(api.server.front.sessions.count == 2)
        socket.client.finish()
        await running.value
        while api.server.front.sessions.count > 0 { try await Task.sleep(for: .milliseconds(2)) }
    }

    @Test func channelsOfOldClientsAreToldWhy() async throws {
        let api = try await serve(limit: 10, userLimit: 2)
        let socket = TestSocket()
        let reply = api.request(
            "GET", pods + "/p/portforward?ports=80,81",
            headers: ["Upgrade": "websocket", "Sec-WebSocket-Protocol": "v4.channel.k8s.io"], peer: peer("ann"))
        guard case .webSocket(_, let run) = reply else {
            Issue.record("no WebSocket")
            return
        }
        async let running: Void = run(socket)
        func failures() -> [String] {
            socket.sent.withLock { $0 }.filter { $0.count > 3 && ($0[0] == 1 || $0[0] == 3) }
                .map { String(decoding: $0.dropFirst(), as: UTF8.self) }
        }
        while failures().isEmpty { try await Task.sleep(for: .milliseconds(2)) }
        #expect(failures().count == 1)
        #expect(failures()[0].contains("user \"ann\" has too many connections to pods open (2)"))
        socket.client.finish()
        await running
    }
}

// attach and portforward: a client's bytes in, a pod's bytes out.

import APIServer
import HTTP
import Objects
import Synchronization
import Testing

@testable import SPDY

@Suite(.timeLimit(.minutes(5))) struct PortForwardTests {
    let url = "/api/v1/namespaces/default/pods"

    /// What a client sends for one connection to port 80: streams 1 (error) and 3 (data), their headers compressed with the
    /// SPDY dictionary. Made with another implementation of zlib, Python's.
    static let opened: [UInt8] = hex(
        """
        800300010000003c0000000100000000000078f9e3c6a7c202253a703a2b294a4dcc851625aca9a0808614cb45a024cc64610024
        398b209198094adc8c0600000000ffff800300010000001800000003000000000000c2aa15540a2512d209000000ffff
        """)

    /// The same for port 9999: streams 5 and 7 of the same connection, whose compression goes on.
    static let openedLater: [UInt8] = hex(
        """
        80030001000000190000000500000000000022ce52164b20c0d06c08000000ffff80030001000000150000000700000000000022ca5a1c7a
        01000000ffff
        """)

    static func hex(_ text: String) -> [UInt8] {
        let digits = text.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue.map(UInt8.init) }
        return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    private func serve(
        _ query: String, _ protocols: String, subresource: String = "portforward"
    ) async throws -> (api: TestServer, socket: TestSocket, run: @Sendable () async -> Void) {
        let api = try await TestServer()
        api.node.session.withLock { $0 = TestExec(exitCode: 3) }
        _ = await api.send("POST", url, pod("p", node: "n1"))
        let status = await api.send(
            "PATCH", url + "/p/status", ["status": ["phase": "Running"]],
            headers: ["Content-Type": "application/merge-patch+json"])
        #expect(status.status == 200)
        var reply = api.request(
            "GET", url + "/p/\(subresource)\(query)",
            headers: ["Upgrade": "websocket", "Sec-WebSocket-Protocol": protocols])
        if case .deferred(let work) = reply { reply = await work() }
        let socket = TestSocket()
        guard case .webSocket(let chosen, let start) = reply else {
            Issue.record("no WebSocket")
            return (api, socket, {})
        }
        #expect(protocols.contains(chosen))
        return (api, socket, { await start(socket) })
    }

    @Test func kubectlsTunnel() async throws {
        #expect(SPDYDictionary.bytes.count == 1423)
        let (_, socket, run) = try await serve("", "SPDY/3.1+portforward.k8s.io")
        async let running: Void = run()
        // In pieces of any size.
        for byte in Self.opened { socket.client.yield([byte]) }
        socket.client.yield(SPDYWriter.data(stream: 1, fin: true, []) + SPDYWriter.ping(7))
        socket.client.yield(SPDYWriter.data(stream: 3, fin: false, Array("hello ".utf8)))
        socket.client.yield(SPDYWriter.data(stream: 3, fin: true, Array("world".utf8)))
        func answers() throws -> [SPDYFrame] {
            var reader = SPDYReader()
            return try reader.take(Array(socket.sent.withLock { $0 }.joined()))
        }
        while try !answers().contains(.data(stream: 1, fin: true, [])) { try await Task.sleep(for: .milliseconds(2)) }
        let frames = try answers()
        #expect(frames.contains(.headers(stream: 1, fin: false)) && frames.contains(.headers(stream: 3, fin: false)))
        #expect(frames.contains(.ping(7)))
        var said: [UInt8] = []
        for case .data(3, _, let bytes) in frames { said += bytes }
        #expect(String(decoding: said, as: UTF8.self) == "80:hello world")
        #expect(frames.contains(.data(stream: 3, fin: true, [])))
        socket.client.finish()
        await running
    }

    @Test func theTunnelEndsWithItsClientAndWithNonsense() async throws {
        for nonsense in [nil, [UInt8](repeating: 0xff, count: 64), [0x80, 3, 0, 1, 0, 0, 0, 0]] {
            let (_, socket, run) = try await serve("", "SPDY/3.1+portforward.k8s.io")
            async let running: Void = run()
            socket.client.yield(Self.opened)
            if let nonsense { socket.client.yield(nonsense) } else { socket.client.finish() }
            await running
        }
    }

    @Test func aConnectionThatIsDroppedOrRefusedLeavesTheOthers() async throws {
        let (api, socket, run) = try await serve("", "SPDY/3.1+portforward.k8s.io")
        async let running: Void = run()
        func answers() throws -> [SPDYFrame] {
            var reader = SPDYReader()
            return try reader.take(Array(socket.sent.withLock { $0 }.joined()))
        }
        func until(_ frame: SPDYFrame) async throws {
            while try !answers().contains(frame) { try await Task.sleep(for: .milliseconds(2)) }
        }
        socket.client.yield(Self.opened)
        // The pod would go on talking: the reset ends that, and the error stream with no words.
        socket.client.yield(SPDYWriter.reset(stream: 3, status: 5))
        try await until(.data(stream: 1, fin: true, []))
        // Port 9999, stream 5 and 7; nobody listens there.
        socket.client.yield(Self.openedLater)
        let words = "error forwarding port 9999 to pod p: connection refused"
        try await until(.data(stream: 5, fin: true, Array(words.utf8)))
        #expect(try answers().contains(.data(stream: 7, fin: true, [])))
        socket.client.yield(SPDYWriter.ping(9))
        try await until(.ping(9))
        // The pod goes, and with it the session.
        api.node.end.continuation.finish()
        while socket.closeCode.withLock({ $0 }) == nil { try await Task.sleep(for: .milliseconds(2)) }
        socket.client.finish()
        await running
    }

    @Test func repliesAreFlushedForGosInflater() {
        var writer = SPDYWriter()
        // An empty stored block ends each: zlib's sync flush.
        for stream: UInt32 in [1, 3] { #expect(writer.reply(stream: stream).suffix(5) == [0, 0, 0, 0xff, 0xff]) }
    }

    @Test func channelsOfOldClients() async throws {
        let (_, socket, run) = try await serve("?ports=8080&ports=9999", "v4.channel.k8s.io")
        async let running: Void = run()
        socket.client.yield([0] + Array("hi".utf8))
        func sent() -> [[UInt8]] { socket.sent.withLock { $0 } }
        while !sent().contains([0] + Array("hi".utf8)) || !sent().contains(where: { $0.first == 3 && $0.count > 3 }) {
            try await Task.sleep(for: .milliseconds(2))
        }
        #expect(sent().prefix(4) == [[0, 0x90, 0x1f], [1, 0x90, 0x1f], [2, 0x0f, 0x27], [3, 0x0f, 0x27]])
        #expect(sent().contains([0] + Array("8080:".utf8)))
        let failure = try #require(sent().first { $0.first == 3 && $0.count > 3 })
        #expect(String(decoding: failure.dropFirst(), as: UTF8.self).contains("error forwarding port 9999 to pod p"))
        socket.client.finish()
        await running
    }

    @Test func refusals() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, pod("p", node: "n1"))
        let headers: HTTPHeaders = ["Upgrade": "websocket", "Sec-WebSocket-Protocol": "v4.channel.k8s.io"]
        let pending = await api.send("GET", url + "/p/portforward?ports=80", headers: headers)
        #expect(pending.message == "unable to forward port because pod is not running. Current status=Pending")
        #expect(await api.send("GET", url + "/p/portforward?ports=80").status == 400)
        _ = await api.send(
            "PATCH", url + "/p/status", ["status": ["phase": "Running"]],
            headers: ["Content-Type": "application/merge-patch+json"])
        for query in ["", "?ports=0", "?ports=http", "?ports=70000"] {
            #expect(await api.send("GET", url + "/p/portforward" + query, headers: headers).status == 400)
        }
        #expect(await api.send("GET", url + "/gone/portforward", headers: headers).status == 404)
    }

    @Test func attachingEndsWithTheClientAndShowsNoCode() async throws {
        for leaves in [true, false] {
            let (_, socket, run) = try await serve(
                "?stdout=true&stdin=true", "v5.channel.k8s.io", subresource: "attach")
            async let running: Void = run()
            socket.client.yield([0] + Array("echo".utf8))
            while !socket.sent.withLock({ $0.contains([1] + Array("echo".utf8)) }) {
                try await Task.sleep(for: .milliseconds(2))
            }
            if leaves { socket.client.finish() } else { socket.client.yield([255, 0]) }
            await running
            let last = try #require(socket.sent.withLock { $0.last })
            // The container's exit code is in the pod's status.
            if !leaves { #expect(try JSON.parse(last[1...])["status"] == "Success") }
        }
    }

    @Test func bytesWaitWithinBounds() throws {
        // Every prefix and every damage: an error or nothing, never a trap.
        for length in 0..<Self.opened.count {
            var reader = SPDYReader()
            _ = try? reader.take(Array(Self.opened.prefix(length)))
        }
        for index in Self.opened.indices {
            for value in [UInt8(0), 0x7f, 0xff] {
                var reader = SPDYReader()
                var bytes = Self.opened
                bytes[index] = value
                _ = try? reader.take(bytes)
            }
        }
    }
}

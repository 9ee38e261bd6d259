// WebSockets (RFC 6455) frame by frame.

import Glibc
import HTTP
import Synchronization
import System
import Testing
import Transport

extension Client {
    func sendFrame(_ opcode: UInt8, _ payload: [UInt8], fin: Bool = true) throws {
        try send(Self.frame(opcode, payload, fin: fin))
    }

    /// Masked, as a client's must be.
    static func frame(_ opcode: UInt8, _ payload: [UInt8], fin: Bool = true) -> [UInt8] {
        var frame: [UInt8] = [(fin ? 0x80 : 0) | opcode]
        switch payload.count {
        case ..<126: frame.append(0x80 | UInt8(payload.count))
        case ..<65536: frame += [0x80 | 126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
        default: frame += [0x80 | 127] + (0..<8).map { UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * $0)) }
        }
        let mask: [UInt8] = [1, 2, 3, 4]
        return frame + mask + payload.enumerated().map { $1 ^ mask[$0 & 3] }
    }

    func readFrame() throws -> (opcode: UInt8, payload: [UInt8]) {
        let head = try read(2)
        var length = Int(head[1] & 0x7f)
        if length == 126 { length = try read(2).reduce(0) { $0 << 8 | Int($1) } }
        if length == 127 { length = try read(8).reduce(0) { $0 << 8 | Int($1) } }
        return (head[0] & 15, try read(length))
    }

    static let upgrade = """
        GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r
        Sec-WebSocket-Protocol: v5.channel.k8s.io\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n
        """
}

extension TransportTests {
    @Suite struct WebSocketTests {
        private static let echo: @Sendable (HTTPRequest) -> HTTPReply = { request in
            .webSocket(subprotocol: request.headers.list("Sec-WebSocket-Protocol").first ?? "") { socket in
                for await message in socket.messages {
                    if message == Array("quit".utf8) { return await socket.close(code: 1011) }
                    if message == Array("end".utf8) { return }
                    try? await socket.send(message)
                }
            }
        }

        @Test func messagesPingsAndClose() async throws {
            try await withServer(Self.echo) { port, _ in
                try await talk(port) { client in
                    try client.send(Client.upgrade)
                    let head = try client.readHead()
                    #expect(head.status == 101 && head.head.contains("sec-websocket-protocol: v5.channel.k8s.io"))
                    #expect(head.head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="))
                    try client.sendFrame(1, Array("hello".utf8))
                    let text = try client.readFrame()
                    #expect(text.opcode == 2 && text.payload == Array("hello".utf8))
                    try client.sendFrame(9, [7])
                    let pong = try client.readFrame()
                    #expect(pong.opcode == 10 && pong.payload == [7])
                    // In fragments, with a ping in between.
                    try client.sendFrame(2, [1, 2], fin: false)
                    try client.sendFrame(9, [8])
                    try client.sendFrame(0, [3], fin: false)
                    try client.sendFrame(0, [4])
                    #expect(try client.readFrame().opcode == 10)
                    #expect(try client.readFrame().payload == [1, 2, 3, 4])
                    let large = (0..<300_000).map { UInt8(truncatingIfNeeded: $0) }
                    try client.sendFrame(2, large)
                    #expect(try client.readFrame().payload == large)
                    try client.sendFrame(8, [0x03, 0xe8])
                    let close = try client.readFrame()
                    #expect(close.opcode == 8 && close.payload == [0x03, 0xe8])
                    #expect(try client.readToEnd().isEmpty)
                }
            }
        }

        /// Frames that come in the same packet as the request wait for the pipeline to change.
        @Test func framesRightBehindTheRequest() async throws {
            let deferred: @Sendable (HTTPRequest) -> HTTPReply = { request in
                .deferred {
                    try? await Task.sleep(for: .milliseconds(50))
                    return Self.echo(request)
                }
            }
            for answer in [Self.echo, deferred] {
                try await withServer(answer) { port, _ in
                    for _ in 0..<20 {
                        try await talk(port) { client in
                            let frames = (0..<50).flatMap { Client.frame(2, [$0]) }
                            try client.send(Array(Client.upgrade.utf8) + frames)
                            #expect(try client.readHead().status == 101)
                            for index in UInt8(0)..<50 { #expect(try client.readFrame().payload == [index]) }
                        }
                    }
                }
            }
        }

        @Test func theServerClosesToo() async throws {
            try await withServer(Self.echo) { port, _ in
                for (word, code) in [("quit", [UInt8](arrayLiteral: 0x03, 0xf3)), ("end", [0x03, 0xe8])] {
                    try await talk(port) { client in
                        try client.send(Client.upgrade)
                        _ = try client.readHead()
                        try client.sendFrame(1, Array(word.utf8))
                        let close = try client.readFrame()
                        #expect(close.opcode == 8 && close.payload == code)
                        try client.sendFrame(8, close.payload)
                        #expect(try client.readToEnd().isEmpty)
                    }
                }
            }
        }

        @Test func brokenFramesAndMessagesTooLargeAreToldWhy() async throws {
            try await withServer(Self.echo) { port, _ in
                let cases: [([UInt8], UInt16)] = [
                    ([0x82, 0xff] + [0, 0, 0, 0, 0, 0x20, 0, 0] + [0, 0, 0, 0], 1009),
                    (Client.frame(0, [1]), 1002),
                    // Not masked; a reserved bit; a reserved opcode.
                    ([0x82, 1, 7], 1002), ([0xc2] + Client.frame(2, [7]).dropFirst(), 1002), (Client.frame(3, [7]), 1002),
                    (
                        (0..<3).flatMap {
                            Client.frame($0 == 0 ? 2 : 0, [UInt8](repeating: 0, count: 500_000), fin: false)
                        }, 1009
                    ),
                ]
                for (bytes, code) in cases {
                    try await talk(port) { client in
                        try client.send(Client.upgrade)
                        _ = try client.readHead()
                        _ = client.trySend(bytes)
                        let close = try client.readFrame()
                        #expect(close.opcode == 8 && close.payload == [UInt8(code >> 8), UInt8(code & 255)])
                        #expect(try client.readToEnd().isEmpty)
                    }
                }
            }
        }

        @Test func whatIsNoUpgradeIsRefused() async throws {
            try await withServer(Self.echo) { port, _ in
                for request in [
                    "GET /ws HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a\r\n\r\n",
                    "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
                    Client.upgrade.replacing("dGhlIHNhbXBsZSBub25jZQ==", with: "c2hvcnQ="),
                    "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n\r\n",
                    "POST /ws HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                ] {
                    try await talk(port) { client in
                        try client.send(request)
                        #expect(try client.readResponse().status == 400)
                        #expect(try client.readToEnd().isEmpty)
                    }
                }
            }
        }

        /// A consumer that does not take its messages stalls the sender instead of filling memory.
        @Test func slowConsumersHoldTheSender() async throws {
            let go = Promise<Bool>()
            try await withServer { _ in
                .webSocket(subprotocol: "") { socket in
                    _ = try? await go.get()
                    var count = 0
                    for await message in socket.messages {
                        if message.isEmpty { break }
                        count += message.count
                    }
                    try? await socket.send(Array("\(count)".utf8))
                }
            } _: { port, _ in
                try await talk(port) { client in
                    try client.send(Client.upgrade)
                    #expect(try client.readHead().status == 101)
                    let frame = Client.frame(2, [UInt8](repeating: 5, count: 65536))
                    client.timeout(SO_SNDTIMEO, milliseconds: 300)
                    var whole = 0
                    var rest = ArraySlice<UInt8>()
                    while whole < 1024, rest.isEmpty {
                        let sent = client.trySend(frame)
                        if sent == frame.count { whole += 1 } else { rest = frame[sent...] }
                    }
                    #expect(!rest.isEmpty, "64 MiB went out to somebody who reads nothing")
                    go.fulfil(true)
                    client.timeout(SO_SNDTIMEO, milliseconds: patience)
                    try client.send(Array(rest))
                    try client.sendFrame(2, [])
                    #expect(try client.readFrame().payload == Array("\((whole + 1) * 65536)".utf8))
                }
            }
        }

        /// An empty message takes memory, too.
        @Test func emptyMessagesHoldTheSender() async throws {
            let go = Promise<Bool>()
            // More than a turn of reading brings; all fit into the sockets' buffers.
            let wanted = 100_000
            try await withServer { _ in
                .webSocket(subprotocol: "") { socket in
                    _ = try? await go.get()
                    var count = 0
                    for await _ in socket.messages {
                        count += 1
                        if count == wanted { break }
                    }
                    try? await socket.send(Array("\(count)".utf8))
                    for await _ in socket.messages {}
                }
            } _: { port, _ in
                try await talk(port) { client in
                    try client.send(Client.upgrade)
                    #expect(try client.readHead().status == 101)
                    try client.send(Array([[UInt8]](repeating: Client.frame(2, []), count: wanted).joined()))
                    try client.sendFrame(9, [7])
                    client.timeout(SO_RCVTIMEO, milliseconds: 3000)
                    #expect(throws: SystemError.self, "all were read, though nobody takes them") {
                        try client.readFrame()
                    }
                    client.timeout(SO_RCVTIMEO, milliseconds: patience)
                    go.fulfil(true)
                    let answers = [try client.readFrame(), try client.readFrame()]
                    #expect(answers.first { $0.opcode == 2 }?.payload == Array("\(wanted)".utf8))
                    #expect(answers.first { $0.opcode == 10 }?.payload == [7])
                }
            }
        }

        /// RFC 6455, 5.5.3: of several pings the newest may be answered alone.
        @Test func pingsOfWhoDoesNotReadAreAnsweredOnce() async throws {
            let size = 8 << 20
            try await withServer { _ in
                .webSocket(subprotocol: "") { socket in
                    try? await socket.send([UInt8](repeating: 1, count: size))
                    for await _ in socket.messages {}
                }
            } _: { port, _ in
                try await talk(port) { client in
                    try client.send(Client.upgrade)
                    #expect(try client.readHead().status == 101)
                    let pings: UInt16 = 20_000
                    try client.send((1...pings).flatMap { Client.frame(9, [UInt8($0 >> 8), UInt8($0 & 255)]) })
                    var (pongs, last) = (0, 0)
                    var message = 0
                    while last < pings || message == 0 {
                        let frame = try client.readFrame()
                        if frame.opcode == 2 {
                            message = frame.payload.count
                        } else {
                            let number = frame.payload.reduce(0) { $0 << 8 | Int($1) }
                            #expect(frame.opcode == 10 && number > last)
                            last = number
                            pongs += 1
                        }
                    }
                    #expect(message == size)
                    #expect(pongs < pings / 4)
                }
            }
        }

        /// Who counts what is open counts by what the closure holds.
        @Test func nothingIsKeptOfWhatIsOver() async throws {
            let tokens = Tokens()
            try await withServer { _ in
                let token = tokens.make()
                return .webSocket(subprotocol: "") { socket in
                    for await message in socket.messages {
                        try? await socket.send(message)
                        if message.isEmpty { break }
                    }
                    withExtendedLifetime(token) {}
                }
            } _: { port, _ in
                // The client ends it, the server does, the connection is lost, there is no upgrade.
                for end in [Client.frame(8, [0x03, 0xe8]), Client.frame(2, []), []] {
                    try await talk(port) { client in
                        try client.send(Client.upgrade)
                        #expect(try client.readHead().status == 101)
                        try client.sendFrame(2, [1])
                        #expect(try client.readFrame().payload == [1])
                        #expect(tokens.held > 0)
                        try client.send(end)
                    }
                }
                let status = try await talk(port) { try $0.get("/ws").status }
                #expect(status == 400)
                #expect(try await tokens.areGone())
                #expect(tokens.count == 4)
            }
        }

        @Test func lostConnectionsEndTheMessages() async throws {
            let ended = Promise<Bool>()
            let started = Promise<Bool>()
            try await withServer { _ in
                .webSocket(subprotocol: "") { socket in
                    started.fulfil(true)
                    for await _ in socket.messages {}
                    await #expect(throws: (any Error).self) { while true { try await socket.send([1]) } }
                    await socket.close(code: 1000)
                    ended.fulfil(true)
                }
            } _: { port, _ in
                try await talk(port) { client in
                    try client.send(Client.upgrade)
                    try started.wait()
                }
                #expect(try await ended.get())
            }
        }
    }
}

// How forwarded requests end: nothing of them is kept, and a request that breaks on its way has one answer.

import Glibc
import HTTP
import Logging
import Synchronization
import System
import Testing
import Transport

/// Hands bodies on and answers as a test says.
private struct Way: HTTPHandler {
    let answer: @Sendable (HTTPRequest) -> HTTPReply

    func handle(_ request: HTTPRequest) -> HTTPReply { answer(request) }
    func forwards(path: String) -> Bool { true }
}

/// What is held for as long as an exchange is: each one's closures hold a token.
final class Tokens: Sendable {
    final class Token: Sendable {}
    private struct Weak {
        weak var token: Token?
    }

    private let given = Mutex<[Weak]>([])

    func make() -> Token {
        let token = Token()
        given.withLock { $0.append(Weak(token: token)) }
        return token
    }

    var count: Int { given.withLock { $0.count } }

    /// Those of them that are there still.
    var held: Int { given.withLock { $0.count { $0.token != nil } } }

    /// Waits, at most for the tests' patience, until none is left.
    func areGone() async throws -> Bool {
        let deadline = ContinuousClock.now + .milliseconds(patience)
        while given.withLock({ $0.contains { $0.token != nil } }) {
            guard ContinuousClock.now < deadline else { return false }
            try await Task.sleep(for: .milliseconds(5))
        }
        return true
    }
}

func forwarding(
    to port: Int, _ request: HTTPRequest, _ tokens: Tokens? = nil, place: Tokens.Token? = nil
) -> HTTPReply {
    let token = tokens?.make()
    return .forward(
        Forwarding(
            address: IPAddress("127.0.0.1")!, port: port, isSecure: false, path: request.path,
            headers: request.headers.endToEnd, answered: { [token] _, headers in withExtendedLifetime(token) { headers } },
            failed: { reason in
                withExtendedLifetime(token) { HTTPResponse(status: 503, bytes: Array(reason.utf8)) }
            }, place: place))
}

func withWay(
    _ configuration: HTTPServerConfiguration = local(), _ answer: @escaping @Sendable (HTTPRequest) -> HTTPReply,
    _ body: (Int) async throws -> Void
) async throws {
    try await withServer(configuration: configuration, handler: Way(answer: answer)) { port, _ in try await body(port) }
}

extension TransportTests {
    @Suite struct ForwardEndTests {
        @Test func nothingIsKeptOfWhatIsOver() async throws {
            let tokens = Tokens()
            try await withServer { request in text("\(request.body.count)") } _: { back, _ in
                try await withWay { forwarding(to: back, $0, tokens) } _: { port in
                    let client = try await talk(port) { client throws -> Open in
                        for _ in 0..<5 {
                            #expect(try client.get("/x").text == "0")
                            try client.send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
                            #expect(try client.readResponse().text == "3")
                        }
                        return Open(client)
                    }
                    // The client's connection is still there.
                    #expect(try await tokens.areGone())
                    #expect(tokens.count == 10)
                    withExtendedLifetime(client) {}
                }
            }
        }

        @Test func nothingIsKeptOfWhatFailed() async throws {
            let tokens = Tokens()
            let deaf = try DeafPort(.refusing)
            let number = deaf.number
            try await withWay { forwarding(to: number, $0, tokens) } _: { port in
                let client = try await talk(port) { client throws -> Open in
                    #expect(try client.get("/x").status == 503)
                    return Open(client)
                }
                #expect(try await tokens.areGone())
                #expect(tokens.count == 1)
                withExtendedLifetime(client) {}
            }
            // The client goes while the connection is being made.
            let silent = try DeafPort(.silent)
            let other = silent.number
            try await withWay { forwarding(to: other, $0, tokens) } _: { port in
                try await talk(port) { client in
                    try client.send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
                    try waitUntil { tokens.count >= 2 }
                }
                #expect(try await tokens.areGone())
            }
            withExtendedLifetime((deaf, silent)) {}
        }

        @Test func nothingIsKeptBehindAnUpgrade() async throws {
            let tokens = Tokens()
            let back = try Back.echo()
            try await withWay { forwarding(to: back.port, $0, tokens) } _: { port in
                let client = try await talk(port) { client throws -> Open in
                    try client.openEcho()
                    return Open(client)
                }
                // The tunnel is still there.
                #expect(try await tokens.areGone())
                #expect(tokens.count == 1)
                withExtendedLifetime(client) {}
            }
        }

        @Test func thePlaceIsHeldToTheEndOfTheExchangeOrTheTunnel() async throws {
            let places = Tokens()
            let go = Promise<Bool>()
            let slow = try Back { peer in
                _ = try peer.readHead()
                try go.wait()
                try peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
            try await withWay { forwarding(to: slow.port, $0, place: places.make()) } _: { port in
                try await talk(port) { client in
                    try client.send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
                    usleep(100_000)
                    #expect(places.held == 1)
                    go.fulfil(true)
                    #expect(try client.readResponse().text == "ok")
                }
                #expect(try await places.areGone())
            }
            let back = try Back.echo()
            try await withWay { forwarding(to: back.port, $0, place: places.make()) } _: { port in
                try await talk(port) { client in
                    try client.openEcho()
                    for _ in 0..<50 { try client.hearEcho() }
                    usleep(100_000)
                    #expect(places.held == 1)
                }
                #expect(try await places.areGone())
            }
        }

        private static let upload = "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        /// No size of a chunk.
        private static let torn = "zz\r\n"

        @Test func aBodyTornBeforeTheAnswerIsRefusedOnce() async throws {
            let isRefused = Promise<Bool>()
            let started = Promise<Bool>()
            let back = try Back { peer in
                _ = try peer.readHead()
                started.fulfil(true)
                try isRefused.wait()
                _ = peer.trySend(Array("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".utf8))
            }
            try await withWay { forwarding(to: back.port, $0) } _: { port in
                try await talk(port) { client in
                    try client.send(Self.upload)
                    try started.wait()
                    try client.send(Self.torn)
                    #expect(try client.readResponse().status == 400)
                    isRefused.fulfil(true)
                    #expect(try client.readToEnd().isEmpty)
                }
            }
            // Nobody has connected yet: the handler's answer comes later than the refusal.
            let isTold = Promise<Bool>()
            let late: @Sendable (HTTPRequest) -> HTTPReply = { _ in
                .deferred {
                    _ = try? await isTold.get()
                    return text("late")
                }
            }
            try await withWay(local(), late) { port in
                try await talk(port) { client in
                    try client.send(Self.upload + Self.torn)
                    #expect(try client.readResponse().status == 400)
                    isTold.fulfil(true)
                    #expect(try client.readToEnd().isEmpty)
                }
            }
        }

        @Test func aBodyTornBehindTheAnswersHeadIsAnsweredNoMore() async throws {
            let over = Promise<Bool>()
            let back = try Back.beginning { _ in over.fulfil(true) }
            try await withWay { forwarding(to: back.port, $0) } _: { port in
                try await talk(port) { client in
                    try client.send(Self.upload)
                    #expect(try client.readHead().status == 200)
                    #expect(try client.readChunk() == [97])
                    try client.send(Self.torn)
                    // No end of the body, no other answer.
                    #expect(try client.readToEnd().isEmpty)
                }
                #expect(try await over.get())
            }
        }

        /// A status of two digits would frame the body otherwise for us than for the client.
        @Test func noStatusIsNoAnswer() async throws {
            let back = try Back { peer in
                _ = try peer.readHead()
                try peer.send("HTTP/1.1 099 x\r\nContent-Length: 19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
            }
            try await withWay { forwarding(to: back.port, $0) } _: { port in
                try await talk(port) { client in
                    let answer = try client.get("/x")
                    #expect(answer.status == 503)
                    #expect(answer.text.contains("malformed HTTP status code 99"))
                }
            }
        }

        @Test func aBodyTornBehindItsAnswerIsAnsweredNoMore() async throws {
            let back = try Back { peer in
                _ = try peer.readHead()
                try peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
            try await withWay { forwarding(to: back.port, $0) } _: { port in
                try await talk(port) { client in
                    try client.send(Self.upload)
                    #expect(try client.readResponse().text == "ok")
                    try client.send(Self.torn)
                    #expect(try client.readToEnd().isEmpty)
                }
            }
        }
    }
}

/// A client's connection that is left open; nobody uses it any more.
private final class Open: @unchecked Sendable {
    // Never read: only its lifetime matters.
    private let client: Client
    init(_ client: Client) { self.client = client }
}

// HTTP/1.1 as it looks on the wire.

import Glibc
import HTTP
import Logging
import Synchronization
import System
import Testing
import Transport

extension TransportTests {
    @Suite struct ServerTests {
        private static let echo: @Sendable (HTTPRequest) -> HTTPReply = { request in
            switch request.path {
            case "/204": return .response(HTTPResponse(status: 204))
            case "/slow":
                return .deferred {
                    try? await Task.sleep(for: .milliseconds(300))
                    return text("slow")
                }
            case "/body": return text(String(decoding: request.body, as: UTF8.self))
            default: return text("\(request.method) \(request.path) \(request.query.map { "\($0.0)=\($0.1)" })")
            }
        }

        @Test func oneConnectionManyRequests() async throws {
            try await withServer(Self.echo) { port, _ in
                try await talk(port) { client in
                    #expect(try client.get("/a").text == "GET /a []")
                    #expect(try client.get("/204").status == 204)
                    try client.send("HEAD /b HTTP/1.1\r\nHost: x\r\n\r\n")
                    let head = try client.readResponse(toHead: true)
                    #expect(head.status == 200 && head.head.contains("content-length: 10"))
                    #expect(try client.get("/slow").text == "slow")
                    try client.send("GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    #expect(try client.readResponse().head.contains("connection: close"))
                    #expect(try client.readToEnd().isEmpty)
                }
            }
        }

        @Test func targetsAreTakenApart() async throws {
            try await withServer(Self.echo) { port, _ in
                try await talk(port) { client in
                    for (target, expected) in [
                        ("/a%2Fb/c?x=1%202&y=a+b&z&x=%zz&=e&", #"/a%2Fb/c ["x=1 2", "y=a b", "z=", "x=%zz", "=e"]"#),
                        ("http://host:1/p?q=http://u/", #"/p ["q=http://u/"]"#),
                        ("http://host?q=/", #"/ ["q=/"]"#),
                        ("/watch?u=a://b", #"/watch ["u=a://b"]"#),
                        ("/w#f?x=1", "/w []"),
                    ] {
                        let answer = try client.get(target)
                        #expect(answer.text == "GET " + expected)
                    }
                }
            }
        }

        @Test func pipelinedAnswersKeepTheirOrder() async throws {
            try await withServer(Self.echo) { port, _ in
                try await talk(port) { client in
                    try client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /1 HTTP/1.1\r\nHost: x\r\n\r\n")
                    try client.send(
                        "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhiGET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
                    )
                    let texts = try (0..<4).map { _ in try client.readResponse().text }
                    #expect(texts == ["slow", "GET /1 []", "hi", "GET /2 []"])
                }
            }
        }

        /// What comes behind a request whose answer is the last gets none, not even a word that it is too late.
        @Test(arguments: ["HTTP/1.1\r\nConnection: close", "HTTP/1.0"])
        func nothingFollowsTheLastAnswer(version: String) async throws {
            try await withServer(Self.echo) { port, _ in
                try await talk(port) { client in
                    try client.send("GET /slow \(version)\r\nHost: x\r\n\r\nGET /1 HTTP/1.1\r\nHost: x\r\n\r\n")
                    #expect(try client.readResponse().text == "slow")
                    #expect(try client.readToEnd().isEmpty)
                }
            }
        }

        /// What is waiting behind a slow answer is not answered call within call: that would end the stack.
        @Test func manyPipelinedRequestsAreNoRecursion() async throws {
            let count = 20_000
            try await withServer(Self.echo) { port, _ in
                try await talk(port) { client in
                    try client.send("GET /slow HTTP/1.1\r\n\r\n")
                    let requests = Array(String(repeating: "GET / HTTP/1.1\r\n\r\n", count: count).utf8)
                    try client.send(requests)
                    #expect(try client.readResponse().text == "slow")
                    for _ in 0..<count { guard try client.readResponse().status == 200 else { throw Ended() } }
                }
            }
        }

        @Test func bodiesInChunksAndExpectations() async throws {
            try await withServer(Self.echo) { port, _ in
                try await talk(port) { client in
                    try client.send(
                        "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
                    )
                    #expect(try client.readResponse().text == "abcdefg")
                    try client.send(
                        "PUT /body HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
                    #expect(try client.readHead().status == 100)
                    try client.send("xyz")
                    #expect(try client.readResponse().text == "xyz")
                    let large = [UInt8](repeating: 0x61, count: 3 << 20)
                    try client.send("PUT /body HTTP/1.1\r\nHost: x\r\nContent-Length: \(large.count)\r\n\r\n")
                    try client.send(large)
                    #expect(try client.readResponse().body == large)
                }
            }
        }

        @Test func largeBodiesAreRefused() async throws {
            var limited = local()
            limited.bodyLimit = 1000
            try await withServer(configuration: limited, Self.echo) { port, _ in
                // All of it is sent before the answer is read, and the answer is still there.
                try await talk(port) { client in
                    try client.send("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n")
                    try client.send([UInt8](repeating: 1, count: 500_000))
                    let refused = try client.readResponse()
                    #expect(refused.status == 413 && refused.head.contains("connection: close"))
                    #expect(refused.text.contains(#""reason":"RequestEntityTooLarge""#))
                    #expect(try client.readToEnd().isEmpty)
                }
                try await talk(port) { client in
                    try client.send("POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for _ in 0..<20 { try client.send("64\r\n" + String(repeating: "a", count: 100) + "\r\n") }
                    #expect(try client.readResponse().status == 413)
                    #expect(try client.readToEnd().isEmpty)
                }
                // Nobody is asked to go on with what is refused.
                try await talk(port) { client in
                    try client.send(
                        "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n")
                    #expect(try client.readResponse().status == 413)
                    #expect(try client.readToEnd().isEmpty)
                }
                try await talk(port) { client in
                    try client.send("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
                    try client.send(String(repeating: "a", count: 1000))
                    #expect(try client.readResponse().status == 200)
                }
            }
        }

        @Test func nonsenseAndSilenceEnd() async throws {
            var limited = local()
            limited.requestTimeout = .seconds(1)
            limited.idleTimeout = .seconds(1)
            try await withServer(configuration: limited, Self.echo) { port, _ in
                try await talk(port) { client in
                    try client.send("NONSENSE\r\n\r\n")
                    #expect(try client.readResponse().status == 400)
                    #expect(try client.readToEnd().isEmpty)
                }
                for part in ["", "GET / HT", "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"] {
                    try await talk(port) { client in
                        try client.send(part)
                        #expect(try client.readToEnd().isEmpty)
                    }
                }
                try await talk(port) { client in
                    let answer = try client.get("/idle")
                    #expect(answer.status == 200)
                    #expect(try client.readToEnd().isEmpty)
                }
            }
        }

        /// A decoder that saw a request to upgrade takes no further request, so the client must not send one.
        @Test func declinedUpgradesClose() async throws {
            try await withServer(Self.echo) { port, _ in
                try await talk(port) { client in
                    try client.send("GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                    let answer = try client.readResponse()
                    #expect(answer.status == 200 && answer.head.contains("connection: close"))
                    #expect(try client.readToEnd().isEmpty)
                }
            }
        }

        @Test func oldClientsAreServed() async throws {
            try await withServer { request in
                guard request.path == "/stream" else { return text("old") }
                return .stream(status: 200, headers: [:]) { sink in
                    sink.write(Array("to the end".utf8))
                    sink.finish()
                }
            } _: { port, _ in
                try await talk(port) { client in
                    try client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                    #expect(try client.readResponse().head.contains("connection: keep-alive"))
                    try client.send("GET /stream HTTP/1.0\r\n\r\n")
                    let streamed = try client.readHead().head
                    #expect(!streamed.contains("chunked"))
                    #expect(try client.readToEnd() == Array("to the end".utf8))
                }
            }
        }

        @Test func streamsFlowAndEnd() async throws {
            let sinks = Promise<any ByteSink>()
            let closed = Mutex(0)
            try await withServer { request in
                guard request.path == "/stream" else { return text("next") }
                return .deferred {
                    .stream(status: 200, headers: ["Content-Type": "x/y"]) { sink in
                        sink.onClose { closed.withLock { $0 += 1 } }
                        sinks.fulfil(sink)
                    }
                }
            } _: { port, _ in
                try await talk(port) { client in
                    try client.send("HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n")
                    let first = try client.readHead()
                    #expect(first.status == 200 && !first.head.contains("content-length"))
                    try client.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n")
                    let head = try client.readHead().head
                    #expect(head.contains("transfer-encoding: chunked") && head.contains("content-type: x/y"))
                    var sink: (any ByteSink)?
                    while sink == nil { sink = sinks.present }
                    guard let sink else { return }
                    #expect(sink.write(Array("one".utf8)) >= 3)
                    #expect(try client.readChunk() == Array("one".utf8))
                    sink.write(Array("two".utf8))
                    sink.finish()
                    // Too late, each of them: nothing of it may get into the next answer.
                    #expect(sink.write(Array("three".utf8)) == 0)
                    sink.finish()
                    #expect(try client.readChunk() == Array("two".utf8))
                    #expect(try client.readChunk().isEmpty)
                    #expect(try client.readResponse().text == "next")
                    // The connection lives on; the stream is over.
                    #expect(closed.withLock { $0 } == 1)
                    sink.onClose { closed.withLock { $0 += 1 } }
                    #expect(closed.withLock { $0 } == 2)
                }
                await #expect(throws: TransportError.self) { try await sinks.get().writeWaiting([1]) }
            }
        }

        @Test func slowReadersShowAndGoneOnesEnd() async throws {
            let sinks = Promise<any ByteSink>()
            let closed = Promise<Bool>()
            let most = Promise<Int>()
            try await withServer { _ in
                .stream(status: 200, headers: [:]) { sink in
                    sink.onClose { closed.fulfil(true) }
                    sinks.fulfil(sink)
                }
            } _: { port, _ in
                let writer = Task {
                    let sink = try await sinks.get()
                    var queued = 0
                    for _ in 0..<64 where queued < 8 << 20 {
                        queued = sink.write([UInt8](repeating: 1, count: 1 << 20))
                    }
                    most.fulfil(queued)
                    await #expect(throws: (any Error).self) {
                        while true { try await sink.writeWaiting([UInt8](repeating: 1, count: 1 << 20)) }
                    }
                    #expect(sink.write([1]) == 0)
                }
                try await talk(port) { client in
                    try client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    #expect(try client.readHead().status == 200)
                    try most.wait()
                }
                #expect(try await most.get() >= 8 << 20)
                #expect(try await closed.get())
                try await writer.value
            }
        }

        /// Without bytes of his own a writer waits for all that is queued.
        @Test func waitingEndsWhenTheReaderHasTakenAll() async throws {
            let sinks = Promise<any ByteSink>()
            let taken = Promise<Bool>()
            let size = 64 << 20
            try await withServer { _ in .stream(status: 200, headers: [:]) { sinks.fulfil($0) } } _: { port, _ in
                let writer = Task {
                    let sink = try await sinks.get()
                    try await sink.writeWaiting([])
                    sink.write([UInt8](repeating: 1, count: size))
                    try await sink.writeWaiting([])
                    taken.fulfil(true)
                    sink.finish()
                }
                try await talk(port) { client in
                    try client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    #expect(try client.readHead().status == 200)
                    usleep(300_000)
                    // More than the sockets between them hold.
                    #expect(taken.present == nil)
                    var count = 0
                    while case let chunk = try client.readChunk(), !chunk.isEmpty { count += chunk.count }
                    #expect(count == size)
                }
                #expect(try await taken.get())
                try await writer.value
            }
        }

        /// Writers in many threads race with the end of the stream: no write may fall into the answer after it.
        @Test func lateWritersDoNoHarm() async throws {
            try await withServer { request in
                guard request.path == "/stream" else { return text("next") }
                return .stream(status: 200, headers: [:]) { sink in
                    for _ in 0..<3 { Task { for _ in 0..<200 { sink.write([0x61]) } } }
                    Task {
                        sink.write([0x62])
                        sink.finish()
                    }
                }
            } _: { port, _ in
                try await talk(port) { client in
                    for _ in 0..<20 {
                        try client.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n")
                        #expect(try client.readHead().status == 200)
                        while case let chunk = try client.readChunk(), !chunk.isEmpty {}
                        #expect(try client.readResponse().text == "next")
                    }
                }
            }
        }

        @Test func goneClientsCancelTheirAnswers() async throws {
            let started = Promise<Bool>()
            let cancelled = Promise<Bool>()
            try await withServer { _ in
                .deferred {
                    started.fulfil(true)
                    try? await Task.sleep(for: .seconds(3600))
                    cancelled.fulfil(Task.isCancelled)
                    return .stream(status: 200, headers: [:]) { _ in }
                }
            } _: { port, _ in
                try await talk(port) { client in
                    try client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    try started.wait()
                }
                #expect(try await cancelled.get())
            }
        }

        @Test func aTakenPortIsExplained() async throws {
            try await withServer(Self.echo) { port, _ in
                let configuration = HTTPServerConfiguration(address: "127.0.0.1", port: port, tls: nil)
                let second = try HTTPServer(configuration, handler: Handler(answer: Self.echo), logger: Logger(label: "test"))
                let error = await #expect(throws: TransportError.self) { try await second.start() }
                #expect(
                    error.map { "\($0)" }?.hasPrefix("cannot listen on 127.0.0.1 port \(port): another program has it")
                        == true)
            }
            let elsewhere = HTTPServerConfiguration(address: "203.0.113.77", port: 0, tls: nil)
            let server = try HTTPServer(elsewhere, handler: Handler(answer: Self.echo), logger: Logger(label: "test"))
            await #expect(throws: TransportError.self) { try await server.start() }
        }

        @Test func shutdownLetsAnswersFinish() async throws {
            let begun = Promise<Bool>()
            let idle = Promise<Bool>()
            let idleEnded = Promise<Bool>()
            try await withServer { request in
                guard request.path == "/slow" else { return text("ok") }
                return .deferred {
                    begun.fulfil(true)
                    _ = try? await idleEnded.get()
                    return text("finished")
                }
            } _: { port, server in
                async let waiting: Void = talk(port) { client in
                    let first = try client.get("/")
                    #expect(first.text == "ok")
                    idle.fulfil(true)
                    #expect(try client.readToEnd().isEmpty)
                    idleEnded.fulfil(true)
                }
                async let working: Void = talk(port) { client in
                    let answer = try client.get("/slow")
                    #expect(answer.text == "finished" && answer.head.contains("connection: close"))
                    #expect(try client.readToEnd().isEmpty)
                }
                _ = try await begun.get()
                _ = try await idle.get()
                await server.shutdown(grace: .milliseconds(patience))
                // Refused, or reset when a child that another test is just starting held the listener until its exec.
                await #expect(throws: (any Error).self) {
                    try await talk(port) { client in
                        try client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                        _ = try client.read(1)
                    }
                }
                _ = try await (waiting, working)
            }
        }

        /// With a grace of an hour: streams and WebSockets are ended, not waited for.
        @Test(.timeLimit(.minutes(5))) func shutdownEndsWatches() async throws {
            let started = Promise<Bool>()
            let upgraded = Promise<Bool>()
            try await withServer { request in
                if request.path == "/socket" {
                    return .webSocket(subprotocol: "") { socket in
                        upgraded.fulfil(true)
                        for await _ in socket.messages {}
                    }
                }
                return .stream(status: 200, headers: [:]) { sink in
                    sink.write(Array("one".utf8))
                    started.fulfil(true)
                }
            } _: { port, server in
                async let watching: Void = talk(port) { client in
                    try client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    #expect(try client.readHead().status == 200)
                    #expect(try client.readChunk() == Array("one".utf8))
                    #expect(try client.readChunk().isEmpty)
                    #expect(try client.readToEnd().isEmpty)
                }
                async let socket: Void = talk(port) { client in
                    try client.send(
                        "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                            + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
                    #expect(try client.readHead().status == 101)
                    // A close frame with code 1001, then the end.
                    #expect(try client.read(4) == [0x88, 2, 0x03, 0xe9])
                    #expect(try client.readToEnd().isEmpty)
                }
                _ = try await (started.get(), upgraded.get())
                await server.shutdown(grace: .seconds(3600))
                _ = try await (watching, socket)
            }
        }

        @Test func shutdownCutsWhatDoesNotEnd() async throws {
            let started = Promise<Bool>()
            let closed = Promise<Bool>()
            try await withServer { _ in
                .stream(status: 200, headers: [:]) { sink in
                    sink.onClose { closed.fulfil(true) }
                    started.fulfil(true)
                }
            } _: { port, server in
                async let client: Void = talk(port) { client in
                    try client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    _ = try client.readToEnd()
                }
                _ = try await started.get()
                await server.shutdown(grace: .milliseconds(100))
                try await client
                #expect(try await closed.get())
            }
        }
    }
}

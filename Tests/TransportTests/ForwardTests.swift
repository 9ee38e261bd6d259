// Requests that another server answers, over real sockets: one server stands in front of another one.

import Glibc
import HTTP
import Logging
import PKI
import Synchronization
import System
import Testing
import Transport

/// Forwards everything to a port of the loopback.
private struct Front: HTTPHandler {
    let port: Int
    var isSecure = false

    func handle(_ request: HTTPRequest) -> HTTPReply {
        if request.path == "/refused" { return text("no", status: 403) }
        return .forward(
            Forwarding(
                address: IPAddress("127.0.0.1")!, port: port, isSecure: isSecure, path: request.path,
                headers: request.headers.endToEnd,
                answered: { status, headers in
                    var headers = headers
                    headers["X-Status"] = String(status)
                    return headers
                },
                failed: { reason in HTTPResponse(status: 503, bytes: Array(reason.utf8)) }))
    }

    func forwards(path: String) -> Bool { true }
}

extension TransportTests {
    @Suite struct ForwardTests {
        private func withFront(
            to port: Int, isSecure: Bool = false, _ configuration: HTTPServerConfiguration = local(),
            _ body: (Int) async throws -> Void
        ) async throws {
            let front = Front(port: port, isSecure: isSecure)
            try await withServer(configuration: configuration, handler: front) { port, _ in try await body(port) }
        }

        private static let back: @Sendable (HTTPRequest) -> HTTPReply = { request in
            switch request.path {
            case "/204": return .response(HTTPResponse(status: 204))
            case "/moved": return .response(HTTPResponse(status: 302, headers: ["Location": "/x"]))
            case "/large": return .response(HTTPResponse(status: 200, bytes: [UInt8](repeating: 7, count: 20 << 20)))
            case "/stream":
                return .stream(status: 200, headers: [:]) { sink in
                    sink.write(Array("one".utf8))
                    sink.write(Array("two".utf8))
                    sink.finish()
                }
            case "/headers": return text(request.headers.description)
            default: return text("\(request.method) \(request.path) \(request.query) \(request.body.count)")
            }
        }

        @Test func requestsAndAnswersPass() async throws {
            try await withServer(Self.back) { back, _ in
                try await withFront(to: back) { port in
                    try await talk(port) { client in
                        let get = try client.get("/a%20b?x=1&y=%2F")
                        #expect(get.text == #"GET /a%20b [("x", "1"), ("y", "/")] 0"#)
                        #expect(get.head.contains("x-status: 200"))
                        // The same connection goes on, whatever the other server does with its own.
                        #expect(try client.get("/204").status == 204)
                        #expect(try client.get("/moved").head.contains("location: /x"))
                        try client.send("HEAD /b HTTP/1.1\r\nHost: x\r\n\r\n")
                        #expect(try client.readResponse(toHead: true).head.contains("content-length: 12"))
                        try client.send("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
                        #expect(try client.readResponse().text == "POST /p [] 5")
                        try client.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
                        #expect(try client.readHead().head.contains("transfer-encoding: chunked"))
                        var body: [UInt8] = []
                        while case let chunk = try client.readChunk(), !chunk.isEmpty { body += chunk }
                        #expect(body == Array("onetwo".utf8))
                        try client.send("DELETE /d HTTP/1.1\r\nHost: x\r\n\r\n")
                        #expect(try client.readResponse().text == "DELETE /d [] 0")
                    }
                }
            }
        }

        @Test func aBodyOfUnknownLengthPasses() async throws {
            try await withServer(Self.back) { back, _ in
                try await withFront(to: back) { port in
                    try await talk(port) { client in
                        try client.send(
                            "PUT /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
                        #expect(try client.readHead().status == 100)
                        for _ in 0..<50 { try client.send("4\r\nabcd\r\n") }
                        try client.send("0\r\n\r\n")
                        #expect(try client.readResponse().text == "PUT /p [] 200")
                        #expect(try client.get("/next").text == "GET /next [] 0")
                    }
                }
            }
        }

        @Test func fieldsOfTheConnectionStay() async throws {
            try await withServer(Self.back) { back, _ in
                try await withFront(to: back) { port in
                    try await talk(port) { client in
                        try client.send(
                            "GET /headers HTTP/1.1\r\nHost: there\r\nConnection: X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\n"
                                + "X-Yours: 2\r\n\r\n")
                        let seen = try client.readResponse().text.lowercased()
                        #expect(seen.contains("host: there") && seen.contains("x-yours: 2"))
                        #expect(!seen.contains("x-mine") && !seen.contains("te: "))
                    }
                }
            }
        }

        /// More than any limit of a body here, and more than the memory one exchange may take.
        @Test func bodiesOfAnySizePassBothWays() async throws {
            let received = Promise<Int>()
            let back = try Back { peer in
                var count = 0
                _ = try peer.readHead()
                while count < 64 << 20 { count += try peer.read(1 << 20).count }
                received.fulfil(count)
                try peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
            try await withFront(to: back.port) { port in
                try await talk(port) { client in
                    try client.send("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: \(64 << 20)\r\n\r\n")
                    let part = [UInt8](repeating: 1, count: 1 << 20)
                    for _ in 0..<64 { try client.send(part) }
                    #expect(try client.readResponse().text == "ok")
                }
            }
            #expect(try await received.get() == 64 << 20)
            try await withServer(Self.back) { back, _ in
                try await withFront(to: back) { port in
                    try await talk(port) { client in
                        let answer = try client.get("/large")
                        #expect(answer.body.count == 20 << 20)
                        #expect(answer.body.allSatisfy { $0 == 7 })
                    }
                }
            }
        }

        /// HTTP/2 in front, TLS behind with a certificate that nobody vouches for: bodies stream both ways there, too.
        @Test func fromHTTP2AndToTLS() async throws {
            try await withDirectory { directory in
                let authority = try CertificateAuthority.loadOrCreate(directory: directory)
                var behind = try local(authority, names: [.dns("elsewhere.example")])
                behind.bodyLimit = 64 << 20
                behind.strangerBodiesLimit = 64 << 20
                try await withServer(configuration: behind, Self.back) { back, _ in
                    let front = try local(authority)
                    try await withFront(to: back, isSecure: true, front) { port in
                        let curl = "curl -sS -m 90 --cacert \(directory)/ca.crt"
                        let url = "https://127.0.0.1:\(port)"
                        let get = try await shell("\(curl) -w ' %{http_version}' \(url)/a")
                        #expect(get.output == "GET /a [] 0 2")
                        let up = try await shell("head -c 20000000 /dev/zero | \(curl) --data-binary @- \(url)/up")
                        #expect(up.output == "POST /up [] 20000000")
                        let piped = try await shell("head -c 9000000 /dev/zero | \(curl) -T - \(url)/up")
                        #expect(piped.output == "PUT /up [] 9000000")
                        let down = try await shell("\(curl) \(url)/large | wc -c")
                        #expect(down.output.split(separator: "\n").first == "\(20 << 20)")
                        let head = try await shell("\(curl) -I \(url)/large")
                        #expect(head.output.contains("content-length: \(20 << 20)"))
                    }
                }
            }
        }

        /// A server that does not read stops the client, one that is not read stops the server: nothing piles up here.
        @Test func theSlowerSideSetsThePace() async throws {
            let stalled = try Back { peer in
                _ = try peer.readHead()
                sleep(3)
            }
            try await withFront(to: stalled.port) { port in
                try await talk(port) { client in
                    try client.send("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: \(1 << 30)\r\n\r\n")
                    #expect(client.sendUntilStalled(limit: 256 << 20) < 64 << 20)
                }
            }
            let written = Promise<Int>()
            let eager = try Back { peer in
                _ = try peer.readHead()
                try peer.send("HTTP/1.1 200 OK\r\nContent-Length: \(1 << 30)\r\n\r\n")
                written.fulfil(peer.sendUntilStalled(limit: 256 << 20))
            }
            try await withFront(to: eager.port) { port in
                let client = try Client(port)
                try client.send("GET /down HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(try await written.get() < 64 << 20)
                withExtendedLifetime(client) {}
            }
        }

        @Test func whatFailsIsSaid() async throws {
            let deaf = try DeafPort(.refusing)
            let number = deaf.number
            try await withFront(to: number) { port in
                try await talk(port) { client in
                    let refused = try client.get("/x")
                    #expect(refused.status == 503)
                    #expect(refused.text == "dial tcp 127.0.0.1:\(number): connect: connection refused")
                    // With a body under way, too: the client sees why.
                    try client.send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
                    let answer = try client.readResponse()
                    #expect(answer.status == 503)
                    #expect(answer.head.contains("connection: close"))
                }
                try await talk(port) { client in
                    try client.send("POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
                    #expect(try client.readResponse().status == 403)
                }
            }
            withExtendedLifetime(deaf) {}
            let silent = try Back { peer in _ = try peer.readHead() }
            try await withFront(to: silent.port) { port in
                let answer = try await talk(port) { client in try client.get("/x") }
                #expect(answer.text == "EOF")
            }
            let nonsense = try Back { peer in
                _ = try peer.readHead()
                try peer.send("SMTP ready\r\n\r\n")
            }
            try await withFront(to: nonsense.port) { port in
                let answer = try await talk(port) { client in try client.get("/x") }
                #expect(answer.status == 503)
            }
        }

        /// A part must not look like the whole.
        @Test func aTornAnswerIsTorn() async throws {
            let torn = try Back { peer in
                _ = try peer.readHead()
                try peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            }
            try await withFront(to: torn.port) { port in
                try await talk(port) { client in
                    try client.send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
                    #expect(try client.readHead().status == 200)
                    #expect(try client.readToEnd() == Array("abc".utf8))
                }
            }
            let whole = try Back { peer in
                _ = try peer.readHead()
                try peer.send("HTTP/1.0 200 OK\r\n\r\nabc")
            }
            try await withFront(to: whole.port) { port in
                try await talk(port) { client in
                    try client.send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
                    #expect(try client.readHead().head.contains("chunked"))
                    #expect(try client.readChunk() == Array("abc".utf8))
                    #expect(try client.readChunk().isEmpty)
                }
            }
        }

        @Test func theServerLearnsThatTheClientHasGone() async throws {
            let over = Promise<Bool>()
            let back = try Back.beginning { over.fulfil($0.isEmpty) }
            try await withFront(to: back.port) { port in
                try await talk(port) { client in
                    try client.send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
                    _ = try client.readHead()
                    #expect(try client.readChunk() == [97])
                }
                #expect(try await over.get())
            }
        }

        @Test func anUpgradeBecomesATunnel() async throws {
            let back = try Back { peer in
                let head = try peer.readHead().head
                guard head.contains("upgrade: echo"), head.contains("connection: upgrade") else { throw Ended() }
                // The first bytes of the new protocol come with the answer.
                try peer.send(Echo.agreement + "hi")
                while let bytes = try? peer.read(4) { try peer.send(bytes.reversed()) }
            }
            try await withFront(to: back.port) { port in
                try await talk(port) { client in
                    try client.send(Echo.request)
                    let head = try client.readHead()
                    #expect(head.status == 101)
                    #expect(head.head.contains("upgrade: echo"))
                    #expect(try client.read(2) == Array("hi".utf8))
                    for _ in 0..<1000 {
                        try client.send("abcd")
                        #expect(try client.read(4) == Array("dcba".utf8))
                    }
                }
            }
        }

        /// CVE-2018-1002105: a refused upgrade leaves no way to the server behind.
        @Test func aRefusedUpgradeIsAnAnswer() async throws {
            try await withServer(Self.back) { back, _ in
                try await withFront(to: back) { port in
                    try await talk(port) { client in
                        try client.send(
                            "GET /a HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
                                + "GET /secret HTTP/1.1\r\nHost: x\r\n\r\n")
                        #expect(try client.readResponse().text == "GET /a [] 0")
                        #expect(try client.readToEnd().isEmpty)
                    }
                }
            }
        }
    }
}

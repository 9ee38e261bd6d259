// What hostile or broken clients get: heads that are too large, huge bodies, requests without readers, slow senders.

import Glibc
import HTTP
import Logging
import Synchronization
import System
import Testing

@testable import Transport

extension TransportTests {
    @Suite struct LimitTests {
        private static let echo: @Sendable (HTTPRequest) -> HTTPReply = { text("\($0.method) \($0.headers.fields.count)") }

        @Test func headsAreBounded() async throws {
            var limited = local()
            limited.headerFieldLimit = 1000
            limited.headLimit = 4000
            limited.headerFieldCount = 20
            let heads = [
                "GET / HTTP/1.1\r\nHost: x\r\nX: \(String(repeating: "a", count: 1001))\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: x\r\n\(String(repeating: "X: y\r\n", count: 21))\r\n",
                "GET / HTTP/1.1\r\nHost: x\r\n\(String(repeating: "X: \(String(repeating: "y", count: 900))\r\n", count: 5))\r\n",
                "GET /\(String(repeating: "a", count: 1001)) HTTP/1.1\r\nHost: x\r\n\r\n",
            ]
            try await withServer(configuration: limited, Self.echo) { port, _ in
                for head in heads {
                    try await talk(port) { client in
                        try client.send(head)
                        let answer = try client.readResponse()
                        #expect(answer.status == 431, "\(head.prefix(40)): \(answer.text)")
                        #expect(answer.text.contains(#""reason":"RequestHeaderFieldsTooLarge""#))
                        #expect(try client.readToEnd().isEmpty)
                    }
                }
                let fine = try await talk(port) { try $0.get("/").status }
                #expect(fine == 200)
            }
        }

        @Test func noHTTPIsToldSo() async throws {
            let lines = [
                "GARBAGE\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET\r\n\r\n", "\u{16}\u{3}\u{1}\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: minus\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            ]
            try await withServer(Self.echo) { port, _ in
                for line in lines {
                    try await talk(port) { client in
                        try client.send(line)
                        let answer = try client.readResponse()
                        #expect(answer.status == 400, "\(line)")
                        #expect(answer.text.contains(#""reason":"BadRequest""#))
                        #expect(try client.readToEnd().isEmpty)
                    }
                }
            }
        }

        /// 100 MB are refused at the head, or at the limit when the length is not told.
        @Test func hugeBodiesAreRefusedUnread() async throws {
            let handled = Mutex(0)
            try await withServer { request in
                handled.withLock { $0 += 1 }
                return text("\(request.body.count)")
            } _: { port, _ in
                try await talk(port) { client in
                    try client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
                    let answer = try client.readResponse()
                    #expect(answer.status == 413)
                    #expect(answer.text.contains("Request entity too large: limit is 3145728"))
                }
                try await talk(port) { client in
                    try client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                    let chunk = Array("10000\r\n".utf8) + [UInt8](repeating: 0x61, count: 65536) + Array("\r\n".utf8)
                    // The server stops listening long before 100 MB.
                    client.timeout(SO_SNDTIMEO, milliseconds: patience)
                    var sent = 0
                    while sent < 100 << 20, client.trySend(chunk) == chunk.count { sent += chunk.count }
                    #expect(sent < 100 << 20)
                }
                #expect(handled.withLock { $0 } == 0)
            }
        }

        /// Who asks and does not read gets one answer prepared, not a thousand.
        @Test func unreadAnswersHoldTheNextOnes() async throws {
            let handled = Mutex(0)
            let large = [UInt8](repeating: 0x61, count: 4 << 20)
            try await withServer { _ in
                handled.withLock { $0 += 1 }
                return .response(HTTPResponse(status: 200, body: [large[...]]))
            } _: { port, _ in
                try await talk(port) { client in
                    let requests = 40
                    try client.send(String(repeating: "GET / HTTP/1.1\r\nHost: x\r\n\r\n", count: requests))
                    var before = -1
                    // Until nothing moves any more.
                    while case let now = handled.withLock({ $0 }), now != before || now == 0 {
                        before = now
                        usleep(200_000)
                    }
                    #expect(before < 10, "\(before) answers of 4 MB for a client that reads none")
                    for _ in 0..<requests {
                        let answer = try client.readResponse()
                        #expect(answer.body.count == 4 << 20)
                    }
                    #expect(handled.withLock { $0 } == requests)
                }
            }
        }

        @Test func whoReadsNothingIsCut() async throws {
            var limited = local()
            limited.idleTimeout = .milliseconds(200)
            let large = [UInt8](repeating: 0x61, count: 16 << 20)
            try await withServer(configuration: limited) { _ in
                .response(HTTPResponse(status: 200, body: [large[...]]))
            } _: { port, server in
                try await talk(port) { client in
                    try client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    _ = try client.readHead()
                    try waitUntil { server.connectionCount == 0 }
                    #expect(try client.readToEnd().count < 16 << 20)
                }
            }
        }

        /// A byte now and then does not keep a request alive.
        @Test func slowSendersAreCut() async throws {
            var limited = local()
            limited.requestTimeout = .milliseconds(300)
            try await withServer(configuration: limited, Self.echo) { port, _ in
                for start in ["GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"] {
                    try await talk(port) { client in
                        try client.send(start)
                        var steps = 0
                        while steps < patience / 50, client.trySend(Array("a".utf8)) == 1 {
                            usleep(50_000)
                            steps += 1
                        }
                        #expect(steps < patience / 50)
                    }
                }
            }
        }

        @Test func piecesArriveInOrder() async throws {
            let pieces = (0..<5000).map { index in ArraySlice("\(index),".utf8) + [UInt8](repeating: 0x20, count: index % 300) }
            let expected = pieces.flatMap { Array($0) }
            try await withServer { request in
                .response(HTTPResponse(status: 200, body: pieces))
            } _: { port, _ in
                try await talk(port) { client in
                    for _ in 0..<3 {
                        let answer = try client.get("/")
                        #expect(answer.body == expected)
                    }
                }
            }
        }

        @Test func largeAnswersAreCompressedOnRequest() async throws {
            let line = Array(#"{"kind":"ConfigMap","metadata":{"name":"a"}},"#.utf8)
            let pieces = [ArraySlice<UInt8>](repeating: line[...], count: 20_000)
            try await withServer { request in
                .response(HTTPResponse(status: 200, body: request.path == "/small" ? [line[...]] : pieces))
            } _: { port, _ in
                let curl = "curl -sS -m 90 -H 'Accept-Encoding: gzip' http://127.0.0.1:\(port)"
                let all = try await shell("\(curl)/ | gunzip | cksum; curl -sS http://127.0.0.1:\(port)/ | cksum")
                let sums = all.output.split(separator: "\n")
                #expect(sums.count == 2 && sums[0] == sums[1] && sums[0].hasSuffix(" \(line.count * 20_000)"))
                let head = try await shell("\(curl)/ -o /dev/null -D -")
                #expect(head.output.lowercased().contains("content-encoding: gzip"))
                let small = try await shell("\(curl)/small -D -")
                #expect(!small.output.lowercased().contains("content-encoding"))
                let refused = try await shell(
                    "curl -sS -m 90 -H 'Accept-Encoding: gzip;q=0' http://127.0.0.1:\(port)/ -o /dev/null -D -")
                #expect(!refused.output.lowercased().contains("content-encoding"))
            }
        }
    }
}

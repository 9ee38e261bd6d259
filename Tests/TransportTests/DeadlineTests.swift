// Connections whose other end is slow, silent or not there any more: each is freed, and no other.

import Glibc
import HTTP
import PKI
import Synchronization
import System
import Testing

@testable import Transport

extension TransportTests {
    @Suite struct DeadlineTests {
        private static let echo: @Sendable (HTTPRequest) -> HTTPReply = { _ in text("fine") }

        /// One timer serves deadlines that move to and fro: a busy connection is never cut, an idle one only when it has
        /// idled, a slow one although the timer was set for later.
        @Test func deadlinesMove() async throws {
            var limited = local()
            limited.requestTimeout = .milliseconds(300)
            limited.idleTimeout = .seconds(600)
            try await withServer(configuration: limited, Self.echo) { port, server in
                try await talk(port) { client in
                    for _ in 0..<10 {
                        #expect(try client.get("/").text == "fine")
                        usleep(100_000)
                    }
                    usleep(700_000)
                    #expect(try client.get("/").text == "fine")
                    usleep(700_000)
                    try client.send("GET / HTT")
                    #expect(try client.readToEnd().isEmpty)
                }
                try await eventually { server.connectionCount == 0 }
            }
        }

        /// Requests of HTTP/2 that never end, with and without a body's beginning: reset. Then the
        /// connection idles and is closed.
        @Test(.timeLimit(.minutes(5))) func slowStreamsAreReset() async throws {
            try await withDirectory { directory in
                let authority = try CertificateAuthority.loadOrCreate(directory: directory)
                var limited = try local(authority)
                // The handshake has to be over by then.
                limited.requestTimeout = .seconds(2)
                limited.idleTimeout = .seconds(1)
                try await withServer(configuration: limited, Self.echo) { port, server in
                    // Preface, SETTINGS, HEADERS of POST https://x/ on stream 1 that do not end it; then a DATA of a byte.
                    let preface = #"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"#
                    let settings = #"\0\0\0\4\0\0\0\0\0"#
                    let headers = #"\0\0\6\1\4\0\0\0\1\203\207\204\101\001x"#
                    let byte = #"\0\0\1\0\0\0\0\0\1a"#
                    for more in ["", byte] {
                        let slow = try await shell(
                            """
                            (printf '\(preface)\(settings)\(headers)'; sleep 0.1; printf '\(more)'; sleep 4) \
                            | timeout -k 1 60 openssl s_client -quiet -alpn h2 -CAfile \(directory)/ca.crt -connect 127.0.0.1:\(port) \
                              2>/dev/null | od -An -v -tx1 | tr -d ' \\n'
                            """)
                        // RST_STREAM of stream 1.
                        #expect(slow.output.contains("000004030000000001"), "\(slow.output)")
                    }
                    try await eventually { server.connectionCount == 0 }
                }
            }
        }

        /// A client that vanishes without a word is found out by keepalive: while it watches, and while it idles.
        @Test(.timeLimit(.minutes(5))) func vanishedClientsAreFoundOut() async throws {
            var quick = local()
            quick.keepalive = (idle: 1, interval: 1, count: 2)
            let closed = Promise<Bool>()
            try await withServer(configuration: quick) { request in
                guard request.path == "/watch" else { return text("fine") }
                return .stream(status: 200, headers: [:]) { sink in
                    sink.write(Array("one".utf8))
                    sink.onClose { closed.fulfil(true) }
                }
            } _: { port, server in
                let clients = try await blocking {
                    let idle = try Client(port)
                    #expect(try idle.get("/").text == "fine")
                    let watching = try Client(port)
                    try watching.send("GET /watch HTTP/1.1\r\nHost: x\r\n\r\n")
                    _ = try watching.readHead()
                    #expect(try watching.readChunk() == Array("one".utf8))
                    let alive = try Client(port)
                    #expect(try alive.get("/").text == "fine")
                    try idle.vanish()
                    try watching.vanish()
                    return Vanished(gone: [idle, watching], alive: alive)
                }
                #expect(try await closed.get())
                try await eventually { server.connectionCount == 1 }
                // Who only has nothing to say is still there.
                #expect(try await blocking { try clients.alive.get("/").text } == "fine")
                _ = clients.gone
            }
        }

        /// One that vanishes in the middle of its request or of its answer does not wait for keepalive.
        @Test(.timeLimit(.minutes(5))) func vanishedClientsOweNothing() async throws {
            var limited = local()
            limited.requestTimeout = .milliseconds(500)
            limited.idleTimeout = .milliseconds(500)
            let large = [UInt8](repeating: 0x61, count: 16 << 20)
            try await withServer(configuration: limited) { _ in
                .response(HTTPResponse(status: 200, body: [large[...]]))
            } _: { port, server in
                let clients = try await blocking {
                    let asking = try Client(port)
                    try asking.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
                    let reading = try Client(port)
                    try reading.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    _ = try reading.readHead()
                    try asking.vanish()
                    try reading.vanish()
                    return Vanished(gone: [asking, reading], alive: nil)
                }
                try await eventually { server.connectionCount == 0 && server.heldBodies == (0, 0) }
                _ = clients.gone
            }
        }

        /// Their sockets stay open, as those of a machine without power do. Used by one thread at a time.
        private struct Vanished: @unchecked Sendable {
            let gone: [Client]
            let alive: Client!
        }
    }
}

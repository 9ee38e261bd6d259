// HTTP/2 over TLS, spoken by curl (nghttp2): who is there, bodies both ways, many streams, refusals, streams, shutdown.

import HTTP
import Logging
import PKI
import Synchronization
import System
import Testing
import Transport

extension TransportTests {
    @Suite struct HTTP2Tests {
        private static func run(
            _ answer: @escaping @Sendable (HTTPRequest) -> HTTPReply,
            _ body: (_ curl: String, _ url: String, HTTPServer) async throws -> Void
        ) async throws {
            try await withDirectory { directory in
                let authority = try CertificateAuthority.loadOrCreate(directory: directory)
                let client = try authority.issueClient(commonName: "ann", organizations: ["dev"])
                try Files.writeAtomically(
                    "\(directory)/client.pem", Array("\(client.certificatePEM)\n\(client.keyPEM)".utf8))
                try await withServer(configuration: try local(authority), answer) { port, server in
                    let curl = "curl -sS -m 90 --cacert \(directory)/ca.crt -E \(directory)/client.pem"
                    try await body(curl, "https://127.0.0.1:\(port)", server)
                }
            }
        }

        @Test func bothVersionsAreOffered() async throws {
            try await Self.run { request in
                text("\(request.peer.certificate?.commonName ?? "nobody") \(request.path) \(request.headers["host"] ?? "-")")
            } _: { curl, url, _ in
                let two = try await shell("\(curl) -w ' %{http_version}' '\(url)/a?b=c'")
                #expect(two.output.hasPrefix("ann /a 127.0.0.1:") && two.output.hasSuffix(" 2"))
                let one = try await shell("\(curl) --http1.1 -w ' %{http_version}' \(url)/a")
                #expect(one.output.hasSuffix(" 1.1"))
            }
        }

        @Test func bodiesBothWays() async throws {
            let large = [UInt8](repeating: 0x61, count: 5 << 20)
            try await Self.run { request in
                if request.method == "POST" { return text("\(request.body.count)") }
                if request.path == "/empty" { return .response(HTTPResponse(status: 204)) }
                return .response(HTTPResponse(status: 200, body: [large[...], large[...]]))
            } _: { curl, url, _ in
                let up = try await shell("head -c 3000000 /dev/zero | \(curl) --data-binary @- \(url)/")
                #expect(up.output == "3000000")
                let down = try await shell("\(curl) \(url)/ | wc -c")
                #expect(down.output.trimmed == "\(10 << 20)")
                let head = try await shell("\(curl) -I \(url)/")
                #expect(head.output.contains("content-length: \(10 << 20)") && !head.output.contains("connection:"))
                #expect(try await shell("\(curl) -w '%{http_code}' \(url)/empty").output == "204")
                let many = try await shell("\(curl) -Z --parallel-max 20 '\(url)/[1-20]' -o /dev/null -w '%{size_download}\\n' 2>/dev/null | sort | uniq -c")
                #expect(many.output.trimmed == "20 \(10 << 20)")
                let huge = try await shell("head -c 4000000 /dev/zero | \(curl) --data-binary @- -w ' %{http_code}' \(url)/")
                #expect(huge.output.contains("413"), "\(huge.output)")
            }
        }

        @Test func streamsAndTheirEnd() async throws {
            let sinks = Promise<any ByteSink>()
            let closed = Promise<Bool>()
            try await Self.run { request in
                .stream(status: 200, headers: ["Content-Type": "x/y"]) { sink in
                    sink.write(Array("one ".utf8))
                    if request.path == "/short" {
                        sink.write(Array("two".utf8))
                        sink.finish()
                    } else {
                        sink.onClose { closed.fulfil(true) }
                        sinks.fulfil(sink)
                    }
                }
            } _: { curl, url, _ in
                #expect(try await shell("\(curl) \(url)/short").output == "one two")
                // A client that leaves ends its stream, and no other.
                let left = try await shell(
                    """
                    file=$(mktemp /tmp/noded-transport-long.XXXXXX)
                    \(curl) -N -o "$file" \(url)/long 2>/dev/null & curl=$!
                    while [ ! -s "$file" ] && kill -0 $curl 2>/dev/null; do sleep 0.05; done
                    kill -9 $curl; { wait $curl; } 2>/dev/null; cat "$file"; rm "$file"
                    """)
                #expect(left.output == "one ")
                #expect(try await closed.get())
                #expect(try await sinks.get().write([1]) == 0)
            }
        }

        @Test(.timeLimit(.minutes(5))) func shutdownEndsStreams() async throws {
            let started = Promise<Bool>()
            try await Self.run { _ in
                .stream(status: 200, headers: [:]) { sink in
                    sink.write(Array("one".utf8))
                    started.fulfil(true)
                }
            } _: { curl, url, server in
                async let watching = shell("\(curl) \(url)/")
                _ = try await started.get()
                await server.shutdown(grace: .seconds(3600))
                let end = try await watching
                #expect(end.status == 0 && end.output == "one")
            }
        }

        @Test func noUpgradeThere() async throws {
            try await Self.run { _ in .webSocket(subprotocol: "") { _ in } } _: { curl, url, _ in
                let refused = try await shell("\(curl) -w ' %{http_code}' \(url)/")
                #expect(refused.output.hasSuffix(" 400") && refused.output.contains("no WebSocket upgrade"))
            }
        }
    }
}

extension String {
    fileprivate var trimmed: String { split(whereSeparator: \.isWhitespace).joined(separator: " ") }
}

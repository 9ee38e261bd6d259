// Probes against servers that answer, refuse, keep silent and break off.

import HTTP
import PKI
import System
import Testing
import Transport

extension TransportTests {
    @Suite struct ProberTests {
        private let prober: NIOProber

        init() throws { prober = try NIOProber() }

        private func get(
            _ port: Int, _ path: String = "/", scheme: String = "http", headers: HTTPHeaders = [:],
            timeout: Duration = .milliseconds(patience)
        ) async -> ProbeResult {
            await prober.httpGet(
                scheme: scheme, host: "127.0.0.1", port: port, path: path, headers: headers, timeout: timeout)
        }

        private static let answer: @Sendable (HTTPRequest) -> HTTPReply = { request in
            switch request.path {
            case "/moved": return .response(HTTPResponse(status: 302, headers: ["Location": "/"]))
            case "/large": return .response(HTTPResponse(status: 200, bytes: [UInt8](repeating: 0x78, count: 1 << 20)))
            default:
                let (host, agent) = (request.headers["Host"] ?? "", request.headers["User-Agent"] ?? "")
                return text("\(request.query.map { $0.0 }) \(host) \(agent) \(request.headers["X-A"] ?? "")")
            }
        }

        @Test func answersAreResults() async throws {
            try await withServer(Self.answer) { port, _ in
                let plain = await get(port, "/x?q", headers: ["X-A": "b"])
                #expect(
                    plain
                        == .response(status: 200, body: Array("[\"q\"] 127.0.0.1:\(port) kube-probe/1.36 b".utf8)))
                let own = await get(port, headers: ["host": "h", "User-Agent": "u"])
                #expect(
                    own
                        == .response(status: 200, body: Array("[] h u ".utf8)))
                #expect(await get(port, "/moved") == .response(status: 302, body: []))
                #expect(
                    await get(port, "/large") == .response(status: 200, body: [UInt8](repeating: 0x78, count: 10 << 10))
                )
                #expect(await prober.tcp(host: "127.0.0.1", port: port, timeout: .milliseconds(patience)) == nil)
            }
        }

        @Test func silenceRefusalAndBreakingOffAreFailures() async throws {
            let begun = Promise<Bool>()
            try await withServer { request in
                if request.path == "/begun" { begun.fulfil(true) }
                return .deferred {
                    try? await Task.sleep(for: .seconds(3600))
                    return text("late")
                }
            } _: { port, server in
                #expect(
                    await get(port, "/never", timeout: .seconds(2))
                        == .failure(
                            "Get \"http://127.0.0.1:\(port)/never\": context deadline exceeded "
                                + "(Client.Timeout exceeded while awaiting headers)"))
                async let broken = get(port, "/begun")
                _ = try await begun.get()
                await server.shutdown(grace: .zero)
                let end = await broken
                #expect(end == .failure("Get \"http://127.0.0.1:\(port)/begun\": EOF"))
            }
            let refusing = try DeafPort(.refusing)
            let closed = refusing.number
            let refused = "dial tcp 127.0.0.1:\(closed): connect: connection refused"
            for _ in 0..<20 {
                let plain = await get(closed)
                #expect(plain == .failure("Get \"http://127.0.0.1:\(closed)/\": \(refused)"))
                #expect(
                    await get(closed, scheme: "HTTPS") == .failure("Get \"https://127.0.0.1:\(closed)/\": \(refused)"))
            }
            #expect(await prober.tcp(host: "127.0.0.1", port: closed, timeout: .milliseconds(patience)) == refused)
            let silent = try DeafPort(.silent)
            let nowhere = await prober.tcp(host: "127.0.0.1", port: silent.number, timeout: .milliseconds(300))
            #expect(nowhere?.hasPrefix("dial tcp 127.0.0.1:\(silent.number): ") == true)
            let six = await prober.tcp(host: "::1", port: closed, timeout: .milliseconds(patience))
            #expect(six?.hasPrefix("dial tcp [::1]:\(closed): ") == true)
        }

        @Test func certificatesAreNotVerified() async throws {
            try await withDirectory { directory in
                let authority = try CertificateAuthority.loadOrCreate(directory: directory)
                let tls = HTTPServerConfiguration.TLS(
                    identity: try authority.issueServer(commonName: "nobody", names: [.dns("elsewhere.example")]),
                    clientAuthorityPEM: authority.certificatePEM)
                try await withServer(configuration: local(tls: tls), Self.answer) { port, _ in
                    guard case .response(status: 200, _) = await get(port, scheme: "https") else {
                        Issue.record("no answer over TLS")
                        return
                    }
                    // Plain text to a TLS port and the other way round: failures, and no hanging.
                    guard case .failure = await get(port) else {
                        Issue.record("an answer in plain text from a TLS port")
                        return
                    }
                }
                try await withServer(Self.answer) { port, _ in
                    guard case .failure = await get(port, scheme: "https") else {
                        Issue.record("TLS with a plain port")
                        return
                    }
                }
            }
        }
    }
}

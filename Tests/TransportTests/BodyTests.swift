// Bodies on their way in: who may make the server hold how much.

import HTTP
import PKI
import Synchronization
import System
import Testing

@testable import Transport

extension TransportTests {
    @Suite struct BodyTests {
        /// Knows whoever brings a key: `X-Key: known`, `exempt` or `stranger`; refuses everybody else.
        private static let handler = Handler(
            answer: { request in
                request.headers["X-Key"] == nil ? text("who?", status: 401) : text("\(request.body.count)")
            },
            screening: { head in
                switch head.headers["X-Key"] {
                case "known": .known
                case "exempt": .exempt
                case "stranger": .stranger
                default: .refused(HTTPResponse(status: 401, bytes: Array("who?".utf8)))
                }
            })

        private static func head(_ length: Int, key: String? = nil, more: String = "") -> String {
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \(length)\r\n"
                + (key.map { "X-Key: \($0)\r\n" } ?? "") + more + "\r\n"
        }

        @Test func largeBodiesOfNobodyAreRefusedAtTheHead() async throws {
            try await withServer(handler: Self.handler) { port, server in
                try await talk(port) { client in
                    try client.send(Self.head(1 << 20))
                    let answer = try client.readResponse()
                    #expect(answer.status == 401 && answer.text == "who?")
                }
                // No "100 Continue" for whom nobody knows, however small the body is.
                try await talk(port) { client in
                    try client.send(Self.head(10, more: "Expect: 100-continue\r\n"))
                    #expect(try client.readResponse().status == 401)
                }
                try await talk(port) { client in
                    try client.send(Self.head(10, key: "known", more: "Expect: 100-continue\r\n"))
                    #expect(try client.readHead().status == 100)
                    try client.send([UInt8](repeating: 0, count: 10))
                    #expect(try client.readResponse().text == "10")
                }
                // The length is not told: as soon as it shows.
                try await talk(port) { client in
                    try client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for _ in 0..<9 {
                        _ = client.trySend(Array("800\r\n".utf8) + [UInt8](repeating: 0x61, count: 2048) + Array("\r\n".utf8))
                    }
                    #expect(try client.readResponse().status == 401)
                }
                // Small ones are answered once they are there, and the connection goes on.
                try await talk(port) { client in
                    try client.send(Self.head(3) + "abc")
                    #expect(try client.readResponse().status == 401)
                    try client.send(Self.head(3, key: "known") + "abc")
                    #expect(try client.readResponse().text == "3")
                }
                #expect(server.heldBodies == (0, 0))
            }
        }

        /// Forty connections that never finish their small bodies hold the strangers' share and not a byte more, and keep
        /// nobody out who is known.
        @Test func manyConnectionsShareWhatStrangersMayHold() async throws {
            var limited = local()
            limited.strangerBodiesLimit = 100_000
            try await withServer(configuration: limited, handler: Self.handler) { port, server in
                try await talk(port) { first in
                    var clients: [Client] = []
                    for _ in 0..<40 {
                        let client = try Client(port)
                        try client.send(Self.head(16_000))
                        try client.send([UInt8](repeating: 0x61, count: 15_000))
                        clients.append(client)
                        // Six of them fit: these, since the others come later.
                        let held = min(clients.count, 6) * 15_000
                        try waitUntil { server.heldBodies.strangers >= held }
                    }
                    for client in clients[6...] { #expect(try client.readResponse().status == 401) }
                    #expect(server.heldBodies == (90_000, 0))
                    // Not even ten bytes have room there; who is known does not need it.
                    try first.send(Self.head(20_000, key: "known") + String(repeating: "a", count: 20_000))
                    #expect(try first.readResponse().text == "20000")
                    try first.send(Self.head(15_000, key: "known") + String(repeating: "a", count: 15_000))
                    #expect(try first.readResponse().text == "15000")
                    // Strangers that the handler lets in stay strangers.
                    let other = try Client(port)
                    try other.send(Self.head(15_000, key: "stranger") + String(repeating: "a", count: 15_000))
                    let answer = try other.readResponse()
                    #expect(answer.status == 429 && answer.head.contains("retry-after: 1\n"))
                    #expect(answer.text.contains(#""reason":"TooManyRequests""#))
                    // One that ends its body is answered, and makes room.
                    let held = try #require(clients.first)
                    try held.send([UInt8](repeating: 0x61, count: 1000))
                    #expect(try held.readResponse().status == 401)
                    #expect(server.heldBodies == (75_000, 0))
                }
                // All are gone, and with them what they held.
                try await eventually { server.heldBodies == (0, 0) }
                let fine = try await talk(port) { client in
                    try client.send(Self.head(15_000, key: "stranger") + String(repeating: "a", count: 15_000))
                    return try client.readResponse().text
                }
                #expect(fine == "15000")
            }
        }

        @Test func knownOnesHaveABoundTooAndSomeHaveNone() async throws {
            var limited = local()
            limited.knownBodiesLimit = 4 << 20
            let large = 3 << 20
            try await withServer(configuration: limited, handler: Self.handler) { port, server in
                try await talk(port) { first in
                    try first.send(Self.head(large, key: "known"))
                    try first.send([UInt8](repeating: 0x61, count: large - 1))
                    try waitUntil { server.heldBodies.known >= large - 1 }
                    let second = try Client(port)
                    try second.send(Self.head(large, key: "known"))
                    _ = second.trySend([UInt8](repeating: 0x61, count: large))
                    let busy = try second.readResponse()
                    #expect(busy.status == 429 && busy.head.contains("retry-after: 1\n"))
                    let third = try Client(port)
                    try third.send(Self.head(large, key: "exempt"))
                    try third.send([UInt8](repeating: 0x61, count: large))
                    #expect(try third.readResponse().text == "\(large)")
                    try first.send("a")
                    #expect(try first.readResponse().text == "\(large)")
                    // Again, as the answer said.
                    let again = try Client(port)
                    try again.send(Self.head(large, key: "known"))
                    try again.send([UInt8](repeating: 0x61, count: large))
                    #expect(try again.readResponse().text == "\(large)")
                }
                #expect(server.heldBodies == (0, 0))
            }
        }

        /// A hundred streams of 256 KiB at a time on HTTP/2.
        @Test func streamsShareTheBudget() async throws {
            try await withDirectory { directory in
                let authority = try CertificateAuthority.loadOrCreate(directory: directory)
                var limited = try local(authority)
                limited.strangerBodiesLimit = 1 << 20
                limited.knownBodiesLimit = 2 << 20
                try Files.writeAtomically("\(directory)/body", [UInt8](repeating: 0x61, count: 256 << 10))
                try await withServer(configuration: limited, handler: Self.handler) { port, server in
                    let most = Mutex((strangers: 0, known: 0))
                    let watcher = Task {
                        while !Task.isCancelled {
                            let now = server.heldBodies
                            most.withLock { $0 = (max($0.strangers, now.strangers), max($0.known, now.known)) }
                            try await Task.sleep(for: .milliseconds(1))
                        }
                    }
                    defer { watcher.cancel() }
                    func codes(_ key: String) async throws -> [String: Int] {
                        let all = try await shell(
                            """
                            curl -sS -m 200 --http2 -Z --parallel-max 100 --cacert \(directory)/ca.crt -H 'Expect:' \
                            -H 'X-Key: \(key)' --data-binary @\(directory)/body \
                            'https://127.0.0.1:\(port)/[1-100]' -o /dev/null -w '%{http_code}\\n' 2>/dev/null
                            """)
                        return all.output.split(separator: "\n").reduce(into: [:]) { $0[String($1), default: 0] += 1 }
                    }
                    #expect(try await codes("nobody") == ["401": 100])
                    #expect(most.withLock { $0 } == (0, 0), "bodies of requests that the head refuses are not gathered")
                    for key in ["stranger", "known"] {
                        let found = try await codes(key)
                        #expect(found.values.reduce(0, +) == 100, "\(found)")
                        #expect(Set(found.keys).isSubset(of: ["200", "429"]), "\(found)")
                        #expect(found["200"] ?? 0 > 0)
                    }
                    #expect(most.withLock { $0.strangers } <= 1 << 20)
                    #expect(most.withLock { $0.known } <= 2 << 20)
                    try await eventually { server.heldBodies == (0, 0) }
                }
            }
        }
    }
}

// Forwarded requests and tunnels of which one side takes nothing: they end, and meanwhile hold next to nothing.

import Glibc
import HTTP
import Synchronization
import System
import Testing
import Transport

extension TransportTests {
    @Suite struct ForwardStallTests {
        private static var impatient: HTTPServerConfiguration {
            var configuration = local()
            configuration.idleTimeout = .milliseconds(300)
            return configuration
        }

        /// Says something until the other side has gone: true. False when it just does not take any more.
        private static func isLeft(_ peer: Client) -> Bool {
            peer.timeout(SO_SNDTIMEO, milliseconds: patience)
            let part = [UInt8](repeating: 1, count: 1 << 20)
            while peer.trySend(part) == part.count {}
            return errno != EAGAIN
        }

        /// Forwards, but not the requests of `idle`.
        private static func answer(_ back: Int) -> @Sendable (HTTPRequest) -> HTTPReply {
            { $0.path == "/idle" ? text("") : forwarding(to: back, $0) }
        }

        /// Returns when the server has cut a connection that began to idle now: those that idled before are past that
        /// time.
        private static func idle(_ port: Int) throws {
            let client = try Client(port)
            _ = try client.get("/idle")
            #expect(try client.readToEnd().isEmpty)
        }

        @Test func aClientThatTakesNothingOfItsAnswerIsCut() async throws {
            let isLeft = Promise<Bool>()
            let back = try Back { peer in
                _ = try peer.readHead()
                try peer.send("HTTP/1.1 200 OK\r\nContent-Length: \(1 << 40)\r\n\r\n")
                isLeft.fulfil(Self.isLeft(peer))
            }
            try await withWay(Self.impatient) { forwarding(to: back.port, $0) } _: { port in
                let client = try Client(port)
                try client.send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(try await isLeft.get())
                withExtendedLifetime(client) {}
            }
        }

        /// Who has taken all there was waits for more as long as he likes.
        @Test func aServerMayTakeItsTime() async throws {
            let front = Promise<Int>()
            let back = try Back { peer in
                _ = try peer.readHead()
                try Self.idle(try front.wait())
                try peer.send("HTTP/1.1 200 OK\r\nContent-Length: 600001\r\n\r\n")
                try peer.send([UInt8](repeating: 1, count: 600_000))
                try Self.idle(try front.wait())
                try peer.send([2])
            }
            // The client has this long to take what there is.
            var configuration = local()
            configuration.idleTimeout = .seconds(2)
            try await withWay(configuration, Self.answer(back.port)) { port in
                front.fulfil(port)
                let body = try await talk(port) { try $0.get("/x").body }
                #expect(body.count == 600_001 && body.last == 2)
            }
        }

        @Test func aTunnelThatOneSideTakesNothingOfIsCut() async throws {
            let isLeft = Promise<Bool>()
            let eager = try Back { peer in
                _ = try peer.readHead()
                try peer.send(Echo.agreement)
                isLeft.fulfil(Self.isLeft(peer))
            }
            try await withWay(Self.impatient) { forwarding(to: eager.port, $0) } _: { port in
                let client = try Client(port)
                try client.send(Echo.request)
                #expect(try await isLeft.get())
                withExtendedLifetime(client) {}
            }
            let over = Promise<Bool>()
            let deaf = try Back { peer in
                _ = try peer.readHead()
                try peer.send(Echo.agreement)
                try over.wait()
            }
            try await withWay(Self.impatient) { forwarding(to: deaf.port, $0) } _: { port in
                try await talk(port) { client in
                    try client.send(Echo.request)
                    #expect(try client.readHead().status == 101)
                    #expect(Self.isLeft(client))
                    over.fulfil(true)
                }
            }
        }

        @Test func aQuietTunnelStays() async throws {
            let back = try Back.echo()
            try await withWay(Self.impatient, Self.answer(back.port)) { port in
                try await talk(port) { client in
                    try client.openEcho()
                    for _ in 0..<3 {
                        try client.hearEcho()
                        try Self.idle(port)
                    }
                }
            }
        }

        /// Who asks and does not read gets some answers prepared, not hundreds.
        @Test func unreadAnswersHoldTheNextOnes() async throws {
            let forwarded = Mutex(0)
            let body = [UInt8](repeating: 0x61, count: 100_000)
            try await withServer { _ in .response(HTTPResponse(status: 200, bytes: body)) } _: { back, _ in
                try await withWay(local()) { request in
                    forwarded.withLock { $0 += 1 }
                    return forwarding(to: back, request)
                } _: { port in
                    try await talk(port) { client in
                        let requests = 400
                        try client.send(String(repeating: "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", count: requests))
                        var before = -1
                        // Until nothing moves any more.
                        while case let now = forwarded.withLock({ $0 }), now != before || now == 0 {
                            before = now
                            usleep(300_000)
                        }
                        #expect(before < requests * 3 / 4, "\(before) answers for a client that reads none")
                        for _ in 0..<requests { #expect(try client.readResponse().body.count == body.count) }
                        #expect(forwarded.withLock { $0 } == requests)
                    }
                }
            }
        }
    }
}

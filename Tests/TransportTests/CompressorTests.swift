// Compressing large answers is bounded work: beyond the bound they go out as they are.

import Glibc
import HTTP
import System
import Testing

@testable import Transport

@Suite struct CompressorTests {
    private static func answer(_ bytes: Int) -> HTTPResponse {
        HTTPResponse(status: 200, body: [[UInt8](repeating: 0x61, count: bytes)[...]])
    }

    @Test(.timeLimit(.minutes(5))) func theBacklogIsBounded() async throws {
        try await blocking {
            let compressor = Compressor(threads: 1, backlog: 1 << 20)
            let gate = Gate<Void>()
            let first = Gate<HTTPResponse>()
            // Larger than the backlog, and alone: taken.
            #expect(compressor.compress(Self.answer(2 << 20), while: { gate.wait(); return true }) { first.open($0) })
            #expect(!compressor.compress(Self.answer(1000), while: { true }) { _ in Issue.record("called after a refusal") })
            gate.open(())
            let smaller = first.wait()
            #expect(smaller.headers["Content-Encoding"] == "gzip" && smaller.contentLength < 1 << 20)
            // There is room again; what nobody waits for any more is not worked on.
            let second = Gate<HTTPResponse>()
            let third = Gate<HTTPResponse>()
            #expect(compressor.compress(Self.answer(1000), while: { true }) { second.open($0) })
            #expect(second.wait().headers["Content-Encoding"] == "gzip")
            #expect(compressor.compress(Self.answer(1000), while: { false }) { third.open($0) })
            #expect(third.wait().headers["Content-Encoding"] == nil)
        }
    }
}

// Compresses large answers away from the event loops and from the threads that tasks share: on a few threads of its
// own, among which and the others the kernel divides the processors.
//
// The work is bounded by what it takes: at most `backlog` bytes wait or are under way, about 0.2 s of work for a
// thread. An answer beyond that goes out as it is, which costs bytes on the wire and nothing else. So however many
// clients ask for everything at once, the rest of the program has its half of the processors.

import HTTP
import NIOCore
import Synchronization
import System

final class Compressor: Sendable {
    static let shared = Compressor(threads: max(1, NIOCore.System.coreCount / 2), backlog: 64 << 20)

    private let pool: BlockingPool
    private let backlog: Int
    private let waiting = Atomic<Int>(0)

    /// - Parameter backlog: bytes.
    init(threads: Int, backlog: Int) {
        pool = BlockingPool(name: "noded-gzip", maximumThreads: threads)
        self.backlog = backlog
    }

    /// False when there is too much to do already; nothing is called then. One answer is always taken.
    /// - Parameters:
    ///   - isWanted: asked when its turn has come: the client may be gone.
    ///   - done: called on a thread of the compressor.
    func compress(
        _ response: HTTPResponse, while isWanted: @escaping @Sendable () -> Bool,
        _ done: @escaping @Sendable (HTTPResponse) -> Void
    ) -> Bool {
        let count = response.contentLength
        let total = waiting.add(count, ordering: .relaxed).newValue
        guard total <= backlog || total == count else {
            waiting.subtract(count, ordering: .relaxed)
            return false
        }
        pool.submit { [self] in
            let answer = isWanted() ? Gzip.compressed(response) : response
            waiting.subtract(count, ordering: .relaxed)
            done(answer)
        }
        return true
    }
}

// What one import has taken so far, shared by the threads that unpack its layers, and whether it should stop.

import Synchronization
import System

final class ImportQuota: Sendable {
    private let bytesLimit: Int
    private let entriesLimit: Int
    private let bytes = Atomic<Int>(0)
    private let entries = Atomic<Int>(0)
    private let stopped = Atomic<Bool>(false)

    /// - Parameter available: bytes the disk has left. The last twentieth is not an import's to take.
    init(_ limits: ImageLimits, available: UInt64) {
        bytesLimit = min(limits.unpackedBytes, Int(clamping: available / 20 * 19))
        entriesLimit = limits.entries
    }

    /// Another layer failed, or the task was cancelled: every thread stops at its next piece.
    func stop() { stopped.store(true, ordering: .relaxed) }

    func take(bytes count: Int) throws {
        if stopped.load(ordering: .relaxed) { throw CancellationError() }
        if bytes.add(count, ordering: .relaxed).newValue > bytesLimit {
            throw ArchiveFault.tooLarge(what: "unpacked bytes", limit: bytesLimit)
        }
    }

    func takeEntry() throws {
        if entries.add(1, ordering: .relaxed).newValue > entriesLimit {
            throw ArchiveFault.tooLarge(what: "entries of all layers", limit: entriesLimit)
        }
    }
}

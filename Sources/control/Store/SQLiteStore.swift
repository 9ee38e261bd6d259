// The store of one server: SQLite below, one writer thread above it (StoreWriter). This file is the front: it may be
// called from any task, and only queues.
//
// Many commits that arrive while the writer is in fsync(2) become its next transaction, so the cost of a sync is
// shared by whoever waits, and one lonely commit waits for nobody.

public import Logging
internal import Synchronization
internal import System

/// An ObjectStore in one file. Its folder also holds PATH-wal and PATH.lock.
public final class SQLiteStore: ObjectStore {
    public struct Configuration: Sendable {
        /// The file. It and its folder are made when missing (modes 0600, 0700).
        public var path: String
        public var limits = StoreLimits()
        /// Revisions reserved at a time: what the counter jumps at most after an unclean stop.
        public var revisionBlock: UInt64 = 10_000
        /// Frames (pages of 4 KiB) in the write-ahead log after which it is written back.
        public var checkpointFrames = 1000
        /// Seconds between the first unflushed change of the ring and its flush.
        public var ringFlush: Int64 = 60
        /// Seconds since 1970, for the age limits; the wall clock's when nil.
        public var now: (@Sendable () -> Int64)?
        /// A SQLite VFS by name, for tests that record or break the disk; the system's when nil.
        public var vfs: String?

        public init(path: String) {
            self.path = path
        }
    }

    private let writer: StoreWriter
    private let thread = WorkerThread(name: "noded-store")
    private let queue = Mutex(Queue())

    private struct Queue {
        var accepting = false
        /// The writer was told, and has not looked yet.
        var announced = false
        var waiting: [StoreWriter.Waiting] = []
        /// The one upkeep that is scheduled. It holds nothing and ends with the store.
        var timer: Task<Void, Never>?
    }

    public init(_ configuration: Configuration, logger: Logger) {
        writer = StoreWriter(configuration, logger: logger)
    }

    public convenience init(path: String, logger: Logger) {
        self.init(Configuration(path: path), logger: logger)
    }

    public var currentRevision: UInt64 { writer.published.load(ordering: .acquiring) }
    public var historyFloor: UInt64 { writer.floor.load(ordering: .acquiring) }

    public func open(onChange: @escaping @Sendable ([Change]) -> Void) async throws(StoreError) -> [StoredObject] {
        try await onWriter { [weak self] writer throws(StoreError) in
            let objects = try writer.open(onChange: onChange) { seconds in self?.upkeep(after: seconds) }
            self?.queue.withLock { $0.accepting = true }
            return objects
        }
    }

    public func commit(_ write: Write) async throws(StoreError) -> UInt64 {
        let result: Result<UInt64, StoreError> = await withCheckedContinuation { continuation in
            let (accepted, announce) = queue.withLock { queue in
                guard queue.accepting else { return (false, false) }
                queue.waiting.append(StoreWriter.Waiting(write: write, continuation: continuation))
                defer { queue.announced = true }
                return (true, !queue.announced)
            }
            if !accepted { continuation.resume(returning: .failure(.closed)) }
            if announce { thread.submit { self.drain() } }
        }
        return try result.get()
    }

    public func changes(after revision: UInt64) async throws(StoreError) -> [Change] {
        try await onWriter { writer throws(StoreError) in try writer.changes(after: revision) }
    }

    public func compact(through revision: UInt64) async throws(StoreError) {
        // A step at a time, so that waiting writes get their turn in between.
        while try await onWriter({ writer throws(StoreError) in try writer.compactStep(through: revision) }) {}
    }

    /// Reads every object from the disk, some at a time, and returns what is wrong; empty when nothing is. Waiting
    /// writes get their turn in between.
    public func check() async throws(StoreError) -> [String] {
        var findings: [String] = []
        var next: UInt64? = 0
        while let id = next {
            let step = try await onWriter { writer throws(StoreError) in try writer.checkStep(after: id) }
            findings += step.findings
            next = step.next
        }
        return findings
    }

    /// Figures for an operator and for tests.
    public func statistics() async throws(StoreError) -> StoreStatistics {
        try await onWriter { writer throws(StoreError) in try writer.statistics() }
    }

    /// Everything that lasts, as it is at one revision; for a backup. Holds nobody up.
    public func snapshot() async throws(StoreError) -> StoreSnapshot {
        try await onWriter { writer throws(StoreError) in try writer.snapshot() }
    }

    public func close() async throws(StoreError) {
        queue.withLock {
            $0.accepting = false
            $0.timer?.cancel()
        }
        try await onWriter { writer throws(StoreError) in
            self.drain()
            try writer.close()
        }
    }

    /// On the writer's thread: commits what waits, group after group.
    private func drain() {
        while true {
            let group = queue.withLock { queue in
                let group = queue.waiting
                queue.waiting = []
                if group.isEmpty { queue.announced = false }
                return group
            }
            if group.isEmpty { return }
            writer.commit(group)
        }
    }

    private func upkeep(after seconds: Double) {
        let timer = Task { [weak self] in
            try? await Task.sleep(for: .seconds(seconds), tolerance: .seconds(seconds / 10))
            guard let self, !Task.isCancelled else { return }
            thread.submit { self.writer.upkeep() }
        }
        queue.withLock {
            $0.timer?.cancel()
            $0.timer = timer
        }
    }

    private func onWriter<T: Sendable>(
        _ body: @escaping @Sendable (StoreWriter) throws(StoreError) -> T
    ) async throws(StoreError) -> T {
        let result: Result<T, StoreError> = await withCheckedContinuation { continuation in
            thread.submit { [writer] in
                let result: Result<T, StoreError>
                do throws(StoreError) { result = .success(try body(writer)) } catch { result = .failure(error) }
                continuation.resume(returning: result)
            }
        }
        return try result.get()
    }
}

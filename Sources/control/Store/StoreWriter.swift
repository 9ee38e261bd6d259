// The one that writes: takes groups of waiting writes, decides them in StoreState, makes them last in StoreFile,
// then tells the watchers, then the callers.
//
//      waiting ─> apply in memory ─┬─> transaction, fsync ─> onChange ─> resume
//                                  └─> failed: undo all; one write at a time; those that fail alone get the error
//
// After a failed transaction SQLite has forgotten it, but its frames may lie in the log on disk, where a crash would
// find them. The next successful transaction overwrites them; so one is made at once (`settle`), and again until it
// succeeds. Until then nothing else is different: memory is what was acknowledged.
//
// What can wait (upkeep) and what only reads have files of their own.

internal import Logging
internal import Synchronization
internal import System

// Invariant: everything but the two atomics is touched on the store's writer thread only (SQLiteStore.thread).
final class StoreWriter: @unchecked Sendable {
    struct Waiting: Sendable {
        let write: Write
        let continuation: CheckedContinuation<Result<UInt64, StoreError>, Never>
    }

    let published = Atomic<UInt64>(0)
    let floor = Atomic<UInt64>(0)

    let configuration: SQLiteStore.Configuration
    let limits: StoreLimits
    let logger: Logger
    let now: @Sendable () -> Int64

    private var lock: HeldLock?
    var file: StoreFile?
    var state = StoreState()
    var log = ChangeLog()
    /// Up to here revisions may be given out: on disk.
    var reserved: UInt64 = 0
    var pages: (all: Int64, free: Int64) = (0, 0)
    private var onChange: @Sendable ([Change]) -> Void = { _ in }

    var backlog = RingBacklog()

    /// A failed transaction may still be in the log on disk.
    var unsettled = false
    var schedule: (Double) -> Void = { _ in }
    /// Seconds since 1970 of the upkeep that is scheduled first.
    var nextUpkeep: Int64?

    init(_ configuration: SQLiteStore.Configuration, logger: Logger) {
        self.configuration = configuration
        limits = configuration.limits
        now = configuration.now ?? wallClockSeconds
        self.logger = logger
    }

    // MARK: open and close

    func open(
        onChange: @escaping @Sendable ([Change]) -> Void, schedule: @escaping (Double) -> Void
    ) throws(StoreError) -> [StoredObject] {
        guard file == nil else { throw .locked(path: configuration.path, holder: "this process") }
        let held = try HeldLock(configuration.path)
        let file = try StoreFile(path: configuration.path, vfs: configuration.vfs)
        try held.noteStore()
        let last = try file.reserved()
        var state = StoreState(revision: last)
        var flushed: Set<UInt64> = []
        try file.readObjects { key, entry throws(StoreError) in
            try state.load(key, entry, last, file)
            if entry.durability == .ring { flushed.insert(entry.id) }
        }
        state.sortRing()
        var entries: [ChangeLog.Entry] = []
        try file.readLog { entries.append($0) }
        if let newest = entries.last, newest.revision > last {
            throw file.damaged("the change log goes to \(newest.revision), beyond \(last)")
        }
        // Nothing before the oldest entry is known; without entries, nothing before now.
        var log = ChangeLog(floor: entries.first.map { $0.revision - 1 } ?? last)
        for entry in entries { log.append(entry) }
        // What expired in memory before the stop may still be on disk.
        log.expire(now: now(), limits)

        (self.state, self.log, self.backlog, self.reserved) = (state, log, RingBacklog(flushed), last)
        (self.file, self.lock, self.onChange, self.schedule) = (file, held, onChange, schedule)
        do throws(StoreError) {
            try transact { file throws(StoreError) in try self.reserveMore(file, beyond: last) }
        } catch {
            forget()
            throw error
        }
        published.store(last, ordering: .releasing)
        floor.store(log.floor, ordering: .releasing)
        plan()
        return state.objects()
    }

    func close() throws(StoreError) {
        guard let database = file?.database else { throw .closed }
        let last = state.revision
        defer { forget() }
        do throws(StoreError) {
            try transact { file throws(StoreError) in
                try self.backlog.flush(to: file, self.state.entries)
                // A clean stop gives the rest of the block back.
                try file.reserve(last)
            }
        } catch {
            logger.error("store closed uncleanly", metadata: ["error": "\(error)"])
            throw error
        }
        // The last reference: the statements go before the connection closes.
        self.file = nil
        try database.close()
    }

    private func forget() {
        file = nil
        lock = nil
        state = StoreState()
        backlog = RingBacklog()
        unsettled = false
        nextUpkeep = nil
        onChange = { _ in }
        schedule = { _ in }
    }

    // MARK: writing

    func commit(_ group: [Waiting]) {
        var results: [Result<UInt64, StoreError>] = []
        do throws(StoreError) {
            results = try attempt(group.map(\.write))
        } catch {
            results = separately(group, error)
            settle()
        }
        for (waiting, result) in zip(group, results) { waiting.continuation.resume(returning: result) }
        checkpointIfDue()
        plan()
    }

    /// A group failed: one of its writes, or the disk. Alone, each finds out for itself; once the disk has refused
    /// one alone, no other of the group asks it again.
    private func separately(_ group: [Waiting], _ failure: StoreError) -> [Result<UInt64, StoreError>] {
        var broken: StoreError?
        func refused(_ write: Write, _ error: StoreError) -> Result<UInt64, StoreError> {
            if broken == nil {
                logger.error("store write failed", metadata: ["key": "\(write.key)", "error": "\(error)"])
            }
            broken = error
            return .failure(error)
        }
        if group.count == 1 { return [refused(group[0].write, failure)] }
        return group.map { waiting in
            if let broken, durability(of: waiting.write) == .durable { return .failure(broken) }
            do throws(StoreError) {
                return try attempt([waiting.write])[0]
            } catch {
                return refused(waiting.write, error)
            }
        }
    }

    /// Decides and performs writes as one group. Throws, with nothing changed, when the disk refuses.
    private func attempt(_ writes: [Write]) throws(StoreError) -> [Result<UInt64, StoreError>] {
        guard file != nil else { return writes.map { _ in .failure(.closed) } }
        let time = now()
        var applied: [StoreState.Applied] = []
        var results: [Result<UInt64, StoreError>] = []
        for write in writes {
            do throws(StoreError) {
                try admit(write)
                let item = try state.apply(write, now: time)
                applied.append(item)
                results.append(.success(item.change.revision))
            } catch {
                results.append(.failure(error))
            }
        }
        applied += state.evict(now: time, limits)
        if applied.isEmpty { return results }
        do throws(StoreError) {
            try perform(applied, time: time)
        } catch {
            for item in applied.reversed() { state.undo(item) }
            throw error
        }
        publish(applied, time: time)
        return results
    }

    /// One transaction, if these changes need the disk at all.
    private func perform(_ applied: [StoreState.Applied], time: Int64) throws(StoreError) {
        let durable = applied.count { $0.isDurable }
        guard durable > 0 || state.revision > reserved else { return }
        expire(time)
        let surplus = min(log.expired, 2 * durable + 64)
        let last = state.revision
        try transact { file throws(StoreError) in
            if last > self.reserved { try self.reserveMore(file, beyond: last) }
            if surplus > 0 { try file.forgetChanges(through: self.log.lastRevision(ofOldest: surplus)) }
            for item in applied where item.isDurable { try file.write(item, time: time) }
        }
        log.forget(surplus)
        for item in applied where item.isDurable { log.append(item.logEntry(time)) }
    }

    private func publish(_ applied: [StoreState.Applied], time: Int64) {
        for item in applied where item.change.durability == .ring { backlog.note(item, time) }
        floor.store(log.floor, ordering: .releasing)
        published.store(state.revision, ordering: .releasing)
        onChange(applied.map(\.change))
    }

    /// Refuses what would take the file beyond its limit. Small updates may go an eighth further, so that objects
    /// can still be marked for deletion and lose their finalizers.
    private func admit(_ write: Write) throws(StoreError) {
        let used = usedBytes
        guard used >= limits.fileBytes, let value = write.value, durability(of: write) == .durable else { return }
        let old = state.entries[write.key]?.value.count
        if let old, value.count <= old + 4096, used < limits.fileBytes + limits.fileBytes / 8 { return }
        throw .full(path: configuration.path, used: used, limit: limits.fileBytes)
    }

    var usedBytes: Int64 { (pages.all - pages.free) * (file?.bytesPerPage ?? 0) }

    /// Stops serving old changes. A tight store keeps none: their room is worth more than a watch that resumes.
    func expire(_ time: Int64) {
        var bounds = limits
        if isTight { bounds.logCount = 0 }
        if log.expire(now: time, bounds) > 0 { floor.store(log.floor, ordering: .releasing) }
    }

    private func durability(of write: Write) -> Durability {
        state.entries[write.key]?.durability ?? write.durability
    }

    /// A transaction after which `pages` and `reserved` are right again, whatever its end.
    func transact(_ body: (StoreFile) throws(StoreError) -> Void) throws(StoreError) {
        guard let file else { throw .closed }
        let before = reserved
        var measured = pages
        do throws(StoreError) {
            try file.database.transaction { () throws(StoreError) in
                try body(file)
                measured = try file.pages()
            }
        } catch {
            reserved = before
            unsettled = true
            throw error
        }
        pages = measured
        unsettled = false
    }

    private func reserveMore(_ file: StoreFile, beyond revision: UInt64) throws(StoreError) {
        reserved = revision + configuration.revisionBlock
        try file.reserve(reserved)
    }
}

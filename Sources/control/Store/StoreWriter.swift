// The one that writes: takes groups of waiting writes, decides them in StoreState, makes them last in StoreFile,
// then tells the watchers, then the callers.
//
//      waiting ─> apply in memory ─┬─> transaction, fsync ─> onChange ─> resume
//                                  └─> failed: undo all; one write at a time; those that fail alone get the error
//
// After a failed transaction SQLite has forgotten it, but its frames may lie in the log on disk, where a crash would
// find them. The next successful transaction overwrites them; so one is made at once (`settle`), and again until it
// succeeds. Until then nothing else is different: memory is what was acknowledged.

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

    private let configuration: SQLiteStore.Configuration
    private let limits: StoreLimits
    private let logger: Logger
    private let now: @Sendable () -> Int64

    private var lock: HeldLock?
    private var file: StoreFile?
    private var state = StoreState()
    private var log = ChangeLog()
    /// Up to here revisions may be given out: on disk.
    private var reserved: UInt64 = 0
    private var pages: (all: Int64, free: Int64) = (0, 0)
    private var onChange: @Sendable ([Change]) -> Void = { _ in }

    /// The ring's objects that are on disk, and what the next flush has to do.
    private var flushed: Set<UInt64> = []
    private var unflushed: Set<StoreKey> = []
    private var unremoved: Set<UInt64> = []
    private var unflushedSince: Int64?

    /// A failed transaction may still be in the log on disk.
    private var unsettled = false
    private var schedule: (Double) -> Void = { _ in }
    /// Seconds since 1970 of the upkeep that is scheduled first.
    private var nextUpkeep: Int64?

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

        (self.state, self.log, self.flushed, self.reserved) = (state, log, flushed, last)
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
                try self.flushRing(file)
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
        flushed = []
        unflushed = []
        unremoved = []
        unflushedSince = nil
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
        for item in applied where item.change.durability == .ring { noteRing(item, time) }
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

    private var usedBytes: Int64 { (pages.all - pages.free) * (file?.bytesPerPage ?? 0) }

    /// Less than an eighth of the limit is left.
    private var isTight: Bool { usedBytes >= limits.fileBytes - limits.fileBytes / 8 }

    /// Stops serving old changes. A tight store keeps none: their room is worth more than a watch that resumes.
    private func expire(_ time: Int64) {
        var bounds = limits
        if isTight { bounds.logCount = 0 }
        if log.expire(now: time, bounds) > 0 { floor.store(log.floor, ordering: .releasing) }
    }

    private func durability(of write: Write) -> Durability {
        state.entries[write.key]?.durability ?? write.durability
    }

    /// A transaction after which `pages` and `reserved` are right again, whatever its end.
    private func transact(_ body: (StoreFile) throws(StoreError) -> Void) throws(StoreError) {
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

    /// Overwrites what a failed transaction may have left in the log on disk.
    private func settle() {
        guard unsettled else { return }
        do throws(StoreError) {
            // A new number: SQLite writes no page for a row that stays the same.
            try transact { file throws(StoreError) in
                self.reserved += 1
                try file.reserve(self.reserved)
            }
        } catch {
            logger.warning("store still cannot write, will try again", metadata: ["error": "\(error)"])
        }
    }

    private func checkpointIfDue() {
        guard let file, file.database.walFrames >= configuration.checkpointFrames else { return }
        do throws(StoreError) {
            try file.database.checkpoint()
        } catch {
            // The log only grows: no write is in danger. The next commit tries again.
            logger.warning("store checkpoint failed", metadata: ["error": "\(error)"])
        }
    }

    // MARK: the ring

    private func noteRing(_ item: StoreState.Applied, _ time: Int64) {
        if item.after != nil {
            unflushed.insert(item.change.key)
        } else {
            unflushed.remove(item.change.key)
            if flushed.contains(item.id) { unremoved.insert(item.id) }
        }
        if unflushedSince == nil, !unflushed.isEmpty || !unremoved.isEmpty { unflushedSince = time }
    }

    private func flushRing(_ file: StoreFile) throws(StoreError) {
        for id in unremoved { try file.delete(id) }
        for key in unflushed {
            if let entry = state.entries[key] { try file.put(key, entry) }
        }
    }

    private func ringIsFlushed() {
        flushed.subtract(unremoved)
        for key in unflushed {
            if let entry = state.entries[key] { flushed.insert(entry.id) }
        }
        unflushed = []
        unremoved = []
        unflushedSince = nil
    }

    // MARK: upkeep

    /// Free pages that are kept for the next writes before the file gives any back.
    private static let sparePages: Int64 = 1024
    /// Bytes of expired changes that wait for the next write to take them along.
    private static let spareBytes = 1 << 20

    /// Expired changes are worth a transaction of their own.
    private var mustForget: Bool {
        log.expiredBytes > Self.spareBytes || log.expired > 0 && isTight
    }

    /// What is due: flush, old changes, old events, free pages. A bounded piece of it; the rest is planned again.
    func upkeep() {
        guard file != nil else { return }
        nextUpkeep = nil
        let time = now()
        // The ring's elders go like any write, watchers are told.
        commit([])
        expire(time)
        let flush = unflushedSince.map { time >= $0 + configuration.ringFlush } ?? false
        let surplus = mustForget ? min(log.expired, 1000) : 0
        let vacuum = pages.free > Self.sparePages
        if flush || surplus > 0 || vacuum {
            do throws(StoreError) {
                try transact { file throws(StoreError) in
                    if flush { try self.flushRing(file) }
                    if surplus > 0 { try file.forgetChanges(through: self.log.lastRevision(ofOldest: surplus)) }
                    if vacuum { try file.vacuum() }
                }
                if flush { ringIsFlushed() }
                log.forget(surplus)
            } catch {
                logger.warning("store upkeep failed", metadata: ["error": "\(error)"])
            }
        }
        settle()
        checkpointIfDue()
        plan()
    }

    /// Schedules the next upkeep, if any: an idle store has no timer.
    private func plan() {
        guard file != nil else { return }
        let time = now()
        var due: [Int64] = []
        if unsettled { due.append(time + 5) }
        if pages.free > Self.sparePages || mustForget { due.append(time + 1) }
        if let since = unflushedSince { due.append(since + configuration.ringFlush) }
        if let oldest = log.oldest {
            // Some slack, so that many ends of life share one wake-up.
            due.append(isTight ? time + 1 : oldest.time + limits.logAge + 10)
        }
        if let oldest = state.ring.oldest { due.append(oldest + limits.ringAge + 30) }
        guard let first = due.min(), first < nextUpkeep ?? .max else { return }
        nextUpkeep = first
        // A disk that refuses is not asked every second.
        schedule(Double(min(max(first - time, unsettled ? 5 : 1), 3600)))
    }

    /// True when there is more to do.
    func compactStep(through revision: UInt64) throws(StoreError) -> Bool {
        guard file != nil else { throw .closed }
        log.expire(through: revision)
        floor.store(log.floor, ordering: .releasing)
        let count = min(log.expired, 1000)
        guard count > 0 else { return false }
        try transact { file throws(StoreError) in
            try file.forgetChanges(through: self.log.lastRevision(ofOldest: count))
        }
        log.forget(count)
        plan()
        return true
    }

    // MARK: reading

    func changes(after revision: UInt64) throws(StoreError) -> [Change] {
        guard let file else { throw .closed }
        guard revision >= log.floor else { throw .compacted(floor: log.floor) }
        return try file.changes(after: revision) { state.entries[$0] }
    }

    func statistics() throws(StoreError) -> StoreStatistics {
        guard let file else { throw .closed }
        return StoreStatistics(
            revision: state.revision, floor: log.floor, changes: log.count, changeBytes: log.bytes,
            pages: pages.all, freePages: pages.free, bytesPerPage: file.bytesPerPage,
            walFrames: file.database.walFrames, limit: limits.fileBytes, resources: StoreState.sums(state.entries))
    }

    /// What lasts, as it is now: costs a reference, and one copy of the index with the next write.
    func snapshot() throws(StoreError) -> StoreSnapshot {
        guard file != nil else { throw .closed }
        return StoreSnapshot(revision: state.revision, time: now(), entries: state.entries)
    }

    /// Reads some objects from the disk and compares them with memory. Returns what is wrong, and where to go on;
    /// nil when that was all.
    func checkStep(after id: UInt64) throws(StoreError) -> (findings: [String], next: UInt64?) {
        guard let file else { throw .closed }
        var findings: [String] = []
        do throws(StoreError) {
            let last = try file.readObjects(after: id, most: 200) { key, entry throws(StoreError) in
                // The ring's rows are as old as the last flush.
                guard entry.durability == .durable else { return }
                let known = self.state.entries[key]
                if known?.revision != entry.revision || known?.value != entry.value {
                    findings.append("\(key) is not on disk as it is in memory")
                }
            }
            return (findings, last)
        } catch {
            // Behind an unreadable place nothing can be read in order.
            return (findings + ["\(error)"], nil)
        }
    }
}

// What a store does between its writes: it flushes the ring, drops changes that nobody is served any more, gives free
// pages back, overwrites what a failed transaction left, and moves the log into the file.
//
// Nearly none of it is owed to a caller, and that is tried again: a failure is logged and the store goes
// on. Each step is bounded, so that writes do not wait long. An idle store has no timer, and what an idle
// store need not write waits for the next write.

internal import Logging
internal import Synchronization

extension StoreWriter {
    /// Free pages that are kept for the next writes before the file gives any back.
    private static let sparePages: Int64 = 1024
    /// Bytes of expired changes that wait for the next write to take them along.
    private static let spareBytes = 1 << 20

    /// Less than an eighth of the limit is left.
    var isTight: Bool { usedBytes >= limits.fileBytes - limits.fileBytes / 8 }

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
        let flush = backlog.since.map { time >= $0 + configuration.ringFlush } ?? false
        let surplus = mustForget ? min(log.expired, 1000) : 0
        let vacuum = pages.free > Self.sparePages
        if flush || surplus > 0 || vacuum {
            do throws(StoreError) {
                try transact { file throws(StoreError) in
                    if flush { try self.backlog.flush(to: file, self.state.entries) }
                    if surplus > 0 { try file.forgetChanges(through: self.log.lastRevision(ofOldest: surplus)) }
                    if vacuum { try file.vacuum() }
                }
                if flush { backlog.isFlushed(state.entries) }
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
    func plan() {
        guard file != nil else { return }
        let time = now()
        var due: [Int64] = []
        if unsettled { due.append(time + 5) }
        if pages.free > Self.sparePages || mustForget { due.append(time + 1) }
        if let since = backlog.since { due.append(since + configuration.ringFlush) }
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

    /// Overwrites what a failed transaction may have left in the log on disk.
    func settle() {
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

    func checkpointIfDue() {
        guard let file, file.database.walFrames >= configuration.checkpointFrames else { return }
        do throws(StoreError) {
            try file.database.checkpoint()
        } catch {
            // The log only grows: no write is in danger. The next commit tries again.
            logger.warning("store checkpoint failed", metadata: ["error": "\(error)"])
        }
    }
}

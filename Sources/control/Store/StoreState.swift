// What a store knows in memory, as a value: the index (key -> revision, value) and the ring's order. Both engines
// decide here, so that preconditions, numbering and eviction cannot differ between them; the engines add the
// disk and the thread.
//
// A write is applied at once and may be undone (in reverse order) when the disk refuses it. The values are the
// very buffers that the watch cache holds, so keeping them here costs a few words per object and spares every
// read of an old value from disk.

struct StoreState {
    struct Entry {
        /// Never given twice; the row's number on disk. It is the revision of the key's creation.
        let id: UInt64
        let revision: UInt64
        /// Numbered with the revision.
        let value: EncodedObject
        let durability: Durability
        /// Seconds since 1970 of the last write.
        let time: Int64
    }

    /// An applied write with what it takes to undo it.
    struct Applied {
        let change: Change
        let before: Entry?
        let after: Entry?

        var isDurable: Bool { change.durability == .durable }
        /// The row's number on disk.
        var id: UInt64 { after?.id ?? before!.id }

        func logEntry(_ time: Int64) -> ChangeLog.Entry {
            ChangeLog.Entry(revision: change.revision, time: time, bytes: change.previous?.value.count ?? 0)
        }
    }

    private(set) var entries: [StoreKey: Entry] = [:]
    /// The last revision given out.
    private(set) var revision: UInt64
    private(set) var ring = Ring()

    init(revision: UInt64 = 0) {
        self.revision = revision
    }

    /// Takes a value that was read from disk. False when the key is there already.
    mutating func load(_ key: StoreKey, _ entry: Entry) -> Bool {
        guard entries.updateValue(entry, forKey: key) == nil else { return false }
        if entry.durability == .ring { ring.put(key, entry) }
        return true
    }

    /// Puts what was loaded in the order of its writes.
    mutating func sortRing() { ring.sort() }

    /// Checks, numbers and applies one write.
    mutating func apply(_ write: Write, now: Int64) throws(StoreError) -> Applied {
        let before = entries[write.key]
        switch (write.precondition, before) {
        case (.absent, let before?): throw .exists(current: before.revision)
        case (.revision, nil): throw .notFound
        case (.revision(let wanted), let before?) where wanted != before.revision:
            throw .conflict(current: before.revision)
        case (_, nil) where write.value == nil: throw .notFound
        default: break
        }
        revision += 1
        var after: Entry?
        if let value = write.value {
            after = Entry(
                id: before?.id ?? revision, revision: revision, value: value.numbered(revision),
                durability: before?.durability ?? write.durability, time: now)
        }
        set(write.key, from: before, to: after)
        return Applied(change: change(write.key, before, after), before: before, after: after)
    }

    /// Takes back an applied write; the last one first. Its revision stays used.
    mutating func undo(_ applied: Applied) {
        set(applied.change.key, from: applied.after, to: applied.before)
    }

    /// Deletes what the ring can no longer hold.
    mutating func evict(now: Int64, _ limits: StoreLimits) -> [Applied] {
        var evicted: [Applied] = []
        while let key = ring.overdue(now: now, limits, isCurrent: { entries[$0]?.revision == $1 }) {
            guard let before = entries[key] else { continue }
            revision += 1
            set(key, from: before, to: nil)
            evicted.append(Applied(change: change(key, before, nil), before: before, after: nil))
        }
        return evicted
    }

    /// Drops what does not outlive a process. Only for a store that is reopened in place.
    mutating func forgetVolatile() {
        entries = entries.filter { $0.value.durability != .volatile }
    }

    /// The same for a value read from a file whose last revision is `last`; throws when it cannot be.
    mutating func load(
        _ key: StoreKey, _ entry: Entry, _ last: UInt64, _ file: StoreFile
    ) throws(StoreError) {
        guard entry.id <= entry.revision, entry.revision <= last else {
            throw file.damaged("\(key) has revision \(entry.revision), beyond \(last)")
        }
        guard load(key, entry) else { throw file.damaged("\(key) is stored twice") }
    }

    /// Objects and bytes by resource.
    static func sums(_ entries: [StoreKey: Entry]) -> [String: StoreStatistics.Sum] {
        var sums: [String: StoreStatistics.Sum] = [:]
        for (key, entry) in entries { sums[key.resource, default: .init()].add(entry.value.count) }
        return sums
    }

    func objects() -> [StoredObject] {
        entries.map { StoredObject(key: $0.key, revision: $0.value.revision, value: $0.value.value) }
            .sorted { $0.key < $1.key }
    }

    private mutating func set(_ key: StoreKey, from before: Entry?, to after: Entry?) {
        if let before, before.durability == .ring { ring.remove(before) }
        entries[key] = after
        if let after, after.durability == .ring { ring.put(key, after) }
    }

    private func change(_ key: StoreKey, _ before: Entry?, _ after: Entry?) -> Change {
        Change(
            revision: revision, key: key, kind: after == nil ? .delete : .put,
            value: after?.value ?? before!.value,
            previous: before.map { StoredObject(key: key, revision: $0.revision, value: $0.value) },
            durability: after?.durability ?? before!.durability)
    }
}

/// Keys in the order of their last write, with the sums that bound them. A rewritten key leaves a stale slot
/// behind, which is skipped when its turn comes.
struct Ring {
    private struct Slot {
        let key: StoreKey
        let revision: UInt64
        let time: Int64
    }

    private var slots: [Slot] = []
    private var first = 0
    private(set) var count = 0
    private(set) var bytes = 0

    /// Seconds since 1970 of the oldest slot, stale or not.
    var oldest: Int64? { first < slots.count ? slots[first].time : nil }

    mutating func put(_ key: StoreKey, _ entry: StoreState.Entry) {
        slots.append(Slot(key: key, revision: entry.revision, time: entry.time))
        count += 1
        bytes += entry.value.count
    }

    mutating func sort() { slots.sort { $0.revision < $1.revision } }

    mutating func remove(_ entry: StoreState.Entry) {
        count -= 1
        bytes -= entry.value.count
    }

    /// The oldest key when the ring is over a bound, taken out of the order (not out of the sums: `remove` does).
    mutating func overdue(
        now: Int64, _ limits: StoreLimits, isCurrent: (StoreKey, UInt64) -> Bool
    ) -> StoreKey? {
        if slots.count - first > 2 * count + 1024 {
            slots = slots[first...].filter { isCurrent($0.key, $0.revision) }
            first = 0
        }
        while first < slots.count {
            let slot = slots[first]
            let current = isCurrent(slot.key, slot.revision)
            let over = count > limits.ringCount || bytes > limits.ringBytes || now - slot.time > limits.ringAge
            guard over || !current else { return nil }
            first += 1
            if first > 1024, first * 2 > slots.count {
                slots.removeFirst(first)
                first = 0
            }
            if current { return slot.key }
        }
        return nil
    }
}

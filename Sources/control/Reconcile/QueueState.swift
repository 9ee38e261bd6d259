// What a keyed queue knows, as a plain value: no task, no clock. `WorkQueue` performs what it says.
//
//      add ----> ready ----next----> active ----finished----> (gone)
//                  ^                   |  add while active: dirty
//                  +-------------------+  finished: back to ready
//      add(after) -> delayed --due--> ready
//
// A key is never active twice at the same time, is never queued twice, and an add is never lost.

/// The state of a `WorkQueue`. `Instant` is whatever clock the owner uses.
struct QueueState<Key: Hashable & Sendable, Instant: Comparable & Sendable> {
    private var ready: [Key] = []
    private var head = 0
    private var queued: Set<Key> = []
    private var active: Set<Key> = []
    private var dirty: Set<Key> = []
    private var delayed: [Key: Instant] = [:]
    private var failures: [Key: Int] = [:]

    init() {}

    var isIdle: Bool { queued.isEmpty && active.isEmpty && delayed.isEmpty }

    /// The earliest moment at which a delayed key is due.
    var nextDue: Instant? { delayed.values.min() }

    mutating func add(_ key: Key) {
        delayed[key] = nil
        if active.contains(key) {
            dirty.insert(key)
        } else if queued.insert(key).inserted {
            ready.append(key)
        }
    }

    /// Adds at `due`, unless the key is to run earlier anyway.
    mutating func add(_ key: Key, due: Instant) {
        guard !queued.contains(key), !dirty.contains(key) else { return }
        if let known = delayed[key], known <= due { return }
        delayed[key] = due
    }

    /// Moves what is due at `now` to ready; says how many keys moved.
    mutating func release(at now: Instant) -> Int {
        let due = delayed.filter { $0.value <= now }.keys
        for key in due { add(key) }
        return due.count
    }

    mutating func next() -> Key? {
        guard head < ready.count else { return nil }
        let key = ready[head]
        head += 1
        if head > 64, head * 2 > ready.count {
            ready.removeFirst(head)
            head = 0
        }
        queued.remove(key)
        active.insert(key)
        return key
    }

    mutating func succeeded(_ key: Key) {
        failures[key] = nil
        finished(key)
    }

    /// Returns how many times in a row this key has failed, this time included.
    mutating func failed(_ key: Key) -> Int {
        failures[key, default: 0] += 1
        finished(key)
        return failures[key] ?? 1
    }

    private mutating func finished(_ key: Key) {
        active.remove(key)
        if dirty.remove(key) != nil { add(key) }
    }
}

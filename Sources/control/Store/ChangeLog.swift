// Which changes the log still holds: numbers only, as a value; the engines keep the changes themselves.
//
//      first ──expired──> live ──────served──────> end
//
// Entries leave at the old end, when they are too old, too many or too heavy, and in two steps: first nobody is served
// from them any more (`expire`: memory only, so an idle store need not write for it), later they go from the disk
// (`forget`), with the next write or when they are worth a write of their own.

struct ChangeLog {
    struct Entry {
        let revision: UInt64
        /// Seconds since 1970.
        let time: Int64
        /// Bytes of the old value that is kept with the change.
        let bytes: Int
    }

    private var entries: [Entry] = []
    private var first = 0
    private var live = 0
    /// Bytes of old values that are served, and of those that only wait for their deletion.
    private(set) var bytes = 0
    private(set) var expiredBytes = 0
    /// Changes after this revision are all served.
    private(set) var floor: UInt64

    init(floor: UInt64 = 0) {
        self.floor = floor
    }

    /// Entries that are served.
    var count: Int { entries.count - live }
    /// Entries that only wait for their deletion.
    var expired: Int { live - first }
    var oldest: Entry? { live < entries.count ? entries[live] : nil }

    mutating func append(_ entry: Entry) {
        entries.append(entry)
        bytes += entry.bytes
    }

    /// Stops serving what is over a bound. Returns how many entries that were.
    @discardableResult
    mutating func expire(now: Int64, _ limits: StoreLimits) -> Int {
        let before = live
        while let entry = oldest,
            count > limits.logCount || bytes > limits.logBytes || now - entry.time > limits.logAge
        {
            expireOldest(entry)
        }
        return live - before
    }

    /// Stops serving the changes up to that revision. Returns how many they were.
    @discardableResult
    mutating func expire(through revision: UInt64) -> Int {
        let before = live
        while let entry = oldest, entry.revision <= revision { expireOldest(entry) }
        return live - before
    }

    private mutating func expireOldest(_ entry: Entry) {
        live += 1
        bytes -= entry.bytes
        expiredBytes += entry.bytes
        floor = entry.revision
    }

    /// The revision through which the oldest `count` entries, all expired, are to be deleted. `count` is at least 1.
    func lastRevision(ofOldest count: Int) -> UInt64 { entries[first + count - 1].revision }

    /// The oldest `count` entries, all of them expired, are gone.
    mutating func forget(_ count: Int) {
        precondition(count <= expired)
        for index in first..<(first + count) { expiredBytes -= entries[index].bytes }
        first += count
        if first > 1024, first * 2 > entries.count {
            entries.removeFirst(first)
            live -= first
            first = 0
        }
    }
}

// Which changes the log still holds: numbers only, as a value; the engines keep the changes themselves.
// Entries leave at the old end, when they are too old, too many or too heavy.

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
    private(set) var bytes = 0
    /// Changes after this revision are all here.
    private(set) var floor: UInt64

    init(floor: UInt64 = 0) {
        self.floor = floor
    }

    var count: Int { entries.count - first }
    var oldest: Entry? { first < entries.count ? entries[first] : nil }

    mutating func append(_ entry: Entry) {
        entries.append(entry)
        bytes += entry.bytes
    }

    /// How many of the oldest entries are over a bound, at most `most`.
    func surplus(now: Int64, _ limits: StoreLimits, most: Int) -> Int {
        var left = count
        var weight = bytes
        var surplus = 0
        while surplus < most, left > 0 {
            let entry = entries[first + surplus]
            guard left > limits.logCount || weight > limits.logBytes || now - entry.time > limits.logAge else { break }
            left -= 1
            weight -= entry.bytes
            surplus += 1
        }
        return surplus
    }

    /// How many of the oldest entries are not after that revision, at most `most`.
    func count(through revision: UInt64, most: Int) -> Int {
        var count = 0
        while count < most, first + count < entries.count, entries[first + count].revision <= revision { count += 1 }
        return count
    }

    /// The revision that becomes the floor when so many of the oldest entries go. `count` is at least 1.
    func floor(dropping count: Int) -> UInt64 { entries[first + count - 1].revision }

    mutating func drop(_ count: Int) {
        guard count > 0 else { return }
        floor = floor(dropping: count)
        for index in first..<(first + count) { bytes -= entries[index].bytes }
        first += count
        if first > 1024, first * 2 > entries.count {
            entries.removeFirst(first)
            first = 0
        }
    }
}

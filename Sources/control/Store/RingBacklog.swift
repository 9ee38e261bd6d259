// What the disk does not have yet of the ring (events), as a value: it is written once in a while, so that an object
// that changes ten times in between costs one row. A crash loses what is in here; that is what `.ring` says.
//
// Fails only where the file does, and then still holds everything for the next flush.

struct RingBacklog {
    /// Rows of the ring that are on disk.
    private var flushed: Set<UInt64>
    private var changed: Set<StoreKey> = []
    /// Rows that are to go from the disk.
    private var removed: Set<UInt64> = []
    /// Seconds since 1970 of the first change that the disk does not have.
    private(set) var since: Int64?

    init(_ flushed: Set<UInt64> = []) { self.flushed = flushed }

    mutating func note(_ item: StoreState.Applied, _ time: Int64) {
        if item.after != nil {
            changed.insert(item.change.key)
        } else {
            changed.remove(item.change.key)
            if flushed.contains(item.id) { removed.insert(item.id) }
        }
        if since == nil, !changed.isEmpty || !removed.isEmpty { since = time }
    }

    /// Within a transaction; when that has succeeded, `isFlushed`.
    /// - Parameter entries: everything that there is now.
    func flush(to file: StoreFile, _ entries: [StoreKey: StoreState.Entry]) throws(StoreError) {
        for id in removed { try file.delete(id) }
        for key in changed {
            if let entry = entries[key] { try file.put(key, entry) }
        }
    }

    /// The disk has everything.
    mutating func isFlushed(_ entries: [StoreKey: StoreState.Entry]) {
        flushed.subtract(removed)
        for key in changed {
            if let entry = entries[key] { flushed.insert(entry.id) }
        }
        changed = []
        removed = []
        since = nil
    }
}

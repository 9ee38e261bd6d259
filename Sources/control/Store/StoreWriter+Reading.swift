// What a store tells: old changes, figures, a snapshot, and whether the disk holds what memory does. Nothing here
// writes; a store that is not open answers `.closed`.

extension StoreWriter {
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

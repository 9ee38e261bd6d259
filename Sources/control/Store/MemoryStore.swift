// A small real store without a disk, for tests and tools: same protocol, same suite as SQLiteStore. "Disk" is the
// object itself: close and open again, and what a clean stop keeps is there.

internal import Synchronization

/// An ObjectStore in memory. Commits never wait.
public final class MemoryStore: ObjectStore {
    private struct Contents {
        var state = StoreState()
        var changes: [Change] = []
        var log = ChangeLog()
        var onChange: (@Sendable ([Change]) -> Void)?
    }

    private let contents = Mutex(Contents())
    // Outside the mutex, so that onChange, which runs inside it, may ask.
    private let published = Atomic<UInt64>(0)
    private let limits: StoreLimits
    private let now: @Sendable () -> Int64

    /// `now`: seconds since 1970, for the age limits; the wall clock's when nil.
    public init(limits: StoreLimits = StoreLimits(), now: (@Sendable () -> Int64)? = nil) {
        self.limits = limits
        self.now = now ?? wallClockSeconds
    }

    public var currentRevision: UInt64 { published.load(ordering: .acquiring) }
    public var historyFloor: UInt64 { contents.withLock { $0.log.floor } }

    public func open(onChange: @escaping @Sendable ([Change]) -> Void) async throws(StoreError) -> [StoredObject] {
        try contents.withLock { contents throws(StoreError) in
            guard contents.onChange == nil else { throw .locked(path: "(memory)", holder: "this process") }
            contents.onChange = onChange
            contents.state.forgetVolatile()
            return contents.state.objects()
        }
    }

    public func commit(_ write: Write) async throws(StoreError) -> UInt64 {
        try contents.withLock { contents throws(StoreError) in
            guard let onChange = contents.onChange else { throw .closed }
            let time = now()
            let applied = try contents.state.apply(write, now: time)
            let all = [applied] + contents.state.evict(now: time, limits)
            for item in all where item.isDurable {
                contents.changes.append(item.change)
                contents.log.append(item.logEntry(time))
            }
            trim(&contents, now: time)
            published.store(contents.state.revision, ordering: .releasing)
            onChange(all.map(\.change))
            return applied.change.revision
        }
    }

    public func changes(after revision: UInt64) async throws(StoreError) -> [Change] {
        try contents.withLock { contents throws(StoreError) in
            guard contents.onChange != nil else { throw .closed }
            trim(&contents, now: now())
            guard revision >= contents.log.floor else { throw .compacted(floor: contents.log.floor) }
            return contents.changes.filter { $0.revision > revision }
        }
    }

    public func compact(through revision: UInt64) async throws(StoreError) {
        try contents.withLock { contents throws(StoreError) in
            guard contents.onChange != nil else { throw .closed }
            drop(&contents, contents.log.expire(through: revision))
        }
    }

    public func close() async throws(StoreError) {
        try contents.withLock { contents throws(StoreError) in
            guard contents.onChange != nil else { throw .closed }
            contents.onChange = nil
        }
    }

    private func trim(_ contents: inout Contents, now: Int64) {
        drop(&contents, contents.log.expire(now: now, limits))
    }

    private func drop(_ contents: inout Contents, _ count: Int) {
        contents.log.forget(count)
        contents.changes.removeFirst(count)
    }
}

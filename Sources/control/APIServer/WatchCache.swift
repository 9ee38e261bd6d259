// The current objects of one resource, the recent changes, and those who watch.
//
//   store's writer ──apply──> table + ring ──deliver──> live watchers
//                                  ^
//   GET, LIST ──lock, read─────────┘        a watcher that is behind pumps from the ring until it is live again
//
// Everything here is memory; nothing waits. The lock is held for a search, an insert or an append, never while a
// watcher is written to. Only the store's one writer thread applies and delivers, so every watcher sees changes in
// revision order. A watcher's position tells what it has been given: a change that the pump already took from the ring
// is skipped when the writer comes round with it.
//
// Receivers are kept by what they can see (everything, a namespace, one object), so that a change costs nothing for the
// thousand watches of other namespaces.
//
// Versions: `floor` is the oldest revision a watch can resume from. `CacheGroup.applied` is the newest revision that
// every cache contains; this cache may be one batch ahead of it (`last`).

internal import Client
internal import Objects
internal import Store
internal import Synchronization

/// Gets changes. Called on the store's writer thread: must not block.
protocol WatchReceiver: AnyObject, Sendable {
    /// Changes outside of it are not delivered. Constant.
    var scope: WatchScope { get }
    func deliver(_ delivery: Delivery)
    /// The cache was replaced or its resource is gone: the watch ends, and its client asks again.
    func end()
}

/// The part of a resource that a list or a watch can see.
enum WatchScope: Hashable, Sendable {
    case all
    case namespace(String)
    /// By the table's key.
    case object(String)

    /// It may hold many objects.
    var isWide: Bool { if case .object = self { false } else { true } }
}

final class WatchCache: Sendable {
    private struct State {
        var table = ObjectTable()
        var ring: [CacheEvent] = []
        var ringTimes: [ContinuousClock.Instant] = []
        /// Bytes of the old values that only the ring keeps alive.
        var ringBytes = 0
        var floor: UInt64 = 0
        var last: UInt64 = 0
        var receivers: [WatchScope: [any WatchReceiver]] = [:]
        var isClosed = false
        /// Tables that continue tokens were given out for, oldest first.
        var pages: [Page] = []

        func receivers(of key: String, namespace: String) -> [any WatchReceiver] {
            if receivers.isEmpty { return [] }
            var found = receivers[.all] ?? []
            if !namespace.isEmpty, let more = receivers[.namespace(namespace)] { found += more }
            if let more = receivers[.object(key)] { found += more }
            return found
        }
    }

    private struct Page {
        let revision: UInt64
        let table: ObjectTable
        let time: ContinuousClock.Instant
    }

    let declaration: ResourceDeclaration
    let selectable: SelectableFields
    private let group: CacheGroup
    private let labels = LabelPool()
    private let state = Mutex(State())

    /// Bounds of the ring: changes kept, and for how long (a watch may be away for five minutes).
    static let ringLimit = 10_000
    static let ringByteLimit = 32 << 20
    static let ringAge = Duration.seconds(300)
    /// Tables kept for paged lists; what more clients page through is made from the ring.
    private static let pageLimit = 64

    init(_ declaration: ResourceDeclaration, group: CacheGroup) {
        self.declaration = declaration
        self.group = group
        selectable = SelectableFields(declaration.strategy)
    }

    /// An object as this cache holds it. What was stored under another version or schema of a custom resource is
    /// brought to the present one here, once, so that reads need not look.
    func object(_ key: StoreKey, revision: UInt64, value: EncodedObject, tree: JSON) -> CachedObject {
        var value = value
        var tree = tree
        if let custom = declaration.custom, custom.refresh(&tree),
            let (bytes, cut) = tree.encodeCut(at: ["metadata", "resourceVersion"])
        {
            value = EncodedObject(bytes: bytes, cut: cut).numbered(revision)
        }
        return CachedObject(
            key: key, revision: revision, value: value, tree: tree, selectable: selectable, labels: labels)
    }

    // MARK: - Writing (store's opener and writer thread)

    /// Fills the cache with what the store had, in key order, and with the changes it remembers.
    func load(_ objects: [CachedObject], history: [CacheEvent], floor: UInt64) {
        let now = ContinuousClock.now
        state.withLock { state in
            state.table = ObjectTable(sorted: objects.sorted { $0.key < $1.key })
            state.ring = history
            state.ringTimes = Array(repeating: now, count: history.count)
            state.ringBytes = history.reduce(0) { $0 + $1.keptBytes }
            state.floor = floor
            state.last = max(history.last?.revision ?? 0, objects.reduce(0) { max($0, $1.revision) })
        }
    }

    /// Takes a change in and gives it to the watchers. `tree`: the new object if the writer has it parsed.
    func apply(_ change: Change, tree: JSON?) {
        let now = ContinuousClock.now
        var parsed = tree
        var object: CachedObject?
        if change.kind == .put {
            if parsed == nil { parsed = try? JSON.parse(change.bytes) }
            object = self.object(
                change.key, revision: change.revision, value: change.value, tree: parsed ?? .null)
            // Brought to another shape: the tree at hand is not that of the object.
            if declaration.custom != nil, object?.value != change.value { parsed = nil }
        }
        let fresh = object
        let key = CachedObject.tableKey(namespace: change.key.namespace, name: change.key.name)
        let (event, receivers) = state.withLock { state in
            let previous = fresh.map { state.table.insert($0) } ?? state.table.remove(key)
            let event = CacheEvent(revision: change.revision, object: fresh, previous: previous)
            state.ring.append(event)
            state.ringTimes.append(now)
            state.ringBytes += event.keptBytes
            state.last = change.revision
            trim(&state)
            return (event, state.receivers(of: key, namespace: change.key.namespace))
        }
        if receivers.isEmpty { return }
        let delivery = Delivery(event, tree: parsed)
        for receiver in receivers { receiver.deliver(delivery) }
    }

    /// Forgets changes that are too old to resume from.
    func expire(now: ContinuousClock.Instant = .now) {
        state.withLock { state in
            let limit = now - WatchCache.ringAge
            let old = state.ringTimes.firstIndex { $0 > limit } ?? state.ringTimes.count
            if old > 0 { drop(&state, old) }
            state.pages.removeAll { $0.time <= limit }
        }
    }

    /// Keeps the ring within its bounds; an eighth at a time, so that it is moved rarely.
    private func trim(_ state: inout State) {
        let count = state.ring.count
        if count > WatchCache.ringLimit + WatchCache.ringLimit / 8 {
            drop(&state, count - WatchCache.ringLimit)
        } else if state.ringBytes > WatchCache.ringByteLimit, count > 1 {
            var rest = state.ringBytes
            var surplus = 0
            while surplus < count - 1, rest > WatchCache.ringByteLimit / 8 * 7 {
                rest -= state.ring[surplus].keptBytes
                surplus += 1
            }
            drop(&state, surplus)
        }
    }

    private func drop(_ state: inout State, _ count: Int) {
        for event in state.ring[..<count] { state.ringBytes -= event.keptBytes }
        state.floor = state.ring[count - 1].revision
        state.ring.removeFirst(count)
        state.ringTimes.removeFirst(count)
    }

    // MARK: - Reading

    func object(namespace: String, name: String) -> CachedObject? {
        let key = CachedObject.tableKey(namespace: namespace, name: name)
        return state.withLock { $0.table[key] }
    }

    /// The table and the revision at which it is exact.
    func snapshot() -> (table: ObjectTable, revision: UInt64) {
        let applied = group.applied
        return state.withLock { ($0.table, max(applied, $0.last)) }
    }

    /// Remembers a table that a client pages through, for as long as the ring remembers changes.
    func keep(_ table: ObjectTable, at revision: UInt64, now: ContinuousClock.Instant = .now) {
        state.withLock { state in
            guard !state.pages.contains(where: { $0.revision == revision }) else { return }
            if state.pages.count >= WatchCache.pageLimit { state.pages.removeFirst() }
            state.pages.append(Page(revision: revision, table: table, time: now))
        }
    }

    /// The table as it was at `revision`: one that was kept, or the current one with later changes undone. nil when
    /// the ring does not reach back so far, or for a revision of the future.
    ///
    /// The lock is held to find the changes and to copy references to them; the undoing, up to a whole ring of it,
    /// works on a table of its own.
    func snapshot(at revision: UInt64) -> ObjectTable? {
        let applied = group.applied
        let found = state.withLock { state -> (table: ObjectTable, later: [CacheEvent])? in
            guard revision <= max(applied, state.last) else { return nil }
            if let page = state.pages.last(where: { $0.revision == revision }) { return (page.table, []) }
            guard revision < state.last else { return (state.table, []) }
            guard revision >= state.floor else { return nil }
            return (state.table, Array(state.ring[firstIndex(state.ring, after: revision)...]))
        }
        guard let found else { return nil }
        var table = found.table
        for event in found.later.reversed() {
            if let previous = event.previous {
                table.insert(previous)
            } else if let object = event.object {
                table.remove(object.key)
            }
        }
        return table
    }

    // MARK: - Watching

    enum Resume {
        /// Changes after the position, oldest first, and the position behind them.
        case behind([CacheEvent])
        /// Nothing is missing: `ready` was called, within the lock, and the receiver is subscribed.
        case live
        /// Nothing is missing and nothing will come: the cache was closed.
        case ended
        case tooOld(floor: UInt64)
        case future(current: UInt64)
    }

    /// The changes a receiver has not seen, or, when there are none, subscribes it. `ready` runs inside the cache's
    /// lock, so that no change can fall between.
    func resume(_ receiver: any WatchReceiver, after position: UInt64, limit: Int, ready: () -> Void) -> Resume {
        let applied = group.applied
        return state.withLock { state in
            let current = max(applied, state.last)
            if position > current { return .future(current: current) }
            if position < state.floor { return .tooOld(floor: state.floor) }
            if let last = state.ring.last, last.revision > position {
                let start = firstIndex(state.ring, after: position)
                return .behind(Array(state.ring[start..<min(start + limit, state.ring.count)]))
            }
            if state.isClosed { return .ended }
            if state.receivers[receiver.scope]?.contains(where: { $0 === receiver }) != true {
                state.receivers[receiver.scope, default: []].append(receiver)
            }
            ready()
            return .live
        }
    }

    /// The revision of the last change in here.
    var lastRevision: UInt64 { state.withLock { $0.last } }

    /// Ends every watch that has been given everything; others end when they have.
    func close() {
        let receivers = state.withLock { state in
            state.isClosed = true
            defer { state.receivers = [:] }
            return state.receivers.values.flatMap { $0 }
        }
        for receiver in receivers { receiver.end() }
    }

    func remove(_ receiver: any WatchReceiver) {
        state.withLock { state in
            guard var group = state.receivers.removeValue(forKey: receiver.scope) else { return }
            group.removeAll { $0 === receiver }
            if !group.isEmpty { state.receivers[receiver.scope] = group }
        }
    }

    var receivers: [any WatchReceiver] { state.withLock { $0.receivers.values.flatMap { $0 } } }

    /// Every live watcher was given all changes up to here.
    var reached: UInt64 { group.applied }

    /// How many objects there are.
    var count: Int { state.withLock { $0.table.count } }

    private func firstIndex(_ ring: [CacheEvent], after revision: UInt64) -> Int {
        var low = 0
        var high = ring.count
        while low < high {
            let middle = (low + high) / 2
            if ring[middle].revision <= revision { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// The caches of all resources, and the revision they have reached together.
final class CacheGroup: Sendable {
    private let reached = Atomic<UInt64>(0)

    /// Every cache contains, and every live watcher was given, all changes up to here.
    var applied: UInt64 { reached.load(ordering: .acquiring) }

    func advance(to revision: UInt64) { reached.store(revision, ordering: .releasing) }
}

// Keeps something that is derived from the objects of one resource (rules by subject, pods by node) exactly as fresh
// as the cache: when a write is acknowledged, whoever follows has seen it.
//
//   snapshot ──> changes since ──none left──> live
//      ^              │
//      └── the cache has forgotten some: what differs from what was told, and nil for what is gone
//
// `set` is called for every object that is there and then for every change, in order: the objects of the start on the
// caller's thread, later changes on the store's writer thread, so it must not block. A follower that is live cannot
// fall behind, because the writer waits for it.

internal import Client
internal import Objects
internal import Store

final class CacheFollower: WatchReceiver {
    /// The key in the cache, the object after the change (nil: gone), and its tree, parsed when asked for. May be told
    /// of a key that it never knew to be gone.
    typealias Set = @Sendable (_ key: String, _ object: CachedObject?, _ tree: () -> JSON) -> Void

    let scope = WatchScope.all
    private let set: Set

    /// Follows until the cache is gone.
    @discardableResult init(_ cache: WatchCache, _ set: @escaping Set) {
        self.set = set
        var told = Told()
        // Ends: a round that follows another one only tells of what changed meanwhile, so that it is short.
        while !follow(cache, &told) {}
    }

    /// What `set` was told so far.
    private struct Told {
        var table = ObjectTable()
        /// Keys of the changes that were told after the table.
        var changed: Swift.Set<String> = []
    }

    /// False when the cache has forgotten changes that were not told yet: more came than it remembers.
    private func follow(_ cache: WatchCache, _ told: inout Told) -> Bool {
        let (table, revision) = cache.snapshot()
        replace(told, by: table)
        told = Told(table: table)
        var position = revision
        while true {
            switch cache.resume(self, after: position, limit: 1024, ready: {}) {
            case .live, .ended: return true
            case .behind(let events):
                for event in events {
                    take(event) { event.object?.tree() ?? .null }
                    if let key = (event.object ?? event.previous)?.key { told.changed.insert(key) }
                }
                position = events.last?.revision ?? position
            case .tooOld, .future: return false
            }
        }
    }

    private func replace(_ told: Told, by table: ObjectTable) {
        func drop(_ key: String) { if table[key] == nil { set(key, nil) { .null } } }
        told.table.scan { object in
            drop(object.key)
            return true
        }
        for key in told.changed { drop(key) }
        table.scan { object in
            let isTold = !told.changed.contains(object.key) && told.table[object.key] === object
            if !isTold { set(object.key, object) { object.tree() } }
            return true
        }
    }

    func deliver(_ delivery: Delivery) {
        take(delivery.event) { delivery.tree(.modified) }
    }

    /// The resources that are followed are built in: their caches stay as long as the server.
    func end() {}

    private func take(_ event: CacheEvent, _ tree: () -> JSON) {
        if let object = event.object {
            set(object.key, object, tree)
        } else if let previous = event.previous {
            set(previous.key, nil, { .null })
        }
    }
}

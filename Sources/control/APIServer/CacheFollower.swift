// Keeps something that is derived from the objects of one resource (rules by subject, pods by node) exactly as fresh
// as the cache: when a write is acknowledged, whoever follows has seen it.
//
// `set` is called for every object that is there and then for every change, in order: the objects of the start on the
// caller's thread, later changes on the store's writer thread, so it must not block.

internal import Client
internal import Objects
internal import Store

final class CacheFollower: WatchReceiver {
    /// The key in the cache, the object after the change (nil: gone), and its tree, parsed when asked for.
    typealias Set = @Sendable (_ key: String, _ object: CachedObject?, _ tree: () -> JSON) -> Void

    let scope = WatchScope.all
    private let set: Set

    /// Follows until the cache is gone.
    @discardableResult init(_ cache: WatchCache, _ set: @escaping Set) {
        self.set = set
        let (table, revision) = cache.snapshot()
        table.scan { object in
            set(object.key, object, { object.tree() })
            return true
        }
        var position = revision
        while true {
            switch cache.resume(self, after: position, limit: 1024, ready: {}) {
            case .live, .ended: return
            case .behind(let events):
                for event in events { take(event) { event.object?.tree() ?? .null } }
                position = events.last?.revision ?? position
            case .tooOld, .future:
                // The position is that of a snapshot taken a moment ago.
                fatalError("the cache of \(cache.declaration.id) lost changes while it was being read")
            }
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

// Making the next snapshot: which custom resources it has, and their caches.
//
// A cache is kept while its definition means the same. When a schema, a version or a selectable field changed, a new
// cache takes the old one's objects in their new shape, and the watches of the old one end (their clients ask again, as
// they do when kube-apiserver replaces its storage). Objects are taken over before the swap; the few that changed
// meanwhile are taken over during it, while the store's writer waits.

internal import Logging
internal import Objects
internal import Store
internal import Synchronization

extension CustomResources {
    /// Puts what changed into service. `changed`: the definition, or nil when it is gone.
    func serve(_ changed: [String: (definition: CustomDefinition, revision: UInt64)?], _ core: APICore) {
        var groups: Set<String> = []
        var caches: [String: (cache: WatchCache, filled: Filled)] = [:]
        var next = state.withLock { $0.known }
        for (name, entry) in changed {
            let before = next[name]
            guard let (definition, revision) = entry, definition.isEstablished else {
                if let before {
                    groups.insert(before.stored.id.group)
                    next[name] = nil
                }
                continue
            }
            if let before, before.shape == CustomResources.shape(definition) {
                next[name]?.revision = revision
                continue
            }
            guard let fresh = CustomResources.compile(definition, revision) else {
                core.logger.error("CustomResourceDefinition without a storage version", metadata: ["name": "\(name)"])
                continue
            }
            next[name] = fresh
            groups.insert(definition.group)
            let storeName = APICore.storeName(fresh.stored.id)
            // Only its names or its end: objects look as they did, and watches go on.
            // (A deletion counts as a generation.)
            if let before, before.shape.uid == fresh.shape.uid,
                before.shape.generation == fresh.shape.generation || fresh.shape.isTerminating
            {
                continue
            }
            let cache = WatchCache(fresh.stored, group: core.group)
            let old = core.served.byStorage[storeName]
            let orphans = state.withLock { $0.orphans.removeValue(forKey: storeName) ?? [] }
            caches[storeName] = (cache, Filled(cache, from: old, orphans: orphans))
        }
        let known = next
        state.withLock { $0.known = known }
        if groups.isEmpty { return }
        core.serve { old in
            for (cache, filled) in caches.values { filled.finish(cache, at: core.group.applied) }
            let fresh = caches.mapValues(\.cache)
            return state.withLock {
                CustomResources.snapshot(old, $0, group: core.group, changed: fresh, groups: groups)
            }
        }
        listeners.tell()
    }

    /// The built-in resources of `old` with the custom ones of `state`.
    /// - Parameter changed: new caches by the store's name; others are taken from `old`, or made empty.
    static func snapshot(
        _ old: Served, _ state: State, group: CacheGroup, changed: [String: WatchCache], groups: Set<String>? = nil
    ) -> Served {
        var declarations = old.registry.declarations.filter { $0.custom == nil }
        var byStorage = old.byStorage.filter { $0.value.declaration.custom == nil }
        var hidden: [ResourceDeclaration] = []
        for known in state.known.values.sorted(by: { $0.definition.name < $1.definition.name }) {
            declarations += known.served
            hidden.append(known.stored)
            let name = APICore.storeName(known.stored.id)
            byStorage[name] = changed[name] ?? old.byStorage[name] ?? WatchCache(known.stored, group: group)
        }
        let registry = Registry(declarations)
        let affected = groups ?? Set(hidden.map(\.id.group))
        return Served(
            registry: registry, documents: Documents(registry, after: old.documents, changed: affected),
            byStorage: byStorage, hidden: hidden)
    }

    /// The objects of a new cache, from its predecessor or from what the store had without a definition.
    struct Filled {
        private let old: WatchCache?
        private let revision: UInt64
        private var objects: [String: CachedObject] = [:]

        init(_ cache: WatchCache, from old: WatchCache?, orphans: [StoredObject]) {
            self.old = old
            guard let old else {
                revision = 0
                for orphan in orphans {
                    guard let tree = try? JSON.parse(orphan.bytes) else { continue }
                    let object = cache.object(orphan.key, revision: orphan.revision, value: orphan.value, tree: tree)
                    objects[object.key] = object
                }
                return
            }
            let (table, revision) = old.snapshot()
            self.revision = revision
            objects.reserveCapacity(table.count)
            table.scan { object in
                objects[object.key] = Filled.renewed(object, cache)
                return true
            }
        }

        private static func renewed(_ object: CachedObject, _ cache: WatchCache) -> CachedObject {
            let key = StoreKey(
                resource: APICore.storeName(cache.declaration.id), namespace: object.namespace, name: object.name)
            return cache.object(key, revision: object.revision, value: object.value, tree: object.tree())
        }

        /// While nothing changes: the predecessor's last changes, and the load. Where a predecessor ends, watches can
        /// go on; a resource without one begins at `revision`.
        func finish(_ cache: WatchCache, at revision: UInt64) {
            var all: [CachedObject] = []
            if let old {
                old.snapshot().table.scan { object in
                    if let known = objects[object.key], known.revision == object.revision {
                        all.append(known)
                    } else {
                        all.append(Filled.renewed(object, cache))
                    }
                    return true
                }
            } else {
                all = Array(objects.values)
            }
            cache.load(all, history: [], floor: old?.lastRevision ?? revision)
        }
    }
}

// The API without its wire: caches, the write path and the rules between objects. The HTTP front and the in-process
// client are two faces of it, so that a controller inside noded meets the same admission and validation as kubectl.
//
//   read:   cache -> answer                                                    (at once, on the caller's thread)
//   write:  decode -> prepare -> admit -> validate -> encode once -> store -> caches -> answer      (after the fsync)
//
// A write reads its old object from the cache, which holds every acknowledged write, and commits on condition that the
// object is still of that revision; when it is not, the write starts over unless the client named the revision.

internal import Client
internal import Logging
internal import Objects
internal import Store
internal import Synchronization
internal import System

final class APICore: Sendable {
    let configuration: APIServerConfiguration
    let store: any ObjectStore
    let logger: Logger
    let group = CacheGroup()
    let addresses: ServiceAddresses
    let admission = AdmissionState()
    let tokens: ServiceAccountTokens
    let authorization = Authorization()
    let nodeGraph = NodeGraph()
    let customResources = CustomResources()
    private let current: Mutex<Served>
    /// Held while changes go into the caches and while the set of caches changes: no change falls between.
    private let applying = Mutex(())
    /// Trees of writes that are being committed, so that caches and in-process watchers need not parse them again.
    private let pending = Mutex<[StoreKey: [(value: EncodedObject, tree: JSON)]]>([:])
    private let ready = Atomic<Bool>(false)
    private let bootstrapped = Atomic<Bool>(false)
    /// Why the store did not take the last write that it should have kept; nil when it did.
    let storeProblem = Mutex<String?>(nil)

    init(store: any ObjectStore, registry: Registry, configuration: APIServerConfiguration, logger: Logger) {
        self.store = store
        self.configuration = configuration
        self.logger = logger
        tokens = ServiceAccountTokens(configuration)
        addresses = ServiceAddresses(ranges: configuration.serviceCIDRs, nodePorts: configuration.nodePorts)
        current = Mutex(Served(registry, group: group, serverAddress: configuration.serverAddress))
    }

    /// What is offered now. A request takes what it needs from one snapshot.
    var served: Served { current.withLock { $0 } }
    var registry: Registry { served.registry }

    /// Swaps in another snapshot; `make` is given the present one, while no change goes into any cache.
    func serve(_ make: (Served) -> Served) {
        applying.withLock { _ in
            let old = served
            let new = make(old)
            current.withLock { $0 = new }
            for (name, cache) in old.byStorage where new.byStorage[name] !== cache { cache.close() }
        }
    }

    var isReady: Bool { ready.load(ordering: .acquiring) }

    /// The objects that every cluster has are there.
    var isBootstrapped: Bool { bootstrapped.load(ordering: .acquiring) }

    func finishBootstrap() { bootstrapped.store(true, ordering: .releasing) }

    // MARK: - Opening

    /// Opens the store and fills the caches. Once.
    func open() async throws(StoreError) {
        let objects = try await store.open { [self] changes in take(changes) }
        let revision = store.currentRevision
        let floor = store.historyFloor
        var history: [String: [Change]] = [:]
        // A store that cannot tell its history just makes watchers start over.
        let known = (try? await store.changes(after: floor)) ?? []
        for change in known { history[change.key.resource, default: []].append(change) }
        // Custom resources come from their definitions, so those are looked at before other objects find their caches.
        serve { customResources.begin($0, objects, group, logger) }
        let byStorage = served.byStorage
        var loaded: [String: [CachedObject]] = [:]
        for object in objects {
            guard let cache = byStorage[object.key.resource] else { continue }
            guard let tree = try? JSON.parse(object.bytes) else {
                throw .corrupt(path: "store", detail: "the value of \(object.key) is not JSON")
            }
            if cache.declaration.id == .services { addresses.observe(old: nil, new: tree) }
            loaded[object.key.resource, default: []].append(
                cache.object(object.key, revision: object.revision, value: object.value, tree: tree))
        }
        for (name, cache) in byStorage {
            // Only what is written through has a history that outlives the process.
            let durable = cache.declaration.durability == .durable
            let events = durable ? (history[name] ?? []).map { event($0, cache) } : []
            cache.load(loaded[name] ?? [], history: events, floor: durable ? floor : revision)
        }
        loadAdmission()
        group.advance(to: revision)
        ready.store(true, ordering: .releasing)
    }

    private func event(_ change: Change, _ cache: WatchCache) -> CacheEvent {
        func cached(_ value: EncodedObject, _ revision: UInt64) -> CachedObject {
            cache.object(
                change.key, revision: revision, value: value,
                tree: (try? JSON.parse(value.joined(revision))) ?? .null)
        }
        return CacheEvent(
            revision: change.revision, object: change.kind == .put ? cached(change.value, change.revision) : nil,
            previous: change.previous.map { cached($0.value, $0.revision) })
    }

    /// The store's writer thread: changes, after their fsync, in order.
    private func take(_ changes: [Change]) {
        applying.withLock { _ in apply(changes, served.byStorage) }
        if let last = changes.last { group.advance(to: last.revision) }
    }

    private func apply(_ changes: [Change], _ byStorage: [String: WatchCache]) {
        for change in changes {
            guard let cache = byStorage[change.key.resource] else { continue }
            var tree: JSON?
            if change.kind == .put {
                tree = pending.withLock { $0[change.key]?.first { $0.value == change.value }?.tree }
                tree?.set("metadata", "resourceVersion", to: .string(String(change.revision)))
            }
            if cache.declaration.id == .services {
                let old = change.previous.flatMap { try? JSON.parse($0.bytes) }
                let new = change.kind == .put ? tree ?? (try? JSON.parse(change.bytes)) : nil
                addresses.observe(old: old, new: new)
            }
            cache.apply(change, tree: tree)
            followAdmission(change, cache.declaration, tree: tree)
        }
    }

    // MARK: - Reading

    func declaration(_ id: ResourceID) throws(APIStatus) -> ResourceDeclaration {
        guard let declaration = registry.find(id) else { throw .noSuchResource }
        return declaration
    }

    func cache(_ declaration: ResourceDeclaration) throws(APIStatus) -> WatchCache {
        if let cache = served.cache(declaration.storage) { return cache }
        // A custom resource may have gone since the request began.
        throw declaration.custom == nil ? .methodNotAllowed(declaration.id, "get") : .noSuchResource
    }

    func object(_ declaration: ResourceDeclaration, _ key: ObjectKey) throws(APIStatus) -> CachedObject {
        guard let object = try cache(declaration).object(namespace: key.namespace, name: key.name) else {
            throw .notFound(declaration.id, key.name)
        }
        return object
    }

    /// For admission: nil when there is no such object or resource.
    func peek(_ id: ResourceID, namespace: String = "", name: String) -> CachedObject? {
        served.cache(id)?.object(namespace: namespace, name: name)
    }

    var allCaches: [WatchCache] { Array(served.byStorage.values) }

    /// The caches' upkeep, called about once a minute: old changes are forgotten, quiet watches get a bookmark.
    func tick() {
        let revision = group.applied
        for cache in allCaches {
            cache.expire()
            for case let watcher as StreamWatcher in cache.receivers { watcher.bookmark(revision: revision) }
        }
    }

    // MARK: - Committing

    /// "pods", "apps/deployments": the store's name of a resource.
    static let definitionStore = storeName(.customResourceDefinitions)

    static func storeName(_ id: ResourceID) -> String { id.group.isEmpty ? id.resource : "\(id.group)/\(id.resource)" }

    func storeKey(_ declaration: ResourceDeclaration, _ key: ObjectKey) -> StoreKey {
        StoreKey(resource: APICore.storeName(declaration.storage), namespace: key.namespace, name: key.name)
    }

    /// Encodes once and stores. The tree's own resourceVersion does not matter.
    func put(
        _ declaration: ResourceDeclaration, _ key: ObjectKey, _ tree: JSON, _ precondition: Write.Precondition
    ) async throws(StoreError) -> Stored {
        // Another view of a stored kind (events.k8s.io) is stored in that kind's shape; the answer is encoded apart.
        let isView = declaration.storage != declaration.id
        let stored = isView ? declaration.strategy.toStorage(tree) : tree
        guard let (bytes, cut) = stored.encodeCut(at: ["metadata", "resourceVersion"]) else {
            fatalError("an object without metadata reached the store: \(declaration.id) \(key)")
        }
        let value = EncodedObject(bytes: bytes, cut: cut)
        let storeKey = storeKey(declaration, key)
        let durability: Durability =
            switch declaration.durability {
            case .durable: .durable
            case .volatile: .volatile
            case .ring: .ring
            }
        pending.withLock { $0[storeKey, default: []].append((value, stored)) }
        defer {
            pending.withLock { pending in
                guard var list = pending[storeKey] else { return }
                if let index = list.firstIndex(where: { $0.value == value }) { list.remove(at: index) }
                pending[storeKey] = list.isEmpty ? nil : list
            }
        }
        let revision = try await commit(
            Write(key: storeKey, precondition: precondition, value: value, durability: durability))
        if isView {
            // Another version of a custom resource may lose fields that the stored version does not have.
            return Stored(unstored: declaration.custom == nil ? tree : declaration.shown(stored), revision: revision)
        }
        return Stored(value: value, revision: revision, tree: tree)
    }

    /// Removes; returns the revision of the deletion.
    func remove(
        _ declaration: ResourceDeclaration, _ key: ObjectKey, _ precondition: Write.Precondition
    ) async throws(StoreError) -> UInt64 {
        try await commit(Write(key: storeKey(declaration, key), precondition: precondition, value: nil))
    }

    private func commit(_ write: Write) async throws(StoreError) -> UInt64 {
        do throws(StoreError) {
            let revision = try await store.commit(write)
            // What only memory holds says nothing of the disk.
            if write.durability == .durable { storeProblem.withLock { $0 = nil } }
            return revision
        } catch {
            switch error {
            case .exists, .conflict, .notFound: break
            default: storeProblem.withLock { $0 = error.description }
            }
            throw error
        }
    }

    /// What a failing store means to a client.
    func failure(_ error: StoreError, _ declaration: ResourceDeclaration, _ name: String) -> APIStatus {
        switch error {
        case .exists: return .alreadyExists(declaration.id, name)
        case .conflict: return .conflict(declaration.id, name)
        case .notFound: return .notFound(declaration.id, name)
        case .closed: return .unavailable("the store is not open")
        case _ where error.isOutOfSpace:
            // As etcd does, and with the HTTP code that says it (RFC 4918, 11.5).
            return APIStatus(code: 507, reason: "InsufficientStorage", message: error.description)
        case .full, .io, .corrupt, .badBackup, .storeExists, .notAStore, .newerFormat, .locked, .compacted:
            return .internalError(error.description)
        }
    }
}

/// An object after a write: what was stored and the tree it came from.
struct Stored: Sendable {
    let value: EncodedObject
    let revision: UInt64
    private let bare: JSON

    init(value: EncodedObject, revision: UInt64, tree: JSON) {
        self.value = value
        self.revision = revision
        bare = tree
    }

    init(_ object: CachedObject, tree: JSON) { self.init(value: object.value, revision: object.revision, tree: tree) }

    /// For a dry run: nothing was stored; `revision` 0 leaves the resourceVersion out.
    init(unstored tree: JSON, revision: UInt64) {
        var bare = tree
        bare.set("metadata", "resourceVersion", to: revision == 0 ? nil : .string(String(revision)))
        self.init(value: EncodedObject(prefix: bare.encode(), suffix: []), revision: 0, tree: bare)
        isUnstored = true
    }

    private(set) var isUnstored = false

    var tree: JSON {
        if isUnstored { return bare }
        var tree = bare
        tree.set("metadata", "resourceVersion", to: .string(String(revision)))
        return tree
    }

    var pieces: [ArraySlice<UInt8>] {
        [isUnstored ? value.prefix : value.joined(revision)[...]]
    }
}

extension ResourceDeclaration {
    /// A stored tree as this resource shows it.
    func shown(_ stored: JSON) -> JSON { storage == id ? stored : strategy.fromStorage(stored) }

    /// The stored bytes are what this resource shows.
    var showsStoredBytes: Bool { storage == id }
}

// What the server offers at one moment: resources, their caches, the documents that describe them. Immutable.
//
// Custom resources come and go while requests run. Each change makes a new snapshot and swaps it in whole
// (APICore.serve); a request takes its resource from one snapshot and keeps that, so it never sees half a change.
// Caches of resources that did not change are shared between snapshots, and so are their OpenAPI documents.

internal import Objects

final class Served: Sendable {
    let registry: Registry
    let documents: Documents
    /// By the resource whose objects are stored. A custom resource's cache is found under each of its versions, so
    /// that a request that began before its storage version changed still finds it.
    private let caches: [ResourceID: WatchCache]
    /// By the store's name of the resource.
    let byStorage: [String: WatchCache]

    /// - Parameter caches: one for each stored resource of the registry, by the store's name.
    /// - Parameter hidden: stored resources that the registry may lack, because their version is not served.
    init(
        registry: Registry, documents: Documents, byStorage: [String: WatchCache], hidden: [ResourceDeclaration] = []
    ) {
        self.registry = registry
        self.documents = documents
        self.byStorage = byStorage
        var caches: [ResourceID: WatchCache] = [:]
        for declaration in registry.declarations + hidden where declaration.isStored {
            guard let cache = byStorage[APICore.storeName(declaration.storage)] else { continue }
            caches[declaration.storage] = cache
            if declaration.custom != nil { caches[declaration.id] = cache }
        }
        self.caches = caches
    }

    /// The built-in resources, with empty caches.
    convenience init(_ registry: Registry, group: CacheGroup, serverAddress: String) {
        var byStorage: [String: WatchCache] = [:]
        for declaration in registry.declarations where declaration.storage == declaration.id && declaration.isStored {
            byStorage[APICore.storeName(declaration.id)] = WatchCache(declaration, group: group)
        }
        self.init(
            registry: registry, documents: Documents(registry, serverAddress: serverAddress), byStorage: byStorage)
    }

    func cache(_ storage: ResourceID) -> WatchCache? { caches[storage] }
}

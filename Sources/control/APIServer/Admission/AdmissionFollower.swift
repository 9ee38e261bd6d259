// How admission's memory follows the store: at start from the filled caches, then with every change, on the store's
// writer thread, after the caches have it.

internal import Client
internal import Objects
internal import Store

extension APICore {
    /// Once, when the caches are filled.
    func loadAdmission() {
        var quotas: [String: [String: JSON]] = [:]
        for cache in allCaches {
            let id = cache.declaration.id
            guard PolicyObjects.kept.contains(id) || id == .resourceQuotas else { continue }
            cache.snapshot().table.scan { object in
                if id == .resourceQuotas {
                    quotas[object.namespace, default: [:]][object.name] = object.tree()["spec"] ?? [:]
                } else {
                    admission.policies.observe(id, namespace: object.namespace, name: object.name, object.tree())
                }
                return true
            }
        }
        for (namespace, specs) in quotas { rebuildQuotas(namespace, specs) }
    }

    /// - Parameter tree: the new object, when the writer has it at hand.
    func followAdmission(_ change: Change, _ declaration: ResourceDeclaration, tree: JSON?) {
        let id = declaration.id
        let (namespace, name) = (change.key.namespace, change.key.name)
        func new() -> JSON? { change.kind == .put ? tree ?? (try? JSON.parse(change.bytes)) : nil }
        if PolicyObjects.kept.contains(id) {
            return admission.policies.observe(id, namespace: namespace, name: name, new())
        }
        if id == .resourceQuotas { followQuota(change, new()) }
        guard !namespace.isEmpty, admission.quotas.tracks(namespace), id != .events else { return }
        if QuotaUsage.measured.contains(id) {
            return admission.quotas.observe(id, ObjectKey(namespace: namespace, name: name), new())
        }
        // A change that is neither the first nor the last of an object counts nothing.
        switch (change.kind, change.previous) {
        case (.put, nil): admission.quotas.count(id, namespace, 1, uid: new()?.at("metadata", "uid")?.string)
        case (.put, _?): break
        default: admission.quotas.count(id, namespace, -1, uid: nil)
        }
    }

    private func followQuota(_ change: Change, _ new: JSON?) {
        let old = change.previous.flatMap { try? JSON.parse($0.bytes) }
        guard old == nil || new == nil || old?["spec"] != new?["spec"] else { return }
        var specs: [String: JSON] = [:]
        guard let cache = try? self.cache(declaration(.resourceQuotas)) else { return }
        cache.snapshot().table.scan(prefix: change.key.namespace + "/") { object in
            specs[object.name] = object.tree()["spec"] ?? [:]
            return true
        }
        rebuildQuotas(change.key.namespace, specs)
    }

    /// Reads every object of the namespace that one of its quotas counts: once for each quota that comes, goes or
    /// changes its spec.
    private func rebuildQuotas(_ namespace: String, _ specs: [String: JSON]) {
        let prefix = namespace + "/"
        let caches = allCaches
        admission.quotas.rebuild(namespace, specs) { id in
            var objects: [String: JSON] = [:]
            caches.first { $0.declaration.id == id }?.snapshot().table.scan(prefix: prefix) { object in
                objects[object.name] = object.tree()
                return true
            }
            return objects
        } counts: { names in
            var counts: [String: Int] = [:]
            for cache in caches where !QuotaUsage.measured.contains(cache.declaration.id) {
                let counted = QuotaUsage.countNames(cache.declaration.id).filter(names.contains)
                if counted.isEmpty { continue }
                var number = 0
                cache.snapshot().table.scan(prefix: prefix) { _ in
                    number += 1
                    return true
                }
                for name in counted { counts[name] = number }
            }
            return counts
        }
    }
}

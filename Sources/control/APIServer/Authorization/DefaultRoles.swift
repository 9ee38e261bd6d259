// The default roles and bindings, made at start and kept complete: what is missing in one is added, what somebody
// added stays, and one whose annotation rbac.authorization.kubernetes.io/autoupdate is "false" is left alone
// (Kubernetes, "Auto-reconciliation").
//
// All of them are written at once, so that the store groups them into few transactions: a first start has 0.5 s.

internal import Client
internal import Objects

enum DefaultRoles {
    static let autoupdate = "rbac.authorization.kubernetes.io/autoupdate"

    static func reconcile(_ core: APICore) async throws(APIStatus) {
        let failures = await withTaskGroup(of: APIStatus?.self) { group in
            for object in DefaultPolicy.objects {
                group.addTask {
                    do throws(APIStatus) {
                        try await reconcile(object, core)
                        return nil
                    } catch {
                        return error
                    }
                }
            }
            var failures: [APIStatus] = []
            for await failure in group { if let failure { failures.append(failure) } }
            return failures
        }
        if let first = failures.first { throw first }
    }

    private static func reconcile(_ wanted: JSON, _ core: APICore) async throws(APIStatus) {
        guard let gvk = GroupVersionKind(of: wanted), let declaration = core.registry.find(gvk) else {
            fatalError("a default role of a kind that is not served: \(wanted["kind"] ?? .null)")
        }
        let key = ObjectKey(wanted)
        guard let present = core.peek(declaration.id, namespace: key.namespace, name: key.name) else {
            do throws(APIStatus) {
                _ = try await core.create(declaration, namespace: nil, wanted, WriteOptions())
            } catch {
                // Another server of this cluster was faster.
                guard error.isAlreadyExists else { throw error }
            }
            return
        }
        let old = present.tree()
        guard let merged = merge(old, wanted) else { return }
        if merged["roleRef"] != old["roleRef"] {
            // A binding cannot change its role.
            _ = try await core.delete(declaration, key, DeleteOptions(), WriteOptions())
            var fresh = merged
            for field in ["uid", "resourceVersion", "creationTimestamp"] { fresh.set("metadata", field, to: nil) }
            _ = try await core.create(declaration, namespace: nil, fresh, WriteOptions())
            return
        }
        _ = try await core.update(declaration, key, subresource: nil, merged, WriteOptions())
    }

    /// The present object with what it lacks; nil when it lacks nothing or does not want to be touched. Pure.
    static func merge(_ present: JSON, _ wanted: JSON) -> JSON? {
        if present.at("metadata", "annotations", autoupdate)?.string == "false" { return nil }
        var merged = present
        for field in ["labels", "annotations"] {
            for (key, value) in wanted.at("metadata", field)?.object ?? JSONObject()
            where present.at("metadata", field, key) == nil {
                merged.set("metadata", field, key, to: value)
            }
        }
        if let rule = wanted["aggregationRule"] {
            merged["aggregationRule"] = union(present["aggregationRule"], rule, "clusterRoleSelectors")
        } else if wanted["rules"] != nil {
            let missing = RuleCoverage.missing(PolicyRule.rules(of: wanted), held: PolicyRule.rules(of: present))
            if !missing.isEmpty {
                let added = RuleCoverage.compacted(missing).map(\.json)
                merged["rules"] = .array((present["rules"]?.array ?? []) + added)
            }
        }
        if let role = wanted["roleRef"] {
            merged["roleRef"] = role
            if let subjects = wanted["subjects"] {
                let united = union(["subjects": present["subjects"] ?? []], ["subjects": subjects], "subjects")
                merged["subjects"] = united["subjects"]
            }
        }
        return merged == present ? nil : merged
    }

    private static func union(_ present: JSON?, _ wanted: JSON, _ list: String) -> JSON {
        let old = present?[list]?.array ?? []
        let more = (wanted[list]?.array ?? []).filter { !old.contains($0) }
        var result = present ?? [:]
        result[list] = .array(old + more)
        return result
    }
}

// Subresources that are not just another face of the object: scale and binding.

internal import Client
internal import Objects
internal import Store
internal import System

extension APICore {
    // MARK: - scale (autoscaling/v1 Scale of what has replicas)

    /// Sets the replicas of an object. `make` turns the current Scale into the wanted one.
    func updateScale(
        _ declaration: ResourceDeclaration, _ key: ObjectKey, _ options: WriteOptions,
        _ make: (JSON) throws(APIStatus) -> JSON
    ) async throws(APIStatus) -> JSON {
        guard let subresource = declaration.subresource("scale") else { throw .noSuchResource }
        let stored = try await modify(declaration, key, target: .subresource("scale"), options) {
            old throws(APIStatus) in
            let wanted = try declaration.decode(
                try make(declaration.scale(of: old)), subresource: subresource, duplicates: options.duplicates,
                validation: options.validation
            ).object
            let name = wanted.at("metadata", "name")?.string ?? ""
            guard name.isEmpty || name == key.name else {
                throw .badRequest("the name of the object (\(name)) does not match the name on the URL (\(key.name))")
            }
            let replicas = wanted.at("spec", "replicas")?.int ?? 0
            guard replicas >= 0 else {
                let error = FieldError.invalid(
                    FieldPath("spec.replicas"), .int(replicas), "must be greater than or equal to 0")
                throw .invalid(subresource.kind, key.name, [error])
            }
            var object = old
            object.set(declaration.custom?.scale?.replicas ?? ["spec", "replicas"], to: .int(replicas))
            // A version in the Scale is the object's: a precondition.
            object.set(
                "metadata", "resourceVersion", to: APICore.version(of: wanted).map { .string($0) })
            return object
        }
        return declaration.scale(of: stored.tree)
    }

    func patchScale(
        _ declaration: ResourceDeclaration, _ key: ObjectKey, _ type: PatchType, _ body: JSON, _ options: WriteOptions
    ) async throws(APIStatus) -> JSON {
        let gvk = GroupVersionKind(group: "autoscaling", version: "v1", kind: "Scale")
        guard let schema = Registry.schema(of: gvk) else { throw .internalError("no schema for Scale") }
        return try await updateScale(declaration, key, options) { scale throws(APIStatus) in
            try Patching.apply(type, body, to: scale, schema)
        }
    }

    // MARK: - binding (a pod gets its node)

    func bind(_ namespace: String, _ pod: String?, _ body: JSON, _ options: WriteOptions) async throws(APIStatus) {
        let bindings = try declaration(.bindings)
        let binding = try bindings.decode(
            body, duplicates: options.duplicates, validation: options.validation
        ).object
        let named = binding.at("metadata", "name")?.string ?? ""
        let name = pod ?? named
        guard named.isEmpty || named == name else {
            throw .badRequest("name in URL does not match name in Binding object")
        }
        let errors = bindings.strategy.validate(binding)
        guard errors.isEmpty else { throw .invalid(bindings.gvk, name, errors) }
        let pods = try declaration(.pods)
        let key = ObjectKey(namespace: namespace, name: name)
        let uid = binding.at("metadata", "uid")?.string ?? ""
        while true {
            let current = try object(pods, key)
            let old = current.tree()
            let present = old.at("metadata", "uid")?.string ?? ""
            if !uid.isEmpty, uid != present {
                throw .conflict(
                    ResourceID(group: "", version: "v1", resource: "pods/binding"), name,
                    "Precondition failed: UID in precondition: \(uid), UID in object meta: \(present)")
            }
            var bound = try PodStrategy.bind(old, binding)
            let conditions = APICore.scheduled(old.at("status", "conditions")?.array ?? [])
            bound.set("status", "conditions", to: .array(conditions))
            if options.dryRun { return }
            do throws(StoreError) {
                _ = try await put(pods, key, bound, .revision(current.revision))
                return
            } catch {
                if case .conflict = error { continue }
                throw failure(error, pods, name)
            }
        }
    }

    /// The pod's conditions with PodScheduled true.
    private static func scheduled(_ conditions: [JSON]) -> [JSON] {
        if conditions.contains(where: { $0["type"]?.string == "PodScheduled" && $0["status"]?.string == "True" }) {
            return conditions
        }
        let condition: JSON = [
            "type": "PodScheduled", "status": "True", "lastProbeTime": .null,
            "lastTransitionTime": .string(Timestamp.now().rfc3339),
        ]
        return conditions.filter { $0["type"]?.string != "PodScheduled" } + [condition]
    }
}

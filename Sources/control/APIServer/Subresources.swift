// scale: the subresource that shows and sets the replicas of what has them.

internal import Client
internal import Objects

extension APICore {
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
}

// Keeping metadata.managedFields with every write that is not an apply: what it changes becomes its manager's.
//
// Runs last, on the object as it will be stored, so that what defaults, strategies and admission did counts as the
// writer's, and what they took back does not. An object without owners (they were reset) is left alone.
// Fails only for managedFields that the client itself wrote, with 422.

internal import Client
internal import Objects
internal import System

extension APICore {
    /// How this resource and the other versions of its kind name their fields.
    func forms(_ declaration: ResourceDeclaration) -> ObjectForms {
        let registry = registry
        return ObjectForms(apiVersion: declaration.id.apiVersion, root: declaration.schema.root) { version in
            let other = registry.declarations.first {
                $0.storage == declaration.storage && $0.id.apiVersion == version && $0.kind == declaration.kind
            }
            guard let other else { return nil }
            return ObjectForm(root: other.schema.root) { object in
                let stored = declaration.showsStoredBytes ? object : declaration.strategy.toStorage(object)
                return other.shown(stored)
            }
        }
    }

    /// Who writes, as managedFields name them.
    func owner(
        _ declaration: ResourceDeclaration, _ target: WriteTarget, _ operation: FieldOwner.Operation,
        _ options: WriteOptions
    ) -> FieldOwner {
        var subresource = ""
        if case .subresource(let name) = target { subresource = name }
        return FieldOwner(
            manager: options.manager, operation: operation, apiVersion: declaration.id.apiVersion,
            subresource: subresource)
    }

    /// A new object is its creator's, whatever it brought as managedFields.
    func own(new object: inout JSON, _ declaration: ResourceDeclaration, _ options: WriteOptions) {
        guard options.tracksOwners else { return }
        let managed = ManagedFields.created(
            object, forms(declaration), by: owner(declaration, .main, .update, options),
            time: Timestamp.now().rfc3339)
        object.set("metadata", "managedFields", to: managed.json)
    }

    /// A changed object: what the write brought is its writer's.
    func own(
        changed object: inout JSON, old: JSON, _ declaration: ResourceDeclaration, _ target: WriteTarget,
        _ options: WriteOptions
    ) throws(APIStatus) {
        guard options.tracksOwners else { return }
        let before = old.at("metadata", "managedFields")
        var managed: ManagedFields
        // A write through a subresource, and one that does not know of owners, leaves them as they are.
        let given = target == .main ? object.at("metadata", "managedFields") : nil
        if given == nil || given == before {
            guard let before else {
                object.set("metadata", "managedFields", to: nil)
                return
            }
            object.set("metadata", "managedFields", to: before)
            if object == old { return }
            managed = ManagedFields(stored: old)
        } else {
            do throws(FieldErrors) {
                managed = try ManagedFields(client: object) ?? ManagedFields(stored: old)
            } catch {
                let name = object.at("metadata", "name")?.string ?? ""
                throw .invalid(declaration.gvk, name, error.errors)
            }
        }
        managed.update(
            from: old, to: object, forms(declaration), by: owner(declaration, target, .update, options),
            time: Timestamp.now().rfc3339)
        object.set("metadata", "managedFields", to: managed.json)
    }
}

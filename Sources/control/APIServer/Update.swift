// update and patch: both turn the old object into a new one; what differs is how the new one is made.
//
//   read old -> make new -> version, identity agree? -> prepare -> admit -> validate -> same? -> commit if unchanged
//        ^                                                                                          │
//        └────────────────── someone else was faster, and the client named no version ──────────────┘
//
// A write that changes nothing is not stored: the object keeps its resourceVersion and no watcher hears of it. A write
// that takes the last finalizer off an object that waits for it deletes the object.

internal import Client
internal import Objects
internal import Store

extension APICore {
    /// The right to update or to patch is not the right to create what is not there.
    func mayCreate(_ declaration: ResourceDeclaration, _ key: ObjectKey, _ options: WriteOptions) throws(APIStatus) {
        try authorization.check(
            options.user, AccessRequest("create", declaration.id, namespace: key.namespace, name: key.name), self)
    }

    /// Rounds before a busy object gives a conflict after all.
    private static let rounds = 64

    /// PUT. Returns the object and whether it was created (kinds that allow it).
    func update(
        _ declaration: ResourceDeclaration, _ key: ObjectKey, subresource: String?, _ body: JSON,
        _ options: WriteOptions
    ) async throws(APIStatus) -> (Stored, created: Bool) {
        let decoded = try declaration.decode(body, duplicates: options.duplicates, validation: options.validation)
        options.warnings.add(decoded.warnings)
        if subresource == nil, declaration.strategy.allowsCreateOnUpdate,
            try cache(declaration).object(namespace: key.namespace, name: key.name) == nil
        {
            try mayCreate(declaration, key, options)
            return (try await create(declaration, namespace: key.namespace, decoded.object, options), true)
        }
        if !declaration.strategy.allowsUnconditionalUpdate, APICore.version(of: decoded.object) == nil {
            let error = FieldError.invalid(
                FieldPath("metadata.resourceVersion"), .int(0), "must be specified for an update")
            throw .invalid(declaration.gvk, key.name, [error])
        }
        let stored = try await modify(declaration, key, target: WriteTarget(subresource), options) { _ in
            decoded.object
        }
        if declaration.id == .customResourceDefinitions { await customResources.settle(self) }
        return (stored, false)
    }

    /// PATCH. The patch is applied anew to each newer version of the object, unless it carries a resourceVersion.
    func patch(
        _ declaration: ResourceDeclaration, _ key: ObjectKey, subresource: String?, _ type: PatchType, _ body: JSON,
        _ options: WriteOptions
    ) async throws(APIStatus) -> Stored {
        if type == .strategic, declaration.custom != nil {
            throw .unsupportedMediaType(accepted: [PatchType.json, .merge, .apply].map(\.rawValue))
        }
        let stored = try await modify(declaration, key, target: WriteTarget(subresource), options) {
            old throws(APIStatus) in
            let patched = try Patching.apply(type, body, to: old, declaration.schema)
            let decoded = try declaration.decode(
                patched, duplicates: options.duplicates, validation: options.validation)
            options.warnings.add(decoded.warnings)
            return decoded.object
        }
        if declaration.id == .customResourceDefinitions { await customResources.settle(self) }
        return stored
    }

    /// Changes an object by a function of its current state.
    /// - Parameter make: gives the new object, with a resourceVersion if that must be the current one.
    func modify(
        _ declaration: ResourceDeclaration, _ key: ObjectKey, target: WriteTarget, _ options: WriteOptions,
        _ make: (JSON) throws(APIStatus) -> JSON
    ) async throws(APIStatus) -> Stored {
        for _ in 0..<APICore.rounds {
            let current = try object(declaration, key)
            let old = declaration.shown(current.tree())
            var new = try make(old)
            let isConditional = try agree(&new, old, current, declaration, key)
            declaration.prepareForUpdate(&new, old: old, target: target)
            var request = AdmissionRequest(declaration, .update, namespace: key.namespace, object: new, options)
            request.name = key.name
            request.old = old
            request.target = target
            defer { request.release() }
            try Admission.admit(&request, self)
            let errors = declaration.validateUpdate(request.object, old: old, target: target)
            guard errors.isEmpty else { throw .invalid(declaration.gvk, key.name, errors) }
            try Admission.validate(&request, self)
            new = request.object
            new.set("metadata", "resourceVersion", to: .string(String(current.revision)))
            try own(changed: &new, old: old, declaration, target, options)
            let isLast = Deletion.isFinished(new, declaration)
            if new == old, !isLast { return unchanged(current, old, declaration) }
            if options.dryRun { return Stored(unstored: new, revision: current.revision) }
            do throws(StoreError) {
                guard isLast else { return try await put(declaration, key, new, .revision(current.revision)) }
                let revision = try await remove(declaration, key, .revision(current.revision))
                return Stored(unstored: new, revision: revision)
            } catch {
                switch error {
                case .conflict where !isConditional: continue
                case .notFound where isConditional: throw .conflict(declaration.id, key.name)
                default: throw failure(error, declaration, key.name)
                }
            }
        }
        throw .conflict(declaration.id, key.name)
    }

    private func unchanged(_ current: CachedObject, _ tree: JSON, _ declaration: ResourceDeclaration) -> Stored {
        declaration.showsStoredBytes
            ? Stored(current, tree: tree) : Stored(unstored: tree, revision: current.revision)
    }

    /// Name, namespace, uid and version of the new object against the request and the old object.
    /// Returns whether the client named the version.
    private func agree(
        _ new: inout JSON, _ old: JSON, _ current: CachedObject, _ declaration: ResourceDeclaration, _ key: ObjectKey
    ) throws(APIStatus) -> Bool {
        let name = new.at("metadata", "name")?.string ?? ""
        if name.isEmpty {
            new.set("metadata", "name", to: .string(key.name))
        } else if name != key.name {
            throw .badRequest(
                "the name of the object (\(name)) does not match the name on the URL (\(key.name))")
        }
        if declaration.isNamespaced {
            let namespace = new.at("metadata", "namespace")?.string ?? ""
            if namespace.isEmpty {
                new.set("metadata", "namespace", to: .string(key.namespace))
            } else if namespace != key.namespace {
                throw .badRequest(
                    "the namespace of the provided object does not match the namespace sent on the request")
            }
        }
        let uid = new.at("metadata", "uid")?.string ?? ""
        let oldUID = old.at("metadata", "uid")?.string ?? ""
        if !uid.isEmpty, uid != oldUID {
            throw .conflict(
                declaration.id, key.name,
                "Precondition failed: UID in precondition: \(uid), UID in object meta: \(oldUID)")
        }
        guard let version = APICore.version(of: new) else { return false }
        guard UInt64(version) != nil else {
            throw .invalid(
                declaration.gvk, key.name,
                [.invalid(FieldPath("metadata.resourceVersion"), .string(version), "must be an unsigned integer")])
        }
        if version != String(current.revision) { throw .conflict(declaration.id, key.name) }
        return true
    }

    /// The resourceVersion a client named; "0" and "" are none.
    static func version(of object: JSON) -> String? {
        guard let version = object.at("metadata", "resourceVersion")?.string, !version.isEmpty, version != "0" else {
            return nil
        }
        return version
    }
}

// Server-side apply over the write path: an update whose new object the configuration and the owners make, or a create
// when there is no such object. The decisions are in Objects/Apply.

internal import Client
internal import Objects
internal import Store
internal import System

extension APICore {
    /// Rounds between "is not there" and "is there already" before giving up.
    private static let applyRounds = 8

    /// PATCH with an applied configuration. Returns the object and whether it was created.
    func apply(
        _ declaration: ResourceDeclaration, _ key: ObjectKey, subresource: String?, _ body: JSON,
        _ options: WriteOptions
    ) async throws(APIStatus) -> (Stored, created: Bool) {
        var options = options
        options.tracksOwners = false
        let target = WriteTarget(subresource)
        var config = try configuration(body, declaration.gvk, declaration.schema, options)
        options.duplicates = []
        if target.isStatus {
            config = .object((config.object ?? JSONObject()).filter { key, _ in
                ["apiVersion", "kind", "metadata", "status"].contains(key)
            })
        } else if declaration.hasStatus {
            config["status"] = nil
        }
        for _ in 0..<APICore.applyRounds {
            let isThere = try cache(declaration).object(namespace: key.namespace, name: key.name) != nil
            do throws(APIStatus) {
                if isThere || subresource != nil {
                    let stored = try await apply(declaration, key, target, config, options)
                    if declaration.id == .customResourceDefinitions { await customResources.settle(self) }
                    return (stored, false)
                }
                try mayCreate(declaration, key, options)
                return (try await create(declaration, key, applying: config, options), true)
            } catch {
                guard isThere ? error.isNotFound : error.isAlreadyExists, !options.dryRun else { throw error }
            }
        }
        throw .conflict(declaration.id, key.name)
    }

    /// PATCH of a scale with an applied Scale: its replicas are a field of the object.
    func applyScale(
        _ declaration: ResourceDeclaration, _ key: ObjectKey, _ body: JSON, _ options: WriteOptions
    ) async throws(APIStatus) -> JSON {
        guard let subresource = declaration.subresource("scale"), let schema = Registry.schema(of: subresource.kind)
        else { throw .noSuchResource }
        let scale = try configuration(body, subresource.kind, schema, options)
        var config: JSON = [
            "apiVersion": .string(declaration.id.apiVersion), "kind": .string(declaration.kind),
            "metadata": ["name": scale.at("metadata", "name") ?? .string(key.name)],
        ]
        if let replicas = scale.at("spec", "replicas")?.int {
            guard replicas >= 0 else {
                let error = FieldError.invalid(
                    FieldPath("spec.replicas"), .int(replicas), "must be greater than or equal to 0")
                throw .invalid(subresource.kind, key.name, [error])
            }
            config.set(declaration.custom?.scale?.replicas ?? ["spec", "replicas"], to: .int(replicas))
        }
        config.set("metadata", "resourceVersion", to: scale.at("metadata", "resourceVersion"))
        var options = options
        options.tracksOwners = false
        options.duplicates = []
        return declaration.scale(
            of: try await apply(declaration, key, .subresource("scale"), config, options).tree)
    }

    private func apply(
        _ declaration: ResourceDeclaration, _ key: ObjectKey, _ target: WriteTarget, _ config: JSON,
        _ options: WriteOptions
    ) async throws(APIStatus) -> Stored {
        let owner = owner(declaration, target, .apply, options)
        let forms = forms(declaration)
        return try await modify(declaration, key, target: target, options) { old throws(APIStatus) in
            var merged = try ServerSideApply.apply(
                config, to: old, forms, by: owner, force: options.force, time: Timestamp.now().rfc3339
            ) {
                LastApplied.unchanged(in: old, forms, for: owner) { body throws(APIStatus) in
                    let sent = try configuration(body, declaration.gvk, declaration.schema, options)
                    return (sent, try declaration.decode(sent).object)
                }
            }
            // Only a version that the configuration names is a precondition.
            merged.set("metadata", "resourceVersion", to: config.at("metadata", "resourceVersion"))
            let decoded = try declaration.decode(merged, validation: options.validation)
            options.warnings.add(decoded.warnings)
            return decoded.object
        }
    }

    private func create(
        _ declaration: ResourceDeclaration, _ key: ObjectKey, applying config: JSON, _ options: WriteOptions
    ) async throws(APIStatus) -> Stored {
        if let uid = config.at("metadata", "uid")?.string, !uid.isEmpty {
            throw .conflict(
                declaration.id, key.name,
                "uid mismatch: the provided object specified uid \(uid), and no existing object was found")
        }
        if APICore.version(of: config) != nil { throw .conflict(declaration.id, key.name) }
        let name = config.at("metadata", "name")?.string ?? ""
        guard name.isEmpty || name == key.name else {
            throw .badRequest("the name of the object (\(name)) does not match the name on the URL (\(key.name))")
        }
        let empty: JSON = [
            "apiVersion": .string(declaration.id.apiVersion), "kind": .string(declaration.kind), "metadata": [:],
        ]
        var object = try ServerSideApply.apply(
            config, to: empty, forms(declaration), by: owner(declaration, .main, .apply, options),
            force: options.force, time: Timestamp.now().rfc3339)
        object.set("metadata", "name", to: .string(key.name))
        return try await create(
            declaration, namespace: declaration.isNamespaced ? key.namespace : nil, object, options)
    }

    /// An applied configuration, checked as far as it can be without an object: kind, types, names of fields.
    private func configuration(
        _ body: JSON, _ gvk: GroupVersionKind, _ schema: Schema, _ options: WriteOptions
    ) throws(APIStatus) -> JSON {
        guard body.object != nil else {
            throw .badRequest("error decoding YAML: an applied configuration is an object, not \(body.typeName)")
        }
        guard let kind = body["kind"]?.string, !kind.isEmpty else {
            throw .badRequest("Object 'Kind' is missing in the applied configuration: expected \(gvk.kind)")
        }
        let version = body["apiVersion"]?.string ?? ""
        guard version == gvk.apiVersion else {
            throw .badRequest(
                "Incorrect version specified in apply patch. Specified patch version: \(version), expected: "
                    + gvk.apiVersion)
        }
        guard kind == gvk.kind else {
            throw .badRequest(
                "Incorrect kind specified in apply patch. Specified kind: \(kind), expected: \(gvk.kind)")
        }
        if let managed = body.at("metadata", "managedFields"), !managed.isNull {
            throw .badRequest("metadata.managedFields must be nil")
        }
        if !options.duplicates.isEmpty {
            let fields = options.duplicates.map { "duplicate field \"\($0)\"" }
            switch options.validation {
            case .strict: throw .badRequest("error strict decoding YAML: " + fields.joined(separator: ", "))
            case .warn: options.warnings.add(fields)
            case .ignore: break
            }
        }
        var config = body
        let unknown: [String]
        do throws(TypeMismatch) {
            unknown = try schema.check(&config)
        } catch {
            throw ServerSideApply.untypable(body, error.description)
        }
        if let field = unknown.first {
            throw ServerSideApply.untypable(body, ".\(field): field not declared in schema")
        }
        return config
    }
}

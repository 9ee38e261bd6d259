// The writing verbs over HTTP: the body is parsed on the caller's thread, the rest waits for the store.

internal import Client
internal import HTTP
internal import Objects

extension HTTPFront {
    /// Runs a write and turns what it throws into its Status.
    private func deferred(
        _ work: @escaping @Sendable () async throws(APIStatus) -> HTTPResponse
    ) -> HTTPReply {
        .deferred {
            do throws(APIStatus) {
                return .response(try await work())
            } catch {
                return .response(Responses.failure(error))
            }
        }
    }

    private func writeOptions(_ call: Call, _ kind: String) throws(APIStatus) -> WriteOptions {
        var options = try call.query.writeOptions(kind, user: call.user)
        if options.manager.isEmpty {
            options.manager = FieldOwner.manager(userAgent: call.request.headers["User-Agent"] ?? "")
        }
        return options
    }

    func create(_ call: Call) throws(APIStatus) -> HTTPReply {
        var options = try writeOptions(call, "CreateOptions")
        let body = try Body.object(call.request, &options)
        let namespace = call.declaration.isNamespaced ? call.path.namespace : nil
        if call.declaration.isNamespaced, namespace == nil {
            throw .badRequest("an empty namespace may not be set during creation")
        }
        return deferred { [core, options] () throws(APIStatus) in
            let stored = try await core.create(call.declaration, namespace: namespace, body, options)
            return try respond(call, 201, stored, options)
        }
    }

    func update(_ call: Call, subresource: String?) throws(APIStatus) -> HTTPReply {
        var options = try writeOptions(call, "UpdateOptions")
        let body = try Body.object(call.request, &options)
        return deferred { [core, options] () throws(APIStatus) in
            let (stored, created) = try await core.update(
                call.declaration, call.key, subresource: subresource, body, options)
            return try respond(call, created ? 201 : 200, stored, options)
        }
    }

    func patch(_ call: Call, subresource: String?) throws(APIStatus) -> HTTPReply {
        var options = try writeOptions(call, "PatchOptions")
        let (type, body) = try Body.patch(call, &options)
        return deferred { [core, options] () throws(APIStatus) in
            if type == .apply {
                let (stored, created) = try await core.apply(
                    call.declaration, call.key, subresource: subresource, body, options)
                return try respond(call, created ? 201 : 200, stored, options)
            }
            let stored = try await core.patch(
                call.declaration, call.key, subresource: subresource, type, body, options)
            return try respond(call, 200, stored, options)
        }
    }

    func delete(_ call: Call) throws(APIStatus) -> HTTPReply {
        let (delete, write) = try deleteOptions(call)
        return deferred { [core] () throws(APIStatus) in
            let deleted = try await core.delete(call.declaration, call.key, delete, write)
            if deleted.isGone, !HTTPFront.answersWithObject.contains(call.declaration.id) {
                let uid = deleted.object.tree.at("metadata", "uid")?.string ?? ""
                let status = APIStatus.success(call.declaration.id, call.key.name, uid: uid)
                return Responses.json(200, status, call.negotiated, write.warnings.all)
            }
            let accepted = !deleted.isGone && delete.orphanDependents == false
            return try respond(call, accepted ? 202 : 200, deleted.object, write)
        }
    }

    /// Kinds whose last delete answers with the object instead of a Status.
    private static let answersWithObject: Set<ResourceID> = [
        .pods, .services, .serviceAccounts,
        ResourceID(group: "", version: "v1", resource: "persistentvolumes"),
        ResourceID(group: "", version: "v1", resource: "persistentvolumeclaims"),
        ResourceID(group: "", version: "v1", resource: "podtemplates"),
        ResourceID(group: "", version: "v1", resource: "resourcequotas"),
        ResourceID(group: "storage.k8s.io", version: "v1", resource: "csidrivers"),
        ResourceID(group: "storage.k8s.io", version: "v1", resource: "csinodes"),
        ResourceID(group: "storage.k8s.io", version: "v1", resource: "storageclasses"),
        ResourceID(group: "storage.k8s.io", version: "v1", resource: "volumeattachments"),
    ]

    func deleteCollection(_ call: Call) throws(APIStatus) -> HTTPReply {
        let (delete, write) = try deleteOptions(call)
        let cache = try core.cache(call.declaration)
        let filter = try call.query.filter(call.path, call.declaration, cache.selectable)
        return deferred { [core] () throws(APIStatus) in
            let revision = core.group.applied
            let deleted = try await core.deleteCollection(call.declaration, filter, delete, write)
            let list: JSON = [
                "kind": .string(call.declaration.listKind), "apiVersion": .string(call.declaration.id.apiVersion),
                "metadata": ["resourceVersion": .string(String(revision))], "items": .array(deleted.map(\.tree)),
            ]
            return Responses.json(200, list, call.negotiated, write.warnings.all)
        }
    }

    private func deleteOptions(_ call: Call) throws(APIStatus) -> (DeleteOptions, WriteOptions) {
        var write = try writeOptions(call, "DeleteOptions")
        let body = call.request.body.isEmpty ? nil : try Body.object(call.request, &write)
        let delete = try call.query.deleteOptions(body)
        for value in delete.dryRun {
            guard value == "All" else {
                throw Query.invalid(
                    "DeleteOptions", .notSupported(FieldPath("dryRun"), .string(value), ["All"]))
            }
            write.dryRun = true
        }
        return (delete, write)
    }

    // MARK: - Subresources

    func bind(_ call: Call, pod: String?) throws(APIStatus) -> HTTPReply {
        var options = try writeOptions(call, "CreateOptions")
        let body = try Body.object(call.request, &options)
        return deferred { [core, options] () throws(APIStatus) in
            try await core.bind(call.path.namespace ?? "", pod, body, options)
            return Responses.json(201, Responses.created, call.negotiated, options.warnings.all)
        }
    }

    /// A delete that a PodDisruptionBudget may refuse.
    func evict(_ call: Call) throws(APIStatus) -> HTTPReply {
        var options = try writeOptions(call, "CreateOptions")
        let body = try Body.object(call.request, &options)
        return deferred { [core, options] () throws(APIStatus) in
            try await core.evict(call.key, body, options)
            return Responses.json(201, Responses.created, call.negotiated, options.warnings.all)
        }
    }

    func scale(_ call: Call, _ verb: Verb) throws(APIStatus) -> HTTPReply {
        var options = try writeOptions(call, verb == .patch ? "PatchOptions" : "UpdateOptions")
        if verb == .update {
            let body = try Body.object(call.request, &options)
            return deferred { [core, options] () throws(APIStatus) in
                let scale = try await core.updateScale(call.declaration, call.key, options) { _ in body }
                return try scaleView(call, scale, options.warnings.all)
            }
        }
        let (type, body) = try Body.patch(call, &options)
        return deferred { [core, options] () throws(APIStatus) in
            if type == .apply {
                let scale = try await core.applyScale(call.declaration, call.key, body, options)
                return try scaleView(call, scale, options.warnings.all)
            }
            let scale = try await core.patchScale(call.declaration, call.key, type, body, options)
            return try scaleView(call, scale, options.warnings.all)
        }
    }

    /// A Scale in the representation that was asked for.
    func scaleView(_ call: Call, _ scale: JSON, _ warnings: [String]) throws(APIStatus) -> HTTPResponse {
        guard call.negotiated.representation == .table else { return try view(call, 200, scale, warnings) }
        let version = scale.at("metadata", "resourceVersion") ?? ""
        let table = ObjectViews.table(
            [scale], columns: ScaleTable.columns, metadata: ["resourceVersion": version], include: try include(call),
            cells: ScaleTable.cells)
        return Responses.json(200, table, call.negotiated, warnings)
    }

    private func respond(
        _ call: Call, _ status: Int, _ stored: Stored, _ options: WriteOptions
    ) throws(APIStatus) -> HTTPResponse {
        // What was stored, or would have been (Stored), is already in this resource's own shape.
        if call.negotiated.representation == .object, !call.negotiated.yaml {
            return HTTPResponse(
                status: status, headers: Responses.headers(call.negotiated, options.warnings.all),
                body: stored.pieces)
        }
        return try view(call, status, stored.tree, options.warnings.all)
    }
}

/// Request bodies as trees.
enum Body {
    /// Bytes of a body; Kubernetes' limit for resources is about the same.
    static let limit = 3 << 20

    static func object(_ request: HTTPRequest, _ options: inout WriteOptions) throws(APIStatus) -> JSON {
        try parse(request.body, try Negotiation.bodyEncoding(request.headers), &options.duplicates)
    }

    static func patch(_ call: HTTPFront.Call, _ options: inout WriteOptions) throws(APIStatus) -> (PatchType, JSON) {
        let request = call.request
        let media = Negotiation.mediaType(request.headers["Content-Type"] ?? "")
        guard let type = PatchType(rawValue: media), Patching.types(call.declaration.schema).contains(type) else {
            throw Patching.unsupported(call.declaration.schema)
        }
        try Query.checkPatch(call.query, type)
        guard request.body.count <= limit else { throw .tooLarge(limit: limit) }
        if type == .apply { return (type, try configuration(request.body, &options.duplicates)) }
        do throws(JSONError) {
            return (type, try JSON.parse(request.body, limits: .body, duplicates: &options.duplicates))
        } catch {
            throw .badRequest("error decoding patch: \(error)")
        }
    }

    /// An applied configuration is YAML, of which JSON, what nearly all clients send, is a part.
    private static func configuration(_ bytes: [UInt8], _ duplicates: inout [String]) throws(APIStatus) -> JSON {
        if bytes.first == UInt8(ascii: "{"), let json = try? JSON.parse(bytes, limits: .body, duplicates: &duplicates) {
            return json
        }
        duplicates = []
        do throws(JSONError) {
            let documents = try YAML.parse(bytes, limits: .body, duplicates: &duplicates)
            guard documents.count == 1 else {
                throw JSONError(
                    reason: "expected one YAML document, found \(documents.count)", line: 1, column: 1, offset: 0)
            }
            return documents[0]
        } catch {
            throw .badRequest("error decoding YAML: \(error)")
        }
    }

    private static func parse(
        _ bytes: [UInt8], _ encoding: Negotiation.BodyEncoding, _ duplicates: inout [String]
    ) throws(APIStatus) -> JSON {
        guard bytes.count <= limit else { throw .tooLarge(limit: limit) }
        do throws(JSONError) {
            switch encoding {
            case .json: return try JSON.parse(bytes, limits: .body, duplicates: &duplicates)
            case .yaml:
                let documents = try YAML.parse(bytes, limits: .body, duplicates: &duplicates)
                guard documents.count == 1 else {
                    throw JSONError(
                        reason: "expected one YAML document, found \(documents.count)", line: 1, column: 1, offset: 0)
                }
                return documents[0]
            case .protobuf: break
            }
        } catch {
            throw .badRequest("couldn't get version/kind; \(encoding.rawValue) parse error: \(error)")
        }
        do throws(ProtobufError) {
            return try ProtobufDecoder.decode(bytes)
        } catch {
            throw .badRequest("error decoding protobuf: \(error)")
        }
    }
}

// create: a new object, its name made from generateName when it has none.

internal import Client
internal import Objects
internal import Store
internal import System

extension APICore {
    /// Attempts at a generated name before giving up, as kube-apiserver's.
    private static let nameAttempts = 8

    /// - Parameter namespace: the request's; nil for cluster scope, or to take the object's own (in-process callers).
    func create(
        _ declaration: ResourceDeclaration, namespace: String?, _ body: JSON, _ options: WriteOptions
    ) async throws(APIStatus) -> Stored {
        if let custom = declaration.custom, custom.isTerminating {
            throw APIStatus(
                code: 405, reason: .methodNotAllowed,
                message: "create not allowed while custom resource definition is terminating",
                details: APIStatus.Details(group: declaration.id.group, kind: declaration.id.resource))
        }
        let decoded = try declaration.decode(body, duplicates: options.duplicates, validation: options.validation)
        options.warnings.add(decoded.warnings)
        var object = decoded.object
        let namespace = try place(&object, declaration, namespace)
        if let version = object.at("metadata", "resourceVersion")?.string, !version.isEmpty, version != "0" {
            throw .badRequest("resourceVersion should not be set on objects to be created")
        }
        let isGenerated = (object.at("metadata", "name")?.string ?? "").isEmpty
        var attempt = 1
        while true {
            var request = AdmissionRequest(declaration, .create, namespace: namespace, object: object, options)
            declaration.prepareForCreate(&request.object, uid: Random.uuid(), now: .now())
            request.name = request.object.at("metadata", "name")?.string ?? ""
            do throws(APIStatus) {
                defer { request.release() }
                return try await store(&request, options)
            } catch {
                guard error.isAlreadyExists, isGenerated else { throw error }
                attempt += 1
                if attempt > APICore.nameAttempts {
                    throw .alreadyExists(declaration.id, request.name)
                }
            }
        }
    }

    private func store(_ request: inout AdmissionRequest, _ options: WriteOptions) async throws(APIStatus) -> Stored {
        let declaration = request.declaration
        try Admission.admit(&request, self)
        let errors = declaration.validateCreate(request.object)
        guard errors.isEmpty else { throw .invalid(declaration.gvk, request.name, errors) }
        try Admission.validate(&request, self)
        if let warning = NotActedUpon.warning(declaration.id) { options.warnings.add([warning]) }
        own(new: &request.object, declaration, options)
        let key = ObjectKey(namespace: request.namespace, name: request.name)
        if options.dryRun {
            if try cache(declaration).object(namespace: key.namespace, name: key.name) != nil {
                throw .alreadyExists(declaration.id, key.name)
            }
            return Stored(unstored: request.object, revision: 0)
        }
        let stored: Stored
        do throws(StoreError) {
            stored = try await put(declaration, key, request.object, .absent)
        } catch {
            throw failure(error, declaration, key.name)
        }
        // Served before the answer, so that the client's next request finds the resource.
        if declaration.id == .customResourceDefinitions { await customResources.settle(self) }
        // Made here and not by a controller, so that a pod may follow its namespace at once.
        if declaration.id == .namespaces, isBootstrapped {
            try await Bootstrap.defaultServiceAccount(self, namespace: key.name)
        }
        return stored
    }

    /// Puts the object into the request's namespace; returns it ("" for cluster scope).
    func place(
        _ object: inout JSON, _ declaration: ResourceDeclaration, _ namespace: String?
    ) throws(APIStatus) -> String {
        let own = object.at("metadata", "namespace")?.string ?? ""
        guard declaration.isNamespaced else {
            if own.isEmpty { object.set("metadata", "namespace", to: nil) }
            return ""
        }
        guard let namespace, !namespace.isEmpty else {
            if own.isEmpty { throw .badRequest("an empty namespace may not be set during creation") }
            return own
        }
        if own.isEmpty {
            object.set("metadata", "namespace", to: .string(namespace))
        } else if own != namespace {
            throw .badRequest("the namespace of the provided object does not match the namespace sent on the request")
        }
        return namespace
    }
}

// The API for callers in the same process: controllers, scheduler, kubelet.
//
// The same verbs with the same admission and validation as over HTTP, as a member of system:masters; trees go in and
// out without text in between. Unknown fields are pruned silently, as typed clients do. The manager's name says who
// wrote a field; it gives no rights.

public import Client
public import Objects

public struct InProcessClient: APIClient {
    private let core: APICore
    /// Whose the fields are that are written through it (managedFields).
    private let manager: String

    init(_ core: APICore, manager: String) {
        self.core = core
        self.manager = manager
    }

    private var writeOptions: WriteOptions {
        var options = WriteOptions()
        options.manager = manager
        return options
    }

    /// One answer for every verb while the store is not open yet.
    private func declaration(_ id: ResourceID) throws(APIStatus) -> ResourceDeclaration {
        guard core.isReady else { throw .unavailable("the API server is starting") }
        return try core.declaration(id)
    }

    private func page(
        _ declaration: ResourceDeclaration, _ namespace: String?, _ labels: LabelSelector?, _ fields: FieldSelector?
    ) throws(APIStatus) -> ListPage {
        let cache = try core.cache(declaration)
        return try core.list(declaration, filter(cache, declaration, namespace, labels, fields), ListOptions())
    }

    private func filter(
        _ cache: WatchCache, _ declaration: ResourceDeclaration, _ namespace: String?, _ labels: LabelSelector?,
        _ fields: FieldSelector?
    ) -> ObjectFilter {
        ObjectFilter(
            namespace: namespace, labels: labels, fields: fields, selectable: cache.selectable,
            view: declaration.showsStoredBytes ? nil : declaration)
    }

    public func get(_ resource: ResourceID, _ key: ObjectKey) async throws(APIStatus) -> JSON {
        let declaration = try declaration(resource)
        return declaration.shown(try core.object(declaration, key).tree())
    }

    public func list(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?
    ) async throws(APIStatus) -> ObjectList {
        let declaration = try declaration(resource)
        let page = try page(declaration, namespace, labels, fields)
        return ObjectList(
            items: page.objects.map { declaration.shown($0.tree()) }, resourceVersion: String(page.revision))
    }

    public func keptList(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?
    ) async throws(APIStatus) -> KeptList {
        let declaration = try declaration(resource)
        let page = try page(declaration, namespace, labels, fields)
        let items: [KeptItem] =
            declaration.showsStoredBytes
            ? page.objects.map { .text($0) } : page.objects.map { .tree(declaration.shown($0.tree())) }
        return KeptList(items: items, resourceVersion: String(page.revision))
    }

    public func create(_ resource: ResourceID, _ object: JSON) async throws(APIStatus) -> JSON {
        let declaration = try declaration(resource)
        if !declaration.isStored {
            let review = try declaration.decode(object, validation: .ignore).object
            let namespace = object.at("metadata", "namespace")?.string ?? ""
            guard let answer = try core.accessReview(declaration, namespace: namespace, review, .inProcess) else {
                throw .methodNotAllowed(resource, "create")
            }
            return answer
        }
        return try await core.create(declaration, namespace: nil, object, writeOptions).tree
    }

    public func create(
        _ resource: ResourceID, _ key: ObjectKey, subresource: String, _ object: JSON
    ) async throws(APIStatus) -> JSON {
        _ = try declaration(resource)
        switch (resource, subresource) {
        case (.pods, "binding"): try await core.bind(key.namespace, key.name, object, writeOptions)
        case (.serviceAccounts, "token"): return try core.requestToken(key, object, writeOptions)
        case (.pods, "eviction"): try await core.evict(key, object, writeOptions)
        default: throw .methodNotAllowed(resource, "create")
        }
        return Responses.created
    }

    public func update(_ resource: ResourceID, _ object: JSON, subresource: String?) async throws(APIStatus) -> JSON {
        let declaration = try declaration(resource)
        let key = ObjectKey(object)
        if subresource == "scale" {
            return try await core.updateScale(declaration, key, writeOptions) { _ in object }
        }
        return try await core.update(declaration, key, subresource: subresource, object, writeOptions).0.tree
    }

    public func patch(
        _ resource: ResourceID, _ key: ObjectKey, _ type: PatchType, _ body: JSON, subresource: String?
    ) async throws(APIStatus) -> JSON {
        let declaration = try declaration(resource)
        if subresource == "scale" { return try await core.patchScale(declaration, key, type, body, writeOptions) }
        return try await core.patch(declaration, key, subresource: subresource, type, body, writeOptions).tree
    }

    public func delete(_ resource: ResourceID, _ key: ObjectKey, _ options: DeleteOptions) async throws(APIStatus) {
        _ = try await core.delete(try declaration(resource), key, options, writeOptions)
    }

    public func watch(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?, from: String
    ) -> AsyncThrowingStream<WatchEvent, any Error> {
        AsyncThrowingStream(bufferingPolicy: .bufferingOldest(ClientWatcher.limit)) { continuation in
            do throws(APIStatus) {
                let declaration = try declaration(resource)
                let cache = try core.cache(declaration)
                guard let revision = UInt64(from) else { throw .badRequest("invalid resource version \"\(from)\"") }
                ClientWatcher(
                    cache, declaration, filter: filter(cache, declaration, namespace, labels, fields),
                    continuation: continuation
                ).start(after: revision)
            } catch {
                continuation.finish(throwing: error)
            }
        }
    }
}

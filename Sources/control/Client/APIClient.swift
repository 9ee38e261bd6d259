// The one way in which controllers, scheduler and kubelet speak to the API: typed verbs over JSON objects.
//
// Two implementations have the same semantics: the API server's own (in process, no TLS, no copies) and, for
// nodes that are not servers, one over TLS. Nothing above this protocol can tell which it holds.
//
// Every verb throws `APIStatus`, the API's own error value: `.conflict` when the object has moved on,
// `.notFound`, `.alreadyExists`, `.invalid` with its causes, `.expired` when a watch is too old to resume.

public import Objects

/// What names an object within its resource. `namespace` is empty for cluster-scoped resources.
public struct ObjectKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let namespace: String
    public let name: String

    public init(namespace: String = "", name: String) {
        self.namespace = namespace
        self.name = name
    }

    /// The key of an object, from its metadata.
    public init(_ object: JSON) {
        let metadata = object["metadata"]
        self.init(namespace: metadata?["namespace"]?.string ?? "", name: metadata?["name"]?.string ?? "")
    }

    public static func < (a: ObjectKey, b: ObjectKey) -> Bool {
        (a.namespace, a.name) < (b.namespace, b.name)
    }

    public var description: String { namespace.isEmpty ? name : "\(namespace)/\(name)" }
}

/// One step of a watch, in resourceVersion order.
public struct WatchEvent: Sendable {
    public enum Kind: String, Sendable {
        case added = "ADDED", modified = "MODIFIED", deleted = "DELETED", bookmark = "BOOKMARK"
    }

    public let kind: Kind
    /// The object after the step; at `.deleted` its last state; at `.bookmark` only its resourceVersion counts.
    public let object: JSON
    /// The same object where somebody keeps it anyway, for whoever wants to keep it too.
    public let kept: (any KeptObject)?

    public init(kind: Kind, object: JSON, kept: (any KeptObject)? = nil) {
        self.kind = kind
        self.object = object
        self.kept = kept
    }
}

/// An object that somebody keeps as text, for as long as anybody refers to it. Its tree, which takes several times the
/// memory, is made when it is asked for.
public protocol KeptObject: AnyObject, Sendable {
    /// Bytes of the text.
    var size: Int { get }
    var objectKey: ObjectKey { get }
    func keptTree() -> JSON
}

/// A tree, or where to get it.
public enum KeptItem: Sendable {
    case tree(JSON)
    case text(any KeptObject)

    public var tree: JSON {
        switch self {
        case .tree(let tree): tree
        case .text(let object): object.keptTree()
        }
    }

    public var key: ObjectKey {
        switch self {
        case .tree(let tree): ObjectKey(tree)
        case .text(let object): object.objectKey
        }
    }
}

/// A list for whoever keeps its items.
public struct KeptList: Sendable {
    public let items: [KeptItem]
    public let resourceVersion: String

    public init(items: [KeptItem], resourceVersion: String) {
        self.items = items
        self.resourceVersion = resourceVersion
    }
}

/// A consistent list: `items` are all objects as they stood at `resourceVersion`.
public struct ObjectList: Sendable {
    public let items: [JSON]
    public let resourceVersion: String

    public init(items: [JSON], resourceVersion: String) {
        self.items = items
        self.resourceVersion = resourceVersion
    }
}

/// The verbs of the Kubernetes API (API concepts, "Resource operations").
public protocol APIClient: Sendable {
    func get(_ resource: ResourceID, _ key: ObjectKey) async throws(APIStatus) -> JSON

    /// `namespace` nil lists every namespace.
    func list(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?
    ) async throws(APIStatus) -> ObjectList

    /// The same list for a local copy: what is kept as text anyway comes as such. Without an
    /// implementation of its own a client gives trees.
    func keptList(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?
    ) async throws(APIStatus) -> KeptList

    /// Creates in the namespace that `object.metadata` names; returns the object as stored.
    func create(_ resource: ResourceID, _ object: JSON) async throws(APIStatus) -> JSON

    /// Creates on a subresource of an existing object, such as `binding` or `eviction` of a pod.
    func create(
        _ resource: ResourceID, _ key: ObjectKey, subresource: String, _ object: JSON
    ) async throws(APIStatus) -> JSON

    /// Replaces; a resourceVersion in the object must be the current one, or this throws `.conflict`.
    func update(_ resource: ResourceID, _ object: JSON, subresource: String?) async throws(APIStatus) -> JSON

    func patch(
        _ resource: ResourceID, _ key: ObjectKey, _ type: PatchType, _ body: JSON, subresource: String?
    ) async throws(APIStatus) -> JSON

    func delete(_ resource: ResourceID, _ key: ObjectKey, _ options: DeleteOptions) async throws(APIStatus)

    /// Everything that happens after `from` (a resourceVersion out of a list). The stream ends when the server
    /// closes it and throws `APIStatus` with code 410 when `from` is too old: list again then.
    func watch(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?, from: String
    ) -> AsyncThrowingStream<WatchEvent, any Error>
}

extension APIClient {
    public func keptList(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?
    ) async throws(APIStatus) -> KeptList {
        let list = try await list(resource, namespace: namespace, labels: labels, fields: fields)
        return KeptList(items: list.items.map { .tree($0) }, resourceVersion: list.resourceVersion)
    }

    public func list(_ resource: ResourceID, namespace: String? = nil) async throws(APIStatus) -> ObjectList {
        try await list(resource, namespace: namespace, labels: nil, fields: nil)
    }

    public func update(_ resource: ResourceID, _ object: JSON) async throws(APIStatus) -> JSON {
        try await update(resource, object, subresource: nil)
    }

    public func delete(_ resource: ResourceID, _ key: ObjectKey) async throws(APIStatus) {
        try await delete(resource, key, DeleteOptions())
    }
}

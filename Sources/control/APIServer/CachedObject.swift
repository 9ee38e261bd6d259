// One revision of one object as the watch cache holds it: the store's own buffers and the few parsed fields that
// selectors and admission look at. Immutable, shared by the cache, its snapshots, the event ring and every reader.
//
// The JSON tree is not kept: at 100,000 pods the trees would weigh ten times the bytes. Whoever needs one parses, or
// was handed the tree by the writer (Delivery).

internal import Client
internal import Objects
internal import Store

final class CachedObject: Sendable {
    /// "namespace/name" or "name": the order of lists.
    let key: String
    let namespace: String
    let name: String
    let revision: UInt64
    /// The very buffer the store holds, numbered with the revision.
    let value: EncodedObject
    let labels: [String: String]
    /// Values of the resource's selectable fields, in the order of `SelectableFields`.
    let fields: [String]
    /// metadata.deletionTimestamp is set.
    let isTerminating: Bool

    init(
        key: StoreKey, revision: UInt64, value: EncodedObject, tree: JSON, selectable: SelectableFields,
        labels pool: LabelPool
    ) {
        self.key = CachedObject.tableKey(namespace: key.namespace, name: key.name)
        namespace = key.namespace
        name = key.name
        self.revision = revision
        self.value = value
        let metadata = tree["metadata"]
        labels = pool.shared(metadata?["labels"]?.stringMap ?? [:])
        fields = selectable.values(of: tree)
        isTerminating = metadata?["deletionTimestamp"]?.string != nil
    }

    static func tableKey(namespace: String, name: String) -> String {
        namespace.isEmpty ? name : "\(namespace)/\(name)"
    }

    /// The object as clients see it.
    var bytes: [UInt8] { value.joined(revision) }

    /// The object as a tree, its resourceVersion in it.
    /// Cannot fail: the bytes are our own encoding. Bytes damaged on disk are found when the store is opened.
    func tree(at revision: UInt64? = nil) -> JSON {
        (try? JSON.parse(value.joined(revision ?? self.revision))) ?? .null
    }
}

// An informer in this process keeps the very object that the cache keeps.
extension CachedObject: KeptObject {
    var size: Int { value.count }
    var objectKey: ObjectKey { ObjectKey(namespace: namespace, name: name) }
    func keptTree() -> JSON { tree() }
}

/// The fields of a resource that a fieldSelector may name, beyond metadata.name and metadata.namespace.
struct SelectableFields: Sendable {
    let names: [String]
    private let strategy: any ResourceStrategy

    init(_ strategy: any ResourceStrategy) {
        self.strategy = strategy
        names = strategy.fieldLabels
    }

    func values(of tree: JSON) -> [String] { names.map { strategy.fieldValue($0, of: tree) } }
}

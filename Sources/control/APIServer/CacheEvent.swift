// One change in the words of a watch, and its encodings, made once for all who get it.
//
//   before   after    matched before   matches after   a watcher gets
//   -        object                    yes             ADDED
//   object   object   no               yes             ADDED
//   object   object   yes              yes             MODIFIED
//   object   object   yes              no              DELETED, with the old object
//   object   -        yes                              DELETED, with the old object
//
// A DELETED carries the last state the watcher saw as matching, with the resourceVersion of this change, as Kubernetes
// sends it: so a watch can be resumed from any event.

internal import Client
internal import Objects
internal import Store

struct CacheEvent: Sendable {
    let revision: UInt64
    /// nil when the change deleted it.
    let object: CachedObject?
    let previous: CachedObject?

    /// Bytes that the event keeps in memory after the object has moved on.
    var keptBytes: Int { previous?.value.count ?? 0 }

    /// What a watcher with this filter gets, if anything.
    func kind(for filter: ObjectFilter) -> WatchEvent.Kind? {
        let before = previous.map(filter.matches) ?? false
        let after = object.map(filter.matches) ?? false
        switch (before, after) {
        case (false, false): return nil
        case (false, true): return .added
        case (true, true): return .modified
        case (true, false): return .deleted
        }
    }

    /// The object that goes with the kind, to be shown at this event's revision.
    func subject(_ kind: WatchEvent.Kind) -> CachedObject {
        // kind(for:) gives `.deleted` only with a previous object, the others only with a new one.
        kind == .deleted ? previous! : object!
    }
}

/// Which objects a list or a watch is about.
struct ObjectFilter: Sendable {
    var namespace: String?
    var labels: LabelSelector?
    var fields: FieldSelector?
    /// Where the resource's selectable fields are in `CachedObject.fields`.
    var selectable: SelectableFields
    /// Set when the fields are those of another view of the stored objects: they are then read off that view.
    var view: ResourceDeclaration?

    var hasSelectors: Bool { labels != nil || fields != nil }

    /// The smallest part of the resource that holds everything the filter lets through.
    func scope(_ declaration: ResourceDeclaration) -> WatchScope {
        let name = fields?.requirements.first { $0.equal && $0.field == "metadata.name" }?.value
        guard declaration.isNamespaced else { return name.map { .object($0) } ?? .all }
        guard let namespace else { return .all }
        return name.map { .object(CachedObject.tableKey(namespace: namespace, name: $0)) } ?? .namespace(namespace)
    }

    func matches(_ object: CachedObject) -> Bool {
        if let namespace, object.namespace != namespace { return false }
        if let labels, !labels.matches(object.labels) { return false }
        if let fields {
            if let view {
                let tree = view.shown(object.tree())
                return fields.matches { view.fieldValue($0, of: tree) }
            }
            return fields.matches { name in
                switch name {
                case "metadata.name": object.name
                case "metadata.namespace": object.namespace
                default: selectable.names.firstIndex(of: name).map { object.fields[$0] } ?? ""
                }
            }
        }
        return true
    }
}

/// A change on its way to the watchers. Lives on the writer thread for the time of the fan-out: each encoding is made
/// when the first watcher needs it and shared by all others.
final class Delivery {
    let event: CacheEvent
    /// A handful at most: a search beats hashing.
    private var frames: [Frame] = []
    private var trees: [Bool: JSON] = [:]

    private struct Frame {
        let kind: WatchEvent.Kind
        let view: WatchView
        let resource: ResourceID
        let bytes: [UInt8]
    }

    /// `tree`: the new object, when the writer has it at hand.
    init(_ event: CacheEvent, tree: JSON?) {
        self.event = event
        if let tree { trees[false] = tree }
    }

    func frame(_ kind: WatchEvent.Kind, _ view: WatchView, _ views: ObjectViews) -> [UInt8] {
        for frame in frames
        where frame.kind == kind && frame.view == view && frame.resource == views.declaration.id {
            return frame.bytes
        }
        let bytes = views.frame(kind, event.subject(kind), revision: event.revision, view)
        frames.append(Frame(kind: kind, view: view, resource: views.declaration.id, bytes: bytes))
        return bytes
    }

    func tree(_ kind: WatchEvent.Kind) -> JSON {
        let old = kind == .deleted
        if let tree = trees[old] { return tree }
        let tree = event.subject(kind).tree(at: event.revision)
        trees[old] = tree
        return tree
    }
}

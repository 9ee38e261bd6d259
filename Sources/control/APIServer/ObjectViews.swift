// How stored objects become what a client asked for: themselves, rows of a Table, or PartialObjectMetadata.
//
// The plain view is never parsed or encoded: prefix, digits, suffix. The other two parse the object. Cannot fail.

internal import Client
internal import Objects
internal import Store
internal import System

/// A view within a watch.
struct WatchView: Hashable, Sendable {
    var representation: Representation = .object
    /// What a Table's rows carry beside their cells.
    var include: IncludeObject = .metadata
    /// The first Table of a watch carries the column definitions, later ones do not.
    var columns = false
}

/// The `includeObject` query parameter of Table requests (meta.k8s.io/v1 TableOptions).
enum IncludeObject: String, Hashable, Sendable {
    case none = "None"
    case metadata = "Metadata"
    case object = "Object"
}

struct ObjectViews: Sendable {
    let declaration: ResourceDeclaration

    init(_ declaration: ResourceDeclaration) { self.declaration = declaration }

    // MARK: - One object

    /// The object's bytes as pieces, sharing the store's buffers.
    static func pieces(_ object: CachedObject, revision: UInt64) -> [ArraySlice<UInt8>] {
        [object.value.joined(revision)[...]]
    }

    static func metadata(_ tree: JSON) -> JSON {
        ["kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": tree["metadata"] ?? [:]]
    }

    func table(_ trees: [JSON], metadata: JSON, include: IncludeObject, columns: Bool = true) -> JSON {
        ObjectViews.table(
            trees, columns: columns ? declaration.columns : nil, metadata: metadata, include: include
        ) { declaration.cells($0, now: $1) }
    }

    /// - Parameter columns: nil leaves their definitions out.
    static func table(
        _ trees: [JSON], columns: [TableColumn]?, metadata: JSON, include: IncludeObject,
        cells: (JSON, Timestamp) -> [JSON]
    ) -> JSON {
        let now = Timestamp.now()
        let rows: [JSON] = trees.map { tree in
            var row: JSON = ["cells": .array(cells(tree, now))]
            switch include {
            case .none: row["object"] = .null
            case .metadata: row["object"] = ObjectViews.metadata(tree)
            case .object: row["object"] = tree
            }
            return row
        }
        return [
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "columnDefinitions": columns.map { .array($0.map(\.json)) } ?? .null, "rows": .array(rows),
        ]
    }

    // MARK: - Watch frames

    private static let opening: [WatchEvent.Kind: [UInt8]] = [
        .added: Array(#"{"type":"ADDED","object":"#.utf8),
        .modified: Array(#"{"type":"MODIFIED","object":"#.utf8),
        .deleted: Array(#"{"type":"DELETED","object":"#.utf8),
        .bookmark: Array(#"{"type":"BOOKMARK","object":"#.utf8),
    ]
    private static let closing: [UInt8] = [0x7d, 0x0a]

    /// `{"type":…,"object":…}` and a newline.
    func frame(_ kind: WatchEvent.Kind, _ object: CachedObject, revision: UInt64, _ view: WatchView) -> [UInt8] {
        var frame = ObjectViews.opening[kind]!
        switch view.representation {
        case .object where !declaration.showsStoredBytes:
            declaration.shown(object.tree(at: revision)).encode(into: &frame)
        case .object:
            frame.reserveCapacity(frame.count + object.value.count + 24)
            frame += object.value.joined(revision)
        case .metadata:
            ObjectViews.metadata(object.tree(at: revision)).encode(into: &frame)
        case .table:
            let metadata: JSON = ["resourceVersion": .string(String(revision))]
            table(
                [declaration.shown(object.tree(at: revision))], metadata: metadata, include: view.include,
                columns: view.columns)
                .encode(into: &frame)
        }
        return frame + ObjectViews.closing
    }

    /// A BOOKMARK: nothing but the version, and at the end of streamed initial events their mark.
    func bookmark(revision: UInt64, initialEventsEnd: Bool, _ view: WatchView) -> [UInt8] {
        var metadata: JSON = ["resourceVersion": .string(String(revision)), "creationTimestamp": .null]
        if initialEventsEnd { metadata["annotations"] = ["k8s.io/initial-events-end": "true"] }
        var object: JSON = [
            "kind": .string(declaration.kind), "apiVersion": .string(declaration.id.apiVersion), "metadata": metadata,
        ]
        switch view.representation {
        case .object: break
        case .metadata:
            object["kind"] = "PartialObjectMetadata"
            object["apiVersion"] = "meta.k8s.io/v1"
        case .table:
            let row = ["cells": [], "object": object] as JSON
            object = [
                "kind": "Table", "apiVersion": "meta.k8s.io/v1",
                "metadata": ["resourceVersion": .string(String(revision))],
                "columnDefinitions": view.columns ? .array(declaration.columns.map(\.json)) : .null, "rows": [row],
            ]
        }
        var frame = ObjectViews.opening[.bookmark]!
        object.encode(into: &frame)
        return frame + ObjectViews.closing
    }

    static func errorFrame(_ status: APIStatus) -> [UInt8] {
        var frame = Array(#"{"type":"ERROR","object":"#.utf8)
        status.json.encode(into: &frame)
        return frame + closing
    }
}

// What an object may look like: named definitions with typed fields, referring to each other.
//
//   SchemaCatalog   all definitions of one source (the built-in declaration files, or one CustomResourceDefinition)
//   Schema          one definition of a catalog, seen as the root of an object
//   SchemaNode      a place below it, for code that walks an object beside its schema (patches, apply, OpenAPI)
//
// Definitions refer to each other by index, so a walk looks nothing up by name. Fields are sorted by the bytes of
// their names, as the members of a JSONObject are, so checking an object is one merge of two sorted lists.
// Nothing here can fail at run time: a catalog is complete when it exists (Declarations.swift builds it).

/// The type of a value.
public indirect enum FieldType: Sendable, Hashable {
    case string, int32, int64, double, bool
    /// Base64 text (RFC 4648).
    case bytes
    /// RFC 3339, whole seconds.
    case time
    /// RFC 3339, microseconds.
    case microTime
    case quantity
    case intOrString
    /// An object that is not looked into (RawExtension, FieldsV1).
    case raw
    /// Any value at all.
    case any
    /// The definition at this index of the catalog.
    case object(Int)
    case list(FieldType)
    case map(FieldType)
}

/// One field of a definition.
public struct SchemaField: Sendable {
    public let name: String
    public let type: FieldType
    /// The keys that tell the elements of a list apart (`listType: map`); empty for other lists.
    public let listKeys: [String]
    /// The list is a set of scalars (`listType: set`).
    public let isSet: Bool
    /// The value is replaced as a whole by server-side apply.
    public let isAtomic: Bool
    /// For strategic merge patch: the elements merge by this key; "" for lists of scalars; nil: the list is replaced.
    public let mergeKey: String?
    /// For strategic merge patch: `$retainKeys` is honoured.
    public let retainKeys: Bool
    public let defaultValue: JSON?
}

/// One named object type.
public struct SchemaDefinition: Sendable {
    /// `core.v1.PodSpec`
    public let name: String
    /// `io.k8s.api.core.v1.PodSpec`, as OpenAPI documents name it.
    public let openAPIName: String
    /// `PodSpec`
    public let shortName: String
    public let required: [String]
    public let isAtomic: Bool
    /// Unknown fields are kept (custom resources with x-kubernetes-preserve-unknown-fields).
    public let preservesUnknown: Bool
    /// Sorted by the bytes of their names.
    public let fields: [SchemaField]
    /// This definition, or one below it, has a default.
    public internal(set) var hasDefaults: Bool

    /// The field of that name.
    public func field(_ name: String) -> SchemaField? {
        var low = 0
        var high = fields.count
        while low < high {
            let middle = (low + high) / 2
            if fields[middle].name == name { return fields[middle] }
            if Bytes.less(fields[middle].name, name) { low = middle + 1 } else { high = middle }
        }
        return nil
    }
}

public final class SchemaCatalog: Sendable {
    public let definitions: [SchemaDefinition]
    let indices: [String: Int]

    init(definitions: [SchemaDefinition]) {
        self.definitions = definitions
        indices = Dictionary(uniqueKeysWithValues: definitions.enumerated().map { ($1.name, $0) })
    }

    /// The schema named `core.v1.Pod`; nil when there is none.
    public func schema(_ name: String) -> Schema? {
        indices[name].map { Schema(catalog: self, index: $0) }
    }
}

/// The schema of one kind of object.
public struct Schema: Sendable {
    public let catalog: SchemaCatalog
    let index: Int

    public var definition: SchemaDefinition { catalog.definitions[index] }
    /// `core.v1.Pod`
    public var name: String { definition.name }
    public var openAPIName: String { definition.openAPIName }
    /// The object itself as a place to walk from.
    public var root: SchemaNode { SchemaNode(catalog: catalog, type: .object(index), field: nil) }
}

/// A place in an object.
public struct SchemaNode: Sendable {
    public let catalog: SchemaCatalog
    public let type: FieldType
    /// The field this is the value of; nil for the root and for elements.
    public let field: SchemaField?

    public var definition: SchemaDefinition? {
        if case .object(let index) = type { return catalog.definitions[index] }
        return nil
    }

    /// The place of a member: a field of a definition, or any key of a map. nil when unknown.
    public func child(_ name: String) -> SchemaNode? {
        switch type {
        case .object(let index):
            guard let field = catalog.definitions[index].field(name) else { return nil }
            return SchemaNode(catalog: catalog, type: field.type, field: field)
        case .map(let value): return SchemaNode(catalog: catalog, type: value, field: nil)
        default: return nil
        }
    }

    /// The place of a list's elements; nil when this is no list.
    public var element: SchemaNode? {
        if case .list(let element) = type { return SchemaNode(catalog: catalog, type: element, field: nil) }
        return nil
    }
}

/// Strategic merge patches merge lists by these keys.
extension SchemaNode: PatchSchema {
    public func patchField(_ name: String) -> (any PatchSchema)? { child(name) }
    public var patchElement: (any PatchSchema)? { element }
    public var patchMergeKey: String? { field?.mergeKey.flatMap { $0.isEmpty ? nil : $0 } }
    public var patchStrategies: [String] {
        guard let field else { return [] }
        return (field.mergeKey == nil ? [] : ["merge"]) + (field.retainKeys ? ["retainKeys"] : [])
    }
}

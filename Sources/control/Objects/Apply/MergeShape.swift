// How a place of an object merges in server-side apply ("Server-Side Apply", "Merge strategy"), from its schema:
// `x-kubernetes-list-type`, `-list-map-keys` and `-map-type` as the catalog holds them.
//
// Where no schema says anything (custom resources that preserve unknown fields) the shape follows the value: objects
// merge field by field, lists are replaced as wholes.

/// How the parts of a value are owned.
enum MergeShape {
    /// As one: scalars, and what is declared atomic.
    case whole
    /// An object whose fields are declared.
    case record(Int)
    /// An object of equal values by any key.
    case map(FieldType)
    /// A list of objects, told apart by keys (sorted by name).
    case items([ListKey], FieldType)
    /// A list of different scalars.
    case set
    /// Without a schema: an object's fields one by one, anything else as one.
    case open

    /// - Parameter field: the field whose value this is; nil for elements and for the root.
    init(_ type: FieldType, _ field: SchemaField?, _ catalog: SchemaCatalog) {
        switch type {
        case .object(let index):
            self = field?.isAtomic == true || catalog.definitions[index].isAtomic ? .whole : .record(index)
        case .map(let value): self = field?.isAtomic == true ? .whole : .map(value)
        case .list(let element):
            guard let field, !field.isAtomic else {
                self = .whole
                return
            }
            if field.isSet {
                self = .set
            } else if !field.listKeys.isEmpty {
                self = .items(MergeShape.keys(field.listKeys, element, catalog), element)
            } else {
                self = .whole
            }
        case .any: self = field?.isAtomic == true ? .whole : .open
        default: self = .whole
        }
    }

    private static func keys(_ names: [String], _ element: FieldType, _ catalog: SchemaCatalog) -> [ListKey] {
        guard case .object(let index) = element else {
            return names.sorted(by: Bytes.less).map { ListKey(name: $0, defaultValue: nil) }
        }
        let definition = catalog.definitions[index]
        return (names.count > 1 ? names.sorted(by: Bytes.less) : names).map {
            ListKey(name: $0, defaultValue: definition.field($0)?.defaultValue)
        }
    }
}

/// A place in an object, as walks of server-side apply need to know it.
struct MergePlace {
    let catalog: SchemaCatalog
    let type: FieldType
    let field: SchemaField?

    init(_ catalog: SchemaCatalog, _ type: FieldType, _ field: SchemaField? = nil) {
        (self.catalog, self.type, self.field) = (catalog, type, field)
    }

    init(_ node: SchemaNode) { self.init(node.catalog, node.type, node.field) }

    var shape: MergeShape { MergeShape(type, field, catalog) }

    /// The place of a member of an object. What the schema does not know has an open shape.
    func child(_ name: String, _ shape: MergeShape) -> MergePlace {
        switch shape {
        case .record(let index):
            guard let field = catalog.definitions[index].field(name) else { return MergePlace(catalog, .any) }
            return MergePlace(catalog, field.type, field)
        case .map(let value): return MergePlace(catalog, value)
        default: return MergePlace(catalog, .any)
        }
    }

    /// The element and place of each item of a list: nil when an item cannot be told apart, which only an object
    /// that was stored before its schema said so has.
    func elements(_ list: [JSON], _ shape: MergeShape) -> [String]? {
        switch shape {
        case .items(let keys, _):
            var elements: [String] = []
            elements.reserveCapacity(list.count)
            for item in list {
                guard case .success(let text) = FieldElement.text(of: item, keys: keys) else { return nil }
                elements.append(text)
            }
            return elements
        case .set: return list.map { FieldElement.text(ofValue: $0) }
        default: return nil
        }
    }

    func item(_ shape: MergeShape) -> MergePlace {
        if case .items(_, let element) = shape { return MergePlace(catalog, element) }
        return MergePlace(catalog, .string)
    }
}

extension Schema {
    /// Of a resource of Kubernetes itself, not of a custom one.
    public var isBuiltIn: Bool { catalog === Declarations.builtIn.catalog }
}

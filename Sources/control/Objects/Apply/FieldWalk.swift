// From an object to the set of its fields, in one walk beside its schema. Two sets are asked for:
//
//   applied   what an applied configuration says: leaves, items of lists and keys of maps, but not the objects and
//             lists that only hold them
//   added     what a write that brought a value has changed: the same and every object and list on the way
//
// What no manager can own is left out of both: the identity of the object and what only the server writes.
// A create takes this walk for the whole object, so it must cost little: scalars are not looked up in the schema, and
// the tree that comes out is the FieldsV1 value itself. Cannot fail.

/// How deep a walk is, as far as fields without owner are concerned.
enum FieldLevel {
    case root, metadata, below

    func child(_ name: String) -> FieldLevel { self == .root && name == "metadata" ? .metadata : .below }

    /// Nobody owns that field.
    func skips(_ name: String) -> Bool {
        switch self {
        case .below: return false
        case .root: return name == "apiVersion" || name == "kind"
        case .metadata:
            switch name {
            case "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields",
                "selfLink":
                return true
            default: return false
            }
        }
    }
}

struct FieldWalk {
    enum Kind { case applied, added }

    let catalog: SchemaCatalog
    let kind: Kind

    /// Fields that are there in an object of a built-in kind that nobody has written to yet: Kubernetes compares a new
    /// object with such an empty one, so its creator does not own these as such, only what is in them.
    private static let alwaysThere: Set<String> = [
        "spec", "status", "template", "jobTemplate", "metadata", "containers", "strategy", "updateStrategy",
        "loadBalancer", "daemonEndpoints", "kubeletEndpoint", "nodeInfo", "scaleTargetRef", "resources", "names",
        "versions", "source",
    ]

    /// What the creator of an object owns.
    static func created(_ object: JSON, _ root: SchemaNode) -> FieldSet {
        let walk = FieldWalk(catalog: root.catalog, kind: .added)
        let isBuiltIn = root.catalog === Declarations.builtIn.catalog
        return FieldSet(root: walk.node(object, root.type, nil, .root, member: false, fresh: isBuiltIn))
    }

    /// What an applied configuration says.
    static func applied(_ object: JSON, _ root: SchemaNode) -> FieldSet {
        let walk = FieldWalk(catalog: root.catalog, kind: .applied)
        return FieldSet(root: walk.node(object, root.type, nil, .root, member: false, fresh: false))
    }

    /// The tree of a value's place.
    /// - Parameter member: the place itself is in the set, whatever is below it.
    /// - Parameter fresh: every place from the root down to here is always there.
    func node(
        _ value: JSON, _ type: FieldType, _ field: SchemaField?, _ level: FieldLevel, member: Bool, fresh: Bool
    ) -> JSON? {
        switch value {
        case .object(let object):
            if object.isEmpty { return level == .metadata ? nil : FieldSet.leaf }
            switch MergeShape(type, field, catalog) {
            case .whole, .items, .set: return FieldSet.leaf
            case .record(let index):
                return FieldSet.node(member, fields(object, index, level, fresh: fresh))
            case .map(let element): return FieldSet.node(member, members(object, element))
            case .open: return FieldSet.node(member, members(object, .any, level))
            }
        case .array(let list): return self.list(list, type, field, member: member)
        default: return FieldSet.leaf
        }
    }

    private func fields(
        _ object: JSONObject, _ index: Int, _ level: FieldLevel, fresh: Bool
    ) -> [JSONObject.Entry] {
        var result: [JSONObject.Entry] = []
        result.reserveCapacity(object.count + 1)
        for entry in object.entries where !level.skips(entry.key) {
            var node: JSON? = FieldSet.leaf
            switch entry.value {
            case .object, .array:
                let below = level.child(entry.key)
                let isFresh = fresh && FieldWalk.alwaysThere.contains(entry.key)
                let member = kind == .added && !isFresh && below != .metadata
                if let field = catalog.definitions[index].field(entry.key) {
                    node = self.node(entry.value, field.type, field, below, member: member, fresh: isFresh)
                } else {
                    node = self.node(entry.value, .any, nil, below, member: true, fresh: false)
                }
            default: break
            }
            if let node { result.append(JSONObject.Entry(key: "f:" + entry.key, value: node)) }
        }
        return result
    }

    private func members(
        _ object: JSONObject, _ type: FieldType, _ level: FieldLevel = .below
    ) -> [JSONObject.Entry] {
        var result: [JSONObject.Entry] = []
        result.reserveCapacity(object.count + 1)
        for entry in object.entries where !level.skips(entry.key) {
            let below = level.child(entry.key)
            let member = below != .metadata
            if let node = node(entry.value, type, nil, below, member: member, fresh: false) {
                result.append(JSONObject.Entry(key: "f:" + entry.key, value: node))
            }
        }
        return result
    }

    private func list(_ list: [JSON], _ type: FieldType, _ field: SchemaField?, member: Bool) -> JSON? {
        let place = MergePlace(catalog, type, field)
        let shape = place.shape
        guard let elements = place.elements(list, shape) else { return FieldSet.leaf }
        if list.isEmpty { return kind == .added ? FieldSet.leaf : nil }
        let item = place.item(shape)
        let entries = zip(elements, list).map { element, value in
            JSONObject.Entry(
                key: element,
                value: node(value, item.type, nil, .below, member: true, fresh: false) ?? FieldSet.leaf)
        }
        return FieldSet.node(member, JSONObject(unsorted: entries).entries)
    }
}

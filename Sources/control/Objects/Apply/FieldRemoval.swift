// Taking fields out of an object: what a manager applied before and does not apply any more goes, unless another one
// owns it. Cannot fail.

extension FieldSet {
    /// The value without the fields of this set; objects and lists that are left empty go with their last field.
    func removed(from object: JSON, _ root: SchemaNode) -> JSON {
        FieldSet.remove(tree, from: object, MergePlace(root)) ?? .object(JSONObject())
    }

    private static func remove(_ node: JSONObject, from value: JSON, _ place: MergePlace) -> JSON? {
        let shape = place.shape
        switch value {
        case .object(let object):
            switch shape {
            case .record, .map, .open: break
            default: return value
            }
            var kept: [JSONObject.Entry] = []
            kept.reserveCapacity(object.count)
            for entry in object.entries {
                let below = removal(node["f:" + entry.key], entry.value) { place.child(entry.key, shape) }
                if let below { kept.append(JSONObject.Entry(key: entry.key, value: below)) }
            }
            if kept.isEmpty { return nil }
            var result = JSONObject()
            result.entries = kept
            return .object(result)
        case .array(let list):
            guard let elements = place.elements(list, shape) else { return value }
            let item = place.item(shape)
            let kept = zip(elements, list).compactMap { element, value in
                removal(node[element], value) { item }
            }
            return kept.isEmpty ? nil : .array(kept)
        default: return value
        }
    }

    private static func removal(_ node: JSON?, _ value: JSON, _ place: () -> MergePlace) -> JSON? {
        guard case .object(let node)? = node else { return value }
        return isMember(node) ? nil : remove(node, from: value, place())
    }

    /// The set and the declared fields on the way to its paths, which a set does not list for themselves: a declared
    /// field is there because of what is in it, a key of a map or an item of a list is there for itself.
    func withDeclaredFields(_ root: SchemaNode) -> FieldSet {
        func walk(_ node: JSONObject, _ place: MergePlace) -> [JSONObject.Entry] {
            let shape = place.shape
            return node.entries.map { entry in
                guard entry.key != FieldSet.itself, case .object(let below) = entry.value, !below.isEmpty else {
                    return entry
                }
                var member = FieldSet.isMember(below)
                let child: MergePlace
                if entry.key.hasPrefix("f:") {
                    let name = String(entry.key.dropFirst(2))
                    child = place.child(name, shape)
                    if case .record(let index) = shape, place.catalog.definitions[index].field(name) != nil {
                        member = true
                    }
                } else {
                    child = place.item(shape)
                }
                var inner = below
                inner.removeValue(forKey: FieldSet.itself)
                return JSONObject.Entry(
                    key: entry.key, value: FieldSet.node(member, walk(inner, child)) ?? FieldSet.leaf)
            }
        }
        var result = JSONObject()
        result.entries = walk(tree, MergePlace(root))
        return FieldSet(tree: result)
    }
}

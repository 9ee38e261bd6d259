// What a write did to the fields of an object: those it brought or gave another value, and those it took away.
//
// Values that are equal are not walked, so the cost of an update goes with what it changes. The order of a list's
// items is no field; a change of nothing else changes no owner. Cannot fail.

struct FieldComparison {
    /// Added or of another value.
    private(set) var changed: FieldSet
    private(set) var removed: FieldSet

    var isEmpty: Bool { changed.isEmpty && removed.isEmpty }

    init(_ old: JSON, _ new: JSON, _ root: SchemaNode) {
        let difference = Comparer(catalog: root.catalog).compare(old, new, MergePlace(root), .root)
        changed = FieldSet(root: difference.changed)
        removed = FieldSet(root: difference.removed)
    }
}

/// Trees of one place.
private struct Difference {
    var changed: JSON?
    var removed: JSON?
}

private struct Comparer {
    let catalog: SchemaCatalog

    func compare(_ old: JSON, _ new: JSON, _ place: MergePlace, _ level: FieldLevel) -> Difference {
        if old == new { return Difference() }
        switch (old, new) {
        case (.object(let before), .object(let after)):
            let shape = place.shape
            switch shape {
            case .record, .map, .open: return objects(before, after, place, shape, level)
            default: return Difference(changed: FieldSet.leaf)
            }
        case (.array(let before), .array(let after)):
            let shape = place.shape
            guard let old = place.elements(before, shape), let new = place.elements(after, shape) else {
                return Difference(changed: FieldSet.leaf)
            }
            return lists(group(before, old), group(after, new), place.item(shape))
        default: return Difference(changed: FieldSet.leaf)
        }
    }

    /// The tree of a value that one side does not have.
    private func whole(_ value: JSON, _ place: MergePlace, _ level: FieldLevel) -> JSON? {
        FieldWalk(catalog: catalog, kind: .added).node(
            value, place.type, place.field, level, member: level != .metadata, fresh: false)
    }

    private func objects(
        _ old: JSONObject, _ new: JSONObject, _ place: MergePlace, _ shape: MergeShape, _ level: FieldLevel
    ) -> Difference {
        var changed: [JSONObject.Entry] = []
        var removed: [JSONObject.Entry] = []
        func add(_ name: String, _ node: JSON?, to list: inout [JSONObject.Entry]) {
            if let node { list.append(JSONObject.Entry(key: "f:" + name, value: node)) }
        }
        var (l, r) = (0, 0)
        while l < old.entries.count || r < new.entries.count {
            let onlyOld: Bool
            let onlyNew: Bool
            if r == new.entries.count {
                (onlyOld, onlyNew) = (true, false)
            } else if l == old.entries.count {
                (onlyOld, onlyNew) = (false, true)
            } else {
                let order = Bytes.with(old.entries[l].key) { a in
                    Bytes.with(new.entries[r].key) { b in Bytes.order(a, b) }
                }
                (onlyOld, onlyNew) = (order < 0, order > 0)
            }
            let name = onlyNew ? new.entries[r].key : old.entries[l].key
            let below = level.child(name)
            if level.skips(name) {
            } else if onlyOld {
                add(name, whole(old.entries[l].value, place.child(name, shape), below), to: &removed)
            } else if onlyNew {
                add(name, whole(new.entries[r].value, place.child(name, shape), below), to: &changed)
            } else if old.entries[l].value != new.entries[r].value {
                let difference = compare(
                    old.entries[l].value, new.entries[r].value, place.child(name, shape), below)
                add(name, difference.changed, to: &changed)
                add(name, difference.removed, to: &removed)
            }
            if !onlyNew { l += 1 }
            if !onlyOld { r += 1 }
        }
        return Difference(changed: FieldSet.node(false, changed), removed: FieldSet.node(false, removed))
    }

    /// Items by element; of those that only a duplicate key makes equal, all together.
    private func group(_ list: [JSON], _ elements: [String]) -> [String: JSON] {
        var groups: [String: JSON] = [:]
        groups.reserveCapacity(list.count)
        for (element, item) in zip(elements, list) {
            if let earlier = groups[element] {
                groups[element] = .array((earlier.array ?? [earlier]) + [item])
            } else {
                groups[element] = item
            }
        }
        return groups
    }

    private func lists(_ old: [String: JSON], _ new: [String: JSON], _ item: MergePlace) -> Difference {
        var changed: [JSONObject.Entry] = []
        var removed: [JSONObject.Entry] = []
        for (element, value) in new {
            if let before = old[element] {
                let difference = compare(before, value, item, .below)
                if let node = difference.changed { changed.append(JSONObject.Entry(key: element, value: node)) }
                if let node = difference.removed { removed.append(JSONObject.Entry(key: element, value: node)) }
            } else if let node = whole(value, item, .below) {
                changed.append(JSONObject.Entry(key: element, value: node))
            }
        }
        for (element, value) in old where new[element] == nil {
            if let node = whole(value, item, .below) { removed.append(JSONObject.Entry(key: element, value: node)) }
        }
        return Difference(
            changed: FieldSet.node(false, JSONObject(unsorted: changed).entries),
            removed: FieldSet.node(false, JSONObject(unsorted: removed).entries))
    }
}

// Strategic merge patch, the patch kubectl apply sends for built-in kinds: a merge patch that also merges lists.
//
// A list merges when its schema says so: elements are found by the merge key (or by value, for lists of scalars) and
// merged one by one. Directives in the patch: $patch (merge, replace, delete) in an object or an element,
// $deleteFromPrimitiveList/FIELD, $setElementOrder/FIELD, $retainKeys. The order of a merged list is Kubernetes': what
// the patch names, in its order, and between it what only the server has, where it stood.
//
// A field without a schema merges as in RFC 7386; whether it may exist is the schema check's question, not ours.

/// Applies strategic merge patches.
public enum StrategicMergePatch {
    private static let patchKey = "$patch"
    private static let retainKeysKey = "$retainKeys"
    private static let deletePrefix = "$deleteFromPrimitiveList/"
    private static let orderPrefix = "$setElementOrder/"

    /// - Throws: PatchError for a directive that makes no sense, or an element without its merge key.
    public static func apply(
        _ patch: JSON, to target: JSON, schema: (any PatchSchema)?
    ) throws(PatchError) -> JSON {
        guard let changes = patch.object else { throw PatchError("a strategic merge patch is an object") }
        return .object(try merge(changes, into: target.object ?? JSONObject(), schema))
    }

    // MARK: Objects

    private static func merge(
        _ patch: JSONObject, into original: JSONObject, _ schema: (any PatchSchema)?
    ) throws(PatchError) -> JSONObject {
        switch patch[patchKey]?.string {
        case nil where patch[patchKey] == nil, "merge": break
        case "replace": return withoutDirectives(patch)
        case "delete": return JSONObject()
        default: throw PatchError("Unknown patch type found: \(patch[patchKey]?.text ?? "")")
        }
        var result = try retainingKeys(patch, original)
        var changed: [(key: String, value: JSON?)] = []
        for (key, change) in patch where key != patchKey && key != retainKeysKey {
            if key.hasPrefix(orderPrefix) { continue }
            if key.hasPrefix(deletePrefix) {
                try deleteScalars(change, from: String(key.dropFirst(deletePrefix.count)), in: &result)
                continue
            }
            if change.isNull {
                changed.append((key, nil))
                continue
            }
            let order = patch[orderPrefix + key]
            changed.append((key, try merge(change, into: result[key], schema?.patchField(key), order: order)))
        }
        result.set(changed)
        // Lists that only change their order.
        for (key, order) in patch where key.hasPrefix(orderPrefix) {
            let field = String(key.dropFirst(orderPrefix.count))
            guard patch[field] == nil, let list = result[field]?.array else { continue }
            let mergeKey = schema?.patchField(field)?.patchMergeKey
            result[field] = .array(try reorder(list, by: try orderList(order, key), live: list, mergeKey))
        }
        return result
    }

    private static func merge(
        _ change: JSON, into original: JSON?, _ schema: (any PatchSchema)?, order: JSON?
    ) throws(PatchError) -> JSON {
        switch (change, original) {
        case (.object(let patch), .object(let original)):
            if schema?.patchStrategies.contains("replace") == true { return .object(withoutDirectives(patch)) }
            return .object(try merge(patch, into: original, schema))
        case (.array(let patch), .array(let original)):
            guard let schema, schema.patchStrategies.contains("merge") else { return withoutDirectives(change) }
            let orderList = try order.map { order throws(PatchError) in try Self.orderList(order, "$setElementOrder") }
            return .array(try mergeLists(patch, into: original, schema, order: orderList))
        default: return withoutDirectives(change)
        }
    }

    /// Applies $retainKeys: keys that it does not list go.
    private static func retainingKeys(_ patch: JSONObject, _ original: JSONObject) throws(PatchError) -> JSONObject {
        guard let retain = patch[retainKeysKey] else { return original }
        guard let keys = retain.array?.map(\.string), !keys.contains(nil) else {
            throw PatchError("invalid patch format of $retainKeys: a list of field names is expected")
        }
        let retained = Set(keys.compactMap { $0 })
        for (key, value) in patch where !key.hasPrefix("$") && !value.isNull && !retained.contains(key) {
            throw PatchError("$retainKeys does not list the field \(Quote.go(key)) that the patch sets")
        }
        return original.filter { key, _ in retained.contains(key) }
    }

    private static func deleteScalars(
        _ values: JSON, from field: String, in object: inout JSONObject
    ) throws(PatchError) {
        guard let values = values.array else {
            throw PatchError("$deleteFromPrimitiveList/\(field): a list of values is expected")
        }
        guard let list = object[field]?.array else { return }
        let deleted = Set(values)
        object[field] = .array(list.filter { !deleted.contains($0) })
    }

    /// What a patch value becomes when there is nothing to merge it with: no directives, no nulls.
    private static func withoutDirectives(_ value: JSON) -> JSON {
        switch value {
        case .object(let object): return .object(withoutDirectives(object))
        case .array(let elements):
            let kept = elements.filter { !["delete", "replace"].contains($0[patchKey]?.string) }
            return .array(kept.map(withoutDirectives))
        default: return value
        }
    }

    private static func withoutDirectives(_ object: JSONObject) -> JSONObject {
        object.filter { key, value in
            !value.isNull && key != patchKey && key != retainKeysKey && !key.hasPrefix(deletePrefix)
                && !key.hasPrefix(orderPrefix)
        }.mapValues { withoutDirectives($0) }
    }

    // MARK: Lists

    private static func mergeLists(
        _ patch: [JSON], into original: [JSON], _ schema: any PatchSchema, order: [JSON]?
    ) throws(PatchError) -> [JSON] {
        guard let mergeKey = schema.patchMergeKey else {
            var merged = original
            var known = Set(original)
            for value in patch where known.insert(value).inserted { merged.append(value) }
            return try reorder(merged, by: order ?? patch, live: original, nil)
        }
        if patch.contains(where: { $0[patchKey]?.string == "replace" }) {
            return patch.filter { $0[patchKey] == nil }.map(withoutDirectives)
        }
        // nil where an element was deleted, so that the places stay.
        var elements: [JSON?] = original
        var places: [JSON: [Int]] = [:]
        for (index, element) in original.enumerated() {
            if let name = element[mergeKey] { places[name, default: []].append(index) }
        }
        var ordinary: [JSON] = []
        for element in patch {
            let name = try key(of: element, mergeKey)
            switch element[patchKey]?.string {
            case "delete": for place in places.removeValue(forKey: name) ?? [] { elements[place] = nil }
            case nil where element[patchKey] == nil, "merge":
                ordinary.append(element)
                if let place = places[name]?.first {
                    elements[place] = try merge(element, into: elements[place], schema.patchElement, order: nil)
                } else {
                    places[name] = [elements.count]
                    elements.append(withoutDirectives(element))
                }
            default: throw PatchError("Unknown patch type found: \(element[patchKey]?.text ?? "")")
            }
        }
        return try reorder(elements.compactMap { $0 }, by: order ?? ordinary, live: original, mergeKey)
    }

    private static func key(of element: JSON, _ mergeKey: String) throws(PatchError) -> JSON {
        guard let key = element[mergeKey], !key.isNull else {
            throw PatchError("map: \(element) does not contain declared merge key: \(mergeKey)")
        }
        return key
    }

    private static func orderList(_ order: JSON, _ directive: String) throws(PatchError) -> [JSON] {
        guard let list = order.array else { throw PatchError("\(directive): a list is expected") }
        return list
    }

    /// Brings a merged list into order: elements that `order` names in its order; the others in the order of `live`,
    /// each before the first named element that stands behind it there.
    private static func reorder(
        _ merged: [JSON], by order: [JSON], live: [JSON], _ mergeKey: String?
    ) throws(PatchError) -> [JSON] {
        func name(_ element: JSON) -> JSON { mergeKey.flatMap { element[$0] } ?? element }
        func places(_ list: [JSON]) -> [JSON: Int] {
            Dictionary(list.enumerated().map { (name($0.element), $0.offset) }, uniquingKeysWith: { first, _ in first })
        }
        if let mergeKey { for element in order { _ = try key(of: element, mergeKey) } }
        let wanted = places(order)
        let standing = places(live)
        let named = merged.filter { wanted[name($0)] != nil }.enumerated().sorted {
            (wanted[name($0.element)]!, $0.offset) < (wanted[name($1.element)]!, $1.offset)
        }.map(\.element)
        let others = merged.filter { wanted[name($0)] == nil }
        var result: [JSON] = []
        result.reserveCapacity(merged.count)
        var next = 0
        for element in named {
            while next < others.count, let place = standing[name(element)],
                let other = standing[name(others[next])], other < place
            {
                result.append(others[next])
                next += 1
            }
            result.append(element)
        }
        return result + others[next...]
    }
}

// An applied configuration laid over the live object: what the configuration says wins, the rest stays.
//
// Objects merge field by field, lists with keys and sets element by element, all else is replaced. The order of a
// merged list: the configuration's elements in its order, the others before the element they stood before.
// `check` finds what makes a configuration unmergeable; `merge` cannot fail.

enum AppliedMerge {
    static func merge(_ live: JSON, _ config: JSON, _ place: MergePlace) -> JSON {
        let shape = place.shape
        switch (live, config) {
        case (.object(let old), .object(let new)):
            switch shape {
            case .record, .map, .open: return .object(objects(old, new, place, shape))
            default: return config
            }
        case (.array(let old), .array(let new)):
            guard let before = place.elements(old, shape), let after = place.elements(new, shape) else {
                return config
            }
            return .array(lists(old, before, new, after, place.item(shape)))
        default: return config
        }
    }

    private static func objects(
        _ live: JSONObject, _ config: JSONObject, _ place: MergePlace, _ shape: MergeShape
    ) -> JSONObject {
        var result = live
        for (name, value) in config {
            if let old = live[name] {
                result[name] = merge(old, value, place.child(name, shape))
            } else {
                result[name] = value
            }
        }
        return result
    }

    private static func lists(
        _ live: [JSON], _ before: [String], _ config: [JSON], _ after: [String], _ item: MergePlace
    ) -> [JSON] {
        let standing = Dictionary(zip(before, live), uniquingKeysWith: { first, _ in first })
        let wanted = Set(after)
        // The element of the configuration that is in both and comes next, from each place on.
        var nextShared = [String?](repeating: nil, count: after.count + 1)
        for index in after.indices.reversed() {
            nextShared[index] = standing[after[index]] == nil ? nextShared[index + 1] : after[index]
        }
        var result: [JSON] = []
        result.reserveCapacity(live.count + config.count)
        var next = 0
        for (index, element) in after.enumerated() {
            while next < live.count {
                if !wanted.contains(before[next]) {
                    result.append(live[next])
                } else if before[next] == nextShared[index] {
                    break
                }
                next += 1
            }
            if let old = standing[element] {
                result.append(merge(old, config[index], item))
                if next < live.count, before[next] == element { next += 1 }
            } else {
                result.append(config[index])
            }
        }
        while next < live.count {
            if !wanted.contains(before[next]) { result.append(live[next]) }
            next += 1
        }
        return result
    }

    // MARK: - What cannot be merged

    /// What is wrong with the lists of a configuration; nil when nothing is.
    static func check(_ config: JSON, _ place: MergePlace, _ path: String = "") -> String? {
        let shape = place.shape
        switch config {
        case .object(let object):
            switch shape {
            case .record, .map, .open:
                for (name, value) in object {
                    if let problem = check(value, place.child(name, shape), "\(path).\(name)") { return problem }
                }
            default: break
            }
        case .array(let list):
            var seen: Set<String> = []
            let item = place.item(shape)
            for (index, value) in list.enumerated() {
                let element: String
                switch shape {
                case .items(let keys, _):
                    switch FieldElement.text(of: value, keys: keys) {
                    case .success(let text): element = text
                    case .failure(let missing):
                        return "\(path): element \(index): associative list with keys has an element that omits key "
                            + "field \(Quote.go(missing.name)) (and doesn't have default value)"
                    }
                case .set: element = FieldElement.text(ofValue: value)
                default: return nil
                }
                let shown = FieldElement.shown([element])
                guard seen.insert(element).inserted else { return "\(path): duplicate entries for key \(shown)" }
                if let problem = check(value, item, path + shown) { return problem }
            }
        default: break
        }
        return nil
    }
}

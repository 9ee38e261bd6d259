// JSONObject: the object of a JSON value, a sorted array of pairs.
//
// Why not a dictionary: API objects have few keys (a pod's largest object has some twenty), are read far more often
// than changed, and are encoded in key order. A sorted array is one allocation, half the memory of a hash table,
// encodes without sorting, and finds a key in four or five byte comparisons.

/// The members of a JSON object, in the order of their keys' UTF-8 bytes. Keys are unique.
public struct JSONObject: Sendable {
    struct Entry: Sendable {
        var key: String
        var value: JSON
    }

    /// Sorted by the bytes of the keys, without duplicates.
    var entries: [Entry]

    public init() { entries = [] }

    /// Of equal keys the last one wins.
    public init(_ pairs: some Sequence<(String, JSON)>) {
        self.init(unsorted: pairs.map { Entry(key: $0.0, value: $0.1) })
    }

    /// Of equal keys the last one wins; `duplicate` is called for each one that loses.
    init(unsorted: [Entry], duplicate: (String) -> Void = { _ in }) {
        entries = unsorted
        guard let first = entries.indices.dropFirst().first(where: { !less($0 - 1, $0) }) else { return }
        // Both ways are stable, so that of equal keys the last one ends up last.
        if entries.count <= 32 { insertionSort(from: first) } else { indexSort() }
        removeDuplicates(duplicate)
    }

    private func less(_ left: Int, _ right: Int) -> Bool { Bytes.less(entries[left].key, entries[right].key) }

    /// For the few keys that objects have: no allocation, and clients send them half sorted.
    private mutating func insertionSort(from first: Int) {
        for index in first..<entries.count {
            var place = index
            while place > 0, less(place, place - 1) {
                entries.swapAt(place, place - 1)
                place -= 1
            }
        }
    }

    private mutating func indexSort() {
        let order = entries.indices.sorted { less($0, $1) || (!less($1, $0) && $0 < $1) }
        entries = order.map { entries[$0] }
    }

    private mutating func removeDuplicates(_ duplicate: (String) -> Void) {
        var kept = 0
        for index in entries.indices.dropFirst() {
            if Bytes.equal(entries[kept].key, entries[index].key) {
                duplicate(entries[index].key)
            } else {
                kept += 1
            }
            if kept != index { entries[kept] = entries[index] }
        }
        entries.removeLast(entries.count - kept - 1)
    }

    public var count: Int { entries.count }
    public var isEmpty: Bool { entries.isEmpty }
    public var keys: [String] { entries.map(\.key) }
    public var values: [JSON] { entries.map(\.value) }

    public func contains(_ key: String) -> Bool { find(key).found }

    /// Where the key is, or where it belongs.
    func find(_ key: String) -> (index: Int, found: Bool) {
        Bytes.with(key) { wanted in
            var low = 0
            var high = entries.count
            while low < high {
                let middle = (low + high) / 2
                let order = Bytes.with(entries[middle].key) { Bytes.order($0, wanted) }
                if order == 0 { return (middle, true) }
                if order < 0 { low = middle + 1 } else { high = middle }
            }
            return (low, false)
        }
    }

    /// The value of a key. Setting nil removes it.
    public subscript(key: String) -> JSON? {
        get {
            let (index, found) = find(key)
            return found ? entries[index].value : nil
        }
        _modify {
            let (index, found) = find(key)
            var value: JSON? = nil
            if found {
                // Moved out, so that a change inside the value does not copy it.
                value = .some(.null)
                swap(&value!, &entries[index].value)
            }
            defer {
                switch (found, value) {
                case (true, .some(let value)): entries[index].value = value
                case (true, .none): entries.remove(at: index)
                case (false, .some(let value)): entries.insert(Entry(key: key, value: value), at: index)
                case (false, .none): break
                }
            }
            yield &value
        }
    }

    /// Puts a value in the place of another, which is returned; does nothing and returns nil when the key is missing.
    mutating func exchange(_ key: String, _ value: JSON) -> JSON? {
        let (index, found) = find(key)
        guard found else { return nil }
        var value = value
        swap(&value, &entries[index].value)
        return value
    }

    @discardableResult
    public mutating func removeValue(forKey key: String) -> JSON? {
        let (index, found) = find(key)
        return found ? entries.remove(at: index).value : nil
    }

    /// Sets many values in one pass; nil removes. Of equal keys the last one wins.
    mutating func set(_ changes: [(key: String, value: JSON?)]) {
        var added: [Entry] = []
        var removed: Set<Int> = []
        for (key, value) in changes {
            switch (find(key), value) {
            case ((let index, true), let value?):
                entries[index].value = value
                removed.remove(index)
            case ((let index, true), nil): removed.insert(index)
            case ((_, false), let value?): added.append(Entry(key: key, value: value))
            case ((_, false), nil): break
            }
        }
        if !removed.isEmpty {
            entries = entries.indices.filter { !removed.contains($0) }.map { entries[$0] }
        }
        if !added.isEmpty { self = JSONObject(unsorted: entries + added) }
    }

    /// The same keys with other values.
    public func mapValues<E: Error>(_ transform: (JSON) throws(E) -> JSON) throws(E) -> JSONObject {
        var result = self
        for index in entries.indices { result.entries[index].value = try transform(entries[index].value) }
        return result
    }

    /// The members that the test is true for.
    public func filter(_ isIncluded: (String, JSON) -> Bool) -> JSONObject {
        var result = self
        result.entries.removeAll { !isIncluded($0.key, $0.value) }
        return result
    }
}

extension JSONObject: Sequence {
    public struct Iterator: IteratorProtocol {
        var base: [Entry].Iterator
        public mutating func next() -> (key: String, value: JSON)? {
            guard let entry = base.next() else { return nil }
            return (entry.key, entry.value)
        }
    }

    public func makeIterator() -> Iterator { Iterator(base: entries.makeIterator()) }
    public var underestimatedCount: Int { entries.count }
}

extension JSONObject: Hashable {
    public static func == (left: JSONObject, right: JSONObject) -> Bool {
        guard left.entries.count == right.entries.count else { return false }
        for (a, b) in zip(left.entries, right.entries) {
            guard Bytes.equal(a.key, b.key), a.value == b.value else { return false }
        }
        return true
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(entries.count)
        for entry in entries {
            hasher.combine(entry.key)
            hasher.combine(entry.value)
        }
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral elements: (String, JSON)...) { self.init(elements) }
}

extension JSONObject: CustomStringConvertible {
    public var description: String { JSON.object(self).text }
}

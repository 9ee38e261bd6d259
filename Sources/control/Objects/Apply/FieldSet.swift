// A set of fields of an object, as managedFields record who owns what.
//
// It is kept in the very shape of FieldsV1 (meta/v1), a tree whose keys are path elements (FieldElement):
//
//   {"f:spec": {"f:replicas": {},                          spec.replicas
//               "f:ports": {"k:{\"port\":80}": {".": {}}}}}  spec.ports[port=80], the item itself
//
// A place belongs to the set when its tree is empty or holds ".". Because the members of a JSONObject are sorted, the
// set operations are merges of two sorted lists, and reading and writing managedFields costs nothing but the JSON.
// Cannot fail, but for FieldsV1 that came from a client (`init(fieldsV1:)`).

/// Fields of an object.
public struct FieldSet: Sendable, Hashable {
    /// What is in the set below the object's root; empty for an empty set.
    var tree: JSONObject

    /// The mark of a place that is in the set though others below it are too.
    static let itself = "."
    static let leaf = JSON.object(JSONObject())
    static let itselfEntry = JSONObject.Entry(key: itself, value: leaf)

    public init() { tree = JSONObject() }

    /// A tree that is known to be right: our own, or one that was read from the store.
    init(tree: JSONObject) { self.tree = tree }

    /// The tree of a place below the root, as walks build it; nil for nothing.
    init(root: JSON?) {
        guard case .object(var object)? = root else {
            tree = JSONObject()
            return
        }
        // The root is no field.
        if FieldSet.isMember(object) { object.removeValue(forKey: FieldSet.itself) }
        tree = object
    }

    /// The set of one path and what is at its end.
    init(path: [String]) {
        tree = JSONObject()
        var node = FieldSet.leaf
        for element in path.reversed() { node = .object([element: node]) }
        if case .object(let object) = node { tree = object }
    }

    /// The FieldsV1 value.
    public var fieldsV1: JSON { .object(tree) }

    public var isEmpty: Bool { tree.isEmpty }

    /// Every path of the set, in order.
    var paths: [[String]] {
        var paths: [[String]] = []
        func walk(_ node: JSONObject, _ path: [String]) {
            if !path.isEmpty, FieldSet.isMember(node) { paths.append(path) }
            for (element, child) in node where element != FieldSet.itself {
                guard case .object(let child) = child else { continue }
                walk(child, path + [element])
            }
        }
        walk(tree, [])
        return paths
    }

    /// The place of a tree is in the set.
    static func isMember(_ node: JSONObject) -> Bool { node.entries.first.map { $0.key == itself } ?? true }

    /// The tree of a place; nil when neither it nor anything below it is in the set.
    static func node(_ isMember: Bool, _ children: [JSONObject.Entry]) -> JSON? {
        if children.isEmpty { return isMember ? leaf : nil }
        var object = JSONObject()
        object.entries = isMember ? [itselfEntry] + children : children
        return .object(object)
    }
}

// MARK: - Operations

extension FieldSet {
    private enum Operation { case union, intersection, difference }

    public func union(_ other: FieldSet) -> FieldSet { combined(other, .union) }

    public func intersection(_ other: FieldSet) -> FieldSet { combined(other, .intersection) }

    /// The paths of this set that are not in the other; what is below a path of the other stays.
    public func subtracting(_ other: FieldSet) -> FieldSet { combined(other, .difference) }

    private func combined(_ other: FieldSet, _ operation: Operation) -> FieldSet {
        if other.isEmpty { return operation == .intersection ? FieldSet() : self }
        if isEmpty { return operation == .union ? other : self }
        var result = JSONObject()
        result.entries = FieldSet.combine(tree.entries[...], other.tree.entries[...], operation)
        return FieldSet(tree: result)
    }

    private static func combine(
        _ left: ArraySlice<JSONObject.Entry>, _ right: ArraySlice<JSONObject.Entry>, _ operation: Operation
    ) -> [JSONObject.Entry] {
        var result: [JSONObject.Entry] = []
        var (l, r) = (left.startIndex, right.startIndex)
        while l < left.endIndex || r < right.endIndex {
            if r == right.endIndex || (l < left.endIndex && Bytes.less(left[l].key, right[r].key)) {
                if operation != .intersection { result.append(left[l]) }
                l += 1
            } else if l == left.endIndex || Bytes.less(right[r].key, left[l].key) {
                if operation == .union { result.append(right[r]) }
                r += 1
            } else {
                if let node = combine(left[l].value, right[r].value, operation) {
                    result.append(JSONObject.Entry(key: left[l].key, value: node))
                }
                l += 1
                r += 1
            }
        }
        return result
    }

    private static func combine(_ left: JSON, _ right: JSON, _ operation: Operation) -> JSON? {
        guard case .object(let left) = left, case .object(let right) = right else { return nil }
        let (mine, theirs) = (isMember(left), isMember(right))
        let member =
            switch operation {
            case .union: mine || theirs
            case .intersection: mine && theirs
            case .difference: mine && !theirs
            }
        let children = combine(
            left.entries[(mine && !left.isEmpty ? 1 : 0)...], right.entries[(theirs && !right.isEmpty ? 1 : 0)...],
            operation)
        return node(member, children)
    }
}

// MARK: - From a client

extension FieldSet {
    /// Reads FieldsV1 as a client sent it: every element checked and brought into the one form that it has here.
    /// - Throws: FieldElementError, which names the element.
    public init(fieldsV1: JSON) throws(FieldElementError) {
        guard case .object(let object) = fieldsV1 else {
            throw FieldElementError(element: "fieldsV1", reason: "must be an object")
        }
        tree = try FieldSet.checked(object)
    }

    private static func checked(_ object: JSONObject) throws(FieldElementError) -> JSONObject {
        var pairs: [(String, JSON)] = []
        for (key, value) in object {
            guard case .object(let below) = value else {
                throw FieldElementError(element: key, reason: "must hold an object")
            }
            if key == itself {
                pairs.append((key, leaf))
            } else {
                pairs.append((try FieldElement(key).text, .object(try checked(below))))
            }
        }
        return JSONObject(pairs)
    }
}

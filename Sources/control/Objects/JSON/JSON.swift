// JSON: the one value every API object is made of.
//
// Typed views (Views/) are structs over it, so that a field noded does not know survives every read and write.
// Objects keep their keys sorted by UTF-8 bytes, the order Kubernetes prints them in: two equal objects encode to the
// same bytes, wherever they came from. Integers are exact in Int64 and apart from doubles, as in Kubernetes' own
// unstructured objects.
//
// Cannot fail by itself; parsing is in JSONParsing.swift, encoding in JSONWriter.swift.

/// A JSON value (RFC 8259).
public enum JSON: Sendable {
    case null
    case bool(Bool)
    case int(Int64)
    /// Always finite when it comes from the parser.
    case double(Double)
    case string(String)
    case array([JSON])
    case object(JSONObject)
}

// MARK: - Reading

extension JSON {
    /// The string, when this is one; never a conversion.
    public var string: String? {
        if case .string(let value) = self { return value }
        return nil
    }

    /// The integer, when this is one. A double without fraction (`3.0`) counts, as it does for Kubernetes.
    public var int: Int64? {
        switch self {
        case .int(let value): return value
        case .double(let value): return Int64(exactly: value)
        default: return nil
        }
    }

    public var bool: Bool? {
        if case .bool(let value) = self { return value }
        return nil
    }

    /// The number, when this is one, as a double.
    public var double: Double? {
        switch self {
        case .int(let value): return Double(value)
        case .double(let value): return value
        default: return nil
        }
    }

    public var array: [JSON]? {
        if case .array(let value) = self { return value }
        return nil
    }

    public var object: JSONObject? {
        if case .object(let value) = self { return value }
        return nil
    }

    public var isNull: Bool {
        if case .null = self { return true }
        return false
    }

    /// The strings of an array; elements of other types are left out.
    public var strings: [String]? { array?.compactMap(\.string) }

    /// An object whose values are strings, as labels are; values of other types are left out.
    public var stringMap: [String: String]? {
        guard let object else { return nil }
        var map: [String: String] = [:]
        map.reserveCapacity(object.count)
        for (key, value) in object {
            if case .string(let text) = value { map[key] = text }
        }
        return map
    }

    /// An object of strings.
    public init(_ map: [String: String]) {
        self = .object(JSONObject(map.lazy.map { ($0.key, .string($0.value)) }))
    }

    /// Whether arrays and objects are nested more than `depth` deep. Adds what it looked at to `visited`.
    func isNested(deeperThan depth: Int, visited: inout Int) -> Bool {
        visited += 1
        switch self {
        case .array(let elements):
            return depth < 1 || elements.contains { $0.isNested(deeperThan: depth - 1, visited: &visited) }
        case .object(let object):
            return depth < 1 || object.contains { $0.value.isNested(deeperThan: depth - 1, visited: &visited) }
        default: return false
        }
    }

    /// What the types are called in Kubernetes' messages: null, boolean, integer, number, string, array, object.
    public var typeName: String {
        switch self {
        case .null: return "null"
        case .bool: return "boolean"
        case .int: return "integer"
        case .double: return "number"
        case .string: return "string"
        case .array: return "array"
        case .object: return "object"
        }
    }

    /// The value below a path of object keys; nil as soon as one is missing or its parent is no object.
    public func at(_ path: String...) -> JSON? { at(path) }

    /// The value below a path of object keys.
    public func at(_ path: some Sequence<String>) -> JSON? {
        var value = self
        for key in path {
            guard case .object(let object) = value, let next = object[key] else { return nil }
            value = next
        }
        return value
    }
}

// MARK: - Writing

extension JSON {
    /// The value of a key; nil when this is no object or has no such key. Setting nil removes the key; setting a key
    /// of anything that is not an object replaces it by an object.
    public subscript(key: String) -> JSON? {
        get {
            guard case .object(let object) = self else { return nil }
            return object[key]
        }
        _modify {
            var object = takeObject()
            defer { self = .object(object) }
            yield &object[key]
        }
    }

    /// The element of an array; nil when this is no array or the index is outside. Setting outside of it is ignored.
    public subscript(index: Int) -> JSON? {
        get {
            guard case .array(let array) = self, array.indices.contains(index) else { return nil }
            return array[index]
        }
        set {
            guard case .array(var array) = self, array.indices.contains(index) else { return }
            self = .null
            if let newValue { array[index] = newValue } else { array.remove(at: index) }
            self = .array(array)
        }
    }

    /// Sets the value below a path of object keys, making the objects on the way; nil removes it (and makes nothing).
    public mutating func set(_ path: String..., to value: JSON?) { set(path, to: value) }

    /// Sets the value below a path of object keys, making the objects on the way; nil removes it (and makes nothing).
    public mutating func set(_ path: [String], to value: JSON?) { set(path[...], to: value) }

    private mutating func set(_ path: ArraySlice<String>, to value: JSON?) {
        guard let key = path.first else {
            self = value ?? .null
            return
        }
        if value == nil, self[key] == nil { return }
        var object = takeObject()
        if path.count == 1 {
            object[key] = value
        } else {
            var child = object.exchange(key, .null) ?? .null
            child.set(path.dropFirst(), to: value)
            object[key] = child
        }
        self = .object(object)
    }

    /// The object in this value, moved out so that changing it does not copy it.
    private mutating func takeObject() -> JSONObject {
        guard case .object(let object) = self else { return JSONObject() }
        self = .null
        return object
    }
}

// MARK: - Equality

extension JSON: Hashable {
    /// Equal type and content. Strings are compared by their bytes: Swift's own equality would hide a change from a
    /// composed to a decomposed character. 1 and 1.0 differ.
    public static func == (left: JSON, right: JSON) -> Bool {
        switch (left, right) {
        case (.null, .null): return true
        case (.bool(let a), .bool(let b)): return a == b
        case (.int(let a), .int(let b)): return a == b
        case (.double(let a), .double(let b)): return a == b
        case (.string(let a), .string(let b)): return Bytes.equal(a, b)
        case (.array(let a), .array(let b)): return a == b
        case (.object(let a), .object(let b)): return a == b
        default: return false
        }
    }

    public func hash(into hasher: inout Hasher) {
        switch self {
        case .null: hasher.combine(0 as UInt8)
        case .bool(let value): hasher.combine(value)
        case .int(let value): hasher.combine(value)
        case .double(let value): hasher.combine(value)
        // The bytes, as for equality: strings that Unicode holds equal would all fall into one place of a table.
        case .string(let value): Bytes.with(value) { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        case .array(let value): hasher.combine(value)
        case .object(let value): hasher.combine(value)
        }
    }
}

/// Comparison of strings by their UTF-8 bytes.
enum Bytes {
    static func equal(_ left: String, _ right: String) -> Bool {
        // Equal ASCII strings are decided here without looking at single bytes; so are nearly all unequal ones.
        guard left == right else { return false }
        return left.utf8.count == right.utf8.count && left.utf8.elementsEqual(right.utf8)
    }

    /// Negative, zero or positive, as memcmp says, and the shorter first.
    @inline(__always)
    static func order(_ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>) -> Int {
        let shared = min(left.count, right.count)
        var index = 0
        while index < shared {
            let a = left[index], b = right[index]
            if a != b { return a < b ? -1 : 1 }
            index += 1
        }
        return left.count - right.count
    }

    @inline(__always)
    static func with<Result>(_ text: String, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        if let result = text.utf8.withContiguousStorageIfAvailable(body) { return result }
        return Array(text.utf8).withUnsafeBufferPointer(body)
    }

    static func less(_ left: String, _ right: String) -> Bool {
        with(left) { a in with(right) { b in order(a, b) < 0 } }
    }
}

// MARK: - Literals

extension JSON: ExpressibleByStringLiteral, ExpressibleByStringInterpolation {
    public init(stringLiteral value: String) { self = .string(value) }
}

extension JSON: ExpressibleByIntegerLiteral {
    public init(integerLiteral value: Int64) { self = .int(value) }
}

extension JSON: ExpressibleByFloatLiteral {
    public init(floatLiteral value: Double) { self = .double(value) }
}

extension JSON: ExpressibleByBooleanLiteral {
    public init(booleanLiteral value: Bool) { self = .bool(value) }
}

extension JSON: ExpressibleByArrayLiteral {
    public init(arrayLiteral elements: JSON...) { self = .array(elements) }
}

extension JSON: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral elements: (String, JSON)...) { self = .object(JSONObject(elements)) }
}

extension JSON: CustomStringConvertible {
    /// The compact JSON text.
    public var description: String { text }
}

// JSON patch (RFC 6902): a list of add, remove, replace, move, copy and test, all or nothing.
//
// Pointers follow RFC 6901. Failures of the patch itself (no list, unknown operation, missing member) are bad requests;
// a path that the object does not have or a failed test is unprocessable. What operations can blow up is bounded: bytes
// by copying, and nesting, which a few moves of the result of other moves would take deeper than any stack.

/// RFC 6902.
public enum JSONPatch {
    /// As in Kubernetes.
    private static let operationLimit = 10_000
    /// Bytes that copy operations may add.
    private static let copyLimit = 16 << 20
    /// Values that operations may look at to see how deep they are nested.
    private static let visitLimit = 16 << 20
    /// As of a body.
    private static let depthLimit = JSONLimits.body.depth

    private struct Spent {
        var copied = 0
        var visited = 0
    }

    public static func apply(_ patch: JSON, to target: JSON) throws(PatchError) -> JSON {
        guard let operations = patch.array else { throw PatchError("json: a JSON patch is a list of operations") }
        guard operations.count <= operationLimit else {
            throw PatchError(
                "The allowed maximum operations in a JSON patch is \(operationLimit), got \(operations.count)",
                unprocessable: true)
        }
        var result = target
        var spent = Spent()
        for operation in operations { try apply(operation, to: &result, &spent) }
        return result
    }

    private static func apply(_ operation: JSON, to document: inout JSON, _ spent: inout Spent) throws(PatchError) {
        guard let name = operation["op"]?.string else { throw PatchError("jsonpatch operation has no op") }
        let path = try pointer(operation, "path")
        switch name {
        case "add":
            let value = try value(operation)
            try check(value, at: path, &spent)
            try add(value, at: path, in: &document)
        case "remove": _ = try remove(path, from: &document)
        case "replace":
            let value = try value(operation)
            try check(value, at: path, &spent)
            _ = try get(path, of: document)
            try change(path, of: &document) { $0 = value }
        case "move":
            let from = try pointer(operation, "from")
            if path.tokens.count > from.tokens.count, path.tokens.starts(with: from.tokens) {
                throw PatchError("move operation into its own child: \(path.text)", unprocessable: true)
            }
            let value = try remove(from, from: &document)
            if path.tokens.count > from.tokens.count { try check(value, at: path, &spent) }
            try add(value, at: path, in: &document)
        case "copy":
            let value = try get(try pointer(operation, "from"), of: document)
            spent.copied += value.encode().count
            guard spent.copied <= copyLimit else {
                throw PatchError("copies of a JSON patch are too large", unprocessable: true)
            }
            try check(value, at: path, &spent)
            try add(value, at: path, in: &document)
        case "test":
            let found = (try? get(path, of: document)) ?? .null
            guard equal(found, operation["value"] ?? .null) else {
                throw PatchError("testing value \(path.text) failed", unprocessable: true)
            }
        default: throw PatchError("Unexpected kind: \(name)")
        }
    }

    /// Refuses a value that would be nested too deeply at the path.
    private static func check(_ value: JSON, at path: Pointer, _ spent: inout Spent) throws(PatchError) {
        if value.isNested(deeperThan: depthLimit - path.tokens.count, visited: &spent.visited) {
            throw PatchError("\(path.text.prefix(40)): exceeded max depth", unprocessable: true)
        }
        guard spent.visited <= visitLimit else {
            throw PatchError("a JSON patch moves too much", unprocessable: true)
        }
    }

    private static func value(_ operation: JSON) throws(PatchError) -> JSON {
        guard let value = operation["value"] else { throw PatchError("jsonpatch operation has no value") }
        return value
    }

    /// Numbers are equal by value (RFC 6902, 4.6).
    private static func equal(_ left: JSON, _ right: JSON) -> Bool {
        switch (left, right) {
        case (.array(let a), .array(let b)): return a.count == b.count && zip(a, b).allSatisfy { equal($0, $1) }
        case (.object(let a), .object(let b)):
            return a.count == b.count && zip(a, b).allSatisfy { $0.key == $1.key && equal($0.value, $1.value) }
        case (.int, .double), (.double, .int): return left.double == right.double
        default: return left == right
        }
    }

    // MARK: Pointers

    private struct Pointer {
        var text: String
        var tokens: [String]
    }

    private static func pointer(_ operation: JSON, _ member: String) throws(PatchError) -> Pointer {
        guard let text = operation[member]?.string else { throw PatchError("jsonpatch operation has no \(member)") }
        if text.isEmpty { return Pointer(text: text, tokens: []) }
        guard text.hasPrefix("/") else {
            throw PatchError("jsonpatch \(member) \(Quote.go(text)) does not start with /")
        }
        let tokens = text.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map(unescape)
        guard tokens.count <= depthLimit else {
            throw PatchError("jsonpatch \(member) \(Quote.go(String(text.prefix(40))))… exceeded max depth")
        }
        return Pointer(text: text, tokens: tokens)
    }

    private static func unescape(_ token: Substring) -> String {
        guard token.utf8.contains(UInt8(ascii: "~")) else { return String(token) }
        var result: [UInt8] = []
        var tilde = false
        for byte in token.utf8 {
            if tilde, byte == UInt8(ascii: "0") || byte == UInt8(ascii: "1") {
                result[result.count - 1] = byte == UInt8(ascii: "0") ? UInt8(ascii: "~") : UInt8(ascii: "/")
                tilde = false
            } else {
                result.append(byte)
                tilde = byte == UInt8(ascii: "~")
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static func missing(_ path: Pointer) -> PatchError {
        PatchError("the path \(path.text) does not exist in the object", unprocessable: true)
    }

    /// The index a token names, from 0; nil when it is none.
    private static func index(_ token: String) -> Int? {
        guard token == "0" || !token.hasPrefix("0"), token.utf8.count <= 9,
            token.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 })
        else { return nil }
        return Int(token)
    }

    private static func get(_ path: Pointer, of document: JSON) throws(PatchError) -> JSON {
        var value = document
        for token in path.tokens {
            switch value {
            case .object(let object):
                guard let next = object[token] else { throw missing(path) }
                value = next
            case .array(let array):
                guard let index = index(token), array.indices.contains(index) else { throw missing(path) }
                value = array[index]
            default: throw missing(path)
            }
        }
        return value
    }

    /// Changes the value at an existing place; setting it to nil removes it.
    private static func change(
        _ path: Pointer, of document: inout JSON, _ body: (inout JSON?) throws(PatchError) -> Void
    ) throws(PatchError) {
        try change(path.tokens[...], path, of: &document, body)
    }

    private static func change(
        _ tokens: ArraySlice<String>, _ path: Pointer, of value: inout JSON,
        _ body: (inout JSON?) throws(PatchError) -> Void
    ) throws(PatchError) {
        guard let token = tokens.first else {
            var whole: JSON? = value
            try body(&whole)
            guard let whole else {
                throw PatchError("a JSON patch cannot remove the whole object", unprocessable: true)
            }
            value = whole
            return
        }
        switch value {
        case .object(var object):
            value = .null
            defer { value = .object(object) }
            var child = object[token]
            if tokens.count == 1 {
                try body(&child)
            } else {
                guard child != nil else { throw missing(path) }
                try change(tokens.dropFirst(), path, of: &child!, body)
            }
            object[token] = child
        case .array(var array):
            guard let index = index(token), array.indices.contains(index) else { throw missing(path) }
            value = .null
            defer { value = .array(array) }
            if tokens.count == 1 {
                var child: JSON? = array[index]
                try body(&child)
                if let child { array[index] = child } else { array.remove(at: index) }
            } else {
                try change(tokens.dropFirst(), path, of: &array[index], body)
            }
        default: throw missing(path)
        }
    }

    private static func add(_ value: JSON, at path: Pointer, in document: inout JSON) throws(PatchError) {
        guard let last = path.tokens.last else {
            document = value
            return
        }
        let parent = Pointer(text: path.text, tokens: path.tokens.dropLast())
        _ = try get(parent, of: document)
        try change(parent, of: &document) { container throws(PatchError) in
            switch container {
            case .object(var object):
                object[last] = value
                container = .object(object)
            case .array(var array):
                guard let place = last == "-" ? array.count : index(last), place <= array.count else {
                    throw missing(path)
                }
                array.insert(value, at: place)
                container = .array(array)
            default: throw missing(path)
            }
        }
    }

    private static func remove(_ path: Pointer, from document: inout JSON) throws(PatchError) -> JSON {
        let value = try get(path, of: document)
        try change(path, of: &document) { $0 = nil }
        return value
    }
}

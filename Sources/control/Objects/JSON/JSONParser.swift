// The JSON parser: bytes in, a JSON value out, or an error with its place.
//
// Strict RFC 8259: one value, no trailing commas, comments or leading zeros, valid UTF-8 only, no lone surrogates.
// What an attacker controls is bounded: depth (recursion is as deep as the nesting and no deeper than the limit) and
// size. A duplicate key is an error, or, for the API server's field validation, collected with its path while the last
// value wins, as in Kubernetes.
//
// It works on an unsafe buffer with one position and checks it before each read: lists of thousands of objects go
// through here. Numbers and strings are in files of their own; who calls it is JSON.parse (JSONParsing.swift).

struct JSONParser {
    /// The reason and where it was found; line and column are counted only once it is thrown.
    struct Failure: Error {
        var reason: String
        var offset: Int

        func located(in bytes: [UInt8]) -> JSONError {
            let before = bytes.prefix(offset)
            let line = before.reduce(1) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
            let start = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
            return JSONError(reason: reason, line: line, column: offset - start + 1, offset: offset)
        }
    }

    var bytes = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    var position = 0
    var depth: Int
    let refuseDuplicates: Bool
    var duplicates: [String] = []
    var longKeys = SharedKeys()

    init(depth: Int, refuseDuplicates: Bool) {
        self.depth = depth
        self.refuseDuplicates = refuseDuplicates
    }

    mutating func parseText() throws(Failure) -> JSON {
        skipSpace()
        let value = try parseValue()
        skipSpace()
        if position < bytes.count { throw unexpected("after top-level value") }
        return value
    }

    // MARK: Values

    private mutating func parseValue() throws(Failure) -> JSON {
        guard position < bytes.count else { throw unexpected("") }
        switch bytes[position] {
        case UInt8(ascii: "{"): return try parseObject()
        case UInt8(ascii: "["): return try parseArray()
        case UInt8(ascii: "\""): return .string(try parseString(key: false))
        case UInt8(ascii: "t"):
            try expect("true")
            return .bool(true)
        case UInt8(ascii: "f"):
            try expect("false")
            return .bool(false)
        case UInt8(ascii: "n"):
            try expect("null")
            return .null
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try parseNumber()
        default: throw unexpected("looking for beginning of value")
        }
    }

    private mutating func expect(_ word: StaticString) throws(Failure) {
        for index in 0..<word.utf8CodeUnitCount {
            guard position < bytes.count, bytes[position] == word.utf8Start[index] else {
                throw unexpected("in literal \(word)")
            }
            position += 1
        }
    }

    private mutating func parseObject() throws(Failure) -> JSON {
        try enter()
        let start = position
        position += 1
        var entries: [JSONObject.Entry] = []
        skipSpace()
        if peek() == UInt8(ascii: "}") {
            position += 1
            depth += 1
            return .object(JSONObject())
        }
        entries.reserveCapacity(4)
        while true {
            guard peek() == UInt8(ascii: "\"") else { throw unexpected("looking for beginning of object key string") }
            let key = try parseString(key: true)
            skipSpace()
            guard peek() == UInt8(ascii: ":") else { throw unexpected("after object key") }
            position += 1
            skipSpace()
            let known = duplicates.count
            let value = try parseValue()
            if duplicates.count > known { prefixDuplicates(from: known, with: key) }
            entries.append(JSONObject.Entry(key: key, value: value))
            skipSpace()
            switch peek() {
            case UInt8(ascii: ","):
                position += 1
                skipSpace()
            case UInt8(ascii: "}"):
                position += 1
                depth += 1
                return .object(try makeObject(entries, start))
            default: throw unexpected("after object key:value pair")
            }
        }
    }

    private mutating func makeObject(
        _ entries: [JSONObject.Entry], _ start: Int
    ) throws(Failure) -> JSONObject {
        var twice: [String] = []
        let object = JSONObject(unsorted: entries) { twice.append($0) }
        if !twice.isEmpty {
            if refuseDuplicates { throw Failure(reason: "duplicate field \"\(twice[0])\"", offset: start) }
            duplicates += twice.prefix(max(0, 100 - duplicates.count))
        }
        return object
    }

    private mutating func prefixDuplicates(from first: Int, with key: String) {
        for index in first..<duplicates.count {
            let separator = duplicates[index].hasPrefix("[") ? "" : "."
            duplicates[index] = key + separator + duplicates[index]
        }
    }

    private mutating func parseArray() throws(Failure) -> JSON {
        try enter()
        position += 1
        var elements: [JSON] = []
        skipSpace()
        if peek() == UInt8(ascii: "]") {
            position += 1
            depth += 1
            return .array([])
        }
        while true {
            let known = duplicates.count
            elements.append(try parseValue())
            if duplicates.count > known { prefixDuplicates(from: known, with: "[\(elements.count - 1)]") }
            skipSpace()
            switch peek() {
            case UInt8(ascii: ","):
                position += 1
                skipSpace()
            case UInt8(ascii: "]"):
                position += 1
                depth += 1
                return .array(elements)
            default: throw unexpected("after array element")
            }
        }
    }

    private mutating func enter() throws(Failure) {
        guard depth > 0 else { throw Failure(reason: "exceeded max depth", offset: position) }
        depth -= 1
    }

    // MARK: Bytes

    @inline(__always)
    func peek() -> UInt8? { position < bytes.count ? bytes[position] : nil }

    @inline(__always)
    private mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    func unexpected(_ place: String) -> Failure {
        guard position < bytes.count else { return Failure(reason: "unexpected end of JSON input", offset: position) }
        let byte = bytes[position]
        let shown: String
        switch byte {
        case UInt8(ascii: "'"): shown = "'\\''"
        case UInt8(ascii: "\\"): shown = "'\\\\'"
        case 0x20..<0x7F: shown = "'\(Character(Unicode.Scalar(byte)))'"
        default: shown = "byte 0x" + String(byte, radix: 16)
        }
        return Failure(reason: "invalid character \(shown) \(place)", offset: position)
    }
}

// The JSON parser: bytes in, a JSON value out, or an error with its place.
//
// Strict RFC 8259: one value, no trailing commas, comments or leading zeros, valid UTF-8 only, no lone surrogates.
// What an attacker controls is bounded: depth (recursion is as deep as the nesting and no deeper than the limit) and
// size. A duplicate key is an error, or, for the API server's field validation, collected with its path while the last
// value wins, as in Kubernetes. Integers beyond Int64 become doubles; numbers beyond a double are refused.
//
// It works on an unsafe buffer with one position, checks it before each read, and looks at eight bytes at a time
// inside strings: lists of thousands of objects go through here.

/// What a parser accepts.
public struct JSONLimits: Sendable {
    /// Nesting of arrays and objects.
    public var depth: Int
    /// Bytes of the whole text.
    public var bytes: Int

    public init(depth: Int = 1024, bytes: Int = 64 << 20) {
        self.depth = depth
        self.bytes = bytes
    }

    /// For what noded wrote itself. An object is nested a little deeper in the store than it came: its owners' fields
    /// (metadata.managedFields) mirror it some levels further down.
    public static let standard = JSONLimits()
    /// For what comes in a request.
    public static let body = JSONLimits(depth: 512)
}

/// Why a text is not the JSON (or YAML) that was expected, and where.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    /// In the words of Go's decoder where it has them, since Kubernetes' users know these.
    public let reason: String
    /// Counted from 1.
    public let line: Int
    /// Bytes from the start of the line, counted from 1.
    public let column: Int
    /// Bytes from the start of the text, counted from 0.
    public let offset: Int

    public init(reason: String, line: Int, column: Int, offset: Int) {
        self.reason = reason
        self.line = line
        self.column = column
        self.offset = offset
    }

    public var description: String { "line \(line), column \(column): \(reason)" }
}

extension JSON {
    /// Parses one JSON text. A duplicate key is an error.
    public static func parse(_ bytes: [UInt8], limits: JSONLimits = .standard) throws(JSONError) -> JSON {
        var ignored: [String] = []
        return try run(bytes, limits, refuseDuplicates: true, &ignored)
    }

    /// Parses one JSON text. Of duplicate keys the last one wins, and their paths are added to `duplicates`, written
    /// like `spec.containers[0].name` (at most 100 of them).
    public static func parse(
        _ bytes: [UInt8], limits: JSONLimits = .standard, duplicates: inout [String]
    ) throws(JSONError) -> JSON {
        try run(bytes, limits, refuseDuplicates: false, &duplicates)
    }

    public static func parse(_ bytes: ArraySlice<UInt8>, limits: JSONLimits = .standard) throws(JSONError) -> JSON {
        try parse(Array(bytes), limits: limits)
    }

    public static func parse(_ text: String, limits: JSONLimits = .standard) throws(JSONError) -> JSON {
        try parse(Array(text.utf8), limits: limits)
    }

    private static func run(
        _ bytes: [UInt8], _ limits: JSONLimits, refuseDuplicates: Bool, _ duplicates: inout [String]
    ) throws(JSONError) -> JSON {
        guard bytes.count <= limits.bytes else {
            throw JSONError(reason: "larger than \(limits.bytes) bytes", line: 1, column: 1, offset: limits.bytes)
        }
        var parser = JSONParser(depth: limits.depth, refuseDuplicates: refuseDuplicates)
        let result: Result<JSON, JSONParser.Failure> = bytes.withUnsafeBufferPointer { buffer in
            parser.bytes = buffer
            do throws(JSONParser.Failure) {
                return .success(try parser.parseText())
            } catch {
                return .failure(error)
            }
        }
        parser.bytes = UnsafeBufferPointer(start: nil, count: 0)
        duplicates += parser.duplicates
        switch result {
        case .success(let value): return value
        case .failure(let failure): throw failure.located(in: bytes)
        }
    }
}

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
    /// Keys longer than the 15 bytes a String holds without an allocation, shared within one text.
    private var longKeys = [String](repeating: "", count: 128)

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

    // MARK: Numbers

    private mutating func parseNumber() throws(Failure) -> JSON {
        let start = position
        let negative = bytes[position] == UInt8(ascii: "-")
        if negative { position += 1 }
        var value: UInt64 = 0
        var exact = true
        let firstDigit = position
        while let digit = digit() {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
            if overflow || carry { exact = false }
            value = sum
            position += 1
        }
        guard position > firstDigit else { throw unexpected("in numeric literal") }
        if bytes[firstDigit] == UInt8(ascii: "0"), position > firstDigit + 1 {
            position = firstDigit + 1
            throw unexpected("after top-level value")
        }
        if peek() == UInt8(ascii: ".") {
            exact = false
            position += 1
            guard digit() != nil else { throw unexpected("after decimal point in numeric literal") }
            while digit() != nil { position += 1 }
        }
        if peek() == UInt8(ascii: "e") || peek() == UInt8(ascii: "E") {
            exact = false
            position += 1
            if peek() == UInt8(ascii: "+") || peek() == UInt8(ascii: "-") { position += 1 }
            guard digit() != nil else { throw unexpected("in exponent of numeric literal") }
            while digit() != nil { position += 1 }
        }
        if exact {
            if !negative, value <= UInt64(Int64.max) { return .int(Int64(value)) }
            if negative, value <= UInt64(Int64.max) + 1 { return .int(Int64(truncatingIfNeeded: 0 &- value)) }
        }
        guard position - start <= 4096 else { throw Failure(reason: "number is too long", offset: start) }
        let text = String(decoding: UnsafeBufferPointer(rebasing: bytes[start..<position]), as: UTF8.self)
        guard let double = Double(text), double.isFinite else {
            throw Failure(reason: "number \(text.prefix(40)) is out of range", offset: start)
        }
        return .double(double)
    }

    @inline(__always)
    private func digit() -> UInt8? {
        guard position < bytes.count else { return nil }
        let digit = bytes[position] &- UInt8(ascii: "0")
        return digit < 10 ? digit : nil
    }

    // MARK: Strings

    private mutating func parseString(key: Bool) throws(Failure) -> String {
        position += 1
        let start = position
        var ascii = true
        while true {
            skipPlain()
            guard position < bytes.count else { throw unexpected("") }
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") { break }
            if byte == UInt8(ascii: "\\") { return try parseEscaped(start) }
            if byte < 0x20 { throw unexpected("in string literal") }
            if byte >= 0x80 { ascii = false }
            position += 1
        }
        let content = UnsafeBufferPointer(rebasing: bytes[start..<position])
        position += 1
        if ascii {
            if key, content.count > 15 { return longKey(content) }
            return String(decoding: content, as: UTF8.self)
        }
        guard let text = String(validating: content, as: UTF8.self) else {
            throw Failure(reason: "invalid UTF-8 in string literal", offset: start)
        }
        return text
    }

    /// Moves over bytes that need no look, eight at a time: printable ASCII but quote and backslash.
    @inline(__always)
    private mutating func skipPlain() {
        let raw = UnsafeRawBufferPointer(bytes)
        let ones: UInt64 = 0x0101_0101_0101_0101
        let high: UInt64 = 0x8080_8080_8080_8080
        while position + 8 <= raw.count {
            let word = raw.loadUnaligned(fromByteOffset: position, as: UInt64.self)
            let quote = word ^ (ones &* UInt64(UInt8(ascii: "\"")))
            let slash = word ^ (ones &* UInt64(UInt8(ascii: "\\")))
            let special = ((quote &- ones) & ~quote) | ((slash &- ones) & ~slash) | (word &- (ones &* 0x20)) | word
            if special & high != 0 { break }
            position += 8
        }
        while position < bytes.count {
            let byte = bytes[position]
            if byte < 0x20 || byte >= 0x80 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return }
            position += 1
        }
    }

    private mutating func longKey(_ content: UnsafeBufferPointer<UInt8>) -> String {
        let last = content.count - 1
        let slot = (content.count &* 31 &+ Int(content[0]) &* 7 &+ Int(content[last]) &+ Int(content[last / 2])) & 127
        let known = longKeys[slot]
        if known.utf8.count == content.count, Bytes.with(known, { Bytes.order($0, content) == 0 }) { return known }
        let key = String(decoding: content, as: UTF8.self)
        longKeys[slot] = key
        return key
    }

    /// The rest of a string that has escapes; `start` is its first byte, the position its first backslash.
    private mutating func parseEscaped(_ start: Int) throws(Failure) -> String {
        var content = Array(bytes[start..<position])
        while true {
            let plain = position
            skipPlain()
            content.append(contentsOf: bytes[plain..<position])
            guard position < bytes.count else { throw unexpected("") }
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") { break }
            if byte < 0x20 { throw unexpected("in string literal") }
            position += 1
            if byte == UInt8(ascii: "\\") { try parseEscape(into: &content) } else { content.append(byte) }
        }
        position += 1
        guard let text = String(validating: content, as: UTF8.self) else {
            throw Failure(reason: "invalid UTF-8 in string literal", offset: start)
        }
        return text
    }

    private mutating func parseEscape(into content: inout [UInt8]) throws(Failure) {
        guard let byte = peek() else { throw unexpected("") }
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(byte)
        case UInt8(ascii: "b"): content.append(0x08)
        case UInt8(ascii: "f"): content.append(0x0C)
        case UInt8(ascii: "n"): content.append(0x0A)
        case UInt8(ascii: "r"): content.append(0x0D)
        case UInt8(ascii: "t"): content.append(0x09)
        case UInt8(ascii: "u"):
            position += 1
            try parseUnicodeEscape(into: &content)
            return
        default: throw unexpected("in string escape code")
        }
        position += 1
    }

    private mutating func parseUnicodeEscape(into content: inout [UInt8]) throws(Failure) {
        let start = position - 2
        var code = try parseHex()
        if 0xD800..<0xDC00 ~= code {
            guard position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
                bytes[position + 1] == UInt8(ascii: "u")
            else { throw Failure(reason: "lone surrogate in string literal", offset: start) }
            position += 2
            let low = try parseHex()
            guard 0xDC00..<0xE000 ~= low else {
                throw Failure(reason: "lone surrogate in string literal", offset: start)
            }
            code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(code) else {
            throw Failure(reason: "lone surrogate in string literal", offset: start)
        }
        content.append(contentsOf: UTF8.encode(scalar)!)
    }

    private mutating func parseHex() throws(Failure) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek(), let digit = Self.hexDigit(byte) else {
                throw unexpected("in \\u hexadecimal character escape")
            }
            code = code << 4 | UInt32(digit)
            position += 1
        }
        return code
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): return byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): return byte - UInt8(ascii: "A") + 10
        default: return nil
        }
    }

    // MARK: Bytes

    @inline(__always)
    private func peek() -> UInt8? { position < bytes.count ? bytes[position] : nil }

    @inline(__always)
    private mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    private func unexpected(_ place: String) -> Failure {
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

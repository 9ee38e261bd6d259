// YAML: manifests as people write them, read into JSON values (libyaml does the scanning, this file gives meaning).
//
// Plain scalars mean what they mean to kubectl (YAML 1.1 as sigs.k8s.io/yaml reads it): `yes` and `on` are true, 0644
// is octal, dates are strings. Keys become strings, `<<` merges, duplicate keys are refused or, for the API server's
// field validation, collected while the last one wins. What an attacker controls is bounded: bytes, depth, and what
// aliases expand to (a "billion laughs" document is refused before it costs anything).
//
// Failures are JSONErrors with the line that libyaml, or this file, stopped at. Nothing here recurses.

internal import CYAML
internal import System

/// Reads YAML.
public enum YAML {
    /// The documents of a stream; those that hold nothing are left out. A duplicate key is an error.
    public static func parse(_ bytes: [UInt8], limits: JSONLimits = .standard) throws(JSONError) -> [JSON] {
        var duplicates: [String] = []
        let documents = try parse(bytes, limits: limits, duplicates: &duplicates)
        guard let first = duplicates.first else { return documents }
        let line = Int(first.dropFirst("line ".count).prefix { $0 != ":" }) ?? 0
        let reason = first.split(separator: ": ", maxSplits: 1).last.map(String.init) ?? first
        throw JSONError(reason: reason, line: line, column: 1, offset: 0)
    }

    public static func parse(_ text: String, limits: JSONLimits = .standard) throws(JSONError) -> [JSON] {
        try parse(Array(text.utf8), limits: limits)
    }

    /// The documents of a stream. Of duplicate keys the last one wins, and `line 7: key "x" already set in map` is
    /// added to `duplicates` for each (at most 100 of them).
    public static func parse(
        _ bytes: [UInt8], limits: JSONLimits = .standard, duplicates: inout [String]
    ) throws(JSONError) -> [JSON] {
        guard bytes.count <= limits.bytes else {
            throw JSONError(reason: "larger than \(limits.bytes) bytes", line: 1, column: 1, offset: limits.bytes)
        }
        var reader = YAMLReader(limits: limits)
        let result: Result<Void, JSONError> = bytes.withUnsafeBufferPointer { buffer in
            do throws(JSONError) {
                return .success(try reader.read(buffer))
            } catch {
                return .failure(error)
            }
        }
        duplicates += reader.duplicates
        if case .failure(let error) = result { throw error }
        return reader.documents
    }
}

/// A value with what it weighs when it is repeated: bytes of text and 8 for each value; and how deep it is nested.
private struct Weighed {
    var value: JSON
    var weight: Int
    var depth = 0
}

/// A mapping's key by its bytes: strings that Unicode holds equal are different keys, and no table may be filled with
/// them.
private struct KeyBytes: Hashable {
    let text: String

    static func == (left: KeyBytes, right: KeyBytes) -> Bool { Bytes.equal(left.text, right.text) }

    func hash(into hasher: inout Hasher) {
        Bytes.with(text) { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

/// A sequence or mapping that is not complete yet.
private struct Frame {
    var isMapping: Bool
    var anchor: String?
    var weight = 8
    /// Of what is inside.
    var depth = 0
    var elements: [JSON] = []
    var entries: [JSONObject.Entry] = []
    /// The keys of a large mapping.
    var keys: Set<KeyBytes> = []
    /// A mapping's key that waits for its value.
    var key: String?
    /// The next value belongs to the key `<<`.
    var merging = false
    var merged: [JSONObject] = []
    var line: Int
}

private struct YAMLReader {
    let limits: JSONLimits
    var documents: [JSON] = []
    var duplicates: [String] = []
    private var frames: [Frame] = []
    private var anchors: [String: Weighed] = [:]
    /// What aliases have added so far, by weight.
    private var expanded = 0
    private static let expansionLimit = 16 << 20

    init(limits: JSONLimits) { self.limits = limits }

    mutating func read(_ bytes: UnsafeBufferPointer<UInt8>) throws(JSONError) {
        let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
        defer { parser.deallocate() }
        guard yaml_parser_initialize(parser) == 1 else { preconditionFailure("yaml_parser_initialize: out of memory") }
        defer { yaml_parser_delete(parser) }
        yaml_parser_set_input_string(parser, bytes.baseAddress, bytes.count)
        while true {
            var event = yaml_event_t()
            guard yaml_parser_parse(parser, &event) == 1 else { throw Self.failure(parser.pointee) }
            defer { yaml_event_delete(&event) }
            if event.type == YAML_STREAM_END_EVENT { return }
            try take(event)
        }
    }

    private static func failure(_ parser: yaml_parser_t) -> JSONError {
        var reason = parser.problem.map { String(cString: $0) } ?? "not YAML"
        if let context = parser.context { reason = "\(String(cString: context)), \(reason)" }
        // The scanner knows the place; the reader (bad UTF-8, control characters) only the offset.
        let mark = parser.error == YAML_READER_ERROR ? parser.mark : parser.problem_mark
        let offset = parser.error == YAML_READER_ERROR ? Int(parser.problem_offset) : Int(mark.index)
        return JSONError(reason: reason, line: Int(mark.line) + 1, column: Int(mark.column) + 1, offset: offset)
    }

    private static func error(_ reason: String, _ event: yaml_event_t) -> JSONError {
        let mark = event.start_mark
        return JSONError(
            reason: reason, line: Int(mark.line) + 1, column: Int(mark.column) + 1, offset: Int(mark.index))
    }

    // MARK: Events

    private mutating func take(_ event: yaml_event_t) throws(JSONError) {
        switch event.type {
        case YAML_DOCUMENT_START_EVENT: anchors = [:]
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            let (value, isMerge) = try Self.scalar(event)
            if isMerge, let top = frames.indices.last, frames[top].isMapping, frames[top].key == nil {
                frames[top].merging = true
                frames[top].key = "<<"
                return
            }
            let weighed = Weighed(value: value, weight: 8 + scalar.length)
            if let anchor = Self.name(scalar.anchor) { anchors[anchor] = weighed }
            try add(weighed, event)
        case YAML_ALIAS_EVENT:
            let name = Self.name(event.data.alias.anchor) ?? ""
            guard let weighed = anchors[name] else { throw Self.error("unknown anchor '\(name)' referenced", event) }
            expanded += weighed.weight
            guard expanded <= Self.expansionLimit else {
                throw Self.error("document contains excessive aliasing", event)
            }
            // An alias in what an alias names: each takes what it holds a little deeper.
            guard frames.count + weighed.depth <= limits.depth else { throw Self.error("exceeded max depth", event) }
            try add(weighed, event)
        case YAML_SEQUENCE_START_EVENT: try open(mapping: false, event.data.sequence_start.anchor, event)
        case YAML_MAPPING_START_EVENT: try open(mapping: true, event.data.mapping_start.anchor, event)
        case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT: try close(event)
        default: break
        }
    }

    private static func name(_ text: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        text.map { String(cString: $0) }
    }

    private mutating func open(
        mapping: Bool, _ anchor: UnsafeMutablePointer<yaml_char_t>?, _ event: yaml_event_t
    ) throws(JSONError) {
        guard frames.count < limits.depth else { throw Self.error("exceeded max depth", event) }
        frames.append(Frame(isMapping: mapping, anchor: Self.name(anchor), line: Int(event.start_mark.line) + 1))
    }

    private mutating func close(_ event: yaml_event_t) throws(JSONError) {
        let frame = frames.removeLast()
        let value = frame.isMapping ? JSON.object(mapping(frame)) : .array(frame.elements)
        let weighed = Weighed(value: value, weight: frame.weight, depth: frame.depth + 1)
        if let anchor = frame.anchor { anchors[anchor] = weighed }
        try add(weighed, event)
    }

    private func mapping(_ frame: Frame) -> JSONObject {
        if frame.merged.isEmpty { return JSONObject(unsorted: frame.entries) }
        // Of equal keys the last one wins: the mapping's own, then those of the first merge.
        return JSONObject(unsorted: frame.merged.reversed().flatMap(\.entries) + frame.entries)
    }

    /// Puts a complete value where it belongs.
    private mutating func add(_ weighed: Weighed, _ event: yaml_event_t) throws(JSONError) {
        guard let top = frames.indices.last else {
            if !weighed.value.isNull { documents.append(weighed.value) }
            return
        }
        frames[top].weight += weighed.weight
        frames[top].depth = max(frames[top].depth, weighed.depth)
        guard frames[top].isMapping else {
            frames[top].elements.append(weighed.value)
            return
        }
        guard let key = frames[top].key else {
            let key = try Self.key(weighed.value, event)
            // An alias can be large, and a key is kept as text.
            frames[top].key = key
            return
        }
        frames[top].key = nil
        if frames[top].merging {
            frames[top].merging = false
            try merge(weighed.value, into: top, event)
            return
        }
        if isKnown(key, in: top), duplicates.count < 100 {
            duplicates.append("line \(event.start_mark.line + 1): key \(Quote.go(key)) already set in map")
        }
        frames[top].entries.append(JSONObject.Entry(key: key, value: weighed.value))
    }

    /// Whether a mapping has the key already; from now on it has. A look at all of them is quickest while they are few.
    private mutating func isKnown(_ key: String, in top: Int) -> Bool {
        guard frames[top].entries.count >= 16 else {
            return frames[top].entries.contains { Bytes.equal($0.key, key) }
        }
        if frames[top].keys.isEmpty { frames[top].keys = Set(frames[top].entries.map { KeyBytes(text: $0.key) }) }
        return !frames[top].keys.insert(KeyBytes(text: key)).inserted
    }

    private mutating func merge(_ value: JSON, into top: Int, _ event: yaml_event_t) throws(JSONError) {
        switch value {
        case .object(let object): frames[top].merged.append(object)
        case .array(let values):
            for value in values {
                guard case .object(let object) = value else {
                    throw Self.error("map merge requires map or sequence of maps as the value", event)
                }
                frames[top].merged.append(object)
            }
        default: throw Self.error("map merge requires map or sequence of maps as the value", event)
        }
    }

    private static func key(_ value: JSON, _ event: yaml_event_t) throws(JSONError) -> String {
        switch value {
        case .string(let text): return text
        case .int, .double, .bool: return value.text
        case .null, .array, .object: throw error("unsupported map key of type \(value.typeName)", event)
        }
    }

    // MARK: Scalars

    private static func scalar(_ event: yaml_event_t) throws(JSONError) -> (JSON, isMerge: Bool) {
        let scalar = event.data.scalar
        let content = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
        guard let text = String(validating: content, as: UTF8.self) else { throw error("invalid UTF-8", event) }
        let tag = name(scalar.tag) ?? ""
        switch tag {
        case "", "!":
            if tag == "!" || scalar.style != YAML_PLAIN_SCALAR_STYLE { return (.string(text), false) }
            if text == "<<" { return (.string(text), true) }
        case "tag:yaml.org,2002:str": return (.string(text), false)
        case "tag:yaml.org,2002:merge": return (.string(text), true)
        case "tag:yaml.org,2002:binary":
            let packed = text.filter { !$0.isWhitespace }
            guard let bytes = Base64.decode(packed), let decoded = String(validating: bytes, as: UTF8.self) else {
                throw error("!!binary value is not base64 of UTF-8 text", event)
            }
            return (.string(decoded), false)
        default: break
        }
        guard let value = YAMLScalar.resolve(text) else {
            throw error("\(text) cannot be represented in JSON", event)
        }
        return (value, false)
    }
}

/// What a plain scalar means.
enum YAMLScalar {
    private static let words: [String: JSON] = {
        var words: [String: JSON] = [:]
        for word in ["", "~", "null", "Null", "NULL"] { words[word] = .null }
        for word in ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"] { words[word] = true }
        for word in ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"] { words[word] = false }
        return words
    }()

    private static let unrepresentable: Set<String> = [
        ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
    ]

    /// nil for infinities and not-a-number, which JSON lacks.
    static func resolve(_ text: String) -> JSON? {
        if let value = words[text] { return value }
        guard let first = text.utf8.first,
            first == UInt8(ascii: ".") || first == UInt8(ascii: "+")
                || first == UInt8(ascii: "-") || UInt8(ascii: "0")...UInt8(ascii: "9") ~= first
        else { return .string(text) }
        if unrepresentable.contains(text) { return nil }
        return number(text.filter { $0 != "_" }) ?? .string(text)
    }

    private static func number(_ text: String) -> JSON? {
        let negative = text.hasPrefix("-")
        let digits = negative || text.hasPrefix("+") ? String(text.dropFirst()) : text
        let sign = negative ? "-" : ""
        for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)]
        where digits.hasPrefix(prefix) {
            let rest = digits.dropFirst(2)
            // Int(_:radix:) would take a second sign.
            guard let first = rest.first, first.isHexDigit else { return nil }
            return Int64(sign + rest, radix: radix).map(JSON.int)
        }
        guard isDecimal(digits) else { return nil }
        if digits.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) {
            if digits.utf8.count > 1, digits.hasPrefix("0"), let octal = Int64(sign + digits, radix: 8) {
                return .int(octal)
            }
            if let integer = Int64(sign + digits) { return .int(integer) }
        }
        guard let double = Double(sign + digits), double.isFinite else { return nil }
        // Kubernetes goes through JSON text, where a whole number has no point.
        return Int64(exactly: double).map(JSON.int) ?? .double(double)
    }

    /// `[0-9]+(\.[0-9]*)?` or `\.[0-9]+`, with an exponent or without.
    private static func isDecimal(_ text: String) -> Bool {
        var rest = Array(text.utf8)[...]
        func skipDigits() -> Int {
            let digits = rest.prefix { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }.count
            rest = rest.dropFirst(digits)
            return digits
        }
        let whole = skipDigits()
        var fraction = 0
        if rest.first == UInt8(ascii: ".") {
            rest = rest.dropFirst()
            fraction = skipDigits()
        }
        guard whole + fraction > 0 else { return false }
        if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
            rest = rest.dropFirst()
            if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
            guard skipDigits() > 0 else { return false }
        }
        return rest.isEmpty
    }
}

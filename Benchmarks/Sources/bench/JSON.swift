// Just enough JSON (RFC 8259) to look into API objects: a reader for trusted, well-formed text.

enum JSON {
    case null, bool(Bool), number(Double), string(String), array([JSON]), object([String: JSON])

    /// nil for what is not JSON.
    init?(_ text: String) {
        var reader = JSONReader(bytes: Array(text.utf8))
        guard let value = reader.value() else { return nil }
        self = value
    }

    subscript(_ key: String) -> JSON? {
        if case .object(let members) = self { members[key] } else { nil }
    }

    var string: String? { if case .string(let value) = self { value } else { nil } }
    var array: [JSON] { if case .array(let value) = self { value } else { [] } }
}

private struct JSONReader {
    init(bytes: [UInt8]) { self.bytes = bytes }

    let bytes: [UInt8]
    private(set) var position = 0

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 32 || 9...13 ~= byte { position += 1 }
    }

    private mutating func take(_ character: Character) -> Bool {
        skipSpace()
        guard next == character.asciiValue else { return false }
        position += 1
        return true
    }

    private mutating func take(word: String) -> Bool {
        guard bytes[position...].starts(with: word.utf8) else { return false }
        position += word.utf8.count
        return true
    }

    mutating func value() -> JSON? {
        skipSpace()
        switch next.map({ Character(UnicodeScalar($0)) }) {
        case "{": return object()
        case "[": return array()
        case "\"": return string().map(JSON.string)
        case "t": return take(word: "true") ? .bool(true) : nil
        case "f": return take(word: "false") ? .bool(false) : nil
        case "n": return take(word: "null") ? .null : nil
        default: return number()
        }
    }

    private mutating func object() -> JSON? {
        guard take("{") else { return nil }
        var members: [String: JSON] = [:]
        if take("}") { return .object(members) }
        repeat {
            skipSpace()
            guard let key = string(), take(":"), let value = value() else { return nil }
            members[key] = value
        } while take(",")
        return take("}") ? .object(members) : nil
    }

    private mutating func array() -> JSON? {
        guard take("[") else { return nil }
        var elements: [JSON] = []
        if take("]") { return .array(elements) }
        repeat {
            guard let value = value() else { return nil }
            elements.append(value)
        } while take(",")
        return take("]") ? .array(elements) : nil
    }

    /// Escapes stay as they are: nothing that is looked for here contains one.
    private mutating func string() -> String? {
        guard take("\"") else { return nil }
        let start = position
        while let byte = next, byte != 34 { position += byte == 92 ? 2 : 1 }
        guard position < bytes.count else { return nil }
        defer { position += 1 }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func number() -> JSON? {
        let start = position
        while let byte = next, 48...57 ~= byte || [43, 45, 46, 69, 101].contains(byte) { position += 1 }
        return Double(String(decoding: bytes[start..<position], as: UTF8.self)).map(JSON.number)
    }
}

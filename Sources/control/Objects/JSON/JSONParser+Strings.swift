// Strings and keys (RFC 8259, section 7). Most have no escape and nothing but ASCII: their end is looked for eight
// bytes at a time, and they are made in one piece. Long keys, the same in every object of a list, are made once a text.
//
// Refused: control characters, invalid UTF-8, unknown escapes, surrogates that are no pair.

extension JSONParser {
    mutating func parseString(key: Bool) throws(Failure) -> String {
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
            if key, content.count > 15 { return longKeys.key(content) }
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
}

/// Keys longer than the 15 bytes a String holds without an allocation, shared within one text.
struct SharedKeys {
    private var slots = [String](repeating: "", count: 128)

    /// The key of these bytes: ASCII, at least one.
    mutating func key(_ content: UnsafeBufferPointer<UInt8>) -> String {
        let last = content.count - 1
        let slot = (content.count &* 31 &+ Int(content[0]) &* 7 &+ Int(content[last]) &+ Int(content[last / 2])) & 127
        let known = slots[slot]
        if known.utf8.count == content.count, Bytes.with(known, { Bytes.order($0, content) == 0 }) { return known }
        let key = String(decoding: content, as: UTF8.self)
        slots[slot] = key
        return key
    }
}

// JSON values as YAML in block style, as `kubectl get -o yaml` looks: for clients that
// ask the API for application/yaml.
//
// A string is plain only when nobody could read it as something else; all others are JSON strings, which YAML's double
// quotes take as they are. So what is written parses to the same value. Cannot fail.

extension JSON {
    /// The value as one YAML document.
    public func encodeYAML() -> [UInt8] {
        var writer = YAMLWriter()
        writer.write(self, indent: 0, inline: false)
        return writer.bytes
    }
}

private struct YAMLWriter {
    var bytes: [UInt8] = []

    /// - Parameter inline: the line has begun (behind `- `); the first member goes on in it.
    mutating func write(_ value: JSON, indent: Int, inline: Bool) {
        switch value {
        case .object(let object) where !object.isEmpty:
            var isFirst = inline
            for (key, member) in object {
                begin(indent, isFirst)
                isFirst = false
                put(key: key, indent)
                bytes.append(UInt8(ascii: ":"))
                below(member, indent)
            }
        case .array(let array) where !array.isEmpty:
            var isFirst = inline
            for element in array {
                begin(indent, isFirst)
                isFirst = false
                bytes += "- ".utf8
                write(element, indent: indent + 2, inline: true)
            }
        default:
            begin(indent, inline)
            scalar(value)
            bytes.append(UInt8(ascii: "\n"))
        }
    }

    /// What a key holds: on the same line when it is a scalar or empty. Lists are not indented below their key.
    private mutating func below(_ value: JSON, _ indent: Int) {
        switch value {
        case .object(let object) where !object.isEmpty:
            bytes.append(UInt8(ascii: "\n"))
            write(value, indent: indent + 2, inline: false)
        case .array(let array) where !array.isEmpty:
            bytes.append(UInt8(ascii: "\n"))
            write(value, indent: indent, inline: false)
        default:
            bytes.append(UInt8(ascii: " "))
            scalar(value)
            bytes.append(UInt8(ascii: "\n"))
        }
    }

    private mutating func begin(_ indent: Int, _ inline: Bool) {
        if !inline { bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: indent)) }
    }

    /// A key that stands before its colon has 1024 characters at most (YAML 1.2.2, 7.4.2); a longer one is announced, and
    /// the colon begins the next line.
    private mutating func put(key: String, _ indent: Int) {
        let start = bytes.count
        put(key)
        guard bytes.count - start > 1024 else { return }
        bytes.insert(contentsOf: "? ".utf8, at: start)
        bytes.append(UInt8(ascii: "\n"))
        begin(indent, false)
    }

    private mutating func scalar(_ value: JSON) {
        if case .string(let text) = value { put(text) } else { value.encode(into: &bytes) }
    }

    private mutating func put(_ text: String) {
        if YAMLWriter.isPlain(text) { bytes += text.utf8 } else { JSON.string(text).encode(into: &bytes) }
    }

    private static func isPlain(_ text: String) -> Bool {
        let bytes = text.utf8
        guard let first = bytes.first, let last = bytes.last, isWord(first), last != 0x20, last != 0x3a else {
            return false
        }
        var before: UInt8 = 0
        for byte in bytes {
            switch byte {
            case _ where isWord(byte): break
            case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "/"), UInt8(ascii: "+"),
                UInt8(ascii: "="), UInt8(ascii: "@"), UInt8(ascii: "("), UInt8(ascii: ")"):
                break
            // ": " begins a value.
            case 0x20: if before == 0x3a { return false }
            case 0x3a: break
            default: return false
            }
            before = byte
        }
        return YAML.resolvesToText(text)
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: false
        }
    }
}

extension YAML {
    /// A plain scalar of this text is a string, to this parser and to stricter ones: times, 1:30:00 and y are not.
    static func resolvesToText(_ text: String) -> Bool {
        guard let first = text.utf8.first else { return false }
        if first >= 0x30, first <= 0x39 { return false }
        switch text.lowercased() {
        case "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf": return false
        default: return true
        }
    }
}

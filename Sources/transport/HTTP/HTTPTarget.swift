// Request targets (RFC 9112, section 3.2) and query strings as browsers and Go write them. Any text is one: nothing
// here fails, and what names nothing is answered with 404.

public enum HTTPTarget {
    /// The path as it was sent and the query decoded, in order. An absolute-form target loses its authority.
    public static func parse(_ target: String) -> (path: String, query: [(String, String)]) {
        if isPath(target) { return (target, []) }
        // Bytes, not characters: a combining mark after a "?" would hide it.
        var rest = Substring(target).utf8
        if rest.first != UInt8(ascii: "/"), let scheme = end(of: "://", in: rest) {
            rest = rest[scheme...]
            let start = rest.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") }
            rest = start.map { rest[$0...] } ?? Substring("/").utf8
        }
        if let fragment = rest.firstIndex(of: UInt8(ascii: "#")) { rest = rest[..<fragment] }
        let mark = rest.firstIndex(of: UInt8(ascii: "?")) ?? rest.endIndex
        let path = mark == rest.startIndex ? "/" : String(Substring(rest[..<mark]))
        let query = rest[mark...].dropFirst().split(separator: UInt8(ascii: "&")).map { pair in
            let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            return (decode(Substring(parts[0])), parts.count > 1 ? decode(Substring(parts[1])) : "")
        }
        return (path, query)
    }

    /// A path and nothing else, as most are: a look at each byte, and nothing is taken apart.
    private static func isPath(_ target: String) -> Bool {
        let bytes = target.utf8Span.span
        guard !bytes.isEmpty, bytes[0] == UInt8(ascii: "/") else { return false }
        return bytes.indices.allSatisfy { bytes[$0] != UInt8(ascii: "?") && bytes[$0] != UInt8(ascii: "#") }
    }

    private static func end(of text: String, in bytes: Substring.UTF8View) -> String.Index? {
        var rest = bytes
        while !rest.isEmpty {
            if rest.starts(with: text.utf8) { return rest.index(rest.startIndex, offsetBy: text.utf8.count) }
            // A scheme is letters, digits and "+-." (RFC 3986, 3.1): past anything else there is none.
            if let first = rest.popFirst(), first == UInt8(ascii: "?") || first == UInt8(ascii: "#") { return nil }
        }
        return nil
    }

    /// Percent-decoding, with `+` for a space; what is no valid escape stays as it is.
    static func decode(_ text: Substring) -> String {
        guard text.utf8.contains(where: { $0 == 0x25 || $0 == 0x2b }) else { return String(text) }
        func digit(_ byte: UInt8) -> UInt8? {
            switch byte {
            case 0x30...0x39: return byte - 0x30
            case 0x41...0x46: return byte - 0x41 + 10
            case 0x61...0x66: return byte - 0x61 + 10
            default: return nil
            }
        }
        let bytes = Array(text.utf8)
        var decoded: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == 0x25, index + 2 < bytes.count, let high = digit(bytes[index + 1]),
                let low = digit(bytes[index + 2]) {
                decoded.append(high << 4 | low)
                index += 3
            } else {
                decoded.append(bytes[index] == 0x2b ? 0x20 : bytes[index])
                index += 1
            }
        }
        return String(decoding: decoded, as: UTF8.self)
    }
}

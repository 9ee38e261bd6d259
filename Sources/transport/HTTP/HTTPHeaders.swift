// Header fields of a request or a response (RFC 9110, section 5).
//
// Ordered, repeated names kept, names compared without regard to ASCII case. A request has some ten of them, so a
// linear scan over an array beats a dictionary. It cannot fail; what arrives from a socket was checked by Transport.

/// An ordered list of header fields whose names are case-insensitive.
public struct HTTPHeaders: Sendable, Hashable, ExpressibleByDictionaryLiteral, Sequence, CustomStringConvertible {
    public struct Field: Sendable, Hashable {
        public var name: String
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }

        /// Has this name, in whatever case of its ASCII letters.
        public func isNamed(_ name: String) -> Bool {
            let mine = self.name.utf8, other = name.utf8
            guard mine.count == other.count else { return false }
            // Most are spelled as they are asked for.
            return self.name == name || zip(mine, other).allSatisfy { Field.lower($0) == Field.lower($1) }
        }

        private static func lower(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte }
    }

    public private(set) var fields: [Field]

    public init() { fields = [] }

    public init(fields: [Field]) { self.fields = fields }

    public init(_ pairs: [(String, String)]) { fields = pairs.map { Field(name: $0.0, value: $0.1) } }

    public init(dictionaryLiteral elements: (String, String)...) { self.init(elements) }

    /// The first value of `name`; setting replaces every field of that name, nil removes them.
    public subscript(name: String) -> String? {
        get {
            for field in fields where field.isNamed(name) { return field.value }
            return nil
        }
        set {
            fields.removeAll { $0.isNamed(name) }
            if let newValue { fields.append(Field(name: name, value: newValue)) }
        }
    }

    /// Every value of `name`, in order.
    public func values(_ name: String) -> [String] {
        fields.compactMap { $0.isNamed(name) ? $0.value : nil }
    }

    /// The comma-separated elements of every field named `name`, trimmed, empty ones dropped (RFC 9110, 5.6.1).
    public func list(_ name: String) -> [String] {
        values(name).flatMap { value in
            value.split(separator: ",").map { part in
                var part = part
                while let first = part.first, first == " " || first == "\t" { part.removeFirst() }
                while let last = part.last, last == " " || last == "\t" { part.removeLast() }
                return String(part)
            }
        }.filter { !$0.isEmpty }
    }

    /// Without the fields that are about one connection only, those that a Connection field names included (RFC 9110,
    /// 7.6.1): what an intermediary hands on.
    public var endToEnd: HTTPHeaders {
        let named = Set(list("Connection").map { $0.lowercased() })
        var kept = HTTPHeaders()
        kept.fields = fields.filter { field in
            let name = field.name.lowercased()
            return !HTTPHeaders.hopByHop.contains(name) && !named.contains(name)
        }
        return kept
    }

    private static let hopByHop: Set<String> = [
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    ]

    public mutating func add(_ name: String, _ value: String) { fields.append(Field(name: name, value: value)) }

    public func makeIterator() -> IndexingIterator<[Field]> { fields.makeIterator() }

    public var description: String { fields.map { "\($0.name): \($0.value)" }.joined(separator: "\n") }
}

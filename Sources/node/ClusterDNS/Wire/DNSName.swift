// Domain names (RFC 1035, 3.1): held as they are on the wire, without compression and in lower case, so that equal
// names are equal bytes and a suffix is a comparison.
//
// Parsing fails on anything that a hostile message could use: a label or name that is too long, a pointer that does not
// lead strictly backwards (so a loop is impossible) or leads into the header, bytes beyond the end.

/// A message or name that breaks the format; `what` says where.
struct DNSFormatError: Error, CustomStringConvertible, Equatable {
    let what: String
    var description: String { "malformed DNS message: \(what)" }
}

/// A name of at most 255 bytes, always absolute.
public struct DNSName: Hashable, Sendable, CustomStringConvertible {
    /// Length-prefixed labels, lower case, the root's empty label last.
    let wire: [UInt8]

    static let root = DNSName(trusted: [0])

    init(trusted wire: [UInt8]) { self.wire = wire }

    /// From text, with or without the last dot; nil for empty or too long labels and names. No escapes.
    public init?(_ text: some StringProtocol) {
        var bytes: [UInt8] = []
        var rest = text[...]
        if rest.hasSuffix(".") { rest = rest.dropLast() }
        if !rest.isEmpty {
            for label in rest.split(separator: ".", omittingEmptySubsequences: false) {
                guard (1...63).contains(label.utf8.count) else { return nil }
                bytes.append(UInt8(label.utf8.count))
                bytes += label.utf8.lazy.map(Self.lower)
            }
        }
        guard bytes.count < 255 else { return nil }
        wire = bytes + [0]
    }

    /// Reads the name at `offset` of a message and moves past it.
    static func parse(_ message: [UInt8], _ offset: inout Int) throws(DNSFormatError) -> DNSName {
        var name: [UInt8] = []
        var position = offset
        var end: Int?
        // Pointers must lead below every place read so far: each jump shrinks it, so the walk ends.
        var lowest = offset
        while true {
            guard position < message.count else { throw DNSFormatError(what: "name runs over the end") }
            let length = Int(message[position])
            if length & 0xc0 == 0xc0 {
                guard position + 1 < message.count else { throw DNSFormatError(what: "pointer is cut off") }
                let target = (length & 0x3f) << 8 | Int(message[position + 1])
                guard target < lowest else { throw DNSFormatError(what: "pointer does not lead backwards") }
                // A header is written anew when a message is passed on: what a name takes from it would change.
                guard target >= DNSHeader.size else { throw DNSFormatError(what: "pointer into the header") }
                if end == nil { end = position + 2 }
                (position, lowest) = (target, target)
                continue
            }
            guard length & 0xc0 == 0 else { throw DNSFormatError(what: "label type \(length >> 6) is unknown") }
            guard position + 1 + length <= message.count else { throw DNSFormatError(what: "label runs over the end") }
            guard name.count + 1 + length <= (length == 0 ? 255 : 254) else {
                throw DNSFormatError(what: "name is longer than 255 bytes")
            }
            name.append(UInt8(length))
            for byte in message[(position + 1)..<(position + 1 + length)] { name.append(lower(byte)) }
            position += 1 + length
            if length == 0 {
                offset = end ?? position
                return DNSName(trusted: name)
            }
        }
    }

    static func lower(_ byte: UInt8) -> UInt8 { (0x41...0x5a).contains(byte) ? byte | 0x20 : byte }

    /// Where each label begins, the root's not.
    var labelOffsets: [Int] {
        var offsets: [Int] = []
        var position = 0
        while wire[position] != 0 {
            offsets.append(position)
            position += 1 + Int(wire[position])
        }
        return offsets
    }

    /// The labels as text, leftmost first.
    var labels: [String] {
        labelOffsets.map { String(decoding: wire[($0 + 1)..<($0 + 1 + Int(wire[$0]))], as: UTF8.self) }
    }

    /// True for `zone` itself and every name below it.
    func isWithin(_ zone: DNSName) -> Bool {
        let start = wire.count - zone.wire.count
        guard start >= 0, wire[start...].elementsEqual(zone.wire) else { return false }
        return start == 0 || zone == .root || labelOffsets.contains(start)
    }

    /// The labels in front of `zone`; nil when this is not within it.
    func labels(above zone: DNSName) -> [String]? {
        isWithin(zone) ? Array(labels.dropLast(zone.labelOffsets.count)) : nil
    }

    /// One label more in front; nil when it or the name would be too long. Dots within it separate.
    func prefixed(_ labels: String) -> DNSName? {
        guard let front = DNSName(labels), front.wire.count - 1 + wire.count <= 255 else { return nil }
        return DNSName(trusted: front.wire.dropLast() + wire)
    }

    /// With the last dot; bytes that are no printable ASCII, dots in labels and backslashes as \DDD (RFC 4343).
    public var description: String {
        if wire.count == 1 { return "." }
        var text = ""
        for start in labelOffsets {
            for byte in wire[(start + 1)..<(start + 1 + Int(wire[start]))] {
                if (0x21...0x7e).contains(byte), byte != 0x2e, byte != 0x5c {
                    text.unicodeScalars.append(Unicode.Scalar(byte))
                } else {
                    text += "\\" + String(repeating: "0", count: byte < 10 ? 2 : byte < 100 ? 1 : 0) + String(byte)
                }
            }
            text += "."
        }
        return text
    }
}

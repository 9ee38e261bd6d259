// Reads protobuf's wire format (protobuf.dev, "Encoding"): a message is a run of fields, each a number, a wire type
// and a value. Knows nothing of names. Truncated input, groups and field number 0 are errors.

/// Why a protobuf body is refused.
public struct ProtobufError: Error, CustomStringConvertible, Equatable {
    public let description: String

    init(_ description: String) { self.description = description }
}

struct WireReader {
    enum Value {
        case varint(UInt64)
        case fixed64(UInt64)
        case fixed32(UInt32)
        case bytes(ArraySlice<UInt8>)

        /// What proto2 writers emit for a field that says nothing.
        var isZero: Bool {
            switch self {
            case .varint(let value), .fixed64(let value): value == 0
            case .fixed32(let value): value == 0
            case .bytes(let bytes): bytes.isEmpty
            }
        }
    }

    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    /// The next field, nil at the end.
    mutating func next() throws(ProtobufError) -> (number: Int, value: Value)? {
        guard !rest.isEmpty else { return nil }
        let key = try varint()
        let number = Int(truncatingIfNeeded: key >> 3)
        guard key >> 3 > 0, key >> 3 < 1 << 29 else { throw ProtobufError("field number \(key >> 3) is out of range") }
        switch key & 7 {
        case 0: return (number, .varint(try varint()))
        case 1: return (number, .fixed64(try fixed(8)))
        case 2:
            let length = try varint()
            guard length <= UInt64(rest.count) else { throw ProtobufError("field \(number) is cut short") }
            let bytes = rest.prefix(Int(length))
            rest.removeFirst(Int(length))
            return (number, .bytes(bytes))
        case 5: return (number, .fixed32(UInt32(truncatingIfNeeded: try fixed(4))))
        default: throw ProtobufError("field \(number) has wire type \(key & 7), which is not supported")
        }
    }

    /// Base 128, least significant group first; at most ten bytes.
    mutating func varint() throws(ProtobufError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard let byte = rest.popFirst() else { throw ProtobufError("a number is cut short") }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        throw ProtobufError("a number is longer than ten bytes")
    }

    var isAtEnd: Bool { rest.isEmpty }

    private mutating func fixed(_ width: Int) throws(ProtobufError) -> UInt64 {
        guard rest.count >= width else { throw ProtobufError("a number is cut short") }
        var value: UInt64 = 0
        for (index, byte) in rest.prefix(width).enumerated() { value |= UInt64(byte) << UInt64(8 * index) }
        rest.removeFirst(width)
        return value
    }
}

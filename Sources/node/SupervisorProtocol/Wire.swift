// The language between noded and a pod's supervisor: length-prefixed messages made of tagged fields, little endian.
// This source is built twice, as a normal module for noded and as an Embedded Swift one for the supervisor (the folder
// SupervisorProtocolE is a link to this one); so it knows no String, no existentials, no Codable.
//
// A reader skips tags it does not know and takes a default for those that are missing. That is what lets a noded talk
// to supervisors that were started by an older one: new meaning gets a new tag, old tags never change theirs.
//
//     message   length of the fields: u32 | kind: u16 | descriptors that come with it: u16 | id: u32 | fields
//     field     tag: u16 | length: u32 | bytes
//
// Reading malformed bytes gives nil, never a trap: lengths are checked against what is there.

/// The language's version, in every greeting. A supervisor answers requests of any noded whose version is not smaller
/// than its own; noded keeps old spellings for as long as such supervisors may live.
public let supervisorProtocolVersion: UInt64 = 1

/// Fixed part in front of every message.
public struct MessageHeader: Sendable {
    public static let size = 12
    /// More than any plan needs (the environment may hold 1 MiB a ConfigMap), less than would hurt.
    public static let maximumLength = 16 << 20

    /// Bytes of fields that follow.
    public var length: Int
    public var kind: UInt16
    /// Descriptors sent along (SCM_RIGHTS) with the message's first byte.
    public var descriptors: Int
    /// Chosen by who asks, repeated in the answer; 0 in events.
    public var id: UInt32

    /// nil when fewer than `size` bytes are given or the length is out of bounds.
    public init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= MessageHeader.size else { return nil }
        length = Int(bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self).littleEndian)
        kind = bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self).littleEndian
        descriptors = Int(bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self).littleEndian)
        id = bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self).littleEndian
        guard length <= MessageHeader.maximumLength else { return nil }
    }
}

/// Collects fields; `message` puts the header in front.
public struct FieldWriter: Sendable {
    private var bytes: [UInt8]

    /// Starts with room for the header.
    public init() { bytes = [UInt8](repeating: 0, count: MessageHeader.size) }

    private mutating func append(_ value: UInt64, width: Int) {
        var value = value
        for _ in 0..<width {
            bytes.append(UInt8(truncatingIfNeeded: value))
            value >>= 8
        }
    }

    public mutating func put(_ tag: UInt16, _ value: [UInt8]) {
        append(UInt64(tag), width: 2)
        append(UInt64(value.count), width: 4)
        bytes += value
    }

    /// Integers travel as eight bytes.
    public mutating func put(_ tag: UInt16, _ value: UInt64) {
        append(UInt64(tag), width: 2)
        append(8, width: 4)
        append(value, width: 8)
    }

    public mutating func put(_ tag: UInt16, _ value: Bool) { put(tag, value ? 1 as UInt64 : 0) }
    public mutating func put(_ tag: UInt16, _ value: Int64) { put(tag, UInt64(bitPattern: value)) }

    /// A nested group of fields.
    public mutating func put(_ tag: UInt16, group: FieldWriter) {
        append(UInt64(tag), width: 2)
        append(UInt64(group.bytes.count - MessageHeader.size), width: 4)
        bytes += group.bytes[MessageHeader.size...]
    }

    public mutating func put(_ tag: UInt16, list: [[UInt8]]) {
        for item in list { put(tag, item) }
    }

    /// The fields alone.
    public var fields: [UInt8] { [UInt8](bytes[MessageHeader.size...]) }

    /// The whole message.
    public consuming func message(_ kind: MessageKind, id: UInt32, descriptors: Int = 0) -> [UInt8] {
        var out = bytes
        let length = UInt32(out.count - MessageHeader.size)
        for i in 0..<4 { out[i] = UInt8(truncatingIfNeeded: length >> (8 * UInt32(i))) }
        out[4] = UInt8(truncatingIfNeeded: kind.rawValue)
        out[5] = UInt8(truncatingIfNeeded: kind.rawValue >> 8)
        out[6] = UInt8(truncatingIfNeeded: descriptors)
        out[7] = UInt8(truncatingIfNeeded: descriptors >> 8)
        for i in 0..<4 { out[8 + i] = UInt8(truncatingIfNeeded: id >> (8 * UInt32(i))) }
        return out
    }
}

/// Walks over fields.
public struct FieldReader: Sendable {
    private let bytes: [UInt8]
    private var offset: Int
    private let end: Int
    /// Set when a length pointed past the end; everything read so far is then worthless.
    public private(set) var malformed = false

    public init(_ bytes: [UInt8]) {
        self.bytes = bytes
        offset = 0
        end = bytes.count
    }

    private func integer(at start: Int, width: Int) -> UInt64 {
        var value: UInt64 = 0
        for i in 0..<width { value |= UInt64(bytes[start + i]) << (8 * UInt64(i)) }
        return value
    }

    /// The next field, nil at the end (or when malformed).
    public mutating func next() -> Field? {
        if offset == end { return nil }
        guard end - offset >= 6 else {
            malformed = true
            return nil
        }
        let tag = UInt16(integer(at: offset, width: 2))
        let length = Int(integer(at: offset + 2, width: 4))
        guard length <= end - offset - 6 else {
            malformed = true
            return nil
        }
        let start = offset + 6
        offset = start + length
        return Field(tag: tag, bytes: [UInt8](bytes[start..<offset]))
    }
}

/// One field: its tag and its bytes, to be read as what the tag says.
public struct Field: Sendable {
    public let tag: UInt16
    public let bytes: [UInt8]

    /// As an integer; what is not 8 bytes long is 0.
    public var integer: UInt64 {
        guard bytes.count == 8 else { return 0 }
        var value: UInt64 = 0
        for i in 0..<8 { value |= UInt64(bytes[i]) << (8 * UInt64(i)) }
        return value
    }
    public var signed: Int64 { Int64(bitPattern: integer) }
    public var flag: Bool { integer != 0 }
    /// As numbers that come from the other side and must fit: the nearest one that does.
    public var int32: Int32 { Int32(clamping: signed) }
    public var uint32: UInt32 { UInt32(clamping: integer) }
    /// As a group of fields.
    public var group: FieldReader { FieldReader(bytes) }
}

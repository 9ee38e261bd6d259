// Netlink messages as values: a header, a family's fixed struct, and a tree of attributes. Nobody counts offsets here:
// out, libnl lays the tree into its message; in, `NetlinkReply` and `NetlinkAttributes` are views that check each
// length against what is really there (a malformed message yields fewer attributes, never a read past the end).
//
// Source: netlink(7), rtnetlink(7), include/uapi/linux/netlink.h.

internal import CNetlink
internal import Glibc
public import System

/// One attribute: a number and bytes, or a number and attributes.
public struct NetlinkAttribute: Hashable, Sendable {
    public enum Payload: Hashable, Sendable {
        case bytes([UInt8])
        case nested([NetlinkAttribute])
    }

    public let type: UInt16
    public let payload: Payload

    public init(_ type: UInt16, _ bytes: [UInt8]) { (self.type, payload) = (type, .bytes(bytes)) }
    public init(_ type: UInt16, nested: [NetlinkAttribute]) { (self.type, payload) = (type, .nested(nested)) }
    /// A C string with its terminator.
    public init(_ type: UInt16, string: String) { self.init(type, Array(string.utf8) + [0]) }
    /// A number in host order (rtnetlink).
    public init(_ type: UInt16, _ value: UInt32) { self.init(type, bytesOf(value)) }
    public init(_ type: UInt16, byte: UInt8) { self.init(type, [byte]) }
    /// In network order.
    public init(_ type: UInt16, _ address: IPAddress) { self.init(type, address.bytes) }
}

/// A request.
public struct NetlinkMessage: Hashable, Sendable {
    public var type: UInt16
    /// NLM_F_REQUEST and NLM_F_ACK are added when it is sent.
    public var flags: UInt16
    /// The family's struct: ifinfomsg, rtmsg, nfgenmsg …
    public var header: [UInt8]
    public var attributes: [NetlinkAttribute]

    public init(_ type: UInt16, flags: UInt16 = 0, header: [UInt8], _ attributes: [NetlinkAttribute] = []) {
        (self.type, self.flags, self.header, self.attributes) = (type, flags, header, attributes)
    }

    public static let create: UInt16 = 0x400
    public static let exclusive: UInt16 = 0x200
    public static let replace: UInt16 = 0x100
    public static let dump: UInt16 = 0x300
}

/// A message that came back, header cut off.
public struct NetlinkReply: Sendable {
    public let type: UInt16
    public let flags: UInt16
    /// Port of the sender's socket; the kernel's answers carry the asker's.
    public let port: UInt32
    public let body: [UInt8]

    /// The family's struct at the head of the body; nil when the body is too short for it.
    public func header<T: BitwiseCopyable>(_ type: T.Type) -> T? {
        guard body.count >= MemoryLayout<T>.size else { return nil }
        return body.withUnsafeBytes { $0.loadUnaligned(as: T.self) }
    }

    /// The attributes behind a header of `size` bytes (aligned to 4, as the kernel does).
    public func attributes(after size: Int) -> NetlinkAttributes {
        NetlinkAttributes(body[...].dropFirst((size + 3) & ~3))
    }
}

/// A checked view of encoded attributes.
public struct NetlinkAttributes: Sendable, Sequence {
    private let bytes: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    public func makeIterator() -> AnyIterator<(type: UInt16, value: ArraySlice<UInt8>)> {
        var rest = bytes
        return AnyIterator {
            guard rest.count >= 4 else { return nil }
            let head = rest.withUnsafeBytes { raw in
                (raw.loadUnaligned(as: UInt16.self), raw.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
            }
            let length = Int(head.0)
            guard length >= 4, length <= rest.count else { return nil }
            let value = rest.dropFirst(4).prefix(length - 4)
            rest = rest.dropFirst((length + 3) & ~3)
            // The upper two bits are flags (nested, network order).
            return (head.1 & 0x3fff, value)
        }
    }

    public subscript(type: UInt16) -> ArraySlice<UInt8>? { first { $0.type == type }?.value }
    public func nested(_ type: UInt16) -> NetlinkAttributes { NetlinkAttributes(self[type] ?? []) }
    public func string(_ type: UInt16) -> String? {
        self[type].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    /// In host order.
    public func number(_ type: UInt16) -> UInt32? { self[type].flatMap { Self.load($0, UInt32.self) } }
    /// In network order: 1, 2, 4 or 8 bytes.
    public func bigEndian(_ type: UInt16) -> UInt64? {
        guard let value = self[type], (1...8).contains(value.count) else { return nil }
        return value.reduce(0) { $0 << 8 | UInt64($1) }
    }
    public func address(_ type: UInt16) -> IPAddress? { self[type].flatMap { IPAddress(bytes: $0) } }

    private static func load<T: BitwiseCopyable>(_ bytes: ArraySlice<UInt8>, _ type: T.Type) -> T? {
        guard bytes.count >= MemoryLayout<T>.size else { return nil }
        return bytes.withUnsafeBytes { $0.loadUnaligned(as: T.self) }
    }
}

/// The memory of a C struct without padding secrets: callers initialise the struct fully.
func bytesOf<T: BitwiseCopyable>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }

/// What the kernel refused, or a socket that failed.
public struct NetlinkError: Error, CustomStringConvertible {
    /// What was asked, on what: `create link nd1234`.
    public let operation: String
    public let errno: Errno
    /// The kernel's own words (extended acknowledgement), when it sent some.
    public let detail: String?

    public init(_ operation: String, _ errno: Errno, detail: String? = nil) {
        (self.operation, self.errno, self.detail) = (operation, errno, detail)
    }

    public var description: String { "netlink: \(operation): \(errno)\(detail.map { " (\($0))" } ?? "")" }
}

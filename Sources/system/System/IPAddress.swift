// Internet addresses and ranges as values. Text in and out follows RFC 4291 and RFC 5952 (one canonical spelling, so
// that equal addresses are equal strings). Parsing returns nil for anything else: no leading zeros (007 is octal to
// some readers: CVE-2021-29923), no zone, no spaces.

/// An IPv4 or IPv6 address. IPv4-mapped IPv6 stays IPv6. IPv4 sorts first, each family by number.
public enum IPAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// In host order: 10.0.0.1 is 0x0a000001.
    case v4(UInt32)
    /// The upper and the lower 64 bits, in host order.
    case v6(hi: UInt64, lo: UInt64)

    public init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        guard let address = bytes.contains(UInt8(ascii: ":")) ? Self.parse6(bytes[...]) : Self.parse4(bytes[...])
        else { return nil }
        self = address
    }

    /// Network order; 4 or 16 bytes, else nil.
    public init?(bytes: some Collection<UInt8>) {
        func number(_ part: some Sequence<UInt8>) -> UInt64 { part.reduce(0) { $0 << 8 | UInt64($1) } }
        switch bytes.count {
        case 4: self = .v4(UInt32(number(bytes)))
        case 16: self = .v6(hi: number(bytes.prefix(8)), lo: number(bytes.dropFirst(8)))
        default: return nil
        }
    }

    /// Network order: 4 or 16 bytes.
    public var bytes: [UInt8] {
        switch self {
        case .v4(let value): withUnsafeBytes(of: value.bigEndian) { Array($0) }
        case .v6(let hi, let lo):
            withUnsafeBytes(of: hi.bigEndian) { Array($0) } + withUnsafeBytes(of: lo.bigEndian) { Array($0) }
        }
    }

    public var isV6: Bool { if case .v6 = self { true } else { false } }
    /// 32 or 128.
    public var bitWidth: Int { isV6 ? 128 : 32 }
    public var isUnspecified: Bool { self == .v4(0) || self == .v6(hi: 0, lo: 0) }

    /// 127.0.0.0/8 or ::1.
    public var isLoopback: Bool {
        switch self {
        case .v4(let value): value >> 24 == 127
        case .v6(let hi, let lo): hi == 0 && lo == 1
        }
    }

    /// 169.254.0.0/16 or fe80::/10.
    public var isLinkLocal: Bool {
        switch self {
        case .v4(let value): value >> 16 == 0xa9fe
        case .v6(let hi, _): hi >> 54 == 0x3fa
        }
    }

    /// 224.0.0.0/4 or ff00::/8.
    public var isMulticast: Bool {
        switch self {
        case .v4(let value): value >> 28 == 14
        case .v6(let hi, _): hi >> 56 == 0xff
        }
    }

    /// The address `offset` further, wrapping round at the end of the family's space.
    public func advanced(by offset: Int64) -> IPAddress {
        switch self {
        case .v4(let value): return .v4(value &+ UInt32(truncatingIfNeeded: offset))
        case .v6(let hi, let lo):
            let (sum, carry) = lo.addingReportingOverflow(UInt64(bitPattern: offset))
            // The offset is sign-extended to 128 bits: its upper half is 0 or all ones.
            return .v6(hi: hi &+ (offset < 0 ? .max : 0) &+ (carry ? 1 : 0), lo: sum)
        }
    }

    public static func < (a: IPAddress, b: IPAddress) -> Bool {
        switch (a, b) {
        case (.v4(let a), .v4(let b)): a < b
        case (.v6(let ahi, let alo), .v6(let bhi, let blo)): (ahi, alo) < (bhi, blo)
        case (.v4, .v6): true
        case (.v6, .v4): false
        }
    }

    /// RFC 5952: lower case, the longest run of zero groups (two or more, the first of equals) as "::".
    public var description: String {
        switch self {
        case .v4(let value):
            return "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
        case .v6(let hi, let lo):
            if hi == 0, lo >> 32 == 0xffff { return "::ffff:\(IPAddress.v4(UInt32(truncatingIfNeeded: lo)))" }
            let groups = [hi, lo].flatMap { part in [48, 32, 16, 0].map { part >> UInt64($0) & 0xffff } }
            var best = 0..<0
            var start = 0
            while start < 8 {
                var end = start
                while end < 8, groups[end] == 0 { end += 1 }
                if end - start > best.count { best = start..<end }
                start = end + 1
            }
            func text(_ range: Range<Int>) -> String {
                groups[range].map { String($0, radix: 16) }.joined(separator: ":")
            }
            return best.count < 2 ? text(0..<8) : "\(text(0..<best.lowerBound))::\(text(best.upperBound..<8))"
        }
    }

    private static func parse4(_ text: ArraySlice<UInt8>) -> IPAddress? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0") else { return nil }
            var octet: UInt32 = 0
            for byte in part {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
                octet = octet * 10 + UInt32(byte - UInt8(ascii: "0"))
            }
            guard octet < 256 else { return nil }
            value = value << 8 | octet
        }
        return .v4(value)
    }

    private static func parse6(_ text: ArraySlice<UInt8>) -> IPAddress? {
        let colon = UInt8(ascii: ":")
        let gap = zip(text.indices, text.indices.dropFirst()).first { text[$0] == colon && text[$1] == colon }
        let head: [UInt16]?
        let tail: [UInt16]?
        if let gap {
            head = gap.0 == text.startIndex ? [] : groups(text[..<gap.0], last: false)
            tail = gap.1 + 1 == text.endIndex ? [] : groups(text[(gap.1 + 1)...], last: true)
        } else {
            head = groups(text, last: true)
            tail = []
        }
        guard let head, let tail, gap == nil ? head.count == 8 : head.count + tail.count < 8 else { return nil }
        let all = head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail
        func half(_ part: ArraySlice<UInt16>) -> UInt64 { part.reduce(0) { $0 << 16 | UInt64($1) } }
        return .v6(hi: half(all[0..<4]), lo: half(all[4..<8]))
    }

    /// Groups between single colons; the last may be a dotted IPv4 address when `last`.
    private static func groups(_ text: ArraySlice<UInt8>, last: Bool) -> [UInt16]? {
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        var groups: [UInt16] = []
        for (index, part) in parts.enumerated() {
            if part.contains(UInt8(ascii: ".")) {
                guard last, index == parts.count - 1, case .v4(let value)? = parse4(part) else { return nil }
                groups += [UInt16(value >> 16), UInt16(value & 0xffff)]
                continue
            }
            guard (1...4).contains(part.count), !part.contains(UInt8(ascii: "+")), !part.contains(UInt8(ascii: "-")),
                let value = UInt16(String(decoding: part, as: UTF8.self), radix: 16)
            else { return nil }
            groups.append(value)
        }
        return groups
    }
}

/// A range of addresses: an address whose host bits are zero, and the number of bits that count.
public struct CIDR: Hashable, Sendable, CustomStringConvertible {
    /// The first address of the range.
    public let address: IPAddress
    /// 0 to 32 or 128.
    public let prefixLength: Int

    /// Host bits of `address` are cleared. `prefixLength` must fit the family.
    public init(_ address: IPAddress, prefixLength: Int) {
        precondition((0...address.bitWidth).contains(prefixLength), "prefix length \(prefixLength) of \(address)")
        self.address = Self.masked(address, prefixLength)
        self.prefixLength = prefixLength
    }

    /// "10.42.0.0/16"; host bits may be set and are cleared. Nil without a length or with one out of range.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(parts[0]) else { return nil }
        let digits = parts[1].utf8
        guard (1...3).contains(digits.count),
            digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            digits.count == 1 || digits.first != UInt8(ascii: "0"),
            let length = Int(parts[1]), length <= address.bitWidth
        else { return nil }
        self.init(address, prefixLength: length)
    }

    public var isV6: Bool { address.isV6 }
    /// Bits that vary within the range.
    public var hostBits: Int { address.bitWidth - prefixLength }
    /// Addresses in the range, first and last included; UInt64.max when there are 2^64 or more.
    public var count: UInt64 { hostBits >= 64 ? .max : 1 << UInt64(hostBits) }
    /// The last address: in IPv4 the range's broadcast address.
    public var last: IPAddress {
        switch address {
        case .v4(let value): return .v4(hostBits == 32 ? .max : value | (1 << UInt32(hostBits)) - 1)
        case .v6(let hi, let lo):
            if hostBits >= 64 {
                return .v6(hi: hostBits == 128 ? .max : hi | (1 << UInt64(hostBits - 64)) - 1, lo: .max)
            }
            return .v6(hi: hi, lo: lo | (1 << UInt64(hostBits)) - 1)
        }
    }

    /// The range's address number `index`, 0 being the first. Must be less than `count`.
    public subscript(index: UInt64) -> IPAddress { address(at: index) }

    public func address(at index: UInt64) -> IPAddress {
        precondition(index < count, "address \(index) of \(self)")
        switch address {
        case .v4(let value): return .v4(value | UInt32(index))
        case .v6(let hi, let lo): return .v6(hi: hi, lo: lo | index)
        }
    }

    /// The number of `address` in this range, nil when it is outside (or 2^64 or more away).
    public func index(of address: IPAddress) -> UInt64? {
        guard contains(address) else { return nil }
        switch (self.address, address) {
        case (.v4(let base), .v4(let value)): return UInt64(value - base)
        case (.v6(let baseHi, let baseLo), .v6(let hi, let lo)):
            let (low, borrow) = lo.subtractingReportingOverflow(baseLo)
            return hi - baseHi - (borrow ? 1 : 0) == 0 ? low : nil
        default: return nil
        }
    }

    public func contains(_ other: IPAddress) -> Bool {
        other.isV6 == isV6 && Self.masked(other, prefixLength) == address
    }

    public func contains(_ other: CIDR) -> Bool { other.prefixLength >= prefixLength && contains(other.address) }
    public func overlaps(_ other: CIDR) -> Bool { contains(other) || other.contains(self) }

    /// The ranges of `prefixLength` bits that this one consists of, in order. At most 65,536 of them may come out.
    public func subnets(prefixLength: Int) -> [CIDR] {
        precondition(
            prefixLength >= self.prefixLength && prefixLength <= address.bitWidth, "/\(prefixLength) in \(self)")
        precondition(prefixLength - self.prefixLength <= 16, "too many /\(prefixLength) in \(self)")
        return (0..<UInt64(1) << UInt64(prefixLength - self.prefixLength)).map {
            subnet(at: $0, prefixLength: prefixLength)
        }
    }

    /// Number `index` of the ranges of `prefixLength` bits within this one.
    public func subnet(at index: UInt64, prefixLength: Int) -> CIDR {
        let bits = prefixLength - self.prefixLength
        precondition(
            bits >= 0 && prefixLength <= address.bitWidth && (bits >= 64 || index >> UInt64(bits) == 0),
            "subnet \(index) of /\(prefixLength) in \(self)")
        let shift = UInt64(address.bitWidth - prefixLength)
        switch address {
        case .v4(let value):
            return CIDR(.v4(value | UInt32(truncatingIfNeeded: index << shift)), prefixLength: prefixLength)
        case .v6(let hi, let lo):
            let high = shift >= 64 ? index << (shift - 64) : (shift == 0 ? 0 : index >> (64 - shift))
            return CIDR(.v6(hi: hi | high, lo: lo | (shift >= 64 ? 0 : index << shift)), prefixLength: prefixLength)
        }
    }

    public var description: String { "\(address)/\(prefixLength)" }

    private static func masked(_ address: IPAddress, _ length: Int) -> IPAddress {
        func mask(_ bits: Int) -> UInt64 { bits <= 0 ? 0 : bits >= 64 ? .max : ~(UInt64.max >> UInt64(bits)) }
        switch address {
        case .v4(let value): return .v4(value & UInt32(truncatingIfNeeded: mask(length) >> 32))
        case .v6(let hi, let lo): return .v6(hi: hi & mask(length), lo: lo & mask(length - 64))
        }
    }
}

// Resource records as values that print as zone lines, and the writer that puts them on the wire. Types that are not
// listed pass through as bytes (RFC 3597), which is right for all that hold no compressed names.

import System

/// Numbers of record types (IANA "DNS parameters"), open.
struct RecordType: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    let rawValue: UInt16
    init(rawValue: UInt16) { self.rawValue = rawValue }

    static let a = RecordType(rawValue: 1)
    static let ns = RecordType(rawValue: 2)
    static let cname = RecordType(rawValue: 5)
    static let soa = RecordType(rawValue: 6)
    static let ptr = RecordType(rawValue: 12)
    static let hinfo = RecordType(rawValue: 13)
    static let txt = RecordType(rawValue: 16)
    static let aaaa = RecordType(rawValue: 28)
    static let srv = RecordType(rawValue: 33)
    static let opt = RecordType(rawValue: 41)
    static let ixfr = RecordType(rawValue: 251)
    static let axfr = RecordType(rawValue: 252)
    static let any = RecordType(rawValue: 255)

    static let names: [RecordType: String] = [
        .a: "A", .ns: "NS", .cname: "CNAME", .soa: "SOA", .ptr: "PTR", .hinfo: "HINFO", .txt: "TXT", .aaaa: "AAAA",
        .srv: "SRV", .opt: "OPT", .any: "ANY",
    ]
    var description: String { Self.names[self] ?? "TYPE\(rawValue)" }
}

enum RecordData: Hashable, Sendable {
    case address(IPAddress)
    case cname(DNSName)
    case ns(DNSName)
    case ptr(DNSName)
    case srv(priority: UInt16, weight: UInt16, port: UInt16, target: DNSName)
    case txt([String])
    case soa(primary: DNSName, mailbox: DNSName, serial: UInt32, minimum: UInt32)
    case other(RecordType, [UInt8])

    var type: RecordType {
        switch self {
        case .address(let address): address.isV6 ? .aaaa : .a
        case .cname: .cname
        case .ns: .ns
        case .ptr: .ptr
        case .srv: .srv
        case .txt: .txt
        case .soa: .soa
        case .other(let type, _): type
        }
    }
}

/// A record of class IN. `ttl` in seconds.
struct Record: Hashable, Sendable, CustomStringConvertible {
    let name: DNSName
    let ttl: UInt32
    let data: RecordData

    /// As in a zone file: "web.default.svc.cluster.local. 30 IN A 10.96.0.10".
    var description: String {
        let value = switch data {
        case .address(let address): "\(address)"
        case .cname(let name), .ns(let name), .ptr(let name): "\(name)"
        case .srv(let priority, let weight, let port, let target): "\(priority) \(weight) \(port) \(target)"
        case .txt(let strings): strings.map { "\"\($0)\"" }.joined(separator: " ")
        case .soa(let primary, let mailbox, _, let minimum): "\(primary) \(mailbox) \(minimum)"
        case .other(_, let bytes): "\\# \(bytes.count) \(Hex.encode(bytes))"
        }
        return "\(name) \(ttl) IN \(data.type) \(value)"
    }
}

extension Record {
    /// Decodes a record of a message; other classes than IN, and known types with broken content, throw.
    init(_ view: RecordView, in message: [UInt8]) throws(DNSFormatError) {
        guard view.recordClass == 1 else { throw DNSFormatError(what: "class \(view.recordClass)") }
        let data = view.data
        var offset = data.lowerBound
        func name() throws(DNSFormatError) -> DNSName {
            let name = try DNSName.parse(message, &offset)
            guard offset <= data.upperBound else { throw DNSFormatError(what: "name runs over its record") }
            return name
        }
        func number(_ size: Int) throws(DNSFormatError) -> UInt32 {
            guard offset + size <= data.upperBound else { throw DNSFormatError(what: "record is cut off") }
            defer { offset += size }
            return message[offset..<(offset + size)].reduce(0) { $0 << 8 | UInt32($1) }
        }
        let value: RecordData
        switch view.type {
        case .a, .aaaa:
            guard data.count == (view.type == .a ? 4 : 16), let address = IPAddress(bytes: message[data]) else {
                throw DNSFormatError(what: "\(view.type) of \(data.count) bytes")
            }
            value = .address(address)
        case .cname: value = .cname(try name())
        case .ns: value = .ns(try name())
        case .ptr: value = .ptr(try name())
        case .srv:
            value = .srv(
                priority: UInt16(try number(2)), weight: UInt16(try number(2)), port: UInt16(try number(2)),
                target: try name())
        case .txt:
            var strings: [String] = []
            while offset < data.upperBound {
                let length = Int(try number(1))
                guard offset + length <= data.upperBound else { throw DNSFormatError(what: "text is cut off") }
                strings.append(String(decoding: message[offset..<(offset + length)], as: UTF8.self))
                offset += length
            }
            value = .txt(strings)
        case .soa:
            let (primary, mailbox, serial) = (try name(), try name(), try number(4))
            for _ in 0..<3 { _ = try number(4) }
            value = .soa(primary: primary, mailbox: mailbox, serial: serial, minimum: try number(4))
        default: value = .other(view.type, Array(message[data]))
        }
        self.init(name: view.name, ttl: view.ttl, data: value)
    }
}

/// Appends to a message, compressing names against those already there.
struct MessageWriter {
    private(set) var bytes: [UInt8] = []
    private var known: [ArraySlice<UInt8>: Int] = [:]

    init(header: DNSHeader, question: ArraySlice<UInt8>, name: DNSName?) {
        header.write(to: &bytes)
        bytes += question
        if let name { note(name, at: 12) }
    }

    /// Another header in the old one's place, when the counts are known.
    mutating func replace(_ header: DNSHeader) {
        var front: [UInt8] = []
        header.write(to: &front)
        bytes.replaceSubrange(..<DNSHeader.size, with: front)
    }

    mutating func append(_ number: UInt16) { bytes.append(UInt8(number >> 8)); bytes.append(UInt8(number & 0xff)) }
    mutating func append(_ number: UInt32) { append(UInt16(number >> 16)); append(UInt16(number & 0xffff)) }

    private mutating func note(_ name: DNSName, at start: Int) {
        for offset in name.labelOffsets where start + offset < 0x4000 {
            let suffix = name.wire[offset...]
            if known[suffix] == nil { known[suffix] = start + offset }
        }
    }

    mutating func append(_ name: DNSName, compressed: Bool = true) {
        let start = bytes.count
        guard compressed, let cut = name.labelOffsets.first(where: { known[name.wire[$0...]] != nil }) else {
            bytes += name.wire
            note(name, at: start)
            return
        }
        let target = known[name.wire[cut...]]!
        bytes += name.wire[..<cut]
        append(UInt16(0xc000 | target))
        for offset in name.labelOffsets where offset < cut && start + offset < 0x4000 {
            known[name.wire[offset...]] = start + offset
        }
    }

    mutating func append(_ record: Record) {
        append(record.name)
        append(record.data.type.rawValue)
        append(UInt16(1))
        append(record.ttl)
        let length = bytes.count
        append(UInt16(0))
        switch record.data {
        case .address(let address): bytes += address.bytes
        case .cname(let name), .ns(let name), .ptr(let name): append(name)
        case .srv(let priority, let weight, let port, let target):
            append(priority)
            append(weight)
            append(port)
            // RFC 2782: never compressed.
            append(target, compressed: false)
        case .txt(let strings):
            for string in strings {
                let text = Array(string.utf8.prefix(255))
                bytes.append(UInt8(text.count))
                bytes += text
            }
        case .soa(let primary, let mailbox, let serial, let minimum):
            append(primary)
            append(mailbox)
            for number in [serial, 7200, 1800, 86400, minimum] { append(number) }
        case .other(_, let data): bytes += data
        }
        let size = UInt16(clamping: bytes.count - length - 2)
        bytes[length] = UInt8(size >> 8)
        bytes[length + 1] = UInt8(size & 0xff)
    }
}

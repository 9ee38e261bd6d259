// What noded and the resolver say to each other over a unix stream: frames of a 4-byte length, a kind and fields in
// network order. The first frame of each side says its version; sides of different versions do not feed each other, but
// the sockets travel with the very first frame, so that an upgrade restarts the resolver without closing them.
// No Service breaks the line: one whose names would be too many goes as a word that says so (`update`).
//
// noded:    hello, configure, begin, put…, commit (a whole snapshot, swapped in at commit), then put, remove, commit…
// resolver: hello (with copies of its sockets as SCM_RIGHTS), applied for each commit, notices for noded's log.

import Kernel
import System

/// Frames that cannot be understood: another version's, or not ours.
struct ControlError: Error, CustomStringConvertible {
    let what: String
    var description: String { "control connection of the resolver: \(what)" }
}

struct ResolverConfig: Hashable, Sendable {
    var zone: ZoneConfig
    /// resolv.conf(5); read again when it changes.
    var resolvConf: String
    /// When not empty, these instead of the file's.
    var upstreams: [InternetEndpoint] = []
}

enum ControlMessage: Hashable, Sendable {
    static let version: UInt16 = 2
    /// Bytes of one Service: a hundred thousand endpoints with short hostnames, seventy thousand ports. It bounds what
    /// a query may have to look through, too.
    static let largestService = 2 << 20

    case hello(version: UInt16, pid: Int32)
    case configure(ResolverConfig)
    case begin
    case put(ServiceNames)
    case remove(namespace: String, name: String)
    case commit(UInt64)
    case stop
    case applied(UInt64)
    case notice(String)
}

extension ControlMessage {
    /// The frame of a Service's names; when they are over `largestService`, the one that says so, and their size.
    static func update(_ service: ServiceNames) -> (frame: [UInt8], tooLarge: Int?) {
        let frame = put(service).encoded()
        guard frame.count > largestService else { return (frame, nil) }
        let placeholder = ServiceNames(
            namespace: service.namespace, name: service.name, target: .tooLarge(bytes: UInt64(frame.count)))
        return (put(placeholder).encoded(), frame.count)
    }

    func encoded() -> [UInt8] {
        var w = FieldWriter()
        switch self {
        case .hello(let version, let pid): w.add(1 as UInt8); w.add(version); w.add(UInt32(bitPattern: pid))
        case .configure(let config): w.add(2 as UInt8); w.add(config)
        case .begin: w.add(3 as UInt8)
        case .put(let service): w.add(4 as UInt8); w.add(service)
        case .remove(let namespace, let name): w.add(5 as UInt8); w.add(namespace); w.add(name)
        case .commit(let sequence): w.add(6 as UInt8); w.add(sequence)
        case .stop: w.add(7 as UInt8)
        case .applied(let sequence): w.add(8 as UInt8); w.add(sequence)
        case .notice(let text): w.add(9 as UInt8); w.add(text)
        }
        var frame = FieldWriter()
        frame.add(UInt32(w.bytes.count))
        return frame.bytes + w.bytes
    }

    init(_ payload: ArraySlice<UInt8>) throws(ControlError) {
        var r = FieldReader(bytes: payload)
        switch try r.number() as UInt8 {
        case 1: self = .hello(version: try r.number(), pid: Int32(bitPattern: try r.number()))
        case 2: self = .configure(try r.config())
        case 3: self = .begin
        case 4: self = .put(try r.service())
        case 5: self = .remove(namespace: try r.text(), name: try r.text())
        case 6: self = .commit(try r.number())
        case 7: self = .stop
        case 8: self = .applied(try r.number())
        case 9: self = .notice(try r.text())
        case let kind: throw ControlError(what: "unknown message \(kind)")
        }
        guard r.bytes.isEmpty else { throw ControlError(what: "\(r.bytes.count) bytes too many") }
    }
}

/// Puts a stream together to messages.
struct ControlReader: Sendable {
    /// More than any frame of this version has: what is longer is not ours.
    static let largest = 16 << 20
    private var buffer: [UInt8] = []

    mutating func append(_ bytes: [UInt8]) { buffer += bytes }

    /// The messages that are complete.
    mutating func messages() throws(ControlError) -> [ControlMessage] {
        var messages: [ControlMessage] = []
        var position = 0
        while buffer.count - position >= 4 {
            let length = buffer[position..<(position + 4)].reduce(0) { $0 << 8 | Int($1) }
            guard length <= Self.largest else { throw ControlError(what: "a message of \(length) bytes") }
            guard buffer.count - position >= 4 + length else { break }
            messages.append(try ControlMessage(buffer[(position + 4)..<(position + 4 + length)]))
            position += 4 + length
        }
        buffer.removeFirst(position)
        return messages
    }
}

private struct FieldWriter {
    var bytes: [UInt8] = []

    mutating func add(_ number: some FixedWidthInteger) { withUnsafeBytes(of: number.bigEndian) { bytes += $0 } }
    mutating func add(_ text: String) { add(UInt32(text.utf8.count)); bytes += text.utf8 }
    mutating func add(_ address: IPAddress) { add(UInt8(address.bytes.count)); bytes += address.bytes }
    mutating func add<T>(_ list: [T], _ each: (inout FieldWriter, T) -> Void) {
        add(UInt32(list.count))
        for item in list { each(&self, item) }
    }
    mutating func add(_ ranges: [CIDR]) { add(ranges) { $0.add($1.address); $0.add(UInt8($1.prefixLength)) } }
    mutating func add(_ ports: [ServiceNames.Port]) {
        add(ports) { $0.add($1.name); $0.add($1.transport); $0.add($1.number) }
    }
    mutating func add(_ config: ResolverConfig) {
        add(config.zone.domain)
        add(config.zone.addresses) { $0.add($1) }
        add(config.zone.podCIDRs)
        add(config.zone.reverseCIDRs)
        add(config.resolvConf)
        add(config.upstreams) { $0.add($1.address); $0.add($1.port) }
    }
    mutating func add(_ service: ServiceNames) {
        add(service.namespace)
        add(service.name)
        switch service.target {
        case .clusterIPs(let addresses, let ports): add(1 as UInt8); add(addresses) { $0.add($1) }; add(ports)
        case .headless(let groups):
            add(2 as UInt8)
            add(groups) { w, group in
                w.add(group.ports)
                w.add(group.endpoints) { $0.add($1.address); $0.add($1.hostname) }
            }
        case .external(let name): add(3 as UInt8); add(name)
        case .tooLarge(let bytes): add(4 as UInt8); add(bytes)
        }
    }
}

private struct FieldReader {
    var bytes: ArraySlice<UInt8>

    mutating func take(_ count: Int) throws(ControlError) -> ArraySlice<UInt8> {
        guard count <= bytes.count else { throw ControlError(what: "message is cut off") }
        defer { bytes = bytes.dropFirst(count) }
        return bytes.prefix(count)
    }
    mutating func number<N: FixedWidthInteger>() throws(ControlError) -> N {
        try take(N.bitWidth / 8).reduce(0) { N(truncatingIfNeeded: UInt64(truncatingIfNeeded: $0) << 8 | UInt64($1)) }
    }
    mutating func text() throws(ControlError) -> String {
        String(decoding: try take(Int(try number() as UInt32)), as: UTF8.self)
    }
    mutating func address() throws(ControlError) -> IPAddress {
        guard let address = IPAddress(bytes: try take(Int(try number() as UInt8))) else {
            throw ControlError(what: "no address")
        }
        return address
    }
    mutating func list<T>(_ each: (inout FieldReader) throws(ControlError) -> T) throws(ControlError) -> [T] {
        let count = try number() as UInt32
        var list: [T] = []
        for _ in 0..<count { list.append(try each(&self)) }
        return list
    }
    mutating func ranges() throws(ControlError) -> [CIDR] {
        try list { (r) throws(ControlError) in
            let address = try r.address()
            return CIDR(address, prefixLength: min(Int(try r.number() as UInt8), address.bitWidth))
        }
    }
    mutating func ports() throws(ControlError) -> [ServiceNames.Port] {
        try list { (r) throws(ControlError) in
            ServiceNames.Port(name: try r.text(), transport: try r.text(), number: try r.number())
        }
    }
    mutating func endpoints() throws(ControlError) -> [ServiceNames.Endpoint] {
        try list { (r) throws(ControlError) in ServiceNames.Endpoint(address: try r.address(), hostname: try r.text()) }
    }
    mutating func addresses() throws(ControlError) -> [IPAddress] {
        try list { (r) throws(ControlError) in try r.address() }
    }
    mutating func config() throws(ControlError) -> ResolverConfig {
        let zone = ZoneConfig(
            domain: try text(), addresses: try addresses(), podCIDRs: try ranges(), reverseCIDRs: try ranges())
        return ResolverConfig(
            zone: zone, resolvConf: try text(),
            upstreams: try list { (r) throws(ControlError) in InternetEndpoint(try r.address(), try r.number()) })
    }
    mutating func service() throws(ControlError) -> ServiceNames {
        let (namespace, name) = (try text(), try text())
        let target: ServiceNames.Target
        switch try number() as UInt8 {
        case 1: target = .clusterIPs(try addresses(), try ports())
        case 2:
            target = .headless(
                try list { (r) throws(ControlError) in
                    ServiceNames.Group(ports: try r.ports(), endpoints: try r.endpoints())
                })
        case 3: target = .external(try text())
        case 4: target = .tooLarge(bytes: try number())
        case let kind: throw ControlError(what: "unknown target \(kind)")
        }
        return ServiceNames(namespace: namespace, name: name, target: target)
    }
}

// Connection tracking entries: read and deleted. A NAT decision lasts as long as its entry, so a UDP flow (a DNS
// client, a game, a metrics sender that never closes its socket) would go to a departed pod for ever; and a flow that
// started before its Service existed keeps its null binding. Deleting the entry makes the next packet decide anew.
//
// Source: include/uapi/linux/netfilter/nfnetlink_conntrack.h.

internal import Glibc
public import System

public struct ConntrackEntry: Sendable, Hashable {
    public struct Tuple: Sendable, Hashable {
        public let source: IPAddress
        public let destination: IPAddress
        /// 0 for protocols without ports.
        public let sourcePort: UInt16
        public let destinationPort: UInt16
    }

    /// As the first packet had it.
    public let original: Tuple
    /// As answers come in: its source is where the flow really goes.
    public let reply: Tuple
    /// IPPROTO_*
    public let protocolNumber: UInt8
    let rawOriginal: [UInt8]
    let family: UInt8
    let id: [UInt8]
}

/// Which entries: of one family and protocol, by the original direction's destination.
public struct FlowFilter: Hashable, Sendable {
    public var isV6: Bool
    /// IPPROTO_*
    public var protocolNumber: UInt8
    /// nil: any. Of the family that `isV6` says.
    public var destination: IPAddress?
    public var destinationPort: UInt16?

    public init(
        isV6: Bool, protocolNumber: UInt8, destination: IPAddress? = nil, destinationPort: UInt16? = nil
    ) {
        self.isV6 = isV6
        self.protocolNumber = protocolNumber
        self.destination = destination
        self.destinationPort = destinationPort
    }

    func matches(_ entry: ConntrackEntry) -> Bool {
        let to = entry.original
        return entry.protocolNumber == protocolNumber && to.destination.isV6 == isV6
            && (destination == nil || destination == to.destination)
            && (destinationPort == nil || destinationPort == to.destinationPort)
    }

    /// CTA_TUPLE_ORIG with what is asked, and CTA_FILTER that says which of its fields count (CTA_FILTER_ORIG_FLAGS,
    /// the bits of net/netfilter/nf_internals.h).
    var attributes: [NetlinkAttribute] {
        var flags: UInt32 = 1 << 3  // protocol number
        var tuple: [NetlinkAttribute] = []
        var transport = [NetlinkAttribute(1, byte: protocolNumber)]  // CTA_PROTO_NUM
        // Not in IPv6: the kernel (6.18 too) then answers with all others than those asked for.
        if let destination, !isV6 {
            flags |= 1 << 1
            tuple.append(NetlinkAttribute(1, nested: [NetlinkAttribute(2, destination)]))
        }
        if let destinationPort {
            flags |= 1 << 5
            transport.append(NetlinkAttribute(3, [UInt8(destinationPort >> 8), UInt8(destinationPort & 0xff)]))
        }
        tuple.append(NetlinkAttribute(2, nested: transport))
        return [NetlinkAttribute(1, nested: tuple), NetlinkAttribute(25, nested: [NetlinkAttribute(1, flags)])]
    }
}

public struct ConntrackSocket: Sendable {
    private let socket: NetlinkSocket

    /// In the calling thread's network namespace.
    public init() throws(NetlinkError) { socket = try NetlinkSocket(.netfilter) }

    /// The entries that the filter asks for. The kernel walks through all of them, but copies only those.
    public func entries(_ filter: FlowFilter) throws(NetlinkError) -> [ConntrackEntry] {
        // A kernel before 5.8 knows no CTA_FILTER and answers with everything, and see `attributes`.
        try dump(filter).filter(filter.matches)
    }

    /// As the kernel answers.
    func dump(_ filter: FlowFilter) throws(NetlinkError) -> [ConntrackEntry] {
        let message = NetlinkMessage(
            0x101, flags: NetlinkMessage.dump, header: Self.header(filter.isV6 ? 10 : 2),  // IPCTNL_MSG_CT_GET, AF_*
            filter.attributes)
        return try socket.query(message, "list conntrack entries").compactMap { reply in
            guard let family = reply.body.first else { return nil }
            let attributes = reply.attributes(after: 4)
            guard let original = Self.tuple(attributes.nested(1)), let answer = Self.tuple(attributes.nested(2)),
                let raw = attributes[1]
            else { return nil }
            return ConntrackEntry(
                original: original.0, reply: answer.0, protocolNumber: original.1, rawOriginal: Array(raw),
                family: family, id: attributes[12].map { Array($0) } ?? [])
        }
    }

    /// False when it was gone already (or its tuple belongs to a new entry by now).
    @discardableResult
    public func delete(_ entry: ConntrackEntry) throws(NetlinkError) -> Bool {
        var attributes = [NetlinkAttribute(1 | 0x8000, entry.rawOriginal)]
        if !entry.id.isEmpty { attributes.append(NetlinkAttribute(12, entry.id)) }
        do {
            try socket.request(
                NetlinkMessage(0x102, header: Self.header(entry.family), attributes),
                "delete conntrack entry to \(entry.original.destination):\(entry.original.destinationPort)")
            return true
        } catch {
            if error.errno == .ENOENT { return false }
            throw error
        }
    }

    /// struct nfgenmsg: family, version 0, resource id 0.
    private static func header(_ family: UInt8) -> [UInt8] { [family, 0, 0, 0] }

    private static func tuple(_ attributes: NetlinkAttributes) -> (ConntrackEntry.Tuple, UInt8)? {
        let ip = attributes.nested(1)
        let transport = attributes.nested(2)
        guard let source = ip.address(1) ?? ip.address(3), let destination = ip.address(2) ?? ip.address(4),
            let number = transport.bigEndian(1)
        else { return nil }
        return (
            ConntrackEntry.Tuple(
                source: source, destination: destination,
                sourcePort: UInt16(truncatingIfNeeded: transport.bigEndian(2) ?? 0),
                destinationPort: UInt16(truncatingIfNeeded: transport.bigEndian(3) ?? 0)),
            UInt8(truncatingIfNeeded: number)
        )
    }
}

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

public struct ConntrackSocket: Sendable {
    private let socket: NetlinkSocket

    /// In the calling thread's network namespace.
    public init() throws(NetlinkError) { socket = try NetlinkSocket(.netfilter) }

    /// Entries of one protocol (IPPROTO_UDP is 17), both families.
    public func entries(protocolNumber: UInt8) throws(NetlinkError) -> [ConntrackEntry] {
        let message = NetlinkMessage(0x101, flags: NetlinkMessage.dump, header: Self.header(0))  // IPCTNL_MSG_CT_GET
        return try socket.query(message, "list conntrack entries").compactMap { reply in
            guard let family = reply.body.first else { return nil }
            let attributes = reply.attributes(after: 4)
            guard let original = Self.tuple(attributes.nested(1)), original.1 == protocolNumber,
                let answer = Self.tuple(attributes.nested(2)), let raw = attributes[1]
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

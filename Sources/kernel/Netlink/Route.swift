// Links, addresses, routes and neighbours of one network namespace, as values in and out. Numbers are those of
// include/uapi/linux/{rtnetlink,if_link,if_addr,neighbour}.h; every verb names what it did in its error.

internal import CNetlink
internal import Glibc
public import System

/// An Ethernet address.
public struct MACAddress: Hashable, Sendable, CustomStringConvertible {
    /// Six.
    public let bytes: [UInt8]

    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 6 else { return nil }
        self.bytes = Array(bytes)
    }

    public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8, _ e: UInt8, _ f: UInt8) { bytes = [a, b, c, d, e, f] }

    public var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }
}

public struct Link: Hashable, Sendable {
    public let index: Int32
    public let name: String
    /// IFLA_IFALIAS, at most 255 bytes; noded keeps the pod's uid here, so that the kernel is the record.
    public let alias: String?
    public let mac: MACAddress?
    public let mtu: Int
    public let isUp: Bool
    /// Whether packets pass (IFLA_OPERSTATE, RFC 2863); a link that is up drops what it should send until then.
    public let passesPackets: Bool
    public let isLoopback: Bool
    /// IFLA_INFO_KIND: "veth", "vxlan" …; nil for hardware and lo.
    public let kind: String?
    /// Index of the other end of a veth, in its own namespace.
    public let peerIndex: Int32?
}

public enum AddressScope: UInt8, Sendable {
    case global = 0
    case link = 253
    case host = 254
}

public struct LinkAddress: Hashable, Sendable {
    public let link: Int32
    public let address: IPAddress
    public let prefixLength: Int
    public let scope: UInt8
    /// Who made it (IFA_PROTO): noded's own carry `Route.noded`, from kernel 5.18 on; 0: unknown.
    public let origin: UInt8
}

/// A unicast (or local) route of the main table.
public struct Route: Hashable, Sendable, CustomStringConvertible {
    public var destination: CIDR
    public var link: Int32
    public var gateway: IPAddress?
    /// Preferred source of packets this machine sends by this route.
    public var source: IPAddress?
    /// The gateway is reachable although no other route says so (RTNH_F_ONLINK).
    public var onLink: Bool
    /// Delivered here instead of sent (RTN_LOCAL).
    public var isLocal: Bool
    /// Who made it (RTPROT_*): noded's own routes carry `Route.noded`.
    public var origin: UInt8

    /// From the range that rtnetlink.h leaves to daemons, unused in iproute2's rt_protos.
    public static let noded: UInt8 = 78

    public init(
        to destination: CIDR, link: Int32, gateway: IPAddress? = nil, source: IPAddress? = nil, onLink: Bool = false,
        isLocal: Bool = false, origin: UInt8 = Route.noded
    ) {
        self.destination = destination
        self.link = link
        self.gateway = gateway
        self.source = source
        self.onLink = onLink
        self.isLocal = isLocal
        self.origin = origin
    }

    public var description: String {
        "\(destination)\(gateway.map { " via \($0)" } ?? "") dev #\(link)\(source.map { " src \($0)" } ?? "")"
    }
}

/// The verbs, on one namespace.
public struct RouteSocket: Sendable {
    let socket: NetlinkSocket

    /// In the calling thread's network namespace.
    public init() throws(NetlinkError) { socket = try NetlinkSocket(.route) }

    // MARK: links

    public func links() throws(NetlinkError) -> [Link] {
        let message = NetlinkMessage(18, flags: NetlinkMessage.dump, header: bytesOf(ifinfomsg()))  // RTM_GETLINK
        return try socket.query(message, "list links").compactMap(Self.link)
    }

    /// nil when there is no such link.
    public func link(named name: String) throws(NetlinkError) -> Link? {
        let message = NetlinkMessage(18, header: bytesOf(ifinfomsg()), [NetlinkAttribute(3, string: name)])
        do {
            return try socket.query(message, "get link \(name)").lazy.compactMap(Self.link).first
        } catch {
            if error.errno == .ENODEV { return nil }
            throw error
        }
    }

    private static func link(_ reply: NetlinkReply) -> Link? {
        guard reply.type == 16, let header = reply.header(ifinfomsg.self) else { return nil }  // RTM_NEWLINK
        let attributes = reply.attributes(after: MemoryLayout<ifinfomsg>.size)
        return Link(
            index: header.ifi_index, name: attributes.string(3) ?? "",
            alias: attributes.string(20), mac: attributes[1].flatMap { MACAddress(bytes: $0) },
            mtu: Int(attributes.number(4) ?? 0), isUp: header.ifi_flags & 1 != 0,
            passesPackets: attributes[16]?.first == 6, isLoopback: header.ifi_flags & 8 != 0,
            kind: attributes.nested(18).string(1), peerIndex: attributes.number(5).map { Int32(bitPattern: $0) })
    }

    /// Both ends of a veth pair in one message: this end here, the peer in another namespace.
    /// - Parameter peerNamespace: an open /proc/PID/ns/net; borrowed for the call.
    public func createVeth(
        name: String, mac: MACAddress, peerName: String, peerMAC: MACAddress, peerNamespace: Int32, mtu: Int
    ) throws(NetlinkError) {
        func end(_ name: String, _ mac: MACAddress) -> [NetlinkAttribute] {
            [NetlinkAttribute(3, string: name), NetlinkAttribute(1, mac.bytes), NetlinkAttribute(4, UInt32(mtu))]
        }
        var peer = end(peerName, peerMAC)
        peer.append(NetlinkAttribute(28, UInt32(bitPattern: peerNamespace)))  // IFLA_NET_NS_FD
        let info = [
            NetlinkAttribute(1, string: "veth"),
            NetlinkAttribute(
                2,
                nested: [
                    // VETH_INFO_PEER: a link message of its own, struct and attributes.
                    NetlinkAttribute(1, bytesOf(ifinfomsg()) + peer.flatMap(Self.flat))
                ]),
        ]
        let message = NetlinkMessage(
            16, flags: NetlinkMessage.create | NetlinkMessage.exclusive, header: bytesOf(ifinfomsg()),
            end(name, mac) + [NetlinkAttribute(18, nested: info)])
        try socket.request(message, "create link \(name)")
    }

    /// Flat attributes laid out by hand for the one place where netlink nests a whole message in an attribute.
    private static func flat(_ attribute: NetlinkAttribute) -> [UInt8] {
        guard case .bytes(let bytes) = attribute.payload else { return [] }
        let padding = [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
        return bytesOf(UInt16(bytes.count + 4)) + bytesOf(attribute.type) + bytes + padding
    }

    /// What a link should be besides existing; nil leaves a property as it is.
    public struct LinkSettings: Sendable {
        public var isUp: Bool?
        public var alias: String?
        /// Strict reverse path filter (rp_filter=1): packets whose source is not routed to this link are dropped.
        public var strictSource = false
        /// No link-local address of the kernel's making (addr_gen_mode none), thus no duplicate address detection.
        public var withoutLinkLocal = false
        public init() {}
    }

    public func set(link index: Int32, _ settings: LinkSettings) throws(NetlinkError) {
        var header = ifinfomsg()
        header.ifi_index = index
        if let up = settings.isUp {
            header.ifi_change = 1
            header.ifi_flags = up ? 1 : 0
        }
        var attributes: [NetlinkAttribute] = []
        if let alias = settings.alias { attributes.append(NetlinkAttribute(20, Array(alias.utf8))) }
        var families: [NetlinkAttribute] = []
        if settings.strictSource {
            // IFLA_INET_CONF { IPV4_DEVCONF_RP_FILTER: 1 }
            families.append(
                NetlinkAttribute(
                    2,
                    nested: [
                        NetlinkAttribute(1, nested: [NetlinkAttribute(8, 1)])
                    ]))
        }
        if settings.withoutLinkLocal {
            families.append(NetlinkAttribute(10, nested: [NetlinkAttribute(8, byte: 1)]))  // IFLA_INET6_ADDR_GEN_MODE
        }
        if !families.isEmpty { attributes.append(NetlinkAttribute(26, nested: families)) }  // IFLA_AF_SPEC
        try socket.request(NetlinkMessage(19, header: bytesOf(header), attributes), "set link #\(index)")
    }

    /// False when there was no such link.
    @discardableResult
    public func deleteLink(named name: String) throws(NetlinkError) -> Bool {
        let message = NetlinkMessage(17, header: bytesOf(ifinfomsg()), [NetlinkAttribute(3, string: name)])
        return try ignoring(.ENODEV) { () throws(NetlinkError) in
            try socket.request(message, "delete link \(name)")
        }
    }

    // MARK: addresses

    public func addresses() throws(NetlinkError) -> [LinkAddress] {
        let message = NetlinkMessage(22, flags: NetlinkMessage.dump, header: bytesOf(ifaddrmsg()))
        return try socket.query(message, "list addresses").compactMap { reply in
            guard reply.type == 20, let header = reply.header(ifaddrmsg.self) else { return nil }
            let attributes = reply.attributes(after: MemoryLayout<ifaddrmsg>.size)
            // IFA_LOCAL is this end's address; IFA_ADDRESS the peer's on point-to-point links, and the only one in
            // IPv6.
            guard let address = attributes.address(2) ?? attributes.address(1) else { return nil }
            return LinkAddress(
                link: Int32(bitPattern: header.ifa_index), address: address, prefixLength: Int(header.ifa_prefixlen),
                scope: header.ifa_scope, origin: attributes[11]?.first ?? 0)
        }
    }

    /// Adds or keeps. IPv6 addresses skip duplicate address detection (nodad): they are ours by construction.
    public func add(
        address: IPAddress, prefixLength: Int? = nil, link: Int32, scope: AddressScope = .global
    ) throws(NetlinkError) {
        let message = NetlinkMessage(
            20, flags: NetlinkMessage.create | NetlinkMessage.replace,
            header: bytesOf(Self.header(address, prefixLength, link, scope)),
            [NetlinkAttribute(2, address), NetlinkAttribute(1, address), NetlinkAttribute(11, byte: Route.noded)])
        try socket.request(message, "add address \(address) to link #\(link)")
    }

    @discardableResult
    public func delete(address: IPAddress, prefixLength: Int? = nil, link: Int32) throws(NetlinkError) -> Bool {
        let message = NetlinkMessage(
            21, header: bytesOf(Self.header(address, prefixLength, link, .global)), [NetlinkAttribute(2, address)])
        return try ignoring(.EADDRNOTAVAIL) { () throws(NetlinkError) in
            try socket.request(message, "delete address \(address) of link #\(link)")
        }
    }

    private static func header(
        _ address: IPAddress, _ prefixLength: Int?, _ link: Int32, _ scope: AddressScope
    ) -> ifaddrmsg {
        var header = ifaddrmsg()
        header.ifa_family = family(address)
        header.ifa_prefixlen = UInt8(prefixLength ?? address.bitWidth)
        header.ifa_flags = address.isV6 ? 2 : 0  // IFA_F_NODAD
        header.ifa_scope = address.isV6 ? 0 : scope.rawValue
        header.ifa_index = UInt32(bitPattern: link)
        return header
    }

    // MARK: routes

    /// Routes of the main table, both families.
    public func routes() throws(NetlinkError) -> [Route] {
        let message = NetlinkMessage(26, flags: NetlinkMessage.dump, header: bytesOf(rtmsg()))
        return try socket.query(message, "list routes").compactMap { reply in
            guard reply.type == 24, let header = reply.header(rtmsg.self), header.rtm_table == 254,
                header.rtm_type == 1 || header.rtm_type == 2
            else { return nil }
            let attributes = reply.attributes(after: MemoryLayout<rtmsg>.size)
            let any: IPAddress = header.rtm_family == UInt8(AF_INET6) ? .v6(hi: 0, lo: 0) : .v4(0)
            guard let link = attributes.number(4), header.rtm_dst_len <= any.bitWidth else { return nil }
            return Route(
                to: CIDR(attributes.address(1) ?? any, prefixLength: Int(header.rtm_dst_len)),
                link: Int32(bitPattern: link), gateway: attributes.address(5), source: attributes.address(7),
                onLink: header.rtm_flags & 4 != 0, isLocal: header.rtm_type == 2, origin: header.rtm_protocol)
        }
    }

    /// Adds, or replaces the route with this destination.
    public func add(_ route: Route) throws(NetlinkError) {
        try socket.request(
            Self.message(24, flags: NetlinkMessage.create | NetlinkMessage.replace, route), "add route \(route)")
    }

    @discardableResult
    public func delete(_ route: Route) throws(NetlinkError) -> Bool {
        try ignoring(.ESRCH, .ENODEV) { () throws(NetlinkError) in
            try socket.request(Self.message(25, flags: 0, route), "delete route \(route)")
        }
    }

    private static func message(_ type: UInt16, flags: UInt16, _ route: Route) -> NetlinkMessage {
        var header = rtmsg()
        header.rtm_family = family(route.destination.address)
        header.rtm_dst_len = UInt8(route.destination.prefixLength)
        header.rtm_table = 254  // RT_TABLE_MAIN
        header.rtm_protocol = route.origin
        let scope: AddressScope =
            route.isLocal ? .host : route.gateway == nil && !route.destination.isV6 ? .link : .global
        header.rtm_scope = scope.rawValue
        header.rtm_type = route.isLocal ? 2 : 1
        header.rtm_flags = route.onLink ? 4 : 0
        var attributes = [NetlinkAttribute(4, UInt32(bitPattern: route.link))]
        if route.destination.prefixLength > 0 { attributes.append(NetlinkAttribute(1, route.destination.address)) }
        if let gateway = route.gateway { attributes.append(NetlinkAttribute(5, gateway)) }
        if let source = route.source { attributes.append(NetlinkAttribute(7, source)) }
        return NetlinkMessage(type, flags: flags, header: bytesOf(header), attributes)
    }

    // MARK: neighbours

    /// A permanent entry: `address` is at `mac` on this link, nobody is asked.
    public func setNeighbour(_ address: IPAddress, mac: MACAddress, link: Int32) throws(NetlinkError) {
        var header = ndmsg()
        header.ndm_family = Self.family(address)
        header.ndm_ifindex = link
        header.ndm_state = 0x80  // NUD_PERMANENT
        let message = NetlinkMessage(
            28, flags: NetlinkMessage.create | NetlinkMessage.replace, header: bytesOf(header),
            [NetlinkAttribute(1, address), NetlinkAttribute(2, mac.bytes)])
        try socket.request(message, "set neighbour \(address) \(mac) on link #\(link)")
    }

    private static func family(_ address: IPAddress) -> UInt8 { UInt8(address.isV6 ? AF_INET6 : AF_INET) }

    private func ignoring(
        _ codes: Errno..., body: () throws(NetlinkError) -> Void
    ) throws(NetlinkError) -> Bool {
        do {
            try body()
            return true
        } catch {
            if codes.contains(error.errno) { return false }
            throw error
        }
    }
}

extension Errno {
    static let EADDRNOTAVAIL = Errno(Glibc.EADDRNOTAVAIL)
}

// A pod's link, seen from both ends.
//
//     pod namespace                                  node
//     eth0  10.42.0.5/32   02:6e:64:00:00:02  <----> nd1f0c…  02:6e:64:00:00:01, alias = the pod's uid
//     default via 169.254.1.1 onlink                 10.42.0.5/32 dev nd1f0c… src 10.42.0.0
//     169.254.1.1 is at 02:6e:64:00:00:01            10.42.0.5 is at 02:6e:64:00:00:02      (both permanent)
//
// The gateway exists only as a neighbour entry: nobody answers for it, nobody needs to. Every pair uses the same two
// MACs, because each pair is a wire of its own. The alias makes the kernel the record of who has which link, the
// route of who has which address.

import Kernel
import Netlink
import System

enum PodLink {
    static let prefix = "nd"
    static let hostMAC = MACAddress(0x02, 0x6e, 0x64, 0, 0, 1)
    static let podMAC = MACAddress(0x02, 0x6e, 0x64, 0, 0, 2)
    static let gateway4 = IPAddress.v4(0xa9fe_0101)
    static let gateway6 = IPAddress.v6(hi: 0xfe80 << 48, lo: 1)

    static func gateway(for address: IPAddress) -> IPAddress { address.isV6 ? gateway6 : gateway4 }

    /// "nd" and 13 hex digits: 52 bits of FNV-1a of the uid. 15 bytes are all that a link's name may have.
    static func name(podUID: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in podUID.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let digits = String(hash >> 12, radix: 16)
        return prefix + String(repeating: "0", count: 13 - digits.utf8.count) + digits
    }

    /// Whether a link is one of noded's, whatever became of its alias.
    static func isOurs(_ link: Link) -> Bool {
        link.kind == "veth" && link.name.utf8.count == 15 && link.name.hasPrefix(prefix)
            && link.name.utf8.dropFirst(2).allSatisfy {
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
            }
    }

    /// Everything inside the pod's namespace.
    static func configurePod(_ pod: RouteSocket, _ addresses: [IPAddress]) throws(NetlinkError) {
        var settings = RouteSocket.LinkSettings()
        settings.isUp = true
        if let loopback = try pod.link(named: "lo") { try pod.set(link: loopback.index, settings) }
        guard let eth0 = try pod.link(named: "eth0") else { throw NetlinkError("get link eth0 of the pod", .ENODEV) }
        settings.withoutLinkLocal = addresses.contains(where: \.isV6)
        try pod.set(link: eth0.index, settings)
        for address in addresses {
            try pod.add(address: address, link: eth0.index)
            let gateway = gateway(for: address)
            try pod.setNeighbour(gateway, mac: hostMAC, link: eth0.index)
            let everything = CIDR(address.isV6 ? .v6(hi: 0, lo: 0) : .v4(0), prefixLength: 0)
            try pod.add(Route(to: everything, link: eth0.index, gateway: gateway, onLink: true))
        }
    }

    /// Everything on the node's side. The route comes last: it says that the rest is done.
    static func configureHost(
        _ host: RouteSocket, link: Link, podUID: String, _ addresses: [IPAddress], sources: [IPAddress]
    ) throws(NetlinkError) {
        var settings = RouteSocket.LinkSettings()
        settings.isUp = true
        settings.alias = podUID
        settings.strictSource = true
        settings.withoutLinkLocal = addresses.contains(where: \.isV6)
        try host.set(link: link.index, settings)
        for address in addresses {
            try host.setNeighbour(address, mac: podMAC, link: link.index)
            try host.add(route(to: address, link: link.index, sources: sources))
        }
    }

    /// Whether the pod's end passes packets.
    ///
    /// That end came up before the other did. It learns that there is a wire now from work that the kernel does a moment
    /// later, and drops what the pod sends until then: its first DNS query would be repeated after five seconds. From
    /// 6.14 on the question itself has that work done.
    @Sendable static func passesPackets(_ pod: RouteSocket) throws(NetlinkError) -> Bool {
        try pod.link(named: "eth0")?.passesPackets == true
    }

    static func route(to address: IPAddress, link: Int32, sources: [IPAddress]) -> Route {
        Route(
            to: CIDR(address, prefixLength: address.bitWidth), link: link,
            source: sources.first { $0.isV6 == address.isV6 })
    }
}

// The node's own address, when none is given: what the default route would send from, else the first address that
// other machines could reach.

import Netlink
import System

enum NodeAddress {
    static func find() throws -> IPAddress {
        let socket = try RouteSocket()
        let loopback = try socket.link(named: "lo")?.index
        let addresses = try socket.addresses()
            .filter { $0.link != loopback && !$0.address.isV6 && !$0.address.isLoopback }
        let routes = try socket.routes()
        if let uplink = routes.first(where: { $0.destination.prefixLength == 0 && !$0.destination.address.isV6 }) {
            if let source = uplink.source { return source }
            if let address = addresses.first(where: { $0.link == uplink.link }) { return address.address }
        }
        guard let address = addresses.first else {
            throw StartFailure(
                "this machine has no IPv4 address besides loopback: configure one, or name one with --node-ip")
        }
        return address.address
    }

    /// Whether `address` is one of this machine's.
    static func isOurs(_ address: IPAddress) throws -> Bool {
        try RouteSocket().addresses().contains { $0.address == address }
    }
}

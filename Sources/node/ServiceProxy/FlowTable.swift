// The kernel's flows, as the engine needs them: a protocol, so that a table that fails is tested without one.

import Netlink
import System

protocol FlowTable: Sendable {
    func entries(_ filter: FlowFilter) throws(NetlinkError) -> [ConntrackEntry]
    /// False when it was gone already.
    @discardableResult
    func delete(_ entry: ConntrackEntry) throws(NetlinkError) -> Bool
}

extension ConntrackSocket: FlowTable {}

extension FlowFilter {
    /// Flows that were sent to this frontend.
    init(frontend: Frontend) {
        switch frontend {
        case .address(let address, let transport, let port):
            self.init(
                isV6: address.isV6, protocolNumber: transport.rawValue, destination: address, destinationPort: port)
        case .nodePort(let isV6, let transport, let port):
            self.init(isV6: isV6, protocolNumber: transport.rawValue, destinationPort: port)
        }
    }
}

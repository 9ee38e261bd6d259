// What one Service asks of the data path, computed from the API's objects: a plain value, no clock, no kernel.
//
//   Service + its EndpointSlices  ->  frontends (address or node port, protocol, port)  ->  target (its backends)
//
// The choice of backends is kube-proxy's: ready endpoints; if there are none, those that still serve while they
// terminate; traffic policy Local keeps to this node's. Headless, ExternalName and foreign-proxy Services ask nothing.

import Objects
import System

enum TransportProtocol: UInt8, Hashable, Sendable {
    case tcp = 6
    case udp = 17
    case sctp = 132

    init?(_ name: String) {
        switch name {
        case "TCP", "": self = .tcp
        case "UDP": self = .udp
        case "SCTP": self = .sctp
        default: return nil
        }
    }
}

/// Where packets are sent to.
enum Frontend: Hashable, Sendable {
    case address(IPAddress, TransportProtocol, port: UInt16)
    /// Any address of this node, of one family.
    case nodePort(isV6: Bool, TransportProtocol, port: UInt16)

    var isV6: Bool {
        switch self {
        case .address(let address, _, _): address.isV6
        case .nodePort(let isV6, _, _): isV6
        }
    }

    var transport: TransportProtocol {
        switch self {
        case .address(_, let transport, _), .nodePort(_, let transport, _): transport
        }
    }
}

/// Where they go.
struct Backend: Hashable, Comparable, Sendable, CustomStringConvertible {
    let address: IPAddress
    let port: UInt16

    static func < (a: Backend, b: Backend) -> Bool { (a.address, a.port) < (b.address, b.port) }
    /// In nft's spelling of an address and a port.
    var description: String { "\(address) . \(port)" }
}

/// The backends that one or several frontends share.
struct Target: Hashable, Sendable {
    /// Unique on the node and stable over changes: `namespace/name:port/4`.
    let name: String
    let isV6: Bool
    /// Sorted, each once.
    let backends: [Backend]
    /// Seconds for which a client stays with its backend; nil: none.
    let affinity: Int?
}

struct ProxyService: Hashable, Sendable {
    var frontends: [Frontend: Target] = [:]
    /// Addresses in use because they are ready, not for want of better ones.
    var ready: Set<IPAddress> = []
    /// What was asked and cannot be done, in words for the log.
    var unsupported: [String] = []
}

extension ProxyService {
    /// - Parameters:
    ///   - slices: those that carry the label kubernetes.io/service-name of this Service.
    ///   - nodeName: this node's, for traffic policy Local.
    init(_ service: Service, slices: [EndpointSlice], nodeName: String) {
        let spec = service.spec
        let labels = service.metadata.labels
        guard spec.type != "ExternalName", labels["service.kubernetes.io/service-proxy-name"] == nil else { return }
        let ips = spec.clusterIPs.isEmpty ? [spec.clusterIP] : spec.clusterIPs
        let addresses = ips.compactMap { IPAddress($0) }
        let affinity = spec.sessionAffinity == "ClientIP" ? spec.sessionAffinityTimeout : nil
        let name = "\(service.metadata.namespace)/\(service.metadata.name)"

        for address in addresses {
            if affinity != nil, address.isV6 {
                unsupported.append("session affinity over IPv6 (nft 1.0.6 cannot express it)")
            }
            for port in spec.ports {
                guard let transport = TransportProtocol(port.protocol), let number = UInt16(exactly: port.port ?? 0),
                    number > 0
                else { continue }
                let candidates = Candidates(slices, port: port, isV6: address.isV6)
                func target(local: Bool) -> Target {
                    let (chosen, ready) = candidates.chosen(local: local, nodeName: nodeName)
                    self.ready.formUnion(ready)
                    var backends = chosen.sorted()
                    if backends.count > ProxyMark.maximumBackends {
                        unsupported.append("\(backends.count) endpoints, \(ProxyMark.maximumBackends) are used")
                        backends.removeLast(backends.count - ProxyMark.maximumBackends)
                    }
                    let suffix = "\(address.isV6 ? "6" : "4")\(local ? "/local" : "")"
                    return Target(
                        name: "\(name):\(port.name.isEmpty ? "\(number)" : port.name)/\(port.protocol)/\(suffix)",
                        isV6: address.isV6, backends: backends, affinity: address.isV6 ? nil : affinity)
                }
                frontends[.address(address, transport, port: number)] =
                    target(local: spec.internalTrafficPolicy == "Local")
                if spec.type != "ClusterIP", let nodePort = port.nodePort.flatMap({ UInt16(exactly: $0) }), nodePort > 0
                {
                    frontends[.nodePort(isV6: address.isV6, transport, port: nodePort)] =
                        target(local: spec.externalTrafficPolicy == "Local")
                }
            }
        }
    }

    var targets: [String: Target] {
        Dictionary(frontends.values.map { ($0.name, $0) }) { first, _ in first }
    }
}

/// The endpoints of one port, with what their slices say of them.
private struct Candidates {
    private struct State {
        var ready = false
        var serving = false
        var nodeName = ""
    }

    private var states: [Backend: State] = [:]

    init(_ slices: [EndpointSlice], port: ServicePort, isV6: Bool) {
        for slice in slices where slice.addressType == (isV6 ? "IPv6" : "IPv4") {
            // A slice's ports are matched by name and protocol; the number is the pods' own.
            guard
                let number = slice.ports.first(where: { $0.name == port.name && $0.protocol == port.protocol })?.port
                    .flatMap({ UInt16(exactly: $0) })
            else { continue }
            for endpoint in slice.endpoints {
                guard let address = endpoint.addresses.first.flatMap({ IPAddress($0) }), address.isV6 == isV6 else {
                    continue
                }
                let conditions = endpoint.conditions
                // An endpoint may for a moment be in two slices: one that says ready is enough.
                var state = states[Backend(address: address, port: number)] ?? State()
                state.ready = state.ready || conditions.ready
                state.serving = state.serving || (conditions.serving ?? conditions.ready)
                state.nodeName = endpoint.nodeName
                states[Backend(address: address, port: number)] = state
            }
        }
    }

    func chosen(local: Bool, nodeName: String) -> (backends: [Backend], ready: Set<IPAddress>) {
        let eligible = states.filter { !local || $0.value.nodeName == nodeName }
        let ready = eligible.filter(\.value.ready).map(\.key)
        if !ready.isEmpty { return (ready, Set(ready.map(\.address))) }
        return (eligible.filter(\.value.serving).map(\.key), [])
    }
}

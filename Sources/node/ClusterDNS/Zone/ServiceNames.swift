// What names need to know about one Service: the value that travels from noded to the resolver and that the zone is
// made of. Endpoints are kept for headless Services only; the others' addresses are their cluster IPs. Ports stand once
// for all endpoints that have them: endpoints times ports is a number that nobody could hold.

public import Objects
public import System

public struct ServiceNames: Hashable, Sendable {
    public struct Port: Hashable, Sendable {
        /// May be empty: then it has no SRV record.
        public let name: String
        /// tcp, udp or sctp.
        public let transport: String
        public let number: UInt16

        public init(name: String, transport: String, number: UInt16) {
            (self.name, self.transport, self.number) = (name, transport, number)
        }
    }

    public struct Endpoint: Hashable, Sendable {
        public let address: IPAddress
        /// In lower case; may be empty.
        public let hostname: String

        public init(address: IPAddress, hostname: String = "") {
            (self.address, self.hostname) = (address, hostname.lowercased())
        }

        /// The label of its own name: the hostname, else the address with dashes.
        var label: String {
            hostname.isEmpty ? String(address.description.map { $0 == "." || $0 == ":" ? "-" : $0 }) : hostname
        }
    }

    /// Endpoints that have the same ports: of one EndpointSlice, or of several.
    public struct Group: Hashable, Sendable {
        public let ports: [Port]
        public let endpoints: [Endpoint]

        public init(ports: [Port], endpoints: [Endpoint]) { (self.ports, self.endpoints) = (ports, endpoints) }
    }

    public enum Target: Hashable, Sendable {
        case clusterIPs([IPAddress], [Port])
        case headless([Group])
        case external(String)
        /// More than the resolver takes of one Service: it exists, and asking for it fails.
        case tooLarge(bytes: UInt64)
    }

    public let namespace: String
    public let name: String
    public let target: Target

    public init(namespace: String, name: String, target: Target) {
        (self.namespace, self.name, self.target) = (namespace, name, target)
    }

    /// From the API's objects; nil for a Service that has no names (no address yet). `slices` are its EndpointSlices.
    public init?(_ service: Service, slices: @autoclosure () -> [EndpointSlice]) {
        (namespace, name) = (service.metadata.namespace, service.metadata.name)
        let spec = service.spec
        if spec.type == "ExternalName" {
            guard !spec.externalName.isEmpty else { return nil }
            target = .external(spec.externalName)
        } else if spec.isHeadless {
            var endpoints: [[Port]: Set<Endpoint>] = [:]
            for slice in slices() where slice.addressType != "FQDN" {
                let ports = slice.ports.compactMap { port -> Port? in
                    guard let number = port.port.flatMap({ UInt16(exactly: $0) }) else { return nil }
                    return Port(name: port.name, transport: port.protocol.lowercased(), number: number)
                }
                let used = slice.endpoints.filter { $0.conditions.ready || spec.publishNotReadyAddresses }
                let found = used.flatMap { endpoint in
                    endpoint.addresses.compactMap { IPAddress($0) }
                        .map { Endpoint(address: $0, hostname: endpoint.hostname) }
                }
                // The same address may stand in two slices while one is being replaced.
                if !found.isEmpty { endpoints[ports, default: []].formUnion(found) }
            }
            let groups = endpoints.map { ports, endpoints in
                Group(
                    ports: ports, endpoints: endpoints.sorted { ($0.address, $0.hostname) < ($1.address, $1.hostname) })
            }
            target = .headless(groups.sorted { $0.endpoints[0].address < $1.endpoints[0].address })
        } else {
            let texts = spec.clusterIPs.isEmpty ? [spec.clusterIP] : spec.clusterIPs
            let addresses = texts.compactMap { IPAddress($0) }
            guard !addresses.isEmpty else { return nil }
            let ports = spec.ports.compactMap { port in
                port.port.flatMap { UInt16(exactly: $0) }.map {
                    Port(name: port.name, transport: port.protocol.lowercased(), number: $0)
                }
            }
            target = .clusterIPs(addresses, ports)
        }
    }
}

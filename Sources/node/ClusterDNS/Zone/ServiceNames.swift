// What names need to know about one Service: the value that travels from noded to the resolver and that the zone is
// made of. Endpoints are kept for headless Services only; the others' addresses are their cluster IPs.

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
        public let hostname: String
        public let ports: [Port]

        public init(address: IPAddress, hostname: String = "", ports: [Port] = []) {
            (self.address, self.hostname, self.ports) = (address, hostname, ports)
        }

        /// The label of its own name: the hostname, else the address with dashes.
        var label: String {
            hostname.isEmpty ? String(address.description.map { $0 == "." || $0 == ":" ? "-" : $0 }) : hostname
        }
    }

    public enum Target: Hashable, Sendable {
        case clusterIPs([IPAddress], [Port])
        case headless([Endpoint])
        case external(String)
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
            var endpoints: [Endpoint] = []
            for slice in slices() where slice.addressType != "FQDN" {
                let ports = slice.ports.compactMap { port -> Port? in
                    guard let number = port.port.flatMap({ UInt16(exactly: $0) }) else { return nil }
                    return Port(name: port.name, transport: port.protocol.lowercased(), number: number)
                }
                for endpoint in slice.endpoints where endpoint.conditions.ready || spec.publishNotReadyAddresses {
                    for address in endpoint.addresses.compactMap({ IPAddress($0) }) {
                        endpoints.append(Endpoint(address: address, hostname: endpoint.hostname, ports: ports))
                    }
                }
            }
            // The same address may stand in two slices while one is being replaced.
            var seen: Set<Endpoint> = []
            target = .headless(endpoints.sorted { $0.address < $1.address }.filter { seen.insert($0).inserted })
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

// The cluster's zone (Kubernetes DNS specification 1.1.0) as a value: put and remove Services, look names up. It does no
// I/O and knows no clock. A name that exists without the asked type is NODATA, one that does not is NXDOMAIN, both with
// the SOA, so that clients remember them for 5 s.
//
// Cluster IPs are given out for 30 s; endpoints move, so theirs are for 5 s.

public import System

public struct ZoneConfig: Hashable, Sendable {
    /// "cluster.local"
    public var domain: String
    /// Of this server: the answer to ns.dns.DOMAIN.
    public var addresses: [IPAddress]
    /// 1-2-3-4.NAMESPACE.pod.DOMAIN exists for addresses in these.
    public var podCIDRs: [CIDR]
    /// Reverse names of addresses in these are never asked upstream.
    public var reverseCIDRs: [CIDR]

    public init(domain: String, addresses: [IPAddress] = [], podCIDRs: [CIDR] = [], reverseCIDRs: [CIDR] = []) {
        (self.domain, self.addresses, self.podCIDRs, self.reverseCIDRs) = (domain, addresses, podCIDRs, reverseCIDRs)
    }
}

struct ClusterZone: Sendable {
    enum Outcome: Hashable, Sendable {
        /// Not a name of this zone.
        case foreign
        case answer(Answer)
        /// An ExternalName: these records, then whatever is at `target`.
        case alias([Record], target: DNSName)
    }

    private enum TTL {
        static let service: UInt32 = 30
        static let endpoint: UInt32 = 5
        static let negative: UInt32 = 5
    }

    private static let reverse4 = DNSName("in-addr.arpa")!
    private static let reverse6 = DNSName("ip6.arpa")!

    let config: ZoneConfig
    let origin: DNSName
    private(set) var serial: UInt32 = 1
    private var namespaces: [String: [String: ServiceNames]] = [:]
    private var names: [IPAddress: [DNSName]] = [:]

    /// A domain that is no name is the root's "invalid.": noded checks it before.
    init(_ config: ZoneConfig) {
        self.config = config
        origin = DNSName(config.domain) ?? DNSName("invalid")!
    }

    var serviceCount: Int { namespaces.values.reduce(0) { $0 + $1.count } }

    mutating func put(_ service: ServiceNames) {
        remove(namespace: service.namespace, name: service.name)
        namespaces[service.namespace.lowercased(), default: [:]][service.name.lowercased()] = service
        for (address, name) in reverseNames(service) { names[address, default: []].append(name) }
    }

    mutating func remove(namespace: String, name: String) {
        serial &+= 1
        guard let old = namespaces[namespace]?.removeValue(forKey: name) else { return }
        if namespaces[namespace]?.isEmpty == true { namespaces[namespace] = nil }
        for (address, name) in reverseNames(old) {
            names[address]?.removeAll { $0 == name }
            if names[address]?.isEmpty == true { names[address] = nil }
        }
    }

    private func reverseNames(_ service: ServiceNames) -> [(IPAddress, DNSName)] {
        guard let name = name(of: service) else { return [] }
        return switch service.target {
        case .clusterIPs(let addresses, _): addresses.map { ($0, name) }
        case .headless(let endpoints): endpoints.compactMap { e in name.prefixed(e.label).map { (e.address, $0) } }
        case .external: []
        }
    }

    private func name(of service: ServiceNames) -> DNSName? {
        origin.prefixed("\(service.name).\(service.namespace).svc")
    }

    // MARK: Looking up

    func lookUp(_ question: Question) -> Outcome {
        guard question.questionClass == 1 || question.questionClass == 255 else { return .foreign }
        if let labels = question.name.labels(above: origin) { return inZone(question, labels) }
        for zone in [Self.reverse4, Self.reverse6] {
            if let labels = question.name.labels(above: zone) { return reverse(question, labels) }
        }
        return .foreign
    }

    private var authority: Record {
        Record(
            name: origin, ttl: TTL.negative,
            data: .soa(
                primary: origin.prefixed("ns.dns") ?? origin, mailbox: origin.prefixed("hostmaster") ?? origin,
                serial: serial, minimum: TTL.negative))
    }

    private func answer(_ question: Question, _ records: [Record], additional: [Record] = []) -> Outcome {
        let type = question.type
        let wanted = records.filter { $0.data.type == type || type == .any || $0.data.type == .cname }
        return .answer(
            wanted.isEmpty
                ? Answer(authoritative: true, authority: [authority])
                : Answer(authoritative: true, answers: wanted, additional: additional))
    }

    private var nameError: Outcome {
        .answer(Answer(code: .nameError, authoritative: true, authority: [authority]))
    }

    private func inZone(_ question: Question, _ labels: [String]) -> Outcome {
        let name = question.name
        switch labels.last {
        case nil:
            let server = Record(name: name, ttl: TTL.service, data: .ns(origin.prefixed("ns.dns") ?? origin))
            return answer(question, [authority, server])
        case "dns-version" where labels.count == 1:
            return answer(question, [Record(name: name, ttl: TTL.service, data: .txt(["1.1.0"]))])
        case "dns" where labels.count == 1: return answer(question, [])
        case "dns" where labels == ["ns", "dns"]:
            return answer(question, config.addresses.map { Record(name: name, ttl: TTL.service, data: .address($0)) })
        case "pod": return pod(question, labels.dropLast())
        case "svc": return service(question, Array(labels.dropLast()))
        default: return nameError
        }
    }

    private func pod(_ question: Question, _ labels: ArraySlice<String>) -> Outcome {
        // The zone does not know which namespaces have pods: every name exists as a place below which one may be.
        guard labels.count == 2, let text = labels.first else { return labels.count < 2 ? answer(question, []) : nameError }
        let dots = String(text.map { $0 == "-" ? "." : $0 })
        let colons = String(text.map { $0 == "-" ? ":" : $0 })
        guard let address = IPAddress(dots) ?? IPAddress(colons), config.podCIDRs.contains(where: { $0.contains(address) })
        else { return nameError }
        return answer(question, [Record(name: question.name, ttl: TTL.endpoint, data: .address(address))])
    }

    private func service(_ question: Question, _ labels: [String]) -> Outcome {
        guard let namespace = labels.last else { return answer(question, []) }
        guard let services = namespaces[namespace] else { return nameError }
        guard labels.count > 1 else { return answer(question, []) }
        guard let service = services[labels[labels.count - 2]], let base = name(of: service) else { return nameError }
        let front = Array(labels.dropLast(2))
        switch service.target {
        case .external(let target):
            guard front.isEmpty, let target = DNSName(target) else { return nameError }
            let record = Record(name: question.name, ttl: TTL.endpoint, data: .cname(target))
            return question.type == .cname ? answer(question, [record]) : .alias([record], target: target)
        case .clusterIPs(let addresses, let ports):
            let own = addresses.map { Record(name: base, ttl: TTL.service, data: .address($0)) }
            return names(question, base, front, own: own, ports: ports.map { ($0, base, own) })
        case .headless(let endpoints):
            if front.count == 1, !front[0].hasPrefix("_") {
                let found = endpoints.filter { $0.label.lowercased() == front[0] }
                if found.isEmpty { return nameError }
                return answer(
                    question, found.map { Record(name: question.name, ttl: TTL.endpoint, data: .address($0.address)) })
            }
            let own = endpoints.map { Record(name: base, ttl: TTL.endpoint, data: .address($0.address)) }
            let ports = endpoints.flatMap { endpoint in
                endpoint.ports.compactMap { port in
                    base.prefixed(endpoint.label).map { name in
                        (port, name, [Record(name: name, ttl: TTL.endpoint, data: .address(endpoint.address))])
                    }
                }
            }
            return names(question, base, front, own: own, ports: ports)
        }
    }

    /// The Service's own name, and _port._transport below it.
    private func names(
        _ question: Question, _ base: DNSName, _ front: [String], own: [Record],
        ports: [(port: ServiceNames.Port, target: DNSName, addresses: [Record])]
    ) -> Outcome {
        let named: [(port: ServiceNames.Port, target: DNSName, addresses: [Record])]
        switch front.count {
        case 0: named = ports
        case 1:
            let exists = ports.contains { !$0.port.name.isEmpty && "_\($0.port.transport)" == front[0] }
            return exists ? answer(question, []) : nameError
        case 2:
            named = ports.filter { "_\($0.port.name.lowercased())" == front[0] && "_\($0.port.transport)" == front[1] }
            if named.isEmpty { return nameError }
        default: return nameError
        }
        guard question.type == .srv || (question.type == .any && front.count == 2) else {
            return answer(question, front.isEmpty ? own : [])
        }
        var seen: Set<Record> = []
        let ttl = own.first?.ttl ?? TTL.endpoint
        let records = named.map { port, target, _ in
            Record(
                name: question.name, ttl: ttl,
                data: .srv(priority: 0, weight: UInt16(max(1, 100 / named.count)), port: port.number, target: target))
        }.filter { seen.insert($0).inserted }
        return answer(question, records, additional: named.flatMap(\.addresses).filter { seen.insert($0).inserted })
    }

    private func reverse(_ question: Question, _ labels: [String]) -> Outcome {
        let address: IPAddress?
        if labels.count == 4 {
            address = IPAddress(labels.reversed().joined(separator: "."))
        } else if labels.count == 32, labels.allSatisfy({ $0.utf8.count == 1 }) {
            let digits = labels.reversed().joined()
            address = Hex.decode(digits).flatMap { IPAddress(bytes: $0) }
        } else {
            address = nil
        }
        guard let address else { return .foreign }
        if let found = names[address] {
            return answer(question, found.map { Record(name: question.name, ttl: TTL.endpoint, data: .ptr($0)) })
        }
        return config.reverseCIDRs.contains { $0.contains(address) } ? nameError : .foreign
    }
}

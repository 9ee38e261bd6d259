// The cluster's zone (Kubernetes DNS specification 1.1.0) as a value: put and remove Services, look names up. It does
// no I/O and knows no clock. A name that exists without the asked type is NODATA, one that does not is NXDOMAIN, both
// with the SOA, so that clients remember them for 5 s.
//
// Cluster IPs are given out for 30 s; endpoints move, so theirs are for 5 s.
//
// A lookup makes no more records than a message can hold, however many a Service has; which ones, its caller's `turn`
// says, so that none is left out for ever.

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
        // An address that a hundred thousand endpoints name is looked through once.
        for (address, gone) in Dictionary(grouping: reverseNames(old), by: \.0) {
            let gone = Set(gone.map(\.1))
            names[address]?.removeAll { gone.contains($0) }
            if names[address]?.isEmpty == true { names[address] = nil }
        }
    }

    private func reverseNames(_ service: ServiceNames) -> [(IPAddress, DNSName)] {
        guard let name = name(of: service) else { return [] }
        return switch service.target {
        case .clusterIPs(let addresses, _): addresses.map { ($0, name) }
        case .headless(let groups):
            groups.flatMap(\.endpoints).compactMap { e in name.prefixed(e.label).map { (e.address, $0) } }
        case .external, .tooLarge: []
        }
    }

    private func name(of service: ServiceNames) -> DNSName? {
        origin.prefixed("\(service.name).\(service.namespace).svc")
    }

    // MARK: Looking up

    /// - Parameter turn: another number with each question, so that a Service with more endpoints than an answer holds
    ///   gives each of them out in its turn.
    func lookUp(_ question: Question, turn: Int = 0) -> Outcome {
        guard question.questionClass == 1 || question.questionClass == 255 else { return .foreign }
        if let labels = question.name.labels(above: origin) { return inZone(question, labels, turn) }
        for zone in [Self.reverse4, Self.reverse6] {
            if let labels = question.name.labels(above: zone) { return reverse(question, labels, turn) }
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

    private func inZone(_ question: Question, _ labels: [String], _ turn: Int) -> Outcome {
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
        case "svc": return service(question, Array(labels.dropLast()), turn)
        default: return nameError
        }
    }

    private func pod(_ question: Question, _ labels: ArraySlice<String>) -> Outcome {
        // The zone does not know which namespaces have pods: every name exists as a place below which one may be.
        guard labels.count == 2, let text = labels.first else {
            return labels.count < 2 ? answer(question, []) : nameError
        }
        guard let address = Self.address(dashed: text), config.podCIDRs.contains(where: { $0.contains(address) }) else {
            return nameError
        }
        return answer(question, [Record(name: question.name, ttl: TTL.endpoint, data: .address(address))])
    }

    /// 10-1-2-3 or fd00--1.
    private static func address(dashed text: String) -> IPAddress? {
        IPAddress(String(text.map { $0 == "-" ? "." : $0 })) ?? IPAddress(String(text.map { $0 == "-" ? ":" : $0 }))
    }

    private func service(_ question: Question, _ labels: [String], _ turn: Int) -> Outcome {
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
        case .tooLarge(let bytes):
            return .answer(Answer(code: .serverFailure, problem: .tooLarge(bytes)))
        case .clusterIPs(let addresses, let ports):
            let own = addresses.map { Record(name: base, ttl: TTL.service, data: .address($0)) }
            if front.isEmpty, question.type != .srv { return answer(question, own) }
            return ServicePorts(front, [.init(ports: ports, count: 1) { _ in (base, own) }]).map {
                portNames(question, front, $0, ttl: TTL.service, turn)
            } ?? nameError
        case .headless(let groups):
            let endpoints = groups.lazy.flatMap(\.endpoints)
            if front.count == 1, !front[0].hasPrefix("_") {
                let address = Self.address(dashed: front[0])
                let found = endpoints.filter { $0.hostname.isEmpty ? $0.address == address : $0.hostname == front[0] }
                    .filter { $0.label == front[0] }
                if found.isEmpty { return nameError }
                return addresses(question, question.name, found.map(\.address), turn)
            }
            if front.isEmpty, question.type != .srv { return addresses(question, base, endpoints.map(\.address), turn) }
            let all = groups.map { group in
                ServicePorts.Group(ports: group.ports, count: group.endpoints.count) { index in
                    let endpoint = group.endpoints[index]
                    return base.prefixed(endpoint.label).map {
                        ($0, [Record(name: $0, ttl: TTL.endpoint, data: .address(endpoint.address))])
                    }
                }
            }
            return ServicePorts(front, all).map { portNames(question, front, $0, ttl: TTL.endpoint, turn) } ?? nameError
        }
    }

    /// Endpoints' addresses, as many as an answer can hold.
    private func addresses(
        _ question: Question, _ name: DNSName, _ all: some Sequence<IPAddress>, _ turn: Int
    ) -> Outcome {
        let type = question.type
        let wanted = all.filter { type == .any || type == ($0.isV6 ? .aaaa : .a) }
        let records = Self.share(of: wanted, turn).map { Record(name: name, ttl: TTL.endpoint, data: .address($0)) }
        return answer(question, records)
    }

    /// All, or one of the pieces that an answer can hold.
    private static func share<T>(of all: [T], _ turn: Int) -> ArraySlice<T> {
        let pieces = (all.count + Answer.mostRecords - 1) / Answer.mostRecords
        guard pieces > 1 else { return all[...] }
        return all.dropFirst(Int(UInt(bitPattern: turn) % UInt(pieces)) * Answer.mostRecords).prefix(Answer.mostRecords)
    }

    /// The SRV records of a Service's own name and of _port._transport below it.
    private func portNames(
        _ question: Question, _ front: [String], _ ports: ServicePorts, ttl: UInt32, _ turn: Int
    ) -> Outcome {
        guard question.type == .srv || (question.type == .any && front.count == 2), front.count != 1 else {
            return answer(question, [])
        }
        var seen: Set<Record> = []
        var (records, additional): ([Record], [Record]) = ([], [])
        let weight = UInt16(max(1, 100 / max(1, ports.total)))
        ports.forEach(turn) { port, target, addresses in
            let data = RecordData.srv(priority: 0, weight: weight, port: port.number, target: target)
            let record = Record(name: question.name, ttl: ttl, data: data)
            if seen.insert(record).inserted { records.append(record) }
            additional += addresses.filter { seen.insert($0).inserted }
        }
        return answer(question, records, additional: additional)
    }

    private func reverse(_ question: Question, _ labels: [String], _ turn: Int) -> Outcome {
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
            let names = Self.share(of: found, turn)
            return answer(question, names.map { Record(name: question.name, ttl: TTL.endpoint, data: .ptr($0)) })
        }
        return config.reverseCIDRs.contains { $0.contains(address) } ? nameError : .foreign
    }
}

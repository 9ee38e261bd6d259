// Where a proxy request goes: the name in its path, [scheme:]NAME[:port], and the address behind it.
//
// Only addresses that pods have are ever connected to: a pod's own, and of a Service's ready endpoints those whose
// targetRef is a pod of the same namespace that has that address. So nobody reaches, by writing an EndpointSlice or a
// status, what he could not reach himself (loopback, link-local metadata services, this server's neighbours).

internal import Client
internal import Objects
internal import System

/// The name part of …/pods/NAME/proxy, …/services/NAME/proxy and …/nodes/NAME/proxy.
struct ProxyName: Hashable, Sendable {
    var isSecure = false
    var name: String
    /// A number or a name; "" when none is given.
    var port = ""

    /// nil for another scheme than http and https, too many parts, or no name.
    init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        switch parts.count {
        case 1: name = parts[0]
        case 2: (name, port) = (parts[0], parts[1])
        case 3:
            guard ["", "http", "https"].contains(parts[0]) else { return nil }
            (isSecure, name, port) = (parts[0] == "https", parts[1], parts[2])
        default: return nil
        }
        if name.isEmpty { return nil }
    }
}

/// An address to connect to.
struct ProxyTarget: Hashable, Sendable {
    var address: IPAddress
    var port: Int
    var isSecure: Bool

    /// host:port, as a URL names it.
    var authority: String { address.isV6 ? "[\(address)]:\(port)" : "\(address):\(port)" }

    /// Not this machine itself, not only this link, not many.
    static func isAllowed(_ address: IPAddress) -> Bool {
        if case .v6(let hi, let lo) = address, hi == 0, lo >> 32 == 0xffff {
            return isAllowed(.v4(UInt32(truncatingIfNeeded: lo)))
        }
        return !address.isLoopback && !address.isLinkLocal && !address.isMulticast && !address.isUnspecified
            && address != .v4(.max)
    }
}

extension APICore {
    /// - Throws: 404 without such a pod, 400 when it has no address that is allowed or no such port.
    func proxyTarget(pod name: ProxyName, namespace: String) throws(APIStatus) -> ProxyTarget {
        let pod = try object(declaration(.pods), ObjectKey(namespace: namespace, name: name.name)).tree()
        let declared = (pod.at("spec", "containers")?.array ?? []).flatMap { $0["ports"]?.array ?? [] }
        let port: Int64?
        if name.port.isEmpty {
            port = declared.first?["containerPort"]?.int ?? (name.isSecure ? 443 : 80)
        } else {
            port = Int64(name.port) ?? declared.first { $0["name"]?.string == name.port }?["containerPort"]?.int
        }
        guard let port, (1...65535).contains(port) else {
            throw .badRequest("pod \(Quote.go(name.name)) has no port \(Quote.go(name.port))")
        }
        guard let address = APICore.addresses(of: pod).first, ProxyTarget.isAllowed(address) else {
            throw .badRequest("address not allowed")
        }
        return ProxyTarget(address: address, port: Int(port), isSecure: name.isSecure)
    }

    /// One of the Service's ready endpoints, by chance.
    /// - Throws: 404 without such a Service, 503 when none can be used.
    func proxyTarget(service name: ProxyName, _ text: String, namespace: String) throws(APIStatus) -> ProxyTarget {
        let service = Service(
            try object(declaration(.services), ObjectKey(namespace: namespace, name: name.name)).tree())
        var portName = name.port
        if let number = Int(name.port) {
            guard let port = service.spec.ports.first(where: { $0.port == number }) else {
                throw .unavailable("no service port \(number) found for service \(Quote.go(name.name))")
            }
            portName = port.name
        }
        // The slices of one namespace, their labels parsed already.
        var slices: [EndpointSlice] = []
        try cache(declaration(.endpointSlices)).snapshot().table.scan(prefix: namespace + "/") { object in
            if object.labels["kubernetes.io/service-name"] == name.name { slices.append(EndpointSlice(object.tree())) }
            return true
        }
        var targets: [ProxyTarget] = []
        for slice in slices {
            guard let port = slice.ports.first(where: { $0.name == portName })?.port else { continue }
            for endpoint in slice.endpoints where endpoint.conditions.ready {
                guard let address = podAddress(of: endpoint, namespace: namespace) else { continue }
                targets.append(ProxyTarget(address: address, port: port, isSecure: name.isSecure))
            }
        }
        guard let target = targets.randomElement() else {
            throw .unavailable("no endpoints available for service \(Quote.go(text))")
        }
        return target
    }

    /// The endpoint's address if the pod it stands for has it.
    private func podAddress(of endpoint: Endpoint, namespace: String) -> IPAddress? {
        guard let address = endpoint.addresses.first.flatMap({ IPAddress($0) }), ProxyTarget.isAllowed(address),
            let reference = endpoint.targetRef?.json, reference["kind"]?.string == "Pod",
            reference["namespace"]?.string == namespace, let name = reference["name"]?.string,
            let pod = peek(.pods, namespace: namespace, name: name)
        else { return nil }
        return APICore.addresses(of: pod.tree()).contains(address) ? address : nil
    }

    private static func addresses(of pod: JSON) -> [IPAddress] {
        let all = (pod.at("status", "podIPs")?.array ?? []).compactMap { $0["ip"]?.string }
        let first = pod.at("status", "podIP")?.string
        return ((first.map { [$0] } ?? []) + all).compactMap { IPAddress($0) }
    }
}

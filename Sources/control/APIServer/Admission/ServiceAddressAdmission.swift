// Gives a Service its cluster addresses and node ports, as the API server's Service registry does in Kubernetes.
//
// What was asked for by name and cannot be had is a validation error (422) at that field; a full range is a 500. The
// reservations made here are counted beside those of stored Services (ServiceAddresses), and end with the write.

internal import Objects
internal import System

struct ServiceAddressAdmission: AdmissionStep {
    func concerns(_ site: AdmissionSite) -> Bool { site.writes(.services) }

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        var spec = request.object["spec"] ?? [:]
        let type = spec["type"]?.string ?? "ClusterIP"
        let oldSpec = request.old?["spec"]
        // What an update leaves out was filled in from the old object before (ServiceStrategy).
        guard type != "ExternalName" else { return }
        try families(&spec, core.addresses, request)
        try clusterIPs(&spec, oldSpec, core.addresses, &request)
        try nodePorts(&spec, type, oldSpec, core.addresses, &request)
        request.object["spec"] = spec
    }

    private func families(
        _ spec: inout JSON, _ addresses: ServiceAddresses, _ request: AdmissionRequest
    ) throws(APIStatus) {
        let headless = spec["clusterIP"]?.string == "None"
        let named = (spec["clusterIPs"]?.strings ?? []).contains { IPAddress($0) != nil }
        let policy = spec["ipFamilyPolicy"]?.string ?? "SingleStack"
        let configured = addresses.ranges.map(\.isV6)
        var families = (spec["ipFamilies"]?.strings ?? []).map { $0 == "IPv6" }
        // IPv4 is the strategy's default; where only IPv6 is configured, that is the default.
        if policy == "SingleStack", !named, families == [false], !configured.contains(false) { families = [true] }
        for (index, family) in families.enumerated() where !configured.contains(family) {
            let name = family ? "IPv6" : "IPv4"
            throw .invalid(
                request.declaration.gvk, request.name,
                [.invalid(FieldPath("spec.ipFamilies").index(index), .string(name), "not configured on this cluster")])
        }
        if policy == "RequireDualStack", configured.count < 2, !headless {
            throw .invalid(
                request.declaration.gvk, request.name,
                [
                    .invalid(
                        FieldPath("spec.ipFamilyPolicy"), .string(policy),
                        "this cluster is not configured for dual-stack services")
                ])
        }
        if policy != "SingleStack", families.count == 1, configured.count > 1 { families.append(!families[0]) }
        spec["ipFamilyPolicy"] = .string(policy)
        spec["ipFamilies"] = .array(families.map { $0 ? "IPv6" : "IPv4" })
    }

    private func clusterIPs(
        _ spec: inout JSON, _ old: JSON?, _ addresses: ServiceAddresses, _ request: inout AdmissionRequest
    ) throws(APIStatus) {
        if spec["clusterIP"]?.string == "None" {
            spec["clusterIPs"] = ["None"]
            return
        }
        var texts = spec["clusterIPs"]?.strings ?? []
        let first = spec["clusterIP"]?.string ?? ""
        if texts.isEmpty { texts = first.isEmpty ? [] : [first] }
        let held = Set((old?["clusterIPs"]?.strings ?? []) + [old?["clusterIP"]?.string ?? ""])
        let path = FieldPath("spec.clusterIPs")
        let isKept = !(old?["clusterIP"]?.string ?? "").isEmpty
        for (index, text) in texts.enumerated() where !held.contains(text) {
            // The first one may not change, which validation says.
            if isKept, index == 0 { continue }
            // What is no address is refused by validation, at its field.
            guard let address = IPAddress(text) else { continue }
            if let refusal = addresses.reserve(address) {
                let why =
                    refusal == .taken
                    ? "provided IP is already allocated"
                    : "the provided network does not match the current range"
                let error = FieldError.invalid(
                    path, .array(texts.map { .string($0) }), "failed to allocate IP \(text): \(why)")
                throw .invalid(request.declaration.gvk, request.name, [error])
            }
            request.hold { addresses.release(address) }
        }
        let families = (spec["ipFamilies"]?.strings ?? []).map { $0 == "IPv6" }
        for family in families.dropFirst(texts.count) {
            guard let address = addresses.reserve(family: family) else {
                throw .internalError(
                    "failed to allocate a serviceIP: range is full")
            }
            request.hold { addresses.release(address) }
            texts.append("\(address)")
        }
        // Two that differ are refused by validation.
        if first.isEmpty { spec["clusterIP"] = texts.first.map { .string($0) } }
        spec["clusterIPs"] = .array(texts.map { .string($0) })
    }

    private func nodePorts(
        _ spec: inout JSON, _ type: String, _ old: JSON?, _ addresses: ServiceAddresses,
        _ request: inout AdmissionRequest
    ) throws(APIStatus) {
        guard var ports = spec["ports"]?.array else { return }
        let wants =
            type == "NodePort" || (type == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"]?.bool != false)
        if type != "ClusterIP" {
            // One port number may serve several protocols of the same Service.
            var held = ServiceAddresses.held(["spec": old ?? [:]]).ports
            for index in ports.indices {
                guard let port = ports[index]["nodePort"]?.int.map(Int.init), port > 0, !held.contains(port) else {
                    continue
                }
                if let refusal = addresses.reserve(port: port) {
                    let range = "\(addresses.nodePorts.lowerBound)-\(addresses.nodePorts.upperBound)"
                    let why =
                        refusal == .taken
                        ? "provided port is already allocated"
                        : "provided port is not in the valid range. The range of valid ports is \(range)"
                    let error = FieldError.invalid(
                        FieldPath("spec.ports").index(index).child("nodePort"), .int(Int64(port)), why)
                    throw .invalid(request.declaration.gvk, request.name, [error])
                }
                request.hold { addresses.release(port: port) }
                held.insert(port)
            }
            if wants {
                for index in ports.indices where (ports[index]["nodePort"]?.int ?? 0) == 0 {
                    guard let port = addresses.reservePort() else {
                        throw .internalError("failed to allocate a nodePort: range is full")
                    }
                    request.hold { addresses.release(port: port) }
                    ports[index]["nodePort"] = .int(Int64(port))
                }
            }
        }
        spec["ports"] = .array(ports)
    }
}

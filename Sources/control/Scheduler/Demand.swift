// What a pod asks of a node and what a node has, as plain values.
//
// Amounts are in thousandths for cpu and in whole units for everything else (bytes, counts), as the API's
// quantities are compared. A pod's demand is that of Kubernetes' "effective" requests: the larger of what its
// containers need together and what the hungriest init container needs beside the sidecars started before it.

import Objects

/// Amounts by resource name: cpu in millicores, everything else in its own unit. Twice as wide as the Int64 that a
/// quantity may be, so that no sum of pods overflows and what was added can be taken away again.
typealias Amounts = [String: Int128]

extension [String: Int128] {
    /// The amounts of a requests, limits or allocatable object.
    init(quantities: JSON?) {
        self.init()
        for (name, value) in quantities?.object ?? JSONObject() {
            guard let quantity = (value.string ?? value.int.map(String.init)).flatMap({ Quantity($0) }) else {
                continue
            }
            self[name] = Int128(name == "cpu" ? quantity.milliValue : quantity.value)
        }
    }

    func adding(_ other: Amounts) -> Amounts { merging(other) { $0 + $1 } }
    func subtracting(_ other: Amounts) -> Amounts {
        var result = self
        for (name, amount) in other { result[name, default: 0] -= amount }
        return result
    }
    func maximum(_ other: Amounts) -> Amounts { merging(other) { Swift.max($0, $1) } }
}

/// A port that a pod wants on its node's own addresses.
struct HostPort: Hashable {
    let address: String
    let networkProtocol: String
    let port: Int64

    func collides(with other: HostPort) -> Bool {
        port == other.port && networkProtocol == other.networkProtocol
            && (address == other.address || address == "0.0.0.0" || other.address == "0.0.0.0")
    }
}

/// All that placing a pod depends on.
struct PodDemand {
    let key: String
    let amounts: Amounts
    let hostPorts: [HostPort]
    let nodeSelector: [String: String]
    let requiredAffinity: [JSON]?
    let preferredAffinity: [JSON]
    let tolerations: [JSON]

    init(_ pod: JSON) {
        let spec = pod["spec"] ?? [:]
        let metadata = pod["metadata"]
        key = "\(metadata?["namespace"]?.string ?? "")/\(metadata?["name"]?.string ?? "")"
        amounts = Self.requests(spec)
        let containers = spec["containers"]?.array ?? []
        hostPorts = containers.flatMap { $0["ports"]?.array ?? [] }.compactMap { port in
            guard let number = port["hostPort"]?.int, number > 0 else { return nil }
            let address = port["hostIP"]?.string ?? ""
            return HostPort(
                address: address.isEmpty ? "0.0.0.0" : address, networkProtocol: port["protocol"]?.string ?? "TCP",
                port: number)
        }
        var selector: [String: String] = [:]
        for (name, value) in spec["nodeSelector"]?.object ?? JSONObject() { selector[name] = value.string }
        nodeSelector = selector
        let affinity = spec["affinity"]?["nodeAffinity"]
        requiredAffinity = affinity?["requiredDuringSchedulingIgnoredDuringExecution"]?["nodeSelectorTerms"]?.array
        preferredAffinity = affinity?["preferredDuringSchedulingIgnoredDuringExecution"]?.array ?? []
        tolerations = spec["tolerations"]?.array ?? []
    }

    private static func requests(_ spec: JSON) -> Amounts {
        func amounts(_ container: JSON) -> Amounts { Amounts(quantities: container["resources"]?["requests"]) }
        var total = (spec["containers"]?.array ?? []).reduce(Amounts()) { $0.adding(amounts($1)) }
        var sidecars = Amounts()
        var peak = Amounts()
        for container in spec["initContainers"]?.array ?? [] {
            if container["restartPolicy"]?.string == "Always" {
                sidecars = sidecars.adding(amounts(container))
                peak = peak.maximum(sidecars)
            } else {
                peak = peak.maximum(sidecars.adding(amounts(container)))
            }
        }
        total = total.adding(sidecars).maximum(peak).adding(Amounts(quantities: spec["overhead"]))
        total["pods"] = 1
        return total
    }
}

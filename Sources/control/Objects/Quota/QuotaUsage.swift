// What one object counts in a ResourceQuota (core/v1 ResourceQuota, spec.hard).
//
//   every kind    count/RESOURCE[.GROUP]: 1; seven old kinds also by their bare name
//   pods          pods and compute, while they have not ended; count/pods always
//   services      services.nodeports, services.loadbalancers
//   claims        requests.storage, and both per storage class
//
// Pure. Who keeps the sums is the API server (QuotaLedger).

public enum QuotaUsage {
    /// Kinds whose objects count more than one. All others count the same, whatever is in them.
    public static let measured: Set<ResourceID> = [.pods, .services, .persistentVolumeClaims]

    private static let bare: Set<ResourceID> = [
        .configMaps, .secrets, .replicationControllers, .resourceQuotas, .services, .persistentVolumeClaims,
    ]

    /// `count/deployments.apps`
    public static func countName(_ id: ResourceID) -> String { "count/\(id.groupResource)" }

    /// The names under which each object of a resource counts one.
    public static func countNames(_ id: ResourceID) -> [String] {
        bare.contains(id) ? [countName(id), id.resource] : [countName(id)]
    }

    /// All that an object counts.
    public static func of(_ id: ResourceID, _ object: JSON) -> ResourceAmounts {
        var usage: ResourceAmounts = [:]
        for name in countNames(id) { usage[name] = Quantity(1) }
        switch id {
        case .pods where countsCompute(object):
            usage["pods"] = Quantity(1)
            addCompute(
                requests: PodResources.total(object["spec"], "requests"),
                limits: PodResources.total(object["spec"], "limits"), to: &usage)
        case .services: addService(object["spec"], to: &usage)
        case .persistentVolumeClaims: addClaim(object, to: &usage)
        default: break
        }
        return usage
    }

    /// A pod that has ended asks for nothing any more.
    static func countsCompute(_ pod: JSON) -> Bool {
        let phase = pod.at("status", "phase")?.string
        return phase != "Succeeded" && phase != "Failed"
    }

    static func addCompute(requests: ResourceAmounts, limits: ResourceAmounts, to usage: inout ResourceAmounts) {
        for (name, amount) in requests {
            if ["cpu", "memory", "ephemeral-storage"].contains(name) || name.hasPrefix("hugepages-") {
                usage[name] = amount
                usage["requests." + name] = amount
            } else if name.contains("/"), !name.hasPrefix("kubernetes.io/") {
                usage["requests." + name] = amount
            }
        }
        for name in ["cpu", "memory", "ephemeral-storage"] { usage["limits." + name] = limits[name] }
    }

    private static func addService(_ spec: JSON?, to usage: inout ResourceAmounts) {
        let ports = spec?["ports"]?.array ?? []
        switch spec?["type"]?.string {
        case "NodePort": usage["services.nodeports"] = Quantity(Int64(ports.count))
        case "LoadBalancer":
            let all = spec?["allocateLoadBalancerNodePorts"]?.bool != false
            let held = all ? ports.count : ports.count { ($0["nodePort"]?.int ?? 0) != 0 }
            usage["services.nodeports"] = Quantity(Int64(held))
            usage["services.loadbalancers"] = Quantity(1)
        default: break
        }
    }

    private static func addClaim(_ claim: JSON, to usage: inout ResourceAmounts) {
        let storageClass = storageClass(of: claim)
        let suffix = ".storageclass.storage.k8s.io/"
        if !storageClass.isEmpty { usage["\(storageClass)\(suffix)persistentvolumeclaims"] = Quantity(1) }
        guard var size = Quantity(claim.at("spec", "resources", "requests", "storage")) else { return }
        // While a claim grows or shrinks, what is allocated counts if it is more.
        if let allocated = Quantity(claim.at("status", "allocatedResources", "storage")) { size = max(size, allocated) }
        usage["requests.storage"] = size
        if !storageClass.isEmpty { usage["\(storageClass)\(suffix)requests.storage"] = size }
    }

    /// The storage class a claim names, by field or by the old annotation; "" for none.
    public static func storageClass(of claim: JSON) -> String {
        claim.at("metadata", "annotations", "volume.beta.kubernetes.io/storage-class")?.string
            ?? claim.at("spec", "storageClassName")?.string ?? ""
    }

    // MARK: - What a quota demands of a pod

    private static let demanded: Set<String> = [
        "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory",
    ]

    /// A quota on cpu or memory wants every container to say how much: what is missing, in Kubernetes' words, nil when
    /// nothing is.
    /// - Parameter hard: the resource names of the quota.
    public static func missing(_ pod: JSON, hard: some Sequence<String>) -> String? {
        let required = demanded.intersection(hard)
        if required.isEmpty { return nil }
        let spec = pod["spec"]
        func given(_ resources: JSON?) -> ResourceAmounts {
            var usage: ResourceAmounts = [:]
            addCompute(
                requests: ResourceAmounts(resources?["requests"]), limits: ResourceAmounts(resources?["limits"]),
                to: &usage)
            return usage
        }
        let whole = given(spec?["resources"])
        var missing: [String: Set<String>] = [:]
        for list in ["containers", "initContainers"] {
            for container in spec?[list]?.array ?? [] {
                let own = given(container["resources"])
                for name in required where own[name] == nil && whole[name] == nil {
                    missing[name, default: []].insert(container["name"]?.string ?? "")
                }
            }
        }
        if missing.isEmpty { return nil }
        let parts = missing.sorted { $0.key < $1.key }
            .map { "\($0.key) for: \($0.value.sorted().joined(separator: ","))" }
        return "must specify " + parts.joined(separator: "; ")
    }
}

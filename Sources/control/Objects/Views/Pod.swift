// Pod: its spec. The containers are in Container.swift, the volumes in Volume.swift, the status in PodStatus.swift.
//
// Not reformatted: one property a line is what makes a view readable.
// swift-format-ignore-file

public import System

/// core/v1 Pod.
public struct Pod: APIObject {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }
    public static let kind = GroupVersionKind.pod
    public static let resource = ResourceID.pods

    public var spec: PodSpec { get { PodSpec(json["spec"] ?? [:]) } set { put("spec", newValue) } }
    public var status: PodStatus { get { PodStatus(json["status"] ?? [:]) } set { put("status", newValue) } }

    /// The pod is a mirror of a static one (made from a file by the kubelet).
    public var isMirror: Bool { metadata.annotations["kubernetes.io/config.mirror"] != nil }

    /// Succeeded or Failed: it will never run again.
    public var isTerminal: Bool { status.phase == "Succeeded" || status.phase == "Failed" }
}

/// core/v1 PodSpec.
public struct PodSpec: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var containers: [Container] { get { views("containers") } set { put("containers", newValue) } }
    public var initContainers: [Container] { get { views("initContainers") } set { put("initContainers", newValue) } }
    public var ephemeralContainers: [Container] {
        get { views("ephemeralContainers") }
        set { put("ephemeralContainers", newValue) }
    }
    public var volumes: [Volume] { get { views("volumes") } set { put("volumes", newValue) } }
    public var nodeName: String { get { text("nodeName") } set { put("nodeName", newValue) } }
    public var nodeSelector: [String: String] { get { map("nodeSelector") } set { put("nodeSelector", newValue) } }
    /// Always, OnFailure or Never.
    public var restartPolicy: String {
        get { text("restartPolicy", default: "Always") }
        set { put("restartPolicy", newValue) }
    }
    public var terminationGracePeriodSeconds: Int? {
        get { integer("terminationGracePeriodSeconds") }
        set { put("terminationGracePeriodSeconds", newValue) }
    }
    public var activeDeadlineSeconds: Int? {
        get { integer("activeDeadlineSeconds") }
        set { put("activeDeadlineSeconds", newValue) }
    }
    /// ClusterFirst, ClusterFirstWithHostNet, Default or None.
    public var dnsPolicy: String {
        get { text("dnsPolicy", default: "ClusterFirst") }
        set { put("dnsPolicy", newValue) }
    }
    public var dnsConfig: PodDNSConfig? { get { view("dnsConfig") } set { put("dnsConfig", newValue) } }
    public var hostNetwork: Bool { get { flag("hostNetwork") } set { put("hostNetwork", newValue) } }
    public var hostPID: Bool { get { flag("hostPID") } set { put("hostPID", newValue) } }
    public var hostIPC: Bool { get { flag("hostIPC") } set { put("hostIPC", newValue) } }
    public var hostUsers: Bool? { get { optionalFlag("hostUsers") } set { put("hostUsers", newValue) } }
    public var shareProcessNamespace: Bool {
        get { flag("shareProcessNamespace") }
        set { put("shareProcessNamespace", newValue) }
    }
    public var hostname: String { get { text("hostname") } set { put("hostname", newValue) } }
    public var subdomain: String { get { text("subdomain") } set { put("subdomain", newValue) } }
    public var setHostnameAsFQDN: Bool { get { flag("setHostnameAsFQDN") } set { put("setHostnameAsFQDN", newValue) } }
    public var hostAliases: [HostAlias] { get { views("hostAliases") } set { put("hostAliases", newValue) } }
    public var securityContext: PodSecurityContext {
        get { PodSecurityContext(json["securityContext"] ?? [:]) }
        set { put("securityContext", newValue) }
    }
    public var tolerations: [Toleration] { get { views("tolerations") } set { put("tolerations", newValue) } }
    public var serviceAccountName: String {
        get { text("serviceAccountName") }
        set { put("serviceAccountName", newValue) }
    }
    public var automountServiceAccountToken: Bool? {
        get { optionalFlag("automountServiceAccountToken") }
        set { put("automountServiceAccountToken", newValue) }
    }
    public var enableServiceLinks: Bool {
        get { flag("enableServiceLinks", default: true) }
        set { put("enableServiceLinks", newValue) }
    }
    public var imagePullSecrets: [LocalObjectReference] {
        get { views("imagePullSecrets") }
        set { put("imagePullSecrets", newValue) }
    }
    public var priority: Int? { get { integer("priority") } set { put("priority", newValue) } }
    public var priorityClassName: String {
        get { text("priorityClassName") }
        set { put("priorityClassName", newValue) }
    }
    public var preemptionPolicy: String { get { text("preemptionPolicy") } set { put("preemptionPolicy", newValue) } }
    public var schedulerName: String {
        get { text("schedulerName", default: "default-scheduler") }
        set { put("schedulerName", newValue) }
    }
    public var runtimeClassName: String { get { text("runtimeClassName") } set { put("runtimeClassName", newValue) } }
    public var readinessGates: [ReadinessGate] {
        get { views("readinessGates") }
        set { put("readinessGates", newValue) }
    }
    public var overhead: [String: Quantity] { get { quantities("overhead") } set { put("overhead", newValue) } }
    /// Of the pod as a whole.
    public var resources: ResourceRequirements {
        get { ResourceRequirements(json["resources"] ?? [:]) }
        set { put("resources", newValue) }
    }
    public var affinity: JSON? { get { value("affinity") } set { put("affinity", newValue) } }
    public var topologySpreadConstraints: JSON? {
        get { value("topologySpreadConstraints") }
        set { put("topologySpreadConstraints", newValue) }
    }

    /// Seconds; 30 when it is not set.
    public var gracePeriod: Int { terminationGracePeriodSeconds ?? 30 }
}

/// core/v1 PodDNSConfig.
public struct PodDNSConfig: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var nameservers: [String] { get { texts("nameservers") } set { put("nameservers", newValue) } }
    public var searches: [String] { get { texts("searches") } set { put("searches", newValue) } }
    public var options: [PodDNSOption] { get { views("options") } set { put("options", newValue) } }
}

/// One option of resolv.conf.
public struct PodDNSOption: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var value: String? { get { optionalText("value") } set { put("value", newValue) } }
}

/// A line of /etc/hosts.
public struct HostAlias: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var ip: String { get { text("ip") } set { put("ip", newValue) } }
    public var hostnames: [String] { get { texts("hostnames") } set { put("hostnames", newValue) } }
}

/// An object of the same namespace.
public struct LocalObjectReference: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
}

/// A condition that counts for a pod's readiness.
public struct ReadinessGate: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var conditionType: String { get { text("conditionType") } set { put("conditionType", newValue) } }
}

/// core/v1 PodSecurityContext; a container's own setting goes before it.
public struct PodSecurityContext: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var runAsUser: Int? { get { integer("runAsUser") } set { put("runAsUser", newValue) } }
    public var runAsGroup: Int? { get { integer("runAsGroup") } set { put("runAsGroup", newValue) } }
    public var runAsNonRoot: Bool? { get { optionalFlag("runAsNonRoot") } set { put("runAsNonRoot", newValue) } }
    public var fsGroup: Int? { get { integer("fsGroup") } set { put("fsGroup", newValue) } }
    public var fsGroupChangePolicy: String {
        get { text("fsGroupChangePolicy") }
        set { put("fsGroupChangePolicy", newValue) }
    }
    public var supplementalGroupsPolicy: String {
        get { text("supplementalGroupsPolicy") }
        set { put("supplementalGroupsPolicy", newValue) }
    }
    public var sysctls: [Sysctl] { get { views("sysctls") } set { put("sysctls", newValue) } }
    public var seccompProfile: SecurityProfile? {
        get { view("seccompProfile") }
        set { put("seccompProfile", newValue) }
    }
    public var appArmorProfile: SecurityProfile? {
        get { view("appArmorProfile") }
        set { put("appArmorProfile", newValue) }
    }

    public var supplementalGroups: [Int] {
        get { (json["supplementalGroups"]?.array ?? []).compactMap { $0.int.map(Int.init) } }
        set { json["supplementalGroups"] = newValue.isEmpty ? nil : .array(newValue.map { .int(Int64($0)) }) }
    }
}

/// A kernel parameter of the pod's namespaces.
public struct Sysctl: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var value: String { get { text("value") } set { put("value", newValue) } }
}

/// A seccomp or AppArmor profile.
public struct SecurityProfile: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    /// RuntimeDefault, Unconfined or Localhost.
    public var type: String { get { text("type") } set { put("type", newValue) } }
    public var localhostProfile: String { get { text("localhostProfile") } set { put("localhostProfile", newValue) } }
}

/// core/v1 Taint, of a node.
public struct Taint: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var key: String { get { text("key") } set { put("key", newValue) } }
    public var value: String { get { text("value") } set { put("value", newValue) } }
    /// NoSchedule, PreferNoSchedule or NoExecute.
    public var effect: String { get { text("effect") } set { put("effect", newValue) } }
    public var timeAdded: Timestamp? { get { time("timeAdded") } set { put("timeAdded", newValue) } }

    public init(_ key: String, value: String = "", effect: String) {
        self.init(["key": .string(key), "effect": .string(effect)])
        self.value = value
    }
}

/// core/v1 Toleration, of a pod.
public struct Toleration: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var key: String { get { text("key") } set { put("key", newValue) } }
    public var operation: String { get { text("operator") } set { put("operator", newValue) } }
    public var value: String { get { text("value") } set { put("value", newValue) } }
    public var effect: String { get { text("effect") } set { put("effect", newValue) } }
    public var tolerationSeconds: Int? {
        get { integer("tolerationSeconds") }
        set { put("tolerationSeconds", newValue) }
    }

    /// Empty key with Exists tolerates everything; an empty effect all effects.
    public func tolerates(_ taint: Taint) -> Bool {
        if !effect.isEmpty, effect != taint.effect { return false }
        if !key.isEmpty, key != taint.key { return false }
        switch operation {
        case "", "Equal": return !key.isEmpty && value == taint.value
        case "Exists": return true
        case "Lt", "Gt":
            guard let limit = Int64(value), let actual = Int64(taint.value) else { return false }
            return operation == "Lt" ? actual < limit : actual > limit
        default: return false
        }
    }
}

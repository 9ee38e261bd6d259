// The groups as the kubelet's cgroupfs driver names them, so that existing tools find them, and its conversions from
// milli-CPUs and bytes to the kernel's units.
//
//     kubepods/pod<UID>/<container id>             Guaranteed
//     kubepods/burstable/pod<UID>/<container id>
//     kubepods/besteffort/pod<UID>/<container id>
//                      … /supervisor               the pod's supervisor, in a leaf of its own

internal import Glibc
internal import System

public struct Kubepods: Sendable {
    /// Raw values are those of the API's status.qosClass.
    public enum QoS: String, CaseIterable, Sendable {
        case guaranteed = "Guaranteed"
        case burstable = "Burstable"
        case bestEffort = "BestEffort"
    }

    /// `kubepods` itself.
    public let root: Cgroup

    /// - Parameter parent: the tree's root, or a group of this node's own when several share a machine.
    public init(below parent: Cgroup) { root = parent.child("kubepods") }

    public func qos(_ qos: QoS) -> Cgroup {
        switch qos {
        case .guaranteed: root
        case .burstable: root.child("burstable")
        case .bestEffort: root.child("besteffort")
        }
    }

    public func pod(uid: String, _ qos: QoS) -> Cgroup { self.qos(qos).child("pod\(uid)") }
    public static func container(_ id: String, in pod: Cgroup) -> Cgroup { pod.child(id) }
    public static func supervisor(in pod: Cgroup) -> Cgroup { pod.child("supervisor") }

    /// Every pod group that exists, with the UID in its name: what teardown and recovery go by.
    public func pods() throws(CgroupError) -> [(uid: String, cgroup: Cgroup)] {
        var pods: [(uid: String, cgroup: Cgroup)] = []
        for level in QoS.allCases.map(qos) where level.exists {
            for child in try level.children() where child.name.hasPrefix("pod") {
                pods.append((String(child.name.dropFirst(3)), child))
            }
        }
        return pods
    }
}

extension CgroupResources {
    /// CPU request in milli-CPUs -> cpu.weight. First the v1 shares (1024 a CPU, 2 to 262,144), then the curve that maps
    /// 2 -> 1, 1024 -> 100 and 262,144 -> 10,000 (kubernetes/kubernetes#131216), so that one CPU is the kernel's default.
    public static func weight(milliCPU: Int64) -> UInt64 {
        let shares = max(2, min(milliCPU.multipliedSaturated(by: 1024) / 1000, 262_144))
        if shares == 2 { return 1 }
        if shares == 262_144 { return 10_000 }
        let l = log2(Double(shares))
        return UInt64(pow(10, (l * l + 125 * l) / 612 - 7.0 / 34).rounded(.up))
    }

    /// CPU limit in milli-CPUs -> cpu.max over 100 ms, at least 1 ms; 0 is no limit. At most what the kernel takes.
    public static func quota(milliCPU: Int64) -> CPUMax {
        if milliCPU <= 0 { return CPUMax(quota: nil) }
        return CPUMax(quota: min(UInt64(max(milliCPU.multipliedSaturated(by: 100), 1000)), largestQuota))
    }

    /// Microseconds; EINVAL beyond (MAX_BW in the kernel's sched/core.c).
    private static let largestQuota: UInt64 = (1 << 44) - 1

    /// A container's (or a whole pod's) resources from its requests and limits.
    /// - Parameters:
    ///   - cpuRequest, cpuLimit: milli-CPUs; nil when not given.
    ///   - memoryLimit: bytes.
    ///   - oomGroup: whether running out of memory takes all processes (a container) or one (a pod's own group).
    public static func kubernetes(
        cpuRequest: Int64?, cpuLimit: Int64?, memoryLimit: Int64?, pidsLimit: Int64? = nil, oomGroup: Bool = true
    ) -> CgroupResources {
        CgroupResources(
            cpuWeight: weight(milliCPU: cpuRequest ?? cpuLimit ?? 0),
            cpuMax: cpuLimit.map { quota(milliCPU: $0) },
            memoryMax: memoryLimit.map { UInt64(max($0, 0)) },
            memoryOOMGroup: oomGroup ? true : nil,
            pidsMax: pidsLimit.map { $0 <= 0 ? .max : UInt64($0) })
    }
}

// Requests and limits -> QoS class, cgroup settings of the pod and of each container, and OOM scores: the kubelet's
// arithmetic (pod-qos and resource-management of the docs).

import Cgroups
import Objects
import System

typealias QOSClass = Kubepods.QoS

extension Kubepods.QoS {
    /// From a PodSpec: pod-level resources count when given, else those of every container.
    init(_ spec: JSON) {
        var sets = (spec.list("containers") + spec.list("initContainers")).map { $0.child("resources") }
        if let own = spec["resources"], !own.isNull { sets = [own] }
        var anything = false
        var guaranteed = true
        for set in sets {
            for name in ["cpu", "memory"] {
                let limit = set.child("limits")[name]?.quantityMilli ?? 0
                let request = set.child("requests")[name]?.quantityMilli ?? limit
                if limit > 0 || request > 0 { anything = true }
                if limit <= 0 || request != limit { guaranteed = false }
            }
        }
        self = !anything ? .bestEffort : guaranteed ? .guaranteed : .burstable
    }
}

struct ContainerResources: Sendable, Hashable {
    /// Milli-CPUs and bytes; nil when not given.
    var cpuRequest: Int64?
    var cpuLimit: Int64?
    var memoryRequest: Int64?
    var memoryLimit: Int64?

    init() {}

    /// From `resources` of a container or a pod. A limit without a request is a request, too.
    init(_ resources: JSON) {
        func read(_ list: String, _ name: String) -> Int64? { resources.child(list)[name]?.quantityMilli }
        cpuLimit = read("limits", "cpu")
        cpuRequest = read("requests", "cpu") ?? cpuLimit
        memoryLimit = read("limits", "memory").map { $0 / 1000 }
        memoryRequest = read("requests", "memory").map { $0 / 1000 } ?? memoryLimit
    }

    var cgroup: CgroupResources {
        .kubernetes(cpuRequest: cpuRequest, cpuLimit: cpuLimit, memoryLimit: memoryLimit)
    }

    /// For the pod's own group: sums over containers, at least what any init container needs; a limit only when every
    /// container has one.
    static func pod(_ spec: JSON) -> ContainerResources {
        if let own = spec["resources"], !own.isNull { return ContainerResources(own) }
        var total = ContainerResources()
        let apps = spec.list("containers")
        let sidecars = spec.list("initContainers").filter { $0.text("restartPolicy") == "Always" }
        let lasting = (apps + sidecars).map { ContainerResources($0.child("resources")) }
        let initial = spec.list("initContainers").map { ContainerResources($0.child("resources")) }
        func sum(_ path: KeyPath<ContainerResources, Int64?>) -> Int64? {
            let values = lasting.compactMap { $0[keyPath: path] }
            return values.isEmpty
                ? nil
                : max(
                    values.reduce(0) { $0.addingSaturated($1) }, initial.compactMap { $0[keyPath: path] }.max() ?? 0)
        }
        func limit(_ path: KeyPath<ContainerResources, Int64?>) -> Int64? {
            (lasting + initial).allSatisfy { $0[keyPath: path] != nil } ? sum(path) : nil
        }
        total.cpuRequest = sum(\.cpuRequest)
        total.memoryRequest = sum(\.memoryRequest)
        total.cpuLimit = limit(\.cpuLimit)
        total.memoryLimit = limit(\.memoryLimit)
        return total
    }

    /// oom_score_adj: guaranteed -997, best effort 1000, burstable the less the more it requested.
    func oomScore(_ qos: QOSClass, capacity: Int64) -> Int {
        switch qos {
        case .guaranteed: return -997
        case .bestEffort: return 1000
        case .burstable:
            guard capacity > 0 else { return 999 }
            let score = 1000 - Int((memoryRequest ?? 0).multipliedSaturated(by: 1000) / capacity)
            return min(max(score, 3), 999)
        }
    }
}

// A node as the scheduler sees it: what it has, what is taken, and the checks a pod must pass.
//
// Each check is one function in the literal array `checks`; a check that refuses gives the reason that
// `kubectl describe pod` shows. Order matters only for which reason is told first.

import Objects

/// A node's room and marks. Pods are added and removed as they are bound and as they go.
struct NodeView {
    let name: String
    private(set) var labels: [String: String]
    private(set) var taints: [JSON]
    private(set) var unschedulable: Bool
    private(set) var ready: Bool
    private(set) var allocatable: Amounts
    private(set) var taken: Amounts = [:]
    private(set) var hostPorts: [String: [HostPort]] = [:]

    init(_ node: JSON) {
        name = node["metadata"]?["name"]?.string ?? ""
        var labels: [String: String] = [:]
        for (key, value) in node["metadata"]?["labels"]?.object ?? JSONObject() { labels[key] = value.string }
        self.labels = labels
        taints = node["spec"]?["taints"]?.array ?? []
        unschedulable = node["spec"]?["unschedulable"]?.bool ?? false
        ready = (node["status"]?["conditions"]?.array ?? []).contains {
            $0["type"]?.string == "Ready" && $0["status"]?.string == "True"
        }
        allocatable = Amounts(quantities: node["status"]?["allocatable"])
    }

    /// Takes over everything but the pods from a newer state of the same node.
    mutating func update(_ node: JSON) {
        let fresh = NodeView(node)
        (labels, taints, unschedulable, ready, allocatable) =
            (fresh.labels, fresh.taints, fresh.unschedulable, fresh.ready, fresh.allocatable)
    }

    mutating func add(_ pod: PodDemand) {
        taken = taken.adding(pod.amounts)
        if !pod.hostPorts.isEmpty { hostPorts[pod.key] = pod.hostPorts }
    }

    mutating func remove(_ pod: PodDemand) {
        taken = taken.subtracting(pod.amounts)
        hostPorts[pod.key] = nil
    }

    /// Why `pod` cannot run here; empty when it can.
    func refusals(of pod: PodDemand) -> [String] {
        for check in Self.checks {
            let reasons = check(self, pod)
            if !reasons.isEmpty { return reasons }
        }
        return []
    }

    private static let checks: [@Sendable (NodeView, PodDemand) -> [String]] = [
        { node, pod in
            !node.unschedulable || pod.tolerates(key: "node.kubernetes.io/unschedulable", value: "", "NoSchedule")
                ? [] : ["node(s) were unschedulable"]
        },
        { node, pod in node.untolerated(by: pod).map { ["node(s) had untolerated taint \($0)"] } ?? [] },
        { node, pod in node.ready ? [] : ["node(s) were not ready"] },
        { node, pod in
            node.matches(pod) ? [] : ["node(s) didn't match Pod's node affinity/selector"]
        },
        { node, pod in
            let occupied = node.hostPorts.values.joined()
            return pod.hostPorts.contains { wanted in occupied.contains { $0.collides(with: wanted) } }
                ? ["node(s) didn't have free ports for the requested pod ports"] : []
        },
        { node, pod in node.shortages(for: pod) },
    ]

    private func untolerated(by pod: PodDemand) -> String? {
        for taint in taints {
            let effect = taint["effect"]?.string ?? ""
            guard effect == "NoSchedule" || effect == "NoExecute" else { continue }
            let key = taint["key"]?.string ?? ""
            let value = taint["value"]?.string ?? ""
            if !pod.tolerates(key: key, value: value, effect) { return "{\(key): \(value)}" }
        }
        return nil
    }

    private func matches(_ pod: PodDemand) -> Bool {
        guard pod.nodeSelector.allSatisfy({ labels[$0.key] == $0.value }) else { return false }
        guard let terms = pod.requiredAffinity else { return true }
        return terms.contains { NodeTerm.matches($0, labels: labels, name: name) }
    }

    private func shortages(for pod: PodDemand) -> [String] {
        pod.amounts.sorted { $0.key < $1.key }.compactMap { resource, amount in
            guard amount > 0, taken[resource, default: 0] + amount > allocatable[resource, default: 0] else {
                return nil
            }
            return resource == "pods" ? "Too many pods" : "Insufficient \(resource)"
        }
    }

    /// 0 to 100: the emptier after placing the pod, the better, with preferences on top.
    func score(for pod: PodDemand) -> Int64 {
        var share: [Int128] = []
        for resource in ["cpu", "memory", "pods"] {
            guard let capacity = allocatable[resource], capacity > 0 else { continue }
            let used = taken[resource, default: 0] + pod.amounts[resource, default: 0]
            share.append(max(0, (capacity - used) * 100 / capacity))
        }
        var score = share.isEmpty ? 0 : Int64(clamping: share.reduce(0, +) / Int128(share.count))
        for preference in pod.preferredAffinity {
            guard let term = preference["preference"], NodeTerm.matches(term, labels: labels, name: name) else {
                continue
            }
            score += preference["weight"]?.int ?? 0
        }
        for taint in taints where taint["effect"]?.string == "PreferNoSchedule" {
            let key = taint["key"]?.string ?? ""
            if !pod.tolerates(key: key, value: taint["value"]?.string ?? "", "PreferNoSchedule") { score -= 50 }
        }
        return score
    }
}

extension PodDemand {
    /// Whether a toleration of the pod covers the taint (Pod.spec.tolerations).
    func tolerates(key: String, value: String, _ effect: String) -> Bool {
        tolerations.contains { toleration in
            let wantedEffect = toleration["effect"]?.string ?? ""
            guard wantedEffect.isEmpty || wantedEffect == effect else { return false }
            let wantedKey = toleration["key"]?.string ?? ""
            let exists = toleration["operator"]?.string == "Exists"
            if wantedKey.isEmpty { return exists }
            return wantedKey == key && (exists || (toleration["value"]?.string ?? "") == value)
        }
    }
}

/// One term of a node selector (core/v1 NodeSelectorTerm): all its requirements must hold; an empty one matches
/// nothing.
enum NodeTerm {
    static func matches(_ term: JSON, labels: [String: String], name: String) -> Bool {
        let expressions = term["matchExpressions"]?.array ?? []
        let fields = term["matchFields"]?.array ?? []
        guard !expressions.isEmpty || !fields.isEmpty else { return false }
        return expressions.allSatisfy { holds($0, value: labels[$0["key"]?.string ?? ""]) }
            && fields.allSatisfy { holds($0, value: $0["key"]?.string == "metadata.name" ? name : nil) }
    }

    private static func holds(_ requirement: JSON, value: String?) -> Bool {
        let values = (requirement["values"]?.array ?? []).compactMap(\.string)
        switch requirement["operator"]?.string {
        case "In": return value.map(values.contains) ?? false
        case "NotIn": return value.map { !values.contains($0) } ?? true
        case "Exists": return value != nil
        case "DoesNotExist": return value == nil
        case "Gt": return compare(value, values) { $0 > $1 }
        case "Lt": return compare(value, values) { $0 < $1 }
        default: return false
        }
    }

    private static func compare(_ value: String?, _ values: [String], _ holds: (Int64, Int64) -> Bool) -> Bool {
        guard let left = value.flatMap({ Int64($0) }), let right = values.first.flatMap({ Int64($0) }) else {
            return false
        }
        return holds(left, right)
    }
}

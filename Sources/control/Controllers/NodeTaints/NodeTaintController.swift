// Keeps a node's NoSchedule taints true to its conditions and to spec.unschedulable, so that a scheduler need only
// look at taints. A new node carries not-ready from admission until its kubelet says otherwise.
//
// Only the taints named here are touched; whatever else is on the node stays.

import Client
import Logging
import Objects
import Reconcile

struct NodeTaintController: Controller {
    static let name = "node-taint-controller"

    private let client: any APIClient
    private let nodes: ObjectLoop

    init(_ context: ControllerContext) {
        client = context.client
        nodes = ObjectLoop(Self.self, .nodes, context)
    }

    func run() async { await nodes.run(when: { NodeTaints.wanted($0) != nil }, reconcile) }

    private func reconcile(_ node: JSON) async throws -> Outcome {
        guard let taints = NodeTaints.wanted(node) else { return .done }
        return try await Writes.settle {
            // Taints are one list: the patch must not undo somebody else's.
            let version = node["metadata"]?["resourceVersion"] ?? .null
            _ = try await client.patch(
                .nodes, ObjectKey(node), .merge,
                [
                    "metadata": ["resourceVersion": version],
                    "spec": ["taints": taints.isEmpty ? .null : .array(taints)],
                ], subresource: nil)
        }
    }
}

enum NodeTaints {
    private static let effect: JSON = "NoSchedule"
    private static let prefix = "node.kubernetes.io/"

    /// Condition, its status, and the taint that goes with them.
    private static let rules: [(condition: String, status: String, taint: String)] = [
        ("Ready", "False", "not-ready"),
        ("Ready", "Unknown", "unreachable"),
        ("MemoryPressure", "True", "memory-pressure"),
        ("DiskPressure", "True", "disk-pressure"),
        ("PIDPressure", "True", "pid-pressure"),
        ("NetworkUnavailable", "True", "network-unavailable"),
    ]

    /// The taints the node should have; nil when it has them.
    static func wanted(_ node: JSON) -> [JSON]? {
        let present = node["spec"]?["taints"]?.array ?? []
        var names: [String] = []
        for rule in rules where Conditions.find(rule.condition, in: node)?["status"]?.string == rule.status {
            names.append(rule.taint)
        }
        // Nothing heard yet is not ready either.
        if Conditions.find("Ready", in: node) == nil { names.append("not-ready") }
        if node["spec"]?["unschedulable"]?.bool == true { names.append("unschedulable") }
        let keys = names.map { prefix + $0 }
        let ours = Set(rules.map { prefix + $0.taint } + [prefix + "unschedulable"])
        func isOurs(_ taint: JSON) -> Bool {
            taint["effect"] == effect && ours.contains(taint["key"]?.string ?? "")
        }
        var taints = present.filter { !isOurs($0) || keys.contains($0["key"]?.string ?? "") }
        for key in keys where !taints.contains(where: { $0["key"]?.string == key && $0["effect"] == effect }) {
            taints.append(["key": .string(key), "effect": effect])
        }
        return taints == present ? nil : taints
    }
}

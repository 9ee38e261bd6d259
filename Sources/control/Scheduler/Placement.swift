// Where a pod goes: the decision as a plain value over all nodes and the pods that are on them.
//
// `Placement` is fed with every change of nodes and pods and with the binds that are still under way ("assumed"),
// so that two pods decided one after the other never count on the same room.

import Objects

/// All nodes with what is taken on them.
struct Placement {
    enum Decision: Equatable {
        case node(String)
        /// No node fits; `message` is what `kubectl describe pod` shows.
        case none(message: String)
    }

    private var nodes: [String: NodeView] = [:]
    /// Where each pod's demand is counted at present.
    private var placed: [String: (node: String, demand: PodDemand)] = [:]
    private var turn = 0

    init() {}

    mutating func setNode(_ node: JSON) {
        let name = node["metadata"]?["name"]?.string ?? ""
        if nodes[name] != nil {
            nodes[name]?.update(node)
        } else {
            var view = NodeView(node)
            for (_, entry) in placed where entry.node == name { view.add(entry.demand) }
            nodes[name] = view
        }
    }

    mutating func removeNode(_ name: String) { nodes[name] = nil }

    /// Counts `demand` on `node`; a pod is counted once, however often this is said.
    mutating func place(_ demand: PodDemand, on node: String) {
        remove(demand.key)
        placed[demand.key] = (node, demand)
        nodes[node]?.add(demand)
    }

    mutating func remove(_ key: String) {
        guard let entry = placed.removeValue(forKey: key) else { return }
        nodes[entry.node]?.remove(entry.demand)
    }

    mutating func decide(_ pod: PodDemand) -> Decision {
        var reasons: [String: Int] = [:]
        var best: [(name: String, score: Int64)] = []
        for (name, node) in nodes {
            let refusals = node.refusals(of: pod)
            guard refusals.isEmpty else {
                for reason in refusals { reasons[reason, default: 0] += 1 }
                continue
            }
            let score = node.score(for: pod)
            if let top = best.first?.score, score < top { continue }
            if let top = best.first?.score, score > top { best.removeAll() }
            best.append((name, score))
        }
        guard !best.isEmpty else { return .none(message: Self.explain(reasons, of: nodes.count)) }
        // Equals take turns, or the first in some order would get every pod.
        turn &+= 1
        best.sort { $0.name < $1.name }
        return .node(best[turn % best.count].name)
    }

    private static func explain(_ reasons: [String: Int], of count: Int) -> String {
        guard count > 0 else { return "no nodes available to schedule pods" }
        let list = reasons.map { "\($0.value) \($0.key)" }.sorted().joined(separator: ", ")
        return "0/\(count) nodes are available: \(list)."
    }
}

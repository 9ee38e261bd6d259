// What NoExecute taints mean for a pod on the node, as a value: it stays, or it goes after so many seconds.

import Objects

enum TaintEviction: Equatable {
    case stays
    /// Seconds from the moment when the taints first met the pod; 0 is at once.
    case goes(after: Int)

    /// - Parameter taints: the NoExecute taints of the pod's node.
    init(_ taints: [Taint], _ tolerations: [Toleration]) {
        var limit: Int?
        for taint in taints {
            // Of several tolerations of one taint the first counts.
            guard let toleration = tolerations.first(where: { $0.tolerates(taint) }) else {
                self = .goes(after: 0)
                return
            }
            if let seconds = toleration.tolerationSeconds { limit = min(limit ?? seconds, max(0, seconds)) }
        }
        self = limit.map { .goes(after: max(0, $0)) } ?? .stays
    }

    static func taints(of node: JSON) -> [Taint] {
        (node["spec"]?["taints"]?.array ?? []).map { Taint($0) }.filter { $0.effect == "NoExecute" }
    }
}

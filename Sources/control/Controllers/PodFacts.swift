// What controllers ask of a pod: is it active, ready, available; which of many should go first.

import Objects
import System

enum PodFacts {
    /// Neither finished nor on its way out.
    static func isActive(_ pod: JSON) -> Bool {
        let phase = pod["status"]?["phase"]?.string
        return phase != "Succeeded" && phase != "Failed" && pod["metadata"]?["deletionTimestamp"] == nil
    }

    static func readyCondition(_ pod: JSON) -> JSON? {
        (pod["status"]?["conditions"]?.array ?? []).first { $0["type"]?.string == "Ready" }
    }

    static func isReady(_ pod: JSON) -> Bool { readyCondition(pod)?["status"]?.string == "True" }

    static func isAvailable(_ pod: JSON, minReadySeconds: Int64) -> Bool {
        guard let condition = readyCondition(pod), condition["status"]?.string == "True" else { return false }
        guard minReadySeconds > 0 else { return true }
        guard let since = condition["lastTransitionTime"]?.string.flatMap({ Timestamp(rfc3339: $0) }) else {
            return false
        }
        return Timestamp.now().seconds - since.seconds >= minReadySeconds
    }

    /// Pods in the order in which a scale-down takes them: without a node, then pending, then not ready, then the
    /// cheapest by the deletion-cost annotation, then the most crowded node, then the youngest ready, the most
    /// restarted, the youngest.
    static func firstToGo(_ pods: [JSON]) -> [JSON] {
        var perNode: [String: Int] = [:]
        for pod in pods { perNode[pod["spec"]?["nodeName"]?.string ?? "", default: 0] += 1 }
        func rank(_ pod: JSON) -> [Int64] {
            let node = pod["spec"]?["nodeName"]?.string ?? ""
            let phase: Int64 = ["Pending": 0, "Unknown": 1][pod["status"]?["phase"]?.string ?? "Pending"] ?? 2
            let cost = pod["metadata"]?["annotations"]?["controller.kubernetes.io/pod-deletion-cost"]?.string
            let readySince = readyCondition(pod)?["lastTransitionTime"]?.string.flatMap { Timestamp(rfc3339: $0) }
            let created = pod["metadata"]?["creationTimestamp"]?.string.flatMap { Timestamp(rfc3339: $0) }
            let restarts = (pod["status"]?["containerStatuses"]?.array ?? []).reduce(0) {
                max($0, $1["restartCount"]?.int ?? 0)
            }
            return [
                node.isEmpty ? 0 : 1, phase, isReady(pod) ? 1 : 0, cost.flatMap { Int64($0) } ?? 0,
                -Int64(perNode[node] ?? 0), -(readySince?.seconds ?? 0), -restarts, -(created?.seconds ?? 0),
            ]
        }
        return pods.map { ($0, rank($0)) }.sorted { $0.1.lexicographicallyPrecedes($1.1) }.map(\.0)
    }
}

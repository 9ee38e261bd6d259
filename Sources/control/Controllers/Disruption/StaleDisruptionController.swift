// Takes back the condition DisruptionTarget of a pod that was to be disrupted and, two minutes later, still runs as if
// nothing were (its eviction failed between the condition and the delete).

import Client
import Objects
import Reconcile
import System

struct StaleDisruptionController: Controller {
    static let name = "stale-disruption-controller"
    private static let type = "DisruptionTarget"

    private let client: any APIClient
    private let pods: ObjectLoop

    init(_ context: ControllerContext) {
        client = context.client
        pods = ObjectLoop(Self.self, .pods, context)
    }

    func run() async { await pods.run(when: { Self.since($0) != nil }, reconcile) }

    /// Since when an active pod is to be disrupted.
    private static func since(_ pod: JSON) -> Timestamp? {
        guard let condition = Conditions.find(type, in: pod), condition["status"]?.string == "True",
            PodFacts.isActive(pod)
        else { return nil }
        return condition["lastTransitionTime"]?.string.flatMap { Timestamp(rfc3339: $0) }
    }

    private func reconcile(_ pod: JSON) async throws -> Outcome {
        guard let since = Self.since(pod) else { return .done }
        let left = since.seconds + DisruptionBudget.patience - Timestamp.now().seconds
        guard left <= 0 else { return .after(.seconds(left)) }
        let condition = Conditions.make(
            type: Self.type, status: "False", reason: "", message: "", previous: Conditions.find(Self.type, in: pod))
        let version = pod.at("metadata", "resourceVersion") ?? .null
        return try await Writes.settle {
            _ = try await client.patch(
                .pods, ObjectKey(pod), .strategic,
                ["metadata": ["resourceVersion": version], "status": ["conditions": [condition]]],
                subresource: "status")
        }
    }
}

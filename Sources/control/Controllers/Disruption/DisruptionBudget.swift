// How many pods of a budget may be evicted now (policy/v1 PodDisruptionBudgetStatus), as a value: a budget, its pods
// and the scale of their controllers in, the status out.
//
//      disruptionsAllowed = healthy pods - pods that must stay healthy; never below 0
//
// An eviction notes its pod in disruptedPods before it deletes it. Until the pod is seen to go, or for two minutes at
// most, it does not count as healthy: otherwise the informer's delay would let more pods go than the budget allows.

import Client
import Objects
import Reconcile
import System

struct DisruptionBudget {
    /// Seconds for which an evicted pod is taken to be going without being seen to.
    static let patience: Int64 = 120

    let budget: JSON
    /// All that its selector matches.
    let pods: [JSON]

    private var spec: JSON? { budget["spec"] }
    private var status: JSON { budget["status"] ?? [:] }

    /// Whether pods count by what their controllers should have, rather than one by one.
    var needsScale: Bool {
        spec?["maxUnavailable"] != nil || spec?["minAvailable"].flatMap(IntOrPercent.percent) != nil
    }

    /// How many pods there should be, and how many of them must be healthy.
    /// - Parameter scale: replicas of all controllers of the pods; read when `needsScale`.
    func counts(scale: Int64) -> (expected: Int64, healthy: Int64) {
        if let most = spec?["maxUnavailable"] {
            return (scale, max(0, scale - IntOrPercent.count(most, of: scale, roundingUp: true)))
        }
        guard let least = spec?["minAvailable"] else { return (0, 0) }
        let expected = needsScale ? scale : Int64(pods.count)
        return (expected, IntOrPercent.count(least, of: expected, roundingUp: true))
    }

    /// The status, the evicted pods that did not go, and when to look again.
    func status(scale: Int64, now: Timestamp) -> (status: JSON, overdue: [JSON], next: Outcome) {
        let (disrupted, overdue, next) = disruptedPods(now)
        let healthy = Int64(pods.count { isHealthy($0, disrupted) })
        let (expected, wanted) = counts(scale: scale)
        let allowed = expected > 0 ? max(0, healthy - wanted) : 0
        var status = status
        status["disruptionsAllowed"] = .int(allowed)
        status["currentHealthy"] = .int(healthy)
        status["desiredHealthy"] = .int(wanted)
        status["expectedPods"] = .int(expected)
        status["disruptedPods"] = disrupted.isEmpty ? nil : .object(disrupted)
        status["observedGeneration"] = budget.at("metadata", "generation")
        status["conditions"] = conditions(allowed > 0 ? "SufficientPods" : "InsufficientPods", "", allowed > 0)
        return (status, overdue, next)
    }

    /// When the scale cannot be known: nothing may go.
    func failed(_ message: String) -> JSON {
        var status = status
        status["disruptionsAllowed"] = 0
        status["observedGeneration"] = budget.at("metadata", "generation")
        status["conditions"] = conditions("SyncFailed", message, false)
        return status
    }

    private func conditions(_ reason: String, _ message: String, _ isAllowed: Bool) -> JSON {
        let type = "DisruptionAllowed"
        var condition = Conditions.make(
            type: type, status: isAllowed ? "True" : "False", reason: reason, message: message,
            previous: Conditions.find(type, in: budget))
        condition["observedGeneration"] = budget.at("metadata", "generation")
        return .array((status["conditions"]?.array ?? []).filter { $0["type"]?.string != type } + [condition])
    }

    private func isHealthy(_ pod: JSON, _ disrupted: JSONObject) -> Bool {
        pod.at("metadata", "deletionTimestamp") == nil && disrupted[Self.name(pod)] == nil && PodFacts.isReady(pod)
    }

    private static func name(_ pod: JSON) -> String { pod.at("metadata", "name")?.string ?? "" }

    /// The evicted pods that are still expected to go.
    private func disruptedPods(_ now: Timestamp) -> (JSONObject, overdue: [JSON], Outcome) {
        let known = status["disruptedPods"]?.object ?? JSONObject()
        var kept = JSONObject()
        var overdue: [JSON] = []
        var next: Int64?
        for pod in pods where pod.at("metadata", "deletionTimestamp") == nil {
            let name = Self.name(pod)
            guard let since = known[name]?.string.flatMap({ Timestamp(rfc3339: $0) }) else { continue }
            let left = since.seconds + Self.patience - now.seconds
            guard left > 0 else {
                overdue.append(pod)
                continue
            }
            kept[name] = known[name]
            next = min(next ?? left, left)
        }
        return (kept, overdue, next.map { .after(.seconds($0)) } ?? .done)
    }
}

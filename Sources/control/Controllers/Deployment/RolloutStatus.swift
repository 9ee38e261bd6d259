// What a deployment's status says of its roll-out (apps/v1 DeploymentStatus), decided from the value alone.

import Client
import Objects
import Reconcile
import System

extension Rollout {
    private func total(_ field: String) -> Int64 {
        (old + (new.map { [$0] } ?? [])).reduce(0) { $0 + ($1["status"]?[field]?.int ?? 0) }
    }

    /// Every replica is of the present template and available, and no old pod is left.
    var isComplete: Bool {
        guard let new else { return false }
        let updated = new["status"]?["replicas"]?.int ?? 0
        return updated == replicas && total("replicas") == replicas && total("availableReplicas") == replicas
    }

    /// The status now, and when to look again for the progress deadline.
    func status(now: Timestamp) -> (JSON, Outcome) {
        var status = deployment["status"] ?? [:]
        let available = total("availableReplicas")
        func set(_ field: String, _ count: Int64) { status[field] = count == 0 ? nil : .int(count) }
        set("replicas", total("replicas"))
        set("updatedReplicas", new?["status"]?["replicas"]?.int ?? 0)
        set("readyReplicas", total("readyReplicas"))
        set("availableReplicas", available)
        set("unavailableReplicas", max(0, max(total("replicas"), replicas) - available))
        status["observedGeneration"] = deployment["metadata"]?["generation"]
        var conditions: [JSON] = [availability(available)]
        let (progressing, next) = progress(previous: deployment["status"] ?? [:], status, now)
        if let progressing { conditions.append(progressing) }
        if let failure = new.flatMap({ Conditions.find("ReplicaFailure", in: $0) }) { conditions.append(failure) }
        status["conditions"] = .array(conditions)
        return (status, next)
    }

    private func availability(_ available: Int64) -> JSON {
        let enough = available >= replicas - bounds.unavailable
        return carry(
            type: "Available", status: enough ? "True" : "False",
            reason: enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
            message: enough
                ? "Deployment has minimum availability." : "Deployment does not have minimum availability.",
            touch: false)
    }

    private func progress(previous: JSON, _ status: JSON, _ now: Timestamp) -> (JSON?, Outcome) {
        let known = Conditions.find("Progressing", in: deployment)
        let deadline = deployment["spec"]?["progressDeadlineSeconds"]?.int ?? 600
        guard deadline < Int64(Int32.max) else { return (known, .done) }
        if isPaused {
            return (carry(
                type: "Progressing", status: "Unknown", reason: "DeploymentPaused", message: "Deployment is paused",
                touch: false), .done)
        }
        let setName = new.map(Rollout.name) ?? ""
        if isComplete {
            return (carry(
                type: "Progressing", status: "True", reason: "NewReplicaSetAvailable",
                message: "ReplicaSet \"\(setName)\" has successfully progressed.", touch: false), .done)
        }
        let moved = ["updatedReplicas", "readyReplicas", "availableReplicas"].contains {
            (status[$0]?.int ?? 0) > (previous[$0]?.int ?? 0)
        } || (status["replicas"]?.int ?? 0) < (previous["replicas"]?.int ?? 0)
        let restarted = known?["reason"]?.string == "NewReplicaSetAvailable" || known == nil
            || known?["reason"]?.string == "DeploymentPaused"
        if moved || restarted {
            let condition = carry(
                type: "Progressing", status: "True", reason: "ReplicaSetUpdated",
                message: "ReplicaSet \"\(setName)\" is progressing.", touch: true)
            return (condition, .after(.seconds(deadline + 1)))
        }
        let since = known?["lastUpdateTime"]?.string.flatMap { Timestamp(rfc3339: $0) } ?? now
        let waited = now.seconds - since.seconds
        if waited < deadline { return (known, .after(.seconds(deadline - waited + 1))) }
        return (carry(
            type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded",
            message: "ReplicaSet \"\(setName)\" has timed out progressing.", touch: false), .done)
    }

    /// The condition with its times: lastTransitionTime moves with the status, lastUpdateTime with any change, or
    /// whenever `touch` asks for it.
    private func carry(type: String, status: String, reason: String, message: String, touch: Bool) -> JSON {
        let known = Conditions.find(type, in: deployment)
        var condition = Conditions.make(type: type, status: status, reason: reason, message: message, previous: known)
        let same = known?["status"]?.string == status && known?["reason"]?.string == reason
            && known?["message"]?.string == message
        let now = JSON.string(Timestamp.now().rfc3339)
        condition["lastUpdateTime"] = same && !touch ? known?["lastUpdateTime"] ?? now : now
        return condition
    }
}

// Deployments with their replica sets, and disruption budgets with their pods: counts and percentages.

import Objects
import System

@testable import Controllers

extension AcceptedObjects {
    private static let counts: ClosedRange<Int64> = 0...Int64(Int32.max)

    private static func template(_ image: String) -> JSON {
        [
            "metadata": ["labels": ["app": "web"]],
            "spec": ["containers": [["name": "web", "image": .string(image)]]],
        ]
    }

    private static func deployment(_ choices: inout Choices, _ findings: inout Findings) -> JSON? {
        var spec = choices.some([
            ("replicas", { .int($0.count()) }), ("paused", { .bool($0.next() % 2 == 0) }),
            ("minReadySeconds", { .int($0.one(of: [0, $0.count()])) }), ("revisionHistoryLimit", { .int($0.count()) }),
            ("progressDeadlineSeconds", { .int($0.count()) }),
        ])
        spec["selector"] = ["matchLabels": ["app": "web"]]
        spec["template"] = template("web:2")
        let rolling = choices.some([("maxSurge", { $0.amount() }), ("maxUnavailable", { $0.amount() })])
        spec["strategy"] =
            choices.next() % 8 == 0 ? ["type": "Recreate"] : ["type": "RollingUpdate", "rollingUpdate": rolling]
        guard let object = findings.create(.deployments, "web", ["spec": spec]) else { return nil }
        let status = choices.some([("collisionCount", { .int($0.count()) }), ("replicas", { .int($0.count()) })])
        return findings.setStatus(.deployments, object, status)
    }

    private static func replicaSet(_ index: Int, _ choices: inout Choices, _ findings: inout Findings) -> JSON? {
        var metadata: JSON = ["labels": ["app": "web"]]
        metadata["annotations"] = choices.some(
            ["revision", "desired-replicas", "max-replicas"].map { name in
                ("deployment.kubernetes.io/\(name)", { .string(String($0.number())) })
            })
        let spec: JSON = [
            "replicas": .int(choices.count()), "selector": ["matchLabels": ["app": "web"]],
            "template": template(index == 0 ? "web:2" : "web:1"),
        ]
        guard let object = findings.create(.replicaSets, "web-\(index)", ["metadata": metadata, "spec": spec]) else {
            return nil
        }
        // Parts of no more than there are, as the rules want it; now and then anything.
        let total = choices.one(of: [choices.count(), choices.number()])
        let fields = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"]
        var status = choices.some(fields.map { ($0, { .int(min($0.count(), total)) }) })
        status["replicas"] = .int(total)
        return findings.setStatus(.replicaSets, object, status)
    }

    static func readRollout(_ choices: inout Choices, _ findings: inout Findings) {
        guard let deployment = deployment(&choices, &findings) else { return }
        let sets = (0..<(1 + Int(choices.next()) % 3)).compactMap { replicaSet($0, &choices, &findings) }
        let rollout = Rollout(deployment: deployment, replicaSets: sets)
        let (surge, unavailable) = rollout.bounds
        findings.hold(counts.contains(rollout.replicas + surge), "a surge of \(surge) above \(rollout.replicas)")
        findings.hold(counts.contains(unavailable), "\(unavailable) unavailable")
        let made = rollout.makeReplicaSet(hash: "abc", revision: String(rollout.newRevision))
        let first = made.at("spec", "replicas")?.int ?? -1
        findings.hold(counts.contains(first), "a first set of \(first)")
        for step in rollout.nextScale(oldPodsGone: choices.next() % 2 == 0) + rollout.proportionalScale() {
            findings.hold(counts.contains(step.replicas), "a step to \(step.replicas)")
        }
        _ = rollout.surplusHistory()
        _ = rollout.status(now: Timestamp(seconds: choices.count()))
    }

    static func readBudget(_ choices: inout Choices, _ findings: inout Findings) {
        var spec =
            choices.next() % 2 == 0
            ? JSON.object(["minAvailable": choices.amount()]) : ["maxUnavailable": choices.amount()]
        spec["selector"] = ["matchLabels": ["app": "web"]]
        guard var budget = findings.create(.podDisruptionBudgets, "web", ["spec": spec]) else { return }
        let fields = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods", "observedGeneration"]
        budget = findings.setStatus(
            .podDisruptionBudgets, budget, choices.some(fields.map { ($0, { .int($0.number()) }) }))
        // What a custom resource's scale says is any number.
        let scale = choices.list(of: 0...3) { $0.number() }.reduce(0) { WorkloadScales.sum($0, $1) }
        let pods = choices.list(of: 0...3) { choices -> JSON in
            [
                "metadata": ["name": "p"],
                "status": ["conditions": [["type": "Ready", "status": choices.next() % 2 == 0 ? "True" : "False"]]],
            ]
        }
        let value = DisruptionBudget(budget: budget, pods: pods)
        let status = value.status(scale: scale, now: Timestamp(seconds: choices.count())).status
        for field in fields.dropLast() {
            let count = status[field]?.int ?? -1
            findings.hold(counts.contains(count), "\(field) \(count)")
        }
    }
}

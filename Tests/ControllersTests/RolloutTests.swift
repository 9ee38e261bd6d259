// Walks deployments through `Rollout` without an API: what is the next step, and are the bounds kept on the way?

import Objects
import System
import Testing

@testable import Controllers

@Suite struct RolloutTests {
    static func deployment(replicas: Int64, surge: JSON = 1, unavailable: JSON = 0, type: String = "RollingUpdate") -> JSON {
        var strategy: JSON = ["type": .string(type)]
        if type == "RollingUpdate" { strategy["rollingUpdate"] = ["maxSurge": surge, "maxUnavailable": unavailable] }
        return [
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": ["name": "web", "namespace": "default", "uid": "d", "generation": 1],
            "spec": [
                "replicas": .int(replicas), "selector": ["matchLabels": ["app": "web"]], "strategy": strategy,
                "template": template("v2"),
            ],
        ]
    }

    static func template(_ version: String) -> JSON {
        ["metadata": ["labels": ["app": "web"]], "spec": ["containers": [["name": "web", "image": .string("web:\(version)")]]]]
    }

    static func set(_ uid: String, _ version: String, size: Int64, available: Int64, age: Int = 0) -> JSON {
        [
            "metadata": [
                "name": .string("web-\(uid)"), "uid": .string(uid),
                "creationTimestamp": .string("2026-01-01T00:00:0\(9 - age)Z"),
                "annotations": ["deployment.kubernetes.io/revision": .string(version == "v1" ? "1" : "2")],
            ],
            "spec": ["replicas": .int(size), "template": template(version)],
            "status": ["replicas": .int(size), "readyReplicas": .int(available), "availableReplicas": .int(available)],
        ]
    }

    @Test func findsTheNewSetByItsTemplate() {
        let rollout = Rollout(
            deployment: Self.deployment(replicas: 3),
            replicaSets: [Self.set("a", "v1", size: 3, available: 3, age: 1), Self.set("b", "v2", size: 0, available: 0)])
        #expect(rollout.new.map(Rollout.uid) == "b")
        #expect(rollout.old.map(Rollout.uid) == ["a"])
        #expect(rollout.newRevision == 2)
    }

    /// What validation lets through: any surge, any percentage.
    @Test(arguments: [.int(.max), "9223372036854775807%", "101%"] as [JSON])
    func aSurgeIsNeverMoreThanASetCanHave(_ surge: JSON) {
        for replicas in [1, 3, Int64(Int32.max)] {
            let rollout = Rollout(
                deployment: Self.deployment(replicas: replicas, surge: surge, unavailable: "100%"),
                replicaSets: [Self.set("a", "v1", size: 3, available: 3)])
            #expect(rollout.bounds.unavailable == replicas)
            #expect((0...Int64(Int32.max)).contains(replicas + rollout.bounds.surge))
            let first = rollout.makeReplicaSet(hash: "abc", revision: "2").at("spec", "replicas")?.int
            #expect((0...replicas).contains(first ?? -1))
        }
        // What no set can have above its replicas is taken from below.
        let largest = Rollout(
            deployment: Self.deployment(replicas: Int64(Int32.max), surge: surge, unavailable: 0), replicaSets: [])
        #expect(largest.bounds == (0, 1))
    }

    @Test func aRevisionMayBeTheLast() {
        var old = Self.set("a", "v1", size: 3, available: 3)
        old.set("metadata", "annotations", Rollout.revisionKey, to: "9223372036854775807")
        #expect(Rollout(deployment: Self.deployment(replicas: 3), replicaSets: [old]).newRevision == .max)
    }

    @Test func aNewSetStartsWithinTheSurge() {
        let rollout = Rollout(
            deployment: Self.deployment(replicas: 3), replicaSets: [Self.set("a", "v1", size: 3, available: 3)])
        let made = rollout.makeReplicaSet(hash: "abc", revision: "2")
        #expect(made["spec"]?["replicas"] == 1)
        #expect(made.at("spec", "selector", "matchLabels", "pod-template-hash") == "abc")
        #expect(made.at("spec", "template", "metadata", "labels", "pod-template-hash") == "abc")
        #expect(made.at("metadata", "annotations", "deployment.kubernetes.io/revision") == "2")
    }

    /// Every bound in (replicas, surge, unavailable), walked to the end with pods that become available one by one.
    @Test(arguments: [(3, 1, 0), (3, 0, 1), (10, 3, 2), (1, 1, 0), (5, 5, 5), (4, 0, 0)])
    func aRolloutEndsAndKeepsItsBounds(_ replicas: Int64, _ surge: Int64, _ unavailable: Int64) {
        let deployment = Self.deployment(replicas: replicas, surge: .int(surge), unavailable: .int(unavailable))
        var old = (size: replicas, available: replicas)
        var new = (size: Int64(0), available: Int64(0))
        var steps = 0
        while !(new.size == replicas && new.available == replicas && old.size == 0) {
            steps += 1
            guard steps < 200 else {
                Issue.record("no end after 200 steps: old \(old), new \(new)")
                return
            }
            let rollout = Rollout(
                deployment: deployment,
                replicaSets: [
                    Self.set("a", "v1", size: old.size, available: old.available, age: 1),
                    Self.set("b", "v2", size: new.size, available: new.available),
                ])
            for step in rollout.nextScale(oldPodsGone: false) {
                if step.uid == "a" {
                    old.size = step.replicas
                    old.available = min(old.available, step.replicas)
                } else {
                    new.size = step.replicas
                }
            }
            let bounds = rollout.bounds
            #expect(old.size + new.size <= replicas + bounds.surge)
            #expect(old.available + new.available >= replicas - bounds.unavailable)
            if new.available < new.size { new.available += 1 }
        }
    }

    @Test func percentagesRoundUpForSurgeAndDownForUnavailable() {
        let rollout = Rollout(
            deployment: Self.deployment(replicas: 5, surge: "25%", unavailable: "25%"), replicaSets: [])
        #expect(rollout.bounds.surge == 2)
        #expect(rollout.bounds.unavailable == 1)
    }

    @Test func recreateStopsTheOldBeforeItStartsTheNew() {
        let deployment = Self.deployment(replicas: 2, type: "Recreate")
        let running = Rollout(
            deployment: deployment,
            replicaSets: [Self.set("a", "v1", size: 2, available: 2, age: 1), Self.set("b", "v2", size: 0, available: 0)])
        #expect(running.nextScale(oldPodsGone: false) == [Rollout.Step(uid: "a", replicas: 0)])
        let stopping = Rollout(
            deployment: deployment,
            replicaSets: [Self.set("a", "v1", size: 0, available: 0, age: 1), Self.set("b", "v2", size: 0, available: 0)])
        #expect(stopping.nextScale(oldPodsGone: false).isEmpty)
        #expect(stopping.nextScale(oldPodsGone: true) == [Rollout.Step(uid: "b", replicas: 2)])
    }

    @Test func theStatusTellsProgressAndTheDeadline() {
        var deployment = Self.deployment(replicas: 1)
        deployment.set("spec", "progressDeadlineSeconds", to: 60)
        deployment["status"] = [
            "replicas": 1, "updatedReplicas": 1, "unavailableReplicas": 1,
            "conditions": [[
                "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": "x",
                "lastUpdateTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z",
            ]]
        ]
        let rollout = Rollout(deployment: deployment, replicaSets: [Self.set("b", "v2", size: 1, available: 0)])
        let late = rollout.status(now: Timestamp(rfc3339: "2026-01-01T00:02:00Z")!).0
        let progressing = late["conditions"]?.array?.first { $0["type"] == "Progressing" }
        #expect(progressing?["reason"] == "ProgressDeadlineExceeded")
        #expect(late["unavailableReplicas"] == 1)
        let done = Rollout(deployment: deployment, replicaSets: [Self.set("b", "v2", size: 1, available: 1)])
        let conditions = done.status(now: Timestamp(rfc3339: "2026-01-01T00:00:10Z")!).0["conditions"]?.array ?? []
        #expect(conditions.contains { $0["reason"] == "NewReplicaSetAvailable" })
        #expect(conditions.contains { $0["type"] == "Available" && $0["status"] == "True" })
    }

    @Test func theHashIgnoresOnlyItsOwnLabel() {
        var labelled = Self.template("v1")
        labelled.set("metadata", "labels", "pod-template-hash", to: "xyz")
        #expect(TemplateHash.sameTemplate(labelled, Self.template("v1")))
        #expect(!TemplateHash.sameTemplate(labelled, Self.template("v2")))
        #expect(TemplateHash.of(Self.template("v1"), collisions: 0) != TemplateHash.of(Self.template("v1"), collisions: 1))
    }
}

// PodDisruptionBudgets: what their status says of pods and scales, and what evictions make of it.

import APIServer
import Client
import Objects
import Reconcile
import System
import Testing

@testable import Controllers

@Suite struct DisruptionBudgetTests {
    private static let now = Timestamp(rfc3339: "2026-01-01T00:10:00Z")!

    private static func budget(_ spec: JSON, disrupted: JSON? = nil) -> JSON {
        var object: JSON = [
            "metadata": ["name": "b", "namespace": "default", "generation": 3], "spec": spec, "status": [:],
        ]
        object.set("status", "disruptedPods", to: disrupted)
        return object
    }

    private static func pods(ready: Int, sick: Int = 0, going: Int = 0) -> [JSON] {
        (0..<(ready + sick + going)).map { index in
            var pod: JSON = [
                "metadata": ["name": .string("p\(index)")],
                "status": ["conditions": [["type": "Ready", "status": .string(index < ready ? "True" : "False")]]],
            ]
            if index >= ready + sick {
                pod.set("metadata", "deletionTimestamp", to: "2026-01-01T00:10:00Z")
                pod.set("status", "conditions", to: [["type": "Ready", "status": "True"]])
            }
            return pod
        }
    }

    /// spec, ready, sick, scale: expected pods, wanted healthy, allowed.
    @Test(arguments: [
        (["minAvailable": 2], 3, 0, 0, 3, 2, 1), (["minAvailable": 2], 1, 2, 0, 3, 2, 0),
        (["minAvailable": "50%"], 3, 0, 3, 3, 2, 1), (["minAvailable": "100%"], 3, 0, 3, 3, 3, 0),
        (["maxUnavailable": 1], 5, 0, 5, 5, 4, 1), (["maxUnavailable": 1], 3, 0, 5, 5, 4, 0),
        (["maxUnavailable": "30%"], 5, 0, 5, 5, 3, 2), (["maxUnavailable": 9], 2, 0, 5, 5, 0, 2),
        (["maxUnavailable": 1], 0, 0, 0, 0, 0, 0), (["minAvailable": 0], 2, 1, 0, 3, 0, 2), ([:], 2, 0, 0, 0, 0, 0),
    ] as [(JSON, Int, Int, Int64, Int64, Int64, Int64)])
    func counts(
        _ spec: JSON, _ ready: Int, _ sick: Int, _ scale: Int64, _ expected: Int64, _ wanted: Int64, _ allowed: Int64
    ) {
        let budget = DisruptionBudget(budget: Self.budget(spec), pods: Self.pods(ready: ready, sick: sick))
        let (status, _, _) = budget.status(scale: scale, now: Self.now)
        #expect(status["expectedPods"] == .int(expected))
        #expect(status["desiredHealthy"] == .int(wanted))
        #expect(status["currentHealthy"] == .int(Int64(ready)))
        #expect(status["disruptionsAllowed"] == .int(allowed))
        #expect(status["observedGeneration"] == 3)
        let condition = status["conditions"]?[0]
        #expect(condition?["type"] == "DisruptionAllowed")
        #expect(condition?["reason"] == (allowed > 0 ? "SufficientPods" : "InsufficientPods"))
    }

    /// Percentages and counts of custom resources are as large as their authors like.
    @Test func countsEndWhereTheirFieldsDo() {
        let most = Int64(Int32.max)
        #expect(IntOrPercent.count("9223372036854775807%", of: 1, roundingUp: true) == most)
        #expect(IntOrPercent.count("9223372036854775807%", of: .max, roundingUp: false) == most)
        #expect(IntOrPercent.count(.int(.max), of: 1, roundingUp: true) == most)
        #expect(WorkloadScales.sum(0, .max) == most)
        #expect(WorkloadScales.sum(most, .max) == most)
        #expect(WorkloadScales.sum(3, .min) == 3)
        for spec in [["maxUnavailable": "50%"], ["minAvailable": "100%"], ["maxUnavailable": .int(.max)]] as [JSON] {
            let budget = DisruptionBudget(budget: Self.budget(spec), pods: Self.pods(ready: 2))
            let counts = budget.counts(scale: most)
            #expect(counts.expected == most && (0...most).contains(counts.healthy))
        }
    }

    @Test func evictedPodsDoNotCountUntilTheyAreOverdue() {
        let disrupted: JSON = [
            "p0": "2026-01-01T00:09:00Z", "p1": "2026-01-01T00:07:00Z", "p3": "2026-01-01T00:09:59Z",
            "unknown": "2026-01-01T00:09:59Z",
        ]
        let budget = DisruptionBudget(
            budget: Self.budget(["minAvailable": 1], disrupted: disrupted), pods: Self.pods(ready: 3, going: 1))
        let (status, overdue, next) = budget.status(scale: 0, now: Self.now)
        // p0 is expected to go, p1 was and did not, p3 goes.
        #expect(status["disruptedPods"] == ["p0": "2026-01-01T00:09:00Z"])
        #expect(overdue.map { $0.at("metadata", "name") } == ["p1"])
        #expect(status["currentHealthy"] == 2 && status["disruptionsAllowed"] == 1)
        guard case .after(let wait) = next else { return #expect(Bool(false), "it looks again") }
        #expect(wait == .seconds(60))
    }

    @Test func whatCannotBeCountedIsRefused() {
        let status = DisruptionBudget(budget: Self.budget(["maxUnavailable": 1]), pods: []).failed("no scale")
        #expect(status["disruptionsAllowed"] == 0)
        #expect(status["conditions"]?[0]?["reason"] == "SyncFailed" && status["conditions"]?[0]?["message"] == "no scale")
    }
}

extension ClusterTests {
    private static func budget(_ spec: JSON, app: String = "web") -> JSON {
        var spec = spec
        spec["selector"] = ["matchLabels": ["app": .string(app)]]
        return [
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": ["name": "b", "namespace": "default"], "spec": spec,
        ]
    }

    private static func evict(_ cluster: Cluster, _ pod: JSON) async -> APIStatus? {
        do throws(APIStatus) {
            _ = try await cluster.client.create(
                .pods, ObjectKey(pod), subresource: "eviction",
                ["apiVersion": "policy/v1", "kind": "Eviction", "metadata": ["name": pod.at("metadata", "name") ?? ""]])
            return nil
        } catch {
            return error
        }
    }

    private static func allowed(_ cluster: Cluster) async throws -> JSON? {
        try await cluster.get(.podDisruptionBudgets, "b")?.at("status", "disruptionsAllowed")
    }

    @Test func aBudgetLetsOnePodGoAtATime() async throws {
        try await Cluster.run { cluster in
            let client = cluster.client
            _ = try await client.create(.podDisruptionBudgets, Self.budget(["maxUnavailable": "34%"]))
            _ = try await client.create(.deployments, cluster.deployment("web", replicas: 3, image: "web:1"))
            // 34 % of 3 are 2 by rounding up.
            try await cluster.eventually("two may go") { try await Self.allowed(cluster) == 2 }
            let status = try await cluster.get(.podDisruptionBudgets, "b")?["status"]
            #expect(status?["expectedPods"] == 3 && status?["desiredHealthy"] == 1 && status?["currentHealthy"] == 3)
            // No replacements become ready: the node takes no more pods.
            _ = try await client.patch(
                .nodes, ObjectKey(name: "n1"), .merge, ["spec": ["unschedulable": true]], subresource: nil)
            try await cluster.eventually("the scheduler knows") {
                cluster.informers.informer(.nodes).object(ObjectKey(name: "n1"))?.at("spec", "unschedulable") == true
            }
            var gone = 0
            var refusals: [APIStatus] = []
            for pod in try await client.list(.pods, namespace: "default").items {
                if let refusal = await Self.evict(cluster, pod) { refusals.append(refusal) } else { gone += 1 }
            }
            #expect(gone == 2)
            #expect(refusals.map(\.code) == [429])
            try await cluster.eventually("it counts anew when they are gone") {
                let status = try await cluster.get(.podDisruptionBudgets, "b")?["status"]
                return status?["currentHealthy"] == 1 && status?["disruptionsAllowed"] == 0
                    && status?["disruptedPods"] == nil
            }
            _ = try await client.patch(
                .nodes, ObjectKey(name: "n1"), .merge, ["spec": ["unschedulable": false]], subresource: nil)
            try await cluster.eventually("and two may go again") { try await Self.allowed(cluster) == 2 }
        }
    }

    /// A deployment counts once, however many replica sets its pods are of; other owners' pods count beside it.
    @Test func aBudgetOfSeveralOwners() async throws {
        try await Cluster.run { cluster in
            let client = cluster.client
            _ = try await client.create(.podDisruptionBudgets, Self.budget(["minAvailable": "50%"]))
            _ = try await client.create(
                .replicationControllers,
                [
                    "apiVersion": "v1", "kind": "ReplicationController",
                    "metadata": ["name": "rc", "namespace": "default"],
                    "spec": [
                        "replicas": 2, "selector": ["app": "web", "of": "rc"],
                        "template": [
                            "metadata": ["labels": ["app": "web", "of": "rc"]],
                            "spec": ["containers": [["name": "c", "image": "web:1"]]],
                        ],
                    ],
                ])
            var deployment = cluster.deployment("web", replicas: 4, image: "web:1")
            // Half of the old pods stay beside half of the new ones, which no node takes.
            deployment.set("spec", "strategy", to: ["rollingUpdate": ["maxSurge": 0, "maxUnavailable": "50%"]])
            _ = try await client.create(.deployments, deployment)
            try await cluster.eventually("all six count") {
                let status = try await cluster.get(.podDisruptionBudgets, "b")?["status"]
                return status?["expectedPods"] == 6 && status?["currentHealthy"] == 6 && status?["disruptionsAllowed"] == 3
            }
            deployment.set("spec", "template", "spec", "nodeSelector", to: ["no": "where"])
            _ = try await client.patch(
                .deployments, ObjectKey(deployment), .merge, ["spec": deployment["spec"] ?? .null], subresource: nil)
            try await cluster.eventually("and still in the middle of a roll-out") {
                let status = try await cluster.get(.podDisruptionBudgets, "b")?["status"]
                return status?["expectedPods"] == 6 && status?["currentHealthy"] == 4 && status?["disruptionsAllowed"] == 1
            }
            #expect(try await client.list(.replicaSets, namespace: "default").items.count == 2)
        }
    }

    @Test func aBudgetOfACustomWorkload() async throws {
        try await Cluster.run { cluster in
            let client = cluster.client
            let resource = ResourceID(group: "example.com", version: "v1", resource: "crews")
            let schema: JSON = ["type": "object", "x-kubernetes-preserve-unknown-fields": true]
            _ = try await client.create(
                .customResourceDefinitions,
                [
                    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                    "metadata": ["name": "crews.example.com"],
                    "spec": [
                        "group": "example.com", "scope": "Namespaced", "names": ["plural": "crews", "kind": "Crew"],
                        "versions": [
                            [
                                "name": "v1", "served": true, "storage": true, "schema": ["openAPIV3Schema": schema],
                                "subresources": [
                                    "scale": [
                                        "specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size",
                                    ]
                                ],
                            ]
                        ],
                    ],
                ])
            let crew = try await client.create(
                resource,
                [
                    "apiVersion": "example.com/v1", "kind": "Crew",
                    "metadata": ["name": "crew", "namespace": "default"], "spec": ["size": 2],
                ])
            for name in ["one", "two"] {
                _ = try await client.create(
                    .pods,
                    [
                        "apiVersion": "v1", "kind": "Pod",
                        "metadata": [
                            "name": .string(name), "namespace": "default", "labels": ["app": "crew"],
                            "ownerReferences": [Ownership.reference(to: crew, "example.com/v1", "Crew")],
                        ],
                        "spec": ["containers": [["name": "c", "image": "web:1"]]],
                    ])
            }
            _ = try await client.create(
                .podDisruptionBudgets, Self.budget(["maxUnavailable": 1], app: "crew"))
            try await cluster.eventually("one of two may go") {
                let status = try await cluster.get(.podDisruptionBudgets, "b")?["status"]
                return status?["expectedPods"] == 2 && status?["desiredHealthy"] == 1 && status?["disruptionsAllowed"] == 1
            }
        }
    }

    /// An eviction that marked its pod and then did not delete it is forgotten after two minutes.
    @Test func aStaleDisruptionIsTakenBack() async throws {
        try await Cluster.run { cluster in
            let client = cluster.client
            for (name, since) in [
                ("stale", Timestamp.now().advanced(by: .seconds(-121))), ("fresh", Timestamp.now()),
            ] {
                _ = try await client.create(
                    .pods,
                    [
                        "apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name), "namespace": "default"],
                        "spec": ["containers": [["name": "c", "image": "web:1"]], "nodeSelector": ["no": "where"]],
                    ])
                let condition: JSON = [
                    "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                    "message": "Eviction API: evicting", "lastTransitionTime": .string(since.rfc3339),
                ]
                _ = try await client.patch(
                    .pods, ObjectKey(namespace: "default", name: name), .strategic,
                    ["status": ["conditions": [condition]]], subresource: "status")
            }
            @Sendable func isTarget(_ name: String) async throws -> JSON? {
                try await cluster.get(.pods, name)?.at("status", "conditions")?.array?
                    .first { $0["type"] == "DisruptionTarget" }?["status"]
            }
            try await cluster.eventually("it is no target any more") { try await isTarget("stale") == "False" }
            #expect(try await isTarget("fresh") == "True")
        }
    }

    /// A ConfigMap has no replicas: its pods cannot be counted, so none may go, and the status says so.
    @Test func aBudgetOfAnOwnerWithoutScale() async throws {
        try await Cluster.run { cluster in
            let client = cluster.client
            let owner = try await client.create(
                .configMaps, ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "owner", "namespace": "default"]])
            _ = try await client.create(
                .pods,
                [
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": [
                        "name": "p", "namespace": "default", "labels": ["app": "web"],
                        "ownerReferences": [Ownership.reference(to: owner, "v1", "ConfigMap")],
                    ],
                    "spec": ["containers": [["name": "c", "image": "web:1"]]],
                ])
            _ = try await client.create(.podDisruptionBudgets, Self.budget(["maxUnavailable": 1]))
            try await cluster.eventually("it says why") {
                let condition = try await cluster.get(.podDisruptionBudgets, "b")?.at("status", "conditions")?[0]
                return condition?["reason"] == "SyncFailed"
                    && condition?["message"] == "configmaps does not implement the scale subresource"
            }
        }
    }
}

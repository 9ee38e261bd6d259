// ReplicationControllers: pods made, counted, adopted, released, and what becomes of them when their owner goes.

import APIServer
import Client
import Objects
import Testing

@testable import Controllers

extension ClusterTests {
    private static let key = ObjectKey(namespace: "default", name: "rc")

    /// Without a selector: the template's labels are its default.
    private static func controller(replicas: Int64) -> JSON {
        [
            "apiVersion": "v1", "kind": "ReplicationController", "metadata": ["name": "rc", "namespace": "default"],
            "spec": [
                "replicas": .int(replicas),
                "template": [
                    "metadata": ["labels": ["app": "rc"]], "spec": ["containers": [["name": "c", "image": "web:1"]]],
                ],
            ],
        ]
    }

    private static func pods(_ cluster: Cluster) async throws -> [JSON] {
        try await cluster.client.list(.pods, namespace: "default").items.filter {
            $0.at("metadata", "deletionTimestamp") == nil
        }
    }

    @Test func aReplicationControllerKeepsItsPods() async throws {
        try await Cluster.run { cluster in
            _ = try await cluster.client.create(.replicationControllers, Self.controller(replicas: 2))
            try await cluster.eventually("two replicas are available") {
                try await cluster.get(.replicationControllers, "rc")?.at("status", "availableReplicas") == 2
            }
            let pod = try #require(try await Self.pods(cluster).first)
            let owner = pod.at("metadata", "ownerReferences")?[0]
            #expect(owner?["kind"] == "ReplicationController" && owner?["apiVersion"] == "v1")
            #expect(owner?["controller"] == true && owner?["blockOwnerDeletion"] == true)
            for count in [3, 1] as [Int64] {
                _ = try await cluster.client.patch(
                    .replicationControllers, Self.key, .merge, ["spec": ["replicas": .int(count)]], subresource: "scale")
                try await cluster.eventually("\(count) pods, and the status says so") {
                    guard let now = try await cluster.get(.replicationControllers, "rc") else { return false }
                    return try await Self.pods(cluster).count == Int(count)
                        && now.at("status", "readyReplicas") == .int(count)
                        && now.at("status", "fullyLabeledReplicas") == .int(count)
                        && now.at("status", "observedGeneration") == now.at("metadata", "generation")
                }
            }
            let victim = ObjectKey(try #require(try await Self.pods(cluster).first))
            try await cluster.client.delete(.pods, victim)
            try await cluster.eventually("a deleted pod is replaced") {
                let now = try await Self.pods(cluster)
                return now.count == 1 && ObjectKey(now[0]) != victim
            }
        }
    }

    @Test func itAdoptsPodsThatMatchAndReleasesThoseThatDoNot() async throws {
        try await Cluster.run { cluster in
            _ = try await cluster.client.create(
                .pods,
                [
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": ["name": "stray", "namespace": "default", "labels": ["app": "rc"]],
                    "spec": ["containers": [["name": "c", "image": "web:1"]]],
                ])
            // Seen before the controller makes a pod of its own.
            try await cluster.eventually("the stray is seen") {
                cluster.informers.informer(.pods).object(ObjectKey(namespace: "default", name: "stray")) != nil
            }
            let created = try await cluster.client.create(.replicationControllers, Self.controller(replicas: 1))
            try await cluster.eventually("the stray is adopted") {
                try await cluster.get(.pods, "stray")?.at("metadata", "ownerReferences")?[0]?["uid"]
                    == created.at("metadata", "uid")
            }
            #expect(try await Self.pods(cluster).count == 1)
            _ = try await cluster.client.patch(
                .pods, ObjectKey(namespace: "default", name: "stray"), .merge,
                ["metadata": ["labels": ["app": "other"]]], subresource: nil)
            try await cluster.eventually("it is released and replaced") {
                let stray = try await cluster.get(.pods, "stray")
                return try await Self.pods(cluster).count == 2 && stray?.at("metadata", "ownerReferences") == nil
            }
        }
    }

    @Test func aQuotaThatForbidsPodsIsSaid() async throws {
        try await Cluster.run { cluster in
            _ = try await cluster.client.create(
                .resourceQuotas,
                [
                    "apiVersion": "v1", "kind": "ResourceQuota", "metadata": ["name": "q", "namespace": "default"],
                    "spec": ["hard": ["pods": "1"]],
                ])
            _ = try await cluster.client.create(.replicationControllers, Self.controller(replicas: 2))
            try await cluster.eventually("the condition says why") {
                let conditions = try await cluster.get(.replicationControllers, "rc")?.at("status", "conditions")
                let failure = conditions?.array?.first { $0["type"] == "ReplicaFailure" }
                return failure?["status"] == "True" && failure?["message"]?.string?.contains("exceeded quota") == true
            }
            // Its words do not change with every attempt: that would wake the controller at once, for ever.
            let refused = try await cluster.get(.replicationControllers, "rc")?.at("status", "conditions")
            try await cluster.eventually("it is tried again") {
                let events = try await cluster.client.list(.events, namespace: "default").items
                let attempts = events.filter { $0["reason"] == "FailedCreate" }
                return attempts.reduce(0) { $0 + ($1["count"]?.int ?? 0) } >= 4
            }
            #expect(try await cluster.get(.replicationControllers, "rc")?.at("status", "conditions") == refused)
            _ = try await cluster.client.patch(
                .replicationControllers, Self.key, .merge, ["spec": ["replicas": 1]], subresource: nil)
            try await cluster.eventually("and goes when it is over") {
                guard let now = try await cluster.get(.replicationControllers, "rc") else { return false }
                return (now.at("status", "conditions")?.array ?? []).isEmpty && now.at("status", "replicas") == 1
            }
        }
    }

    @Test(arguments: ["Background", "Foreground", "Orphan"])
    func deletingItDoesAsThePolicySays(_ policy: String) async throws {
        try await Cluster.run { cluster in
            _ = try await cluster.client.create(.replicationControllers, Self.controller(replicas: 2))
            try await cluster.eventually("pods are there") { try await Self.pods(cluster).count == 2 }
            try await cluster.client.delete(
                .replicationControllers, Self.key, DeleteOptions(propagationPolicy: policy))
            try await cluster.eventually("the owner is gone") { try await cluster.get(.replicationControllers, "rc") == nil }
            if policy == "Orphan" {
                let left = try await Self.pods(cluster)
                #expect(left.count == 2)
                #expect(left.allSatisfy { ($0.at("metadata", "ownerReferences")?.array ?? []).isEmpty })
            } else if policy == "Foreground" {
                #expect(try await cluster.client.list(.pods, namespace: "default").items.isEmpty)
            } else {
                try await cluster.eventually("the pods are gone") {
                    try await cluster.client.list(.pods, namespace: "default").items.isEmpty
                }
            }
        }
    }
}

// The controllers that admission relies on: taints by condition, protection of claims, the root CA.

import APIServer
import Client
import Objects
import Testing

@testable import Controllers

@Suite struct NodeTaintTests {
    private func node(_ conditions: [String: String], taints: JSON = [], unschedulable: Bool = false) -> JSON {
        [
            "spec": ["taints": taints, "unschedulable": .bool(unschedulable)],
            "status": [
                "conditions": .array(
                    conditions.sorted { $0.key < $1.key }.map { ["type": .string($0.key), "status": .string($0.value)] })
            ],
        ]
    }

    private func taint(_ name: String, _ effect: String = "NoSchedule") -> JSON {
        ["key": .string("node.kubernetes.io/" + name), "effect": .string(effect)]
    }

    @Test func taintsFollowConditions() {
        #expect(NodeTaints.wanted(node(["Ready": "True"], taints: [taint("not-ready")])) == [])
        #expect(NodeTaints.wanted(node(["Ready": "True"])) == nil)
        #expect(NodeTaints.wanted(node(["Ready": "Unknown"], taints: [taint("not-ready")])) == [taint("unreachable")])
        #expect(NodeTaints.wanted(node([:], taints: [taint("not-ready")])) == nil)
        #expect(
            NodeTaints.wanted(node(["Ready": "True", "DiskPressure": "True"], unschedulable: true))
                == [taint("disk-pressure"), taint("unschedulable")])
    }

    @Test func othersTaintsStay() {
        let foreign: JSON = ["key": "dedicated", "value": "db", "effect": "NoSchedule"]
        let evicting = taint("not-ready", "NoExecute")
        #expect(
            NodeTaints.wanted(node(["Ready": "True"], taints: [foreign, evicting, taint("not-ready")]))
                == [foreign, evicting])
    }
}

@Suite(.serialized) struct ProtectionTests {
    @Test func aClaimWaitsForItsPods() async throws {
        try await Cluster.run { cluster in
            let claim: JSON = [
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": ["name": "data", "namespace": "default"],
                "spec": ["accessModes": ["ReadWriteOnce"], "resources": ["requests": ["storage": "1Gi"]]],
            ]
            _ = try await cluster.client.create(.persistentVolumeClaims, claim)
            let pod: JSON = [
                "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "user", "namespace": "default"],
                "spec": [
                    "nodeName": "n1", "containers": [["name": "c", "image": "demo:1"]],
                    "volumes": [["name": "d", "persistentVolumeClaim": ["claimName": "data"]]],
                ],
            ]
            _ = try await cluster.client.create(.pods, pod)
            let key = ObjectKey(namespace: "default", name: "data")
            // Known to the controller before the claim is asked to go.
            try await cluster.eventually("the pod is seen") {
                cluster.informers.informer(.pods).object(ObjectKey(namespace: "default", name: "user")) != nil
            }
            try await cluster.client.delete(.persistentVolumeClaims, key)
            let kept = try #require(try await cluster.get(.persistentVolumeClaims, "data"))
            #expect(kept.at("metadata", "deletionTimestamp") != nil)
            #expect(kept.at("metadata", "finalizers") == ["kubernetes.io/pvc-protection"])
            try await cluster.client.delete(.pods, ObjectKey(namespace: "default", name: "user"))
            try await cluster.eventually("the claim is gone") {
                try await cluster.get(.persistentVolumeClaims, "data") == nil
            }
        }
    }

    @Test func everyNamespaceHasTheRootCA() async throws {
        try await Cluster.run { cluster in
            for namespace in ["default", "kube-system"] {
                try await cluster.eventually("\(namespace) has the CA") {
                    try await cluster.get(.configMaps, "kube-root-ca.crt", namespace)?.at("data", "ca.crt") == "test CA"
                }
            }
            try await cluster.client.delete(.configMaps, ObjectKey(namespace: "default", name: "kube-root-ca.crt"))
            try await cluster.eventually("it comes back") {
                try await cluster.get(.configMaps, "kube-root-ca.crt") != nil
            }
            _ = try await cluster.client.patch(
                .configMaps, ObjectKey(namespace: "default", name: "kube-root-ca.crt"), .merge,
                ["data": ["ca.crt": "forged"]], subresource: nil)
            try await cluster.eventually("it is mended") {
                try await cluster.get(.configMaps, "kube-root-ca.crt")?.at("data", "ca.crt") == "test CA"
            }
        }
    }
}

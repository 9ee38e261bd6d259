// What goes before what: owners in a circle, and the contents of a namespace.

import APIServer
import Client
import Objects
import Testing

@testable import Controllers

@Suite struct DeletionOrderTests {
    private static func object(_ uid: String, owners: [String] = [], isGoing: Bool = true) -> JSON {
        var object: JSON = ["metadata": ["name": .string(uid), "uid": .string(uid)]]
        if isGoing {
            object.set("metadata", "deletionTimestamp", to: "2026-01-01T00:00:00Z")
            object.set("metadata", "finalizers", to: ["foregroundDeletion"])
        }
        let references: [JSON] = owners.map { ["uid": .string($0), "blockOwnerDeletion": true] }
        object.set("metadata", "ownerReferences", to: .array(references))
        return object
    }

    /// a -> b -> c -> a, and b -> d: whoever waits only for the circle is free, whoever waits for d is not.
    @Test func aCircleIsNotWaitedForAndTheRestIs() {
        var graph = OwnerGraph()
        for (uid, owner) in [("a", "c"), ("b", "a"), ("c", "b")] { graph.set(.configMaps, Self.object(uid, owners: [owner])) }
        #expect(["a", "b", "c"].allSatisfy { !graph.isBlocked($0) })
        graph.set(.configMaps, Self.object("d", owners: ["b"], isGoing: false))
        #expect(graph.isBlocked("b"))
        #expect(!graph.isBlocked("a") && !graph.isBlocked("c"))
        graph.remove("d")
        // c stays for another reason than its dependents: a chain, not a circle.
        graph.set(.configMaps, Self.object("c", owners: ["b"], isGoing: false))
        #expect(graph.isBlocked("b") && graph.isBlocked("a"))
    }

    /// Deleted and made again by its name while nobody watched: its end is told by the new uid only.
    @Test func whoIsReplacedUnseenFreesItsDependentsAndItsOwner() {
        var graph = OwnerGraph()
        let old = Self.object("old", owners: ["owner"], isGoing: false)
        #expect(graph.change(.replicaSets, nil, old) == ["old"])
        #expect(graph.change(.pods, nil, Self.object("pod", owners: ["old"], isGoing: false)) == ["pod"])
        #expect(Set(graph.change(.replicaSets, old, Self.object("new", isGoing: false))) == ["pod", "owner"])
        #expect(graph.nodes["old"] == nil && graph.nodes["new"] == nil)
        // A change of the same object frees nobody; its end does, whether or not it has owners itself.
        let plain = Self.object("plain", isGoing: false)
        #expect(graph.change(.replicaSets, nil, plain) == [])
        #expect(graph.change(.pods, nil, Self.object("p", owners: ["plain"], isGoing: false)) == ["p"])
        #expect(graph.change(.replicaSets, plain, plain) == [])
        #expect(graph.change(.replicaSets, plain, nil) == ["p"])
    }

    @Test func aNamespaceSaysWhatFailed() {
        var content = NamespaceContent()
        #expect(content.isEmpty)
        content.add(.configMaps, left: [])
        #expect(content.isEmpty)
        content.add(.deployments, left: [Self.object("x"), Self.object("y")])
        content.add(.secrets, failure: .unavailable("no"))
        let conditions = content.conditions(for: [:]).array ?? []
        func find(_ type: JSON) -> JSON? { conditions.first { $0["type"] == type } }
        #expect(
            find("NamespaceContentRemaining")?["message"]
                == "Some resources are remaining: deployments.apps has 2 resource instances")
        #expect(
            find("NamespaceFinalizersRemaining")?["message"]
                == "Some content in the namespace has finalizers remaining: foregroundDeletion in 2 resource instances")
        let failure = find("NamespaceDeletionContentFailure")
        #expect(failure?["status"] == "True" && failure?["reason"] == "ContentDeletionFailed")
        #expect(
            failure?["message"]
                == "Failed to delete all resource types, 1 remaining: failed to delete secrets: no")
    }
}

extension ClusterTests {
    private static func pod(_ name: String, _ namespace: String = "default") -> JSON {
        [
            "apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name), "namespace": .string(namespace)],
            "spec": ["containers": [["name": "c", "image": "web:1"]]],
        ]
    }

    /// a owns b, b owns c, c owns a, and each must not go before what it owns.
    @Test(arguments: ["Foreground", "Background"])
    func aCircleOfOwnersGoes(_ policy: String) async throws {
        try await Cluster.run { cluster in
            let names = ["a", "b", "c"]
            var pods: [JSON] = []
            for name in names { pods.append(try await cluster.client.create(.pods, Self.pod(name))) }
            for index in 0..<3 {
                let owner = pods[(index + 2) % 3]
                _ = try await cluster.client.patch(
                    .pods, ObjectKey(pods[index]), .merge,
                    ["metadata": ["ownerReferences": [Ownership.reference(to: owner, "v1", "Pod")]]], subresource: nil)
            }
            try await cluster.eventually("the collector knows who owns whom") {
                names.allSatisfy {
                    cluster.informers.informer(.pods).object(ObjectKey(namespace: "default", name: $0))?
                        .at("metadata", "ownerReferences") != nil
                }
            }
            try await cluster.client.delete(.pods, ObjectKey(pods[0]), DeleteOptions(propagationPolicy: policy))
            try await cluster.eventually("all three are gone") {
                try await cluster.client.list(.pods, namespace: "default").items.isEmpty
            }
        }
    }

    @Test func aNamespacesPodsGoFirst() async throws {
        try await Cluster.run { cluster in
            let client = cluster.client
            _ = try await client.create(
                .namespaces, ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "gone"]])
            var pod = Self.pod("held", "gone")
            pod.set("metadata", "finalizers", to: ["example.com/hold"])
            _ = try await client.create(.pods, pod)
            _ = try await client.create(
                .replicationControllers,
                [
                    "apiVersion": "v1", "kind": "ReplicationController",
                    "metadata": ["name": "keeper", "namespace": "gone"],
                    "spec": [
                        "replicas": 1,
                        "template": [
                            "metadata": ["labels": ["app": "kept"]],
                            "spec": ["containers": [["name": "c", "image": "web:1"]]],
                        ],
                    ],
                ])
            try await cluster.eventually("the keeper has its pod") {
                try await client.list(.pods, namespace: "gone").items.count == 2
            }
            _ = try await client.create(
                .configMaps, ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "config", "namespace": "gone"]])
            try await client.delete(.namespaces, ObjectKey(name: "gone"))
            @Sendable func condition(_ type: String) async throws -> JSON? {
                (try await cluster.get(.namespaces, "gone", "")?.at("status", "conditions")?.array ?? [])
                    .first { $0["type"] == .string(type) }
            }
            try await cluster.eventually("the pod is going") {
                try await cluster.get(.pods, "held", "gone")?.at("metadata", "deletionTimestamp") != nil
            }
            try await cluster.eventually("the status says what is left") {
                try await condition("NamespaceContentRemaining")?["message"]
                    == "Some resources are remaining: pods. has 1 resource instances"
            }
            let finalizers = try #require(try await condition("NamespaceFinalizersRemaining"))
            #expect(finalizers["status"] == "True" && finalizers["reason"] == "SomeFinalizersRemain")
            #expect(
                finalizers["message"]
                    == "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances")
            for (type, reason) in [
                ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered"),
                ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions"),
                ("NamespaceDeletionContentFailure", "ContentDeleted"),
            ] {
                let found = try #require(try await condition(type))
                #expect(found["status"] == "False" && found["reason"] == .string(reason))
            }
            // Nobody complains that no new pods may be made here.
            let keeper = try await cluster.get(.replicationControllers, "keeper", "gone")
            #expect(keeper != nil && (keeper?.at("status", "conditions")?.array ?? []).isEmpty)
            #expect(try await client.list(.events, namespace: "gone").items.allSatisfy { $0["reason"] != "FailedCreate" })
            let config = try await cluster.get(.configMaps, "config", "gone")
            #expect(config != nil && config?.at("metadata", "deletionTimestamp") == nil)
            _ = try await client.patch(
                .pods, ObjectKey(namespace: "gone", name: "held"), .merge, ["metadata": ["finalizers": .null]],
                subresource: nil)
            try await cluster.eventually("then the rest goes") { try await cluster.get(.namespaces, "gone", "") == nil }
            #expect(try await cluster.get(.configMaps, "config", "gone") == nil)
        }
    }
}

// What goes before what: owners in a circle, and the contents of a namespace.

import APIServer
import Client
import Objects
import Testing

@testable import Controllers

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

// Kinds that arrive while controllers run: their objects are collected with their owners and go with their namespace.

import APIServer
import Client
import Objects
import Testing

extension ClusterTests {
    private static let owners = ResourceID(group: "example.com", version: "v1", resource: "owners")

    private static func definition() -> JSON {
        [
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": ["name": "owners.example.com"],
            "spec": [
                "group": "example.com", "scope": "Namespaced", "names": ["plural": "owners", "kind": "Owner"],
                "versions": [
                    [
                        "name": "v1", "served": true, "storage": true,
                        "schema": ["openAPIV3Schema": ["type": "object", "x-kubernetes-preserve-unknown-fields": true]],
                    ]
                ],
            ],
        ]
    }

    private static func owner(_ name: String, _ namespace: String) -> JSON {
        [
            "apiVersion": "example.com/v1", "kind": "Owner",
            "metadata": ["name": .string(name), "namespace": .string(namespace)],
        ]
    }

    private static func reference(_ owner: JSON) -> JSON {
        [
            "apiVersion": "example.com/v1", "kind": "Owner", "name": owner.at("metadata", "name") ?? "",
            "uid": owner.at("metadata", "uid") ?? "",
        ]
    }

    @Test func customObjectsOwnAndAreOwned() async throws {
        try await Cluster.run { cluster in
            let client = cluster.client
            _ = try await client.create(.customResourceDefinitions, Self.definition())
            let parent = try await client.create(Self.owners, Self.owner("parent", "default"))
            var child = Self.owner("child", "default")
            child.set("metadata", "ownerReferences", to: [Self.reference(parent)])
            _ = try await client.create(Self.owners, child)
            var config: JSON = [
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "owned", "namespace": "default"],
            ]
            config.set("metadata", "ownerReferences", to: [Self.reference(parent)])
            _ = try await client.create(.configMaps, config)
            try await Task.sleep(for: .milliseconds(100))
            #expect(try await cluster.get(.configMaps, "owned") != nil)
            try await client.delete(Self.owners, ObjectKey(namespace: "default", name: "parent"))
            try await cluster.eventually("what it owned is gone") {
                let config = try await cluster.get(.configMaps, "owned")
                let child = try await cluster.get(Self.owners, "child")
                return config == nil && child == nil
            }
        }
    }

    @Test func aNamespaceTakesItsCustomObjects() async throws {
        try await Cluster.run { cluster in
            let client = cluster.client
            _ = try await client.create(.customResourceDefinitions, Self.definition())
            _ = try await client.create(
                .namespaces, ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "gone"]])
            _ = try await client.create(Self.owners, Self.owner("a", "gone"))
            _ = try await client.create(Self.owners, Self.owner("b", "default"))
            try await client.delete(.namespaces, ObjectKey(name: "gone"))
            try await cluster.eventually("the namespace is gone") { try await cluster.get(.namespaces, "gone", "") == nil }
            #expect(try await client.list(Self.owners, namespace: nil).items.count == 1)
            // Deleting the definition ends what followed it; a new one is followed again.
            try await client.delete(.customResourceDefinitions, ObjectKey(name: "owners.example.com"))
            _ = try await client.create(.customResourceDefinitions, Self.definition())
            let owner = try await client.create(Self.owners, Self.owner("again", "default"))
            var child = Self.owner("child", "default")
            child.set("metadata", "ownerReferences", to: [Self.reference(owner)])
            _ = try await client.create(Self.owners, child)
            try await client.delete(Self.owners, ObjectKey(namespace: "default", name: "again"))
            try await cluster.eventually("the child is gone") { try await cluster.get(Self.owners, "child") == nil }
        }
    }
}

// APIServices appear for what the server answers, go with it, and leave other people's alone.

import APIServer
import Client
import Objects
import Testing

@testable import Controllers

extension ClusterTests {
    private static func condition(_ service: JSON?) -> JSON? {
        service?.at("status", "conditions")?.array?.first { $0["type"] == "Available" }
    }

    @Test func groupsHaveAPIServices() async throws {
        try await Cluster.run { cluster in
            let client = cluster.client
            try await cluster.eventually("every built-in version has one") {
                let names = try await client.list(.apiServices, namespace: nil).items.map { ObjectKey($0).name }
                return Set(APIServicePlan.builtIn.keys).isSubset(of: names)
            }
            let core = try #require(try await cluster.get(.apiServices, "v1.", ""))
            #expect(core.at("spec", "groupPriorityMinimum") == 18000)
            #expect(core.at("metadata", "labels", "kube-aggregator.kubernetes.io/automanaged") == "onstart")
            #expect(Self.condition(core)?["status"] == "True")
            #expect(Self.condition(core)?["reason"] == "Local")
            #expect(try await cluster.get(.apiServices, "v2.autoscaling", "") != nil)
            #expect(try await cluster.get(.apiServices, "v1.apiregistration.k8s.io", "") == nil)

            // Taken away or bent, it comes back as it was.
            try await client.delete(.apiServices, ObjectKey(name: "v1.apps"))
            _ = try await client.patch(
                .apiServices, ObjectKey(name: "v1.batch"), .merge, ["spec": ["groupPriorityMinimum": 1]], subresource: nil)
            try await cluster.eventually("they are mended") {
                let apps = try await cluster.get(.apiServices, "v1.apps", "")
                let batch = try await cluster.get(.apiServices, "v1.batch", "")
                return apps != nil && batch?.at("spec", "groupPriorityMinimum") == 17400
            }
        }
    }

    @Test func definitionsHaveThemAndOthersAreTold() async throws {
        try await Cluster.run { cluster in
            let client = cluster.client
            let definition: JSON = [
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": ["name": "things.example.org"],
                "spec": [
                    "group": "example.org", "scope": "Cluster", "names": ["plural": "things", "kind": "Thing"],
                    "versions": [
                        [
                            "name": "v1", "served": true, "storage": true,
                            "schema": ["openAPIV3Schema": ["type": "object"]],
                        ],
                        [
                            "name": "v2", "served": false, "storage": false,
                            "schema": ["openAPIV3Schema": ["type": "object"]],
                        ],
                    ],
                ],
            ]
            _ = try await client.create(.customResourceDefinitions, definition)
            try await cluster.eventually("the served version has one") {
                try await cluster.get(.apiServices, "v1.example.org", "") != nil
            }
            #expect(try await cluster.get(.apiServices, "v2.example.org", "") == nil)
            let foreign: JSON = [
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": ["name": "v1beta1.metrics.k8s.io"],
                "spec": [
                    "group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
                    "insecureSkipTLSVerify": true, "service": ["name": "metrics", "namespace": "kube-system"],
                ],
            ]
            _ = try await client.create(.apiServices, foreign)
            try await cluster.eventually("it says that nobody calls it") {
                let told = try await cluster.get(.apiServices, "v1beta1.metrics.k8s.io", "")
                return Self.condition(told)?["status"] == "False"
            }
            try await client.delete(.customResourceDefinitions, ObjectKey(name: "things.example.org"))
            try await cluster.eventually("it goes with its definition") {
                try await cluster.get(.apiServices, "v1.example.org", "") == nil
            }
            #expect(try await cluster.get(.apiServices, "v1beta1.metrics.k8s.io", "") != nil)
        }
    }
}

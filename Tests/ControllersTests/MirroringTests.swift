// Endpoints written by hand become EndpointSlices: what the plan says, and the controller in a whole control plane.

import APIServer
import Client
import Objects
import Testing

@testable import Controllers

@Suite struct MirrorPlanTests {
    private static func endpoints(_ subsets: JSON) -> JSON {
        [
            "metadata": [
                "name": "db", "namespace": "default", "uid": "e1", "labels": ["tier": "back"],
                "annotations": ["mine": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"],
            ],
            "subsets": subsets,
        ]
    }

    private static func addresses(_ count: Int, from first: Int = 0) -> JSON {
        .array((first..<first + count).map { ["ip": .string("10.9.\($0 / 250).\($0 % 250 + 1)")] })
    }

    @Test func aSliceSaysWhatTheEndpointsSay() throws {
        let target: JSON = ["kind": "Pod", "namespace": "default", "name": "p", "uid": "u"]
        let made = MirrorPlan(
            Self.endpoints([
                [
                    "addresses": [["ip": "192.0.2.7", "hostname": "a", "nodeName": "n1", "targetRef": target]],
                    "notReadyAddresses": [["ip": "192.0.2.8"]],
                    "ports": [["port": 5432, "protocol": "TCP", "appProtocol": "pg"]],
                ]
            ])
        ).steps(from: []).create
        let slice = try #require(made.first)
        #expect(made.count == 1)
        #expect(slice["addressType"] == "IPv4")
        #expect(slice["ports"] == [["name": "", "port": 5432, "protocol": "TCP", "appProtocol": "pg"]])
        #expect(
            slice["endpoints"] == [
                [
                    "addresses": ["192.0.2.7"], "conditions": ["ready": true], "hostname": "a", "nodeName": "n1",
                    "targetRef": target,
                ],
                ["addresses": ["192.0.2.8"], "conditions": ["ready": false]],
            ])
        #expect(
            slice.at("metadata", "labels") == [
                "tier": "back", "kubernetes.io/service-name": "db",
                "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
            ])
        #expect(slice.at("metadata", "annotations") == ["mine": "x"])
        #expect(slice.at("metadata", "ownerReferences")?[0]?["uid"] == "e1")
    }

    @Test func familiesAndPortsAreApart() {
        let subsets: JSON = [
            ["addresses": [["ip": "192.0.2.7"], ["ip": "2001:db8::7"]], "ports": [["port": 1, "protocol": "TCP"]]],
            ["addresses": [["ip": "192.0.2.7"]], "ports": [["port": 2, "protocol": "TCP"]]],
            ["addresses": [["ip": "192.0.2.7"], ["ip": "192.0.2.9"]], "ports": [["port": 1, "protocol": "TCP"]]],
        ]
        let plan = MirrorPlan(Self.endpoints(subsets))
        let made = plan.steps(from: []).create
        #expect(made.map { $0["addressType"] } == ["IPv4", "IPv6", "IPv4"])
        #expect(made.map { $0["ports"]?[0]?["port"] } == [1, 1, 2])
        #expect(made.map { ($0["endpoints"]?.array ?? []).count } == [2, 1, 1])

        #expect(plan.steps(from: made).isEmpty)
        let fewer = MirrorPlan(Self.endpoints([subsets[1] ?? [:]])).steps(from: made)
        #expect(fewer.create.isEmpty && fewer.update.isEmpty)
        #expect(fewer.delete == Array(made.prefix(2)))
        #expect(MirrorPlan(Self.endpoints([])).steps(from: made).delete == made)
    }

    @Test func aThousandAddressesAtMost() {
        let ports: JSON = [["port": 1, "protocol": "TCP"]]
        let large = MirrorPlan(
            Self.endpoints([["addresses": Self.addresses(900), "notReadyAddresses": Self.addresses(300, from: 900), "ports": ports]]))
        #expect(large.steps(from: []).create.map { ($0["endpoints"]?.array ?? []).count } == [1000])
        #expect(large.skipped == 200)
        let two = MirrorPlan(
            Self.endpoints([
                ["addresses": Self.addresses(700), "ports": ports],
                ["addresses": Self.addresses(700, from: 700), "ports": ports],
            ]))
        #expect(two.steps(from: []).create.map { ($0["endpoints"]?.array ?? []).count } == [1000])
        #expect(two.skipped == 400)
    }
}

@Suite(.serialized) struct MirroringControllerTests {
    private static let key = ObjectKey(namespace: "default", name: "db")

    private static func slices(_ cluster: Cluster, _ name: String) async throws -> [JSON] {
        try await cluster.client.list(
            .endpointSlices, namespace: "default", labels: LabelSelector(labels: ["kubernetes.io/service-name": name]),
            fields: nil).items
    }

    private static func addresses(_ cluster: Cluster, _ name: String = "db") async throws -> [String] {
        try await slices(cluster, name).flatMap { $0["endpoints"]?.array ?? [] }.flatMap { $0["addresses"]?.strings ?? [] }
    }

    @Test func handWrittenEndpointsAreMirroredAndFollowed() async throws {
        try await Cluster.run { cluster in
            let client = cluster.client
            _ = try await client.create(
                .endpoints,
                [
                    "apiVersion": "v1", "kind": "Endpoints", "metadata": ["name": "db", "namespace": "default"],
                    "subsets": [["addresses": [["ip": "192.0.2.7"]], "ports": [["port": 5432]]]],
                ])
            _ = try await client.create(
                .services,
                [
                    "apiVersion": "v1", "kind": "Service", "metadata": ["name": "db", "namespace": "default"],
                    "spec": ["ports": [["port": 5432]]],
                ])
            try await cluster.eventually("a slice") { try await Self.addresses(cluster) == ["192.0.2.7"] }
            let made = try #require(try await Self.slices(cluster, "db").first)

            let two: JSON = [["ip": "192.0.2.7"], ["ip": "192.0.2.8"]]
            let subsets: JSON = [["addresses": two, "ports": [["port": 5432]]]]
            _ = try await client.patch(.endpoints, Self.key, .merge, ["subsets": subsets], subresource: nil)
            try await cluster.eventually("two addresses") {
                try await Self.addresses(cluster) == ["192.0.2.7", "192.0.2.8"]
            }
            let grown = try await Self.slices(cluster, "db")
            #expect(grown.map { $0.at("metadata", "name") } == [made.at("metadata", "name")])

            // What somebody made of the mirror is undone.
            try await client.delete(.endpointSlices, ObjectKey(made))
            try await cluster.eventually("made anew") { try await Self.addresses(cluster).count == 2 }

            let skip: JSON = ["endpointslice.kubernetes.io/skip-mirror": "true"]
            _ = try await client.patch(.endpoints, Self.key, .merge, ["metadata": ["labels": skip]], subresource: nil)
            try await cluster.eventually("no mirror") { try await Self.slices(cluster, "db").isEmpty }
            _ = try await client.patch(
                .endpoints, Self.key, .merge, ["metadata": ["labels": .null]], subresource: nil)
            try await cluster.eventually("mirrored again") { try await Self.addresses(cluster).count == 2 }

            try await client.delete(.endpoints, Self.key)
            try await cluster.eventually("gone with the Endpoints") { try await Self.slices(cluster, "db").isEmpty }
        }
    }

    /// With a selector a Service's addresses are its pods'; without, whatever its Endpoints say.
    @Test func theSelectorDecidesWhoWrites() async throws {
        try await Cluster.run { cluster in
            @Sendable func managers() async throws -> Set<String> {
                Set(
                    try await Self.slices(cluster, "web").compactMap {
                        $0.at("metadata", "labels", "endpointslice.kubernetes.io/managed-by")?.string
                    })
            }
            let key = ObjectKey(namespace: "default", name: "web")
            _ = try await cluster.client.create(.deployments, cluster.deployment("web", replicas: 1, image: "web:1"))
            _ = try await cluster.client.create(
                .services,
                [
                    "apiVersion": "v1", "kind": "Service", "metadata": ["name": "web", "namespace": "default"],
                    "spec": ["selector": ["app": "web"], "ports": [["port": 80]]],
                ])
            try await cluster.eventually("Endpoints") {
                try await cluster.get(.endpoints, "web")?["subsets"] != nil
            }
            try await cluster.eventually("no mirror") { try await managers() == [EndpointSliceController.managedBy] }
            _ = try await cluster.client.patch(
                .services, key, .merge, ["spec": ["selector": .null]], subresource: nil)
            try await cluster.eventually("a mirror") { try await managers() == [MirrorPlan.managedBy] }
            #expect(try await Self.addresses(cluster, "web").count == 1)
            _ = try await cluster.client.patch(
                .services, key, .merge, ["spec": ["selector": ["app": "web"]]], subresource: nil)
            try await cluster.eventually("the mirror goes") { try await managers() == [EndpointSliceController.managedBy] }
        }
    }
}

// Endpoints of Services: what the plan says, and the controller in a whole control plane.

import APIServer
import Client
import Objects
import Testing

@testable import Controllers

@Suite struct EndpointsPlanTests {
    private static func subsets(_ pods: [JSON], of service: JSON = EndpointPlanTests.service) -> [JSON] {
        EndpointsPlan(service: service, pods: pods).object(from: nil)["subsets"]?.array ?? []
    }

    private static func addresses(_ subset: JSON?, _ list: String = "addresses") -> [String] {
        (subset?[list]?.array ?? []).compactMap { $0["ip"]?.string }
    }

    @Test func anAddressSaysWhoseItIs() throws {
        var pod = EndpointPlanTests.pod(1)
        pod.set("spec", "hostname", to: "db-0")
        pod.set("spec", "subdomain", to: "web")
        let object = EndpointsPlan(service: EndpointPlanTests.service, pods: [pod]).object(from: nil)
        #expect(object["metadata"]?["name"] == "web" && object["metadata"]?["namespace"] == "default")
        #expect(
            object.at("metadata", "labels") == ["team": "a", "endpoints.kubernetes.io/managed-by": "endpoint-controller"])
        #expect(
            object["subsets"] == [
                [
                    "addresses": [
                        [
                            "ip": "10.42.0.2", "hostname": "db-0", "nodeName": "n1",
                            "targetRef": ["kind": "Pod", "namespace": "default", "name": "web-1", "uid": "u1"],
                        ]
                    ],
                    "ports": [["name": "http", "port": 8080, "protocol": "TCP"]],
                ]
            ])
    }

    @Test func notReadyIsApartAndLeavingIsOut() {
        let pods = [
            EndpointPlanTests.pod(3), EndpointPlanTests.pod(1), EndpointPlanTests.pod(2, ready: false),
            EndpointPlanTests.pod(4, deleting: true),
        ]
        let subsets = Self.subsets(pods)
        #expect(subsets.count == 1)
        #expect(Self.addresses(subsets.first) == ["10.42.0.2", "10.42.0.4"])
        #expect(Self.addresses(subsets.first, "notReadyAddresses") == ["10.42.0.3"])
        var service = EndpointPlanTests.service
        service.set("spec", "publishNotReadyAddresses", to: true)
        let published = Self.subsets(pods, of: service)
        #expect(Self.addresses(published.first) == ["10.42.0.2", "10.42.0.3", "10.42.0.4", "10.42.0.5"])
        #expect(published.first?["notReadyAddresses"] == nil)
    }

    /// Ports that the same pods have share a subset; a number that only some have makes another.
    @Test func portsArePackedByWhoHasThem() {
        var service = EndpointPlanTests.service
        service.set(
            "spec", "ports",
            to: [
                ["name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"],
                ["name": "admin", "port": 81, "targetPort": 9000, "protocol": "TCP", "appProtocol": "h2c"],
                ["name": "absent", "port": 82, "targetPort": "absent", "protocol": "TCP"],
            ])
        let same = Self.subsets([EndpointPlanTests.pod(1), EndpointPlanTests.pod(2)], of: service)
        #expect(same.count == 1)
        #expect(
            same.first?["ports"] == [
                ["name": "admin", "port": 9000, "protocol": "TCP", "appProtocol": "h2c"],
                ["name": "http", "port": 8080, "protocol": "TCP"],
            ])
        let apart = Self.subsets([EndpointPlanTests.pod(1), EndpointPlanTests.pod(2, port: 9090)], of: service)
        #expect(apart.map { Self.addresses($0) } == [["10.42.0.2", "10.42.0.3"], ["10.42.0.2"], ["10.42.0.3"]])
        #expect(apart.map { ($0["ports"]?.array ?? []).map { $0["port"] } } == [[9000], [8080], [9090]])
    }

    @Test func aHeadlessServiceNeedsNoPorts() {
        var service = EndpointPlanTests.service
        service.set("spec", "clusterIP", to: "None")
        #expect(
            EndpointsPlan(service: service, pods: []).object(from: nil)
                .at("metadata", "labels", "service.kubernetes.io/headless") == "")
        service.set("spec", "ports", to: nil)
        let subsets = Self.subsets([EndpointPlanTests.pod(1)], of: service)
        #expect(subsets.count == 1 && subsets.first?["ports"] == nil)
        #expect(Self.addresses(subsets.first) == ["10.42.0.2"])
        #expect(Self.subsets([], of: service).isEmpty)
    }

    @Test func aThousandAddressesAtMost() {
        let pods = (0..<1200).map { EndpointPlanTests.pod($0, ready: $0 < 900) }
        let plan = EndpointsPlan(service: EndpointPlanTests.service, pods: pods)
        let object = plan.object(from: nil)
        #expect(object.at("metadata", "annotations", "endpoints.kubernetes.io/over-capacity") == "truncated")
        #expect(Self.addresses(object["subsets"]?[0]).count == 900)
        #expect(Self.addresses(object["subsets"]?[0], "notReadyAddresses").count == 100)
        #expect(plan.object(from: object) == object)

        let fewer = EndpointsPlan(service: EndpointPlanTests.service, pods: [pods[0]]).object(from: object)
        #expect(fewer.at("metadata", "annotations", "endpoints.kubernetes.io/over-capacity") == nil)

        let ready = (0..<2400).map { EndpointPlanTests.pod($0, ready: $0 < 2000, port: $0 % 4 == 0 ? 1 : 2) }
        let cut = Self.subsets(ready)
        #expect(cut.map { Self.addresses($0).count } == [250, 750])
        #expect(cut.allSatisfy { $0["notReadyAddresses"] == nil })
    }

    @Test func whatOthersWroteStays() {
        let plan = EndpointsPlan(service: EndpointPlanTests.service, pods: [EndpointPlanTests.pod(1)])
        var present = plan.object(from: nil)
        present.set("metadata", "annotations", to: ["mine": "x"])
        present.set("metadata", "resourceVersion", to: "7")
        #expect(plan.object(from: present) == present)
    }
}

@Suite struct EndpointsBatchesTests {
    private static func object(ready: Int, notReady: Int = 0) -> JSON {
        EndpointsPlan(
            service: EndpointPlanTests.service,
            pods: (0..<ready + notReady).map { EndpointPlanTests.pod($0, ready: $0 < ready) }
        ).object(from: nil)
    }

    @Test func changesWaitForOneAnotherFromTheFirst() {
        let web = ObjectKey(namespace: "default", name: "web")
        let other = ObjectKey(namespace: "default", name: "other")
        var batches = EndpointsBatches(period: .seconds(10))
        let start = ContinuousClock.now
        func wait(_ key: ObjectKey, _ seconds: Int, to ready: Int) -> Duration? {
            let now = start + .seconds(seconds)
            return batches.wait(key, from: Self.object(ready: 2), to: Self.object(ready: ready), now: now)
        }
        #expect(wait(web, 0, to: 3) == .seconds(10))
        #expect(wait(web, 4, to: 4) == .seconds(6))
        #expect(wait(other, 4, to: 3) == .seconds(10))
        #expect(wait(web, 10, to: 5) == nil)
        // Refused: the next try does not wait again.
        #expect(wait(web, 11, to: 5) == nil)
        batches.ended(web)
        #expect(wait(web, 11, to: 6) == .seconds(10))
        #expect(wait(other, 11, to: 3) == .seconds(3))
    }

    @Test func whatClientsCannotDoWithoutGoesAtOnce() {
        let key = ObjectKey(namespace: "default", name: "web")
        var batches = EndpointsBatches()
        func waits(_ present: JSON?, _ wanted: JSON) -> Bool {
            batches.wait(key, from: present, to: wanted, now: .now) != nil
        }
        #expect(!waits(nil, Self.object(ready: 0)))
        #expect(!waits(Self.object(ready: 0), Self.object(ready: 1)))
        #expect(!waits(Self.object(ready: 0, notReady: 2), Self.object(ready: 1, notReady: 1)))
        #expect(!waits(Self.object(ready: 1), Self.object(ready: 0, notReady: 1)))
        #expect(waits(Self.object(ready: 0), Self.object(ready: 0, notReady: 1)))
        #expect(waits(Self.object(ready: 1), Self.object(ready: 2)))
    }
}

@Suite(.serialized) struct EndpointsControllerTests {
    private static func service(_ name: String, selector: JSON?) -> JSON {
        var service: JSON = [
            "apiVersion": "v1", "kind": "Service",
            "metadata": ["name": .string(name), "namespace": "default", "labels": ["tier": "front"]],
            "spec": ["ports": [["port": 80]]],
        ]
        service.set("spec", "selector", to: selector)
        return service
    }

    @Test func theyFollowThePodsAndGoWithTheService() async throws {
        try await Cluster.run { cluster in
            @Sendable func ready() async throws -> Int {
                let subsets = try await cluster.get(.endpoints, "web")?["subsets"]?.array ?? []
                return subsets.reduce(0) { $0 + ($1["addresses"]?.array ?? []).count }
            }
            let key = ObjectKey(namespace: "default", name: "web")
            _ = try await cluster.client.create(.services, Self.service("web", selector: ["app": "web"]))
            try await cluster.eventually("empty Endpoints") { try await cluster.get(.endpoints, "web") != nil }
            _ = try await cluster.client.create(.deployments, cluster.deployment("web", replicas: 2, image: "web:1"))
            try await cluster.eventually("two addresses") { try await ready() == 2 }
            let made = try #require(try await cluster.get(.endpoints, "web"))
            #expect(
                made.at("metadata", "labels")
                    == ["tier": "front", "endpoints.kubernetes.io/managed-by": "endpoint-controller"])

            // A change of the pods that no endpoint shows writes nothing; one that shows comes after it.
            for pod in try await cluster.client.list(.pods, namespace: "default").items {
                _ = try await cluster.client.patch(
                    .pods, ObjectKey(pod), .merge, ["metadata": ["annotations": ["seen": "x"]]], subresource: nil)
            }
            _ = try await cluster.client.create(.services, Self.service("other", selector: ["app": "web"]))
            try await cluster.eventually("another Service's Endpoints") {
                try await cluster.get(.endpoints, "other")?["subsets"] != nil
            }
            #expect(
                try await cluster.get(.endpoints, "web")?.at("metadata", "resourceVersion")
                    == made.at("metadata", "resourceVersion"))

            // What somebody else made of them is undone.
            _ = try await cluster.client.patch(.endpoints, key, .merge, ["subsets": .null], subresource: nil)
            try await cluster.eventually("two addresses again") { try await ready() == 2 }
            try await cluster.client.delete(.endpoints, key)
            try await cluster.eventually("made anew") { try await ready() == 2 }

            _ = try await cluster.client.patch(
                .deployments, key, .merge, ["spec": ["replicas": 0]], subresource: nil)
            try await cluster.eventually("no address") { try await ready() == 0 }
            try await cluster.client.delete(.services, key)
            try await cluster.eventually("gone") { try await cluster.get(.endpoints, "web") == nil }
        }
    }

    /// With a period that never ends nothing but what goes at once is ever written.
    @Test func changesOfAPresentObjectWait() async throws {
        let controllers: @Sendable (ControllerContext) async -> Void = { context in
            await withDiscardingTaskGroup { group in
                // Without it the node keeps the taint that it registers with.
                group.addTask { await NodeTaintController(context).run() }
                group.addTask {
                    await EndpointsController(context, EndpointsBatches(period: .seconds(86400))).run()
                }
            }
        }
        try await Cluster.run(controllers: controllers) { cluster in
            @Sendable func ready(_ service: String) async throws -> Int? {
                let endpoints = try await cluster.get(.endpoints, service)
                return endpoints.map { ($0["subsets"]?[0]?["addresses"]?.array ?? []).count }
            }
            func create(pod name: String) async throws {
                _ = try await cluster.client.create(
                    .pods,
                    [
                        "apiVersion": "v1", "kind": "Pod",
                        "metadata": ["name": .string(name), "namespace": "default", "labels": ["app": "web"]],
                        "spec": ["containers": [["name": "c", "image": "web:1"]]],
                    ])
            }
            _ = try await cluster.client.create(.services, Self.service("web", selector: ["app": "web"]))
            try await cluster.eventually("made at once") { try await ready("web") == 0 }
            try await create(pod: "a")
            try await cluster.eventually("filled at once") { try await ready("web") == 1 }
            try await create(pod: "b")
            try await cluster.eventually("the second is ready") {
                try await cluster.get(.pods, "b")?.at("status", "podIP") != nil
            }
            // Another Service's are made of both, so the controller knows the second.
            _ = try await cluster.client.create(.services, Self.service("other", selector: ["app": "web"]))
            try await cluster.eventually("made of both") { try await ready("other") != nil }
            #expect(try await ready("web") == 1)
            for pod in ["a", "b"] {
                try await cluster.client.delete(.pods, ObjectKey(namespace: "default", name: pod))
            }
            try await cluster.eventually("emptied at once") { try await ready("web") == 0 }
        }
    }

    /// Written by hand: untouched while the Service is there, and gone with it.
    @Test func othersEndpointsAreTheirs() async throws {
        try await Cluster.run { cluster in
            let subsets: JSON = [["addresses": [["ip": "192.0.2.7"]], "ports": [["port": 5432, "protocol": "TCP"]]]]
            func endpoints(_ name: String, labels: JSON = [:]) -> JSON {
                [
                    "apiVersion": "v1", "kind": "Endpoints",
                    "metadata": ["name": .string(name), "namespace": "default", "labels": labels], "subsets": subsets,
                ]
            }
            _ = try await cluster.client.create(.services, Self.service("db", selector: nil))
            _ = try await cluster.client.create(.endpoints, endpoints("db"))
            _ = try await cluster.client.create(.endpoints, endpoints("alone"))
            _ = try await cluster.client.create(
                .endpoints, endpoints("leftover", labels: ["endpoints.kubernetes.io/managed-by": "endpoint-controller"]))
            try await cluster.eventually("a leftover of the controller's goes") {
                try await cluster.get(.endpoints, "leftover") == nil
            }
            #expect(try await cluster.get(.endpoints, "db")?["subsets"] == subsets)
            try await cluster.client.delete(.services, ObjectKey(namespace: "default", name: "db"))
            try await cluster.eventually("the Service's go") { try await cluster.get(.endpoints, "db") == nil }
            #expect(try await cluster.get(.endpoints, "alone")?["subsets"] == subsets)
        }
    }

    @Test func theAPIHasItsOwn() async throws {
        try await Cluster.run { cluster in
            // Long enough for the controllers to have had a chance to spoil it.
            _ = try await cluster.client.create(.services, Self.service("web", selector: ["app": "web"]))
            try await cluster.eventually("the controller works") { try await cluster.get(.endpoints, "web") != nil }
            let own = try #require(try await cluster.get(.endpoints, "kubernetes"))
            #expect(own.at("subsets")?[0]?["addresses"] == [["ip": "192.0.2.1"]])
            #expect(own.at("metadata", "labels") == ["endpointslice.kubernetes.io/skip-mirror": "true"])
            let slice = try #require(try await cluster.get(.endpointSlices, "kubernetes"))
            #expect(slice["endpoints"]?[0]?["addresses"] == ["192.0.2.1"])
            #expect(slice["ports"]?[0]?["port"] == own["subsets"]?[0]?["ports"]?[0]?["port"])
        }
    }
}

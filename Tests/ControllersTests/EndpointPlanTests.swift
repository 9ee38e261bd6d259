// Pods in, slices out.

import Objects
import Testing

@testable import Controllers

@Suite struct EndpointPlanTests {
    static let service: JSON = [
        "metadata": ["name": "web", "namespace": "default", "uid": "s", "labels": ["team": "a"]],
        "spec": [
            "selector": ["app": "web"], "clusterIP": "10.43.0.7", "ipFamilies": ["IPv4"],
            "ports": [["name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"]],
        ],
    ]

    static func pod(_ number: Int, ready: Bool = true, port: Int64 = 8080, deleting: Bool = false) -> JSON {
        var pod: JSON = [
            "metadata": ["name": .string("web-\(number)"), "namespace": "default", "uid": .string("u\(number)"), "labels": ["app": "web"]],
            "spec": ["nodeName": "n1", "containers": [["name": "c", "ports": [["name": "http", "containerPort": .int(port), "protocol": "TCP"]]]]],
            "status": [
                "phase": "Running", "podIPs": [["ip": .string("10.42.\(number / 250).\(number % 250 + 1)")]],
                "conditions": [["type": "Ready", "status": ready ? "True" : "False"]],
            ],
        ]
        if deleting { pod.set("metadata", "deletionTimestamp", to: "2026-01-01T00:00:00Z") }
        return pod
    }

    static func endpoints(_ slice: JSON) -> [JSON] { slice["endpoints"]?.array ?? [] }

    @Test func readyServingTerminating() throws {
        let plan = EndpointPlan(
            service: Self.service, pods: [Self.pod(1), Self.pod(2, ready: false), Self.pod(3, deleting: true)])
        let slice = try #require(plan.steps(from: []).create.first)
        let conditions = Self.endpoints(slice).map { $0["conditions"] }
        #expect(conditions[0] == ["ready": true, "serving": true, "terminating": false])
        #expect(conditions[1] == ["ready": false, "serving": false, "terminating": false])
        #expect(conditions[2] == ["ready": false, "serving": true, "terminating": true])
        #expect(slice["ports"]?[0] == ["name": "http", "port": 8080, "protocol": "TCP"])
        #expect(slice.at("metadata", "labels", "kubernetes.io/service-name") == "web")
        #expect(slice.at("metadata", "labels", "team") == "a")
    }

    @Test func nothingChangesNothing() {
        let plan = EndpointPlan(service: Self.service, pods: [Self.pod(1), Self.pod(2)])
        let again = plan.steps(from: plan.steps(from: []).create)
        #expect(again.create.isEmpty && again.update.isEmpty && again.delete.isEmpty)
    }

    @Test func manyPodsMakeSlicesOfAHundredThatStayPut() {
        let pods = (1...250).map { Self.pod($0) }
        let made = EndpointPlan(service: Self.service, pods: pods).steps(from: []).create
        #expect(made.map { Self.endpoints($0).count } == [100, 100, 50])
        let named = made.enumerated().map { index, slice in
            var slice = slice
            slice.set("metadata", "name", to: .string("web-\(index)"))
            return slice
        }
        let gone = Self.endpoints(named[1])[0]["targetRef"]?["uid"]
        let steps = EndpointPlan(service: Self.service, pods: pods.filter { $0["metadata"]?["uid"] != gone }).steps(from: named)
        #expect(steps.update.count == 1)
        #expect(steps.update.first?["metadata"]?["name"] == "web-1")
        #expect(steps.create.isEmpty && steps.delete.isEmpty)
    }

    @Test func podsWithOtherPortsGetASliceOfTheirOwn() {
        let steps = EndpointPlan(service: Self.service, pods: [Self.pod(1), Self.pod(2, port: 9090)]).steps(from: [])
        #expect(Set(steps.create.compactMap { $0["ports"]?[0]?["port"]?.int }) == [8080, 9090])
    }

    @Test func aServiceWithoutPodsHasOneEmptySlice() {
        let steps = EndpointPlan(service: Self.service, pods: []).steps(from: [])
        #expect(steps.create.count == 1)
        #expect(Self.endpoints(steps.create[0]).isEmpty)
    }

    @Test func finishedPodsAndPodsWithoutAddressAreLeftOut() {
        var finished = Self.pod(1)
        finished.set("status", "phase", to: "Succeeded")
        var fresh = Self.pod(2)
        fresh.set("status", "podIPs", to: nil)
        let steps = EndpointPlan(service: Self.service, pods: [finished, fresh]).steps(from: [])
        #expect(Self.endpoints(steps.create[0]).isEmpty)
    }

    @Test func onlyWhatMattersWakes() {
        var other = Self.pod(1)
        other.set("metadata", "annotations", to: ["a": "b"])
        #expect(!ServicePods.matters(Self.pod(1), other))
        #expect(ServicePods.matters(Self.pod(1), Self.pod(1, ready: false)))
        #expect(ServicePods.matters(nil, Self.pod(1)))
    }
}

// Places pods on nodes without an API.

import Objects
import Testing

@testable import Scheduler

@Suite struct PlacementTests {
    static func node(_ name: String, cpu: String = "2", memory: String = "4Gi", pods: Int64 = 110, extra: JSON = [:]) -> JSON {
        var node: JSON = [
            "metadata": ["name": .string(name), "labels": ["kubernetes.io/hostname": .string(name)]],
            "spec": [:],
            "status": [
                "allocatable": ["cpu": .string(cpu), "memory": .string(memory), "pods": .string(String(pods))],
                "conditions": [["type": "Ready", "status": "True"]],
            ],
        ]
        for (key, value) in extra.object ?? JSONObject() { node.set("spec", key, to: value) }
        return node
    }

    static func pod(_ name: String, cpu: String? = nil, memory: String? = nil, spec: JSON = [:]) -> PodDemand {
        var requests: JSON = [:]
        if let cpu { requests["cpu"] = .string(cpu) }
        if let memory { requests["memory"] = .string(memory) }
        var full: JSON = spec
        full["containers"] = [["name": "c", "resources": ["requests": requests]]]
        return PodDemand(["metadata": ["name": .string(name), "namespace": "default"], "spec": full])
    }

    static func decide(_ nodes: [JSON], _ pod: PodDemand) -> Placement.Decision {
        var placement = Placement()
        for node in nodes { placement.setNode(node) }
        return placement.decide(pod)
    }

    @Test func noNodes() {
        #expect(Self.decide([], Self.pod("a")) == .none(message: "no nodes available to schedule pods"))
    }

    @Test func whatDoesNotFitIsNamed() {
        let decision = Self.decide([Self.node("n1")], Self.pod("a", cpu: "3", memory: "8Gi"))
        #expect(decision == .none(message: "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."))
    }

    /// Wrapped or cut sums would make room of what nothing has.
    @Test func whatNoNodeHasIsCountedAndGivenBack() {
        var placement = Placement()
        placement.setNode(Self.node("n1", cpu: "8E", memory: "8E"))
        let huge: JSON = ["requests": ["cpu": "8E", "memory": "8E"]]
        let twice = PodDemand([
            "metadata": ["name": "twice", "namespace": "default"],
            "spec": ["containers": [["name": "a", "resources": huge], ["name": "b", "resources": huge]]],
        ])
        let small = Self.pod("small", cpu: "1m", memory: "1")
        let none = Placement.Decision.none(message: "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.")
        #expect(placement.decide(twice) == none)
        placement.place(small, on: "n1")
        placement.place(twice, on: "n1")
        #expect(placement.decide(Self.pod("other", cpu: "1m", memory: "1")) == none)
        placement.remove("default/twice")
        #expect(placement.decide(Self.pod("other", cpu: "1m", memory: "1")) == .node("n1"))
    }

    @Test func roomIsCountedAndGivenBack() {
        var placement = Placement()
        placement.setNode(Self.node("n1", cpu: "1"))
        let first = Self.pod("a", cpu: "600m")
        placement.place(first, on: "n1")
        placement.place(first, on: "n1")
        let second = Self.pod("b", cpu: "500m")
        #expect(placement.decide(second) == .none(message: "0/1 nodes are available: 1 Insufficient cpu."))
        placement.remove("default/a")
        #expect(placement.decide(second) == .node("n1"))
    }

    @Test func aNodeThatComesLaterKnowsItsPods() {
        var placement = Placement()
        placement.place(Self.pod("a", cpu: "900m"), on: "n1")
        placement.setNode(Self.node("n1", cpu: "1"))
        #expect(placement.decide(Self.pod("b", cpu: "200m")) == .none(message: "0/1 nodes are available: 1 Insufficient cpu."))
    }

    @Test func podsAreCounted() {
        var placement = Placement()
        placement.setNode(Self.node("n1", pods: 1))
        placement.place(Self.pod("a"), on: "n1")
        #expect(placement.decide(Self.pod("b")) == .none(message: "0/1 nodes are available: 1 Too many pods."))
    }

    @Test func taintsNeedTolerations() {
        let tainted = Self.node("n1", extra: ["taints": [["key": "dedicated", "value": "db", "effect": "NoSchedule"]]])
        #expect(
            Self.decide([tainted], Self.pod("a"))
                == .none(message: "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: db}."))
        let tolerant = Self.pod(
            "b", spec: ["tolerations": [["key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"]]])
        #expect(Self.decide([tainted], tolerant) == .node("n1"))
        #expect(Self.decide([tainted], Self.pod("c", spec: ["tolerations": [["operator": "Exists"]]])) == .node("n1"))
    }

    @Test func cordonedNodesTakeNothing() {
        let decision = Self.decide([Self.node("n1", extra: ["unschedulable": true])], Self.pod("a"))
        #expect(decision == .none(message: "0/1 nodes are available: 1 node(s) were unschedulable."))
    }

    @Test func selectorsAndAffinity() {
        let nodes = [Self.node("n1"), Self.node("n2")]
        #expect(Self.decide(nodes, Self.pod("a", spec: ["nodeSelector": ["kubernetes.io/hostname": "n2"]])) == .node("n2"))
        let affinity: JSON = [
            "affinity": ["nodeAffinity": ["requiredDuringSchedulingIgnoredDuringExecution": [
                "nodeSelectorTerms": [["matchExpressions": [
                    ["key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["n2"]]
                ]]]
            ]]]
        ]
        #expect(Self.decide(nodes, Self.pod("b", spec: affinity)) == .node("n1"))
        #expect(
            Self.decide(nodes, Self.pod("c", spec: ["nodeSelector": ["disk": "ssd"]]))
                == .none(message: "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."))
    }

    @Test func hostPortsCollide() {
        var placement = Placement()
        placement.setNode(Self.node("n1"))
        func pod(_ name: String, _ address: String) -> PodDemand {
            PodDemand([
                "metadata": ["name": .string(name), "namespace": "default"],
                "spec": ["containers": [["ports": [["hostPort": 80, "hostIP": .string(address), "protocol": "TCP"]]]]],
            ])
        }
        placement.place(pod("a", "10.0.0.1"), on: "n1")
        #expect(placement.decide(pod("b", "10.0.0.2")) == .node("n1"))
        #expect(
            placement.decide(pod("c", ""))
                == .none(message: "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."))
    }

    @Test func theEmptierNodeWinsAndEqualsTakeTurns() {
        var placement = Placement()
        placement.setNode(Self.node("n1"))
        placement.setNode(Self.node("n2"))
        placement.place(Self.pod("a", cpu: "1"), on: "n1")
        #expect(placement.decide(Self.pod("b", cpu: "100m")) == .node("n2"))
        var even = Placement()
        even.setNode(Self.node("n1"))
        even.setNode(Self.node("n2"))
        let first = even.decide(Self.pod("c"))
        let second = even.decide(Self.pod("d"))
        #expect(first != second)
    }

    @Test func initContainersCountAtTheirPeak() {
        let demand = PodDemand([
            "metadata": ["name": "a", "namespace": "default"],
            "spec": [
                "initContainers": [
                    ["resources": ["requests": ["cpu": "100m"]], "restartPolicy": "Always"],
                    ["resources": ["requests": ["cpu": "2"]]],
                ],
                "containers": [["resources": ["requests": ["cpu": "500m"]]], ["resources": ["requests": ["cpu": "500m"]]]],
            ],
        ])
        #expect(demand.amounts["cpu"] == 2100)
    }
}

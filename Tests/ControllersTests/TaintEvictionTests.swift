// NoExecute taints: who goes and when, and the controller in a whole control plane.

import APIServer
import Client
import Objects
import Testing

@testable import Controllers

@Suite struct TaintEvictionPlanTests {
    private static let gpu = Taint("gpu", value: "a", effect: "NoExecute")
    private static let broken = Taint("broken", effect: "NoExecute")

    private static func toleration(_ key: String, seconds: Int? = nil) -> Toleration {
        var toleration = Toleration(["key": .string(key), "operator": "Exists"])
        toleration.tolerationSeconds = seconds
        return toleration
    }

    @Test func everyTaintMustBeTolerated() {
        #expect(TaintEviction([], []) == .stays)
        #expect(TaintEviction([Self.gpu], []) == .goes(after: 0))
        #expect(TaintEviction([Self.gpu], [Self.toleration("gpu")]) == .stays)
        #expect(TaintEviction([Self.gpu, Self.broken], [Self.toleration("gpu")]) == .goes(after: 0))
        #expect(TaintEviction([Self.gpu, Self.broken], [Toleration(["operator": "Exists"])]) == .stays)
    }

    @Test func theShortestPatienceCounts() {
        let tolerations = [Self.toleration("gpu", seconds: 60), Self.toleration("broken", seconds: 30)]
        #expect(TaintEviction([Self.gpu], tolerations) == .goes(after: 60))
        #expect(TaintEviction([Self.gpu, Self.broken], tolerations) == .goes(after: 30))
        #expect(TaintEviction([Self.gpu], [Self.toleration("gpu", seconds: -5)]) == .goes(after: 0))
        #expect(
            TaintEviction([Self.gpu, Self.broken], [Self.toleration("gpu"), Self.toleration("broken", seconds: 9)])
                == .goes(after: 9))
    }

    @Test func onlyNoExecuteDrivesOut() {
        let taints: JSON = [["key": "a", "effect": "NoSchedule"], ["key": "b", "effect": "NoExecute"]]
        #expect(TaintEviction.taints(of: ["spec": ["taints": taints]]).map(\.key) == ["b"])
    }
}

@Suite(.serialized) struct TaintEvictionControllerTests {
    private static func pod(_ name: String, tolerations: JSON = [], finalizer: Bool = false) -> JSON {
        var pod: JSON = [
            "apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name), "namespace": "default"],
            "spec": ["nodeName": "n1", "containers": [["name": "c", "image": "demo:1"]], "tolerations": tolerations],
        ]
        if finalizer { pod.set("metadata", "finalizers", to: ["example.com/hold"]) }
        return pod
    }

    private static func taint(_ cluster: Cluster, _ taints: JSON) async throws {
        _ = try await cluster.client.patch(
            .nodes, ObjectKey(name: "n1"), .merge, ["spec": ["taints": taints]], subresource: nil)
    }

    private static let taints: JSON = [["key": "broken", "value": "yes", "effect": "NoExecute"]]

    private static func isLeaving(_ cluster: Cluster, _ name: String) async throws -> Bool {
        guard let pod = try await cluster.get(.pods, name) else { return true }
        return pod.at("metadata", "deletionTimestamp") != nil
    }

    private static func events(_ cluster: Cluster, _ name: String) async throws -> [String] {
        try await cluster.client.list(.events, namespace: "default").items.filter {
            $0["reason"] == "TaintManagerEviction" && $0.at("involvedObject", "name")?.string == name
        }.compactMap { $0["message"]?.string }
    }

    @Test func aTaintDrivesOutWhatDoesNotTolerateIt() async throws {
        try await Cluster.run { cluster in
            let always: JSON = [["key": "broken", "operator": "Exists", "effect": "NoExecute"]]
            let briefly: JSON = [
                ["key": "broken", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1]
            ]
            var mirror = Self.pod("mirror")
            mirror.set("metadata", "annotations", to: ["kubernetes.io/config.mirror": "x"])
            _ = try await cluster.client.create(.pods, mirror)
            _ = try await cluster.client.create(.pods, Self.pod("plain", finalizer: true))
            _ = try await cluster.client.create(.pods, Self.pod("tolerant", tolerations: always))
            _ = try await cluster.client.create(.pods, Self.pod("brief", tolerations: briefly))
            try await Self.taint(cluster, Self.taints)
            try await cluster.eventually("the plain one is on its way") { try await Self.isLeaving(cluster, "plain") }
            let plain = try #require(try await cluster.get(.pods, "plain"))
            let condition = try #require(Conditions.find("DisruptionTarget", in: plain))
            #expect(condition["status"] == "True" && condition["reason"] == "DeletionByTaintManager")
            try await cluster.eventually("an event says so") {
                try await Self.events(cluster, "plain") == ["Marking for deletion Pod default/plain"]
            }
            try await cluster.eventually("the brief one has gone") { try await Self.isLeaving(cluster, "brief") }
            #expect(try await Self.isLeaving(cluster, "tolerant") == false)

            // Bound while the taint is there.
            _ = try await cluster.client.create(.pods, Self.pod("late"))
            try await cluster.eventually("the late one has gone") { try await Self.isLeaving(cluster, "late") }
            #expect(try await Self.isLeaving(cluster, "mirror") == false)
        }
    }

    @Test func whenTheTaintGoesThePodStays() async throws {
        try await Cluster.run { cluster in
            let patient: JSON = [
                ["key": "broken", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3600]
            ]
            // Its end is the second look at it: the patient one has been looked at by then.
            let briefly: JSON = [
                ["key": "broken", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1]
            ]
            _ = try await cluster.client.create(.pods, Self.pod("patient", tolerations: patient))
            _ = try await cluster.client.create(.pods, Self.pod("mark", tolerations: briefly))
            try await Self.taint(cluster, Self.taints)
            try await cluster.eventually("the taint is seen") { try await Self.isLeaving(cluster, "mark") }
            #expect(try await Self.isLeaving(cluster, "patient") == false)
            try await Self.taint(cluster, [])
            try await cluster.eventually("its deletion is called off") {
                try await Self.events(cluster, "patient") == ["Cancelling deletion of Pod default/patient"]
            }
            #expect(try await Self.isLeaving(cluster, "patient") == false)
            #expect(Conditions.find("DisruptionTarget", in: try #require(try await cluster.get(.pods, "patient"))) == nil)
        }
    }
}

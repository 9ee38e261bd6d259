// Scheduler and controllers against the real API server on a store in memory, with a node whose pods become ready as
// soon as they are bound: a whole control plane in one process, without a kernel.

import APIServer
import Client
import Logging
import Objects
import Store
import System
import Testing

@testable import Controllers
@testable import Scheduler

/// A control plane and a make-believe node.
struct Cluster: Sendable {
    let client: InProcessClient
    let informers: InformerSet
    private let server: APIServer
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    struct NoNode: NodeBackend {
        func logs(
            pod: ObjectKey, node: String, options: LogOptions
        ) async throws(APIStatus) -> AsyncThrowingStream<[UInt8], any Error> { throw .unavailable("no node") }
        func exec(pod: ObjectKey, options: ExecOptions) async throws(APIStatus) -> any ExecStreams {
            throw .unavailable("no node")
        }
        func attach(pod: ObjectKey, options: ExecOptions) async throws(APIStatus) -> any ExecStreams {
            throw .unavailable("no node")
        }
        func connect(pod: ObjectKey, port: Int) async throws(APIStatus) -> any PodConnection {
            throw .unavailable("no node")
        }

        func untilGone(pod: ObjectKey) async {}

        func page(node: String, path: String) async throws(APIStatus) -> NodePage? { throw .unavailable("no node") }
    }

    static func run(
        controllers: @escaping @Sendable (ControllerContext) async -> Void = Controllers.run,
        _ body: @escaping @Sendable (Cluster) async throws -> Void
    ) async throws {
        let server = APIServer(
            store: MemoryStore(), registry: .standard,
            configuration: APIServerConfiguration(advertiseAddress: IPAddress("192.0.2.1")!), nodeBackend: NoNode(),
            logger: logger)
        try await server.open()
        let informers = InformerSet(client: server.client, logger: logger)
        let cluster = Cluster(client: server.client, informers: informers, server: server)
        let stored = Registry.builtIn.filter { $0.storage == $0.id && $0.verbs.contains("delete") }
        let context = ControllerContext(
            client: server.client, informers: informers, namespacedResources: stored.filter(\.isNamespaced).map(\.id),
            ownableResources: stored.map(\.id).filter { $0 != .events && $0 != .leases },
            resourceOfKind: Dictionary(
                Registry.builtIn.map { ("\($0.id.apiVersion)/\($0.kind)", $0.id) }, uniquingKeysWith: { first, _ in first }),
            directory: server.directory, rootCA: "test CA", logger: logger)
        let scheduler = Scheduler(client: server.client, informers: informers, logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await server.run() }
            group.addTask { await informers.run() }
            group.addTask { await scheduler.run() }
            group.addTask { await controllers(context) }
            group.addTask { await cluster.beNode() }
            try await cluster.registerNode()
            try await body(cluster)
            group.cancelAll()
        }
    }

    private func registerNode() async throws {
        _ = try await client.create(.nodes, ["apiVersion": "v1", "kind": "Node", "metadata": ["name": "n1"]])
        let amounts: JSON = ["cpu": "8", "memory": "16Gi", "pods": "110"]
        _ = try await client.patch(
            .nodes, ObjectKey(name: "n1"), .merge,
            ["status": [
                "capacity": amounts, "allocatable": amounts, "conditions": [["type": "Ready", "status": "True"]],
            ]], subresource: "status")
    }

    /// Bound pods become ready, deleted ones go.
    private func beNode() async {
        let pods = informers.informer(.pods)
        let (changes, signal) = AsyncStream<ObjectKey>.makeStream()
        pods.onChange { key, _, new in if new != nil { signal.yield(key) } }
        var next = 0
        for await key in changes {
            guard let pod = pods.object(key), pod["spec"]?["nodeName"] != nil else { continue }
            if pod["metadata"]?["deletionTimestamp"] != nil {
                try? await client.delete(.pods, key, DeleteOptions(gracePeriodSeconds: 0))
            } else if pod["status"]?["podIP"] == nil {
                next += 1
                let address = JSON.string("10.42.0.\(next % 250 + 1)")
                // As a kubelet does: the conditions that others have set meanwhile stay.
                _ = try? await client.patch(
                    .pods, key, .strategic,
                    ["status": [
                        "phase": "Running", "podIP": address, "podIPs": [["ip": address]],
                        "conditions": [["type": "Ready", "status": "True", "lastTransitionTime": .string(Timestamp.now().rfc3339)]],
                    ]], subresource: "status")
            }
        }
    }

    /// Looks until `holds` is true; records what was wrong after a minute.
    func eventually(_ what: String, _ holds: @Sendable () async throws -> Bool) async throws {
        for _ in 0..<6000 {
            if try await holds() { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("never came true: \(what)")
    }

    func deployment(_ name: String, replicas: Int64, image: String) -> JSON {
        [
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": .string(name), "namespace": "default"],
            "spec": [
                "replicas": .int(replicas), "selector": ["matchLabels": ["app": .string(name)]],
                "template": [
                    "metadata": ["labels": ["app": .string(name)]],
                    "spec": ["containers": [["name": "c", "image": .string(image), "ports": [["containerPort": 80]]]]],
                ],
            ],
        ]
    }

    func get(_ resource: ResourceID, _ name: String, _ namespace: String = "default") async throws -> JSON? {
        do throws(APIStatus) {
            return try await client.get(resource, ObjectKey(namespace: namespace, name: name))
        } catch {
            guard error.code == 404 else { throw error }
            return nil
        }
    }
}

@Suite(.serialized) struct ClusterTests {
    @Test func aDeploymentRollsFromOneImageToTheNext() async throws {
        try await Cluster.run { cluster in
            _ = try await cluster.client.create(.deployments, cluster.deployment("web", replicas: 3, image: "web:1"))
            try await cluster.eventually("three replicas are available") {
                try await cluster.get(.deployments, "web")?.at("status", "availableReplicas") == 3
            }
            let first = try await cluster.client.list(.replicaSets, namespace: "default").items
            #expect(first.count == 1)
            var changed = try #require(try await cluster.get(.deployments, "web"))
            changed.set("spec", "template", "spec", "containers", to: [["name": "c", "image": "web:2"]])
            _ = try await cluster.client.update(.deployments, changed)
            try await cluster.eventually("the roll-out completes") {
                guard let now = try await cluster.get(.deployments, "web") else { return false }
                return now.at("status", "updatedReplicas") == 3 && now.at("status", "replicas") == 3
                    && now.at("status", "observedGeneration") == now.at("metadata", "generation")
            }
            let sets = try await cluster.client.list(.replicaSets, namespace: "default").items
            #expect(sets.map { $0.at("spec", "replicas") }.sorted { "\($0 ?? 0)" < "\($1 ?? 0)" } == [0, 3])
            // The status counts no pod that is going; the node may not have let go of it yet.
            try await cluster.eventually("the old pods are gone") {
                try await cluster.client.list(.pods, namespace: "default").items.allSatisfy {
                    $0.at("spec", "containers")?[0]?["image"] == "web:2"
                }
            }
            #expect(try await cluster.get(.deployments, "web")?.at("metadata", "annotations", "deployment.kubernetes.io/revision") == "2")
        }
    }

    @Test func scalingDownAndUpKeepsTheCount() async throws {
        try await Cluster.run { cluster in
            _ = try await cluster.client.create(.deployments, cluster.deployment("web", replicas: 5, image: "web:1"))
            for count in [5, 1, 4, 0] as [Int64] {
                _ = try await cluster.client.patch(
                    .deployments, ObjectKey(namespace: "default", name: "web"), .merge, ["spec": ["replicas": .int(count)]],
                    subresource: nil)
                try await cluster.eventually("\(count) pods") {
                    try await cluster.client.list(.pods, namespace: "default").items.count == Int(count)
                }
            }
        }
    }

    @Test func aServiceFindsItsPodsAndLosesTheDeletedOnes() async throws {
        try await Cluster.run { cluster in
            _ = try await cluster.client.create(.deployments, cluster.deployment("web", replicas: 2, image: "web:1"))
            _ = try await cluster.client.create(
                .services,
                [
                    "apiVersion": "v1", "kind": "Service", "metadata": ["name": "web", "namespace": "default"],
                    "spec": ["selector": ["app": "web"], "ports": [["port": 80]]],
                ])
            @Sendable func ready() async throws -> Int {
                let slices = try await cluster.client.list(
                    .endpointSlices, namespace: "default", labels: LabelSelector(labels: ["kubernetes.io/service-name": "web"]),
                    fields: nil)
                return slices.items.flatMap { $0["endpoints"]?.array ?? [] }.filter { $0.at("conditions", "ready") == true }.count
            }
            try await cluster.eventually("two endpoints") { try await ready() == 2 }
            _ = try await cluster.client.patch(
                .deployments, ObjectKey(namespace: "default", name: "web"), .merge, ["spec": ["replicas": 0]], subresource: nil)
            try await cluster.eventually("no endpoint") { try await ready() == 0 }
            try await cluster.client.delete(.services, ObjectKey(namespace: "default", name: "web"))
            try await cluster.eventually("no slice") {
                try await cluster.client.list(.endpointSlices, namespace: "default").items.allSatisfy {
                    $0.at("metadata", "labels", "kubernetes.io/service-name") != "web"
                }
            }
        }
    }

    @Test func aDeletedNamespaceTakesEverythingInIt() async throws {
        try await Cluster.run { cluster in
            _ = try await cluster.client.create(
                .namespaces, ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "gone"]])
            var deployment = cluster.deployment("web", replicas: 2, image: "web:1")
            deployment.set("metadata", "namespace", to: "gone")
            _ = try await cluster.client.create(.deployments, deployment)
            try await cluster.eventually("pods are there") {
                try await cluster.client.list(.pods, namespace: "gone").items.count == 2
            }
            try await cluster.client.delete(.namespaces, ObjectKey(name: "gone"))
            try await cluster.eventually("the namespace is gone") { try await cluster.get(.namespaces, "gone", "") == nil }
            #expect(try await cluster.client.list(.pods, namespace: "gone").items.isEmpty)
            #expect(try await cluster.client.list(.replicaSets, namespace: "gone").items.isEmpty)
        }
    }

    @Test(arguments: ["Background", "Foreground"])
    func deletingADeploymentDeletesWhatItOwns(_ policy: String) async throws {
        try await Cluster.run { cluster in
            _ = try await cluster.client.create(.deployments, cluster.deployment("web", replicas: 2, image: "web:1"))
            try await cluster.eventually("pods are there") {
                try await cluster.client.list(.pods, namespace: "default").items.count == 2
            }
            try await cluster.client.delete(
                .deployments, ObjectKey(namespace: "default", name: "web"), DeleteOptions(propagationPolicy: policy))
            try await cluster.eventually("all is gone") {
                let left = try await cluster.client.list(.pods, namespace: "default").items.count
                    + cluster.client.list(.replicaSets, namespace: "default").items.count
                    + cluster.client.list(.deployments, namespace: "default").items.count
                return left == 0
            }
        }
    }

    @Test func orphansStay() async throws {
        try await Cluster.run { cluster in
            _ = try await cluster.client.create(.deployments, cluster.deployment("web", replicas: 1, image: "web:1"))
            try await cluster.eventually("a replica set is there") {
                try await cluster.client.list(.replicaSets, namespace: "default").items.count == 1
            }
            try await cluster.client.delete(
                .deployments, ObjectKey(namespace: "default", name: "web"), DeleteOptions(propagationPolicy: "Orphan"))
            try await cluster.eventually("the deployment is gone") { try await cluster.get(.deployments, "web") == nil }
            let sets = try await cluster.client.list(.replicaSets, namespace: "default").items
            #expect(sets.count == 1)
            #expect(sets.first?.at("metadata", "ownerReferences")?.array ?? [] == [])
        }
    }

    /// Foreground: what has another owner stays, without the reference; the owner waits for the rest.
    @Test func dependentsWithAnotherOwnerStay() async throws {
        try await Cluster.run { cluster in
            func make(_ name: String, owners: [JSON] = [], finalizers: [JSON] = []) async throws -> JSON {
                var object: JSON = [
                    "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": .string(name), "namespace": "default"],
                ]
                if !owners.isEmpty { object.set("metadata", "ownerReferences", to: .array(owners)) }
                if !finalizers.isEmpty { object.set("metadata", "finalizers", to: .array(finalizers)) }
                return try await cluster.client.create(.configMaps, object)
            }
            @Sendable func reference(_ owner: JSON) -> JSON {
                [
                    "apiVersion": "v1", "kind": "ConfigMap", "name": owner.at("metadata", "name") ?? "",
                    "uid": owner.at("metadata", "uid") ?? "", "blockOwnerDeletion": true,
                ]
            }
            let going = try await make("going")
            let staying = try await make("staying")
            _ = try await make("shared", owners: [reference(going), reference(staying)])
            _ = try await make("own", owners: [reference(going)], finalizers: ["example.com/hold"])
            try await cluster.eventually("the collector knows them") {
                cluster.informers.informer(.configMaps).object(ObjectKey(namespace: "default", name: "own")) != nil
            }
            try await cluster.client.delete(
                .configMaps, ObjectKey(namespace: "default", name: "going"),
                DeleteOptions(propagationPolicy: "Foreground"))
            try await cluster.eventually("its own dependent is going") {
                try await cluster.get(.configMaps, "own")?.at("metadata", "deletionTimestamp") != nil
            }
            try await cluster.eventually("the shared one is let go") {
                try await cluster.get(.configMaps, "shared")?.at("metadata", "ownerReferences")
                    == [reference(staying)]
            }
            #expect(try await cluster.get(.configMaps, "going") != nil)
            _ = try await cluster.client.patch(
                .configMaps, ObjectKey(namespace: "default", name: "own"), .merge,
                ["metadata": ["finalizers": .null]], subresource: nil)
            try await cluster.eventually("the owner is gone") { try await cluster.get(.configMaps, "going") == nil }
            #expect(try await cluster.get(.configMaps, "shared")?.at("metadata", "deletionTimestamp") == nil)
        }
    }

    @Test func aPodThatFitsNowhereSaysWhyAndRunsWhenItDoes() async throws {
        try await Cluster.run { cluster in
            _ = try await cluster.client.create(
                .pods,
                [
                    "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "big", "namespace": "default"],
                    "spec": [
                        "containers": [["name": "c", "image": "x", "resources": ["requests": ["cpu": "2"]]]],
                        "nodeSelector": ["disk": "ssd"],
                    ],
                ])
            try await cluster.eventually("it says why") {
                let conditions = try await cluster.get(.pods, "big")?.at("status", "conditions")?.array ?? []
                return conditions.contains { $0["reason"] == "Unschedulable" && ($0["message"]?.string ?? "").hasPrefix("0/1 nodes") }
            }
            _ = try await cluster.client.patch(
                .nodes, ObjectKey(name: "n1"), .merge, ["metadata": ["labels": ["disk": "ssd"]]], subresource: nil)
            try await cluster.eventually("it is bound") {
                try await cluster.get(.pods, "big")?.at("spec", "nodeName") == "n1"
            }
        }
    }
}

// The kubelet against the real API server (in process, store in memory), with a runtime of dictionaries: what a
// kubectl user would see of a node and its pods.

import APIServer
import Client
import Kernel
import Logging
import Objects
import Store
import Synchronization
import System
import Testing

@testable import Kubelet

/// The API's own questions to nodes are not asked here.
private struct NoNode: NodeBackend {
    func logs(
        pod: ObjectKey, node: String, options: LogOptions
    ) async throws(APIStatus) -> AsyncThrowingStream<[UInt8], any Error> { throw APIStatus.internalError("no node") }

    func exec(pod: ObjectKey, options: ExecOptions) async throws(APIStatus) -> any ExecStreams {
        throw APIStatus.internalError("no node")
    }

    func attach(pod: ObjectKey, options: ExecOptions) async throws(APIStatus) -> any ExecStreams {
        throw APIStatus.internalError("no node")
    }

    func connect(pod: ObjectKey, port: Int) async throws(APIStatus) -> any PodConnection {
        throw APIStatus.internalError("no node")
    }

    func untilGone(pod: ObjectKey) async {}

    func page(node: String, path: String) async throws(APIStatus) -> NodePage? { throw .internalError("no node") }
}

@Suite(.timeLimit(.minutes(5))) struct APIModeTests {
    static func server() async throws -> APIServer {
        let address = try #require(IPAddress("192.0.2.1"))
        let server = APIServer(
            store: MemoryStore(), configuration: APIServerConfiguration(advertiseAddress: address),
            nodeBackend: NoNode(), logger: .quiet)
        try await server.open()
        return server
    }

    static func create(_ client: InProcessClient, _ resource: ResourceID, _ text: String) async throws -> JSON {
        try await client.create(resource, try yaml(text))
    }

    static func get(_ client: InProcessClient, _ resource: ResourceID, _ name: String, _ namespace: String) async
        -> JSON?
    {
        try? await client.get(resource, ObjectKey(namespace: namespace, name: name))
    }

    /// What is told of anything in the namespace default.
    static func reasons(_ client: InProcessClient) async throws -> Set<String> {
        Set(try await client.list(.events, namespace: "default").items.compactMap { $0.text("reason") })
    }

    static func ready(_ pod: JSON?) -> String? {
        pod?.child("status").list("conditions").first { $0.text("type") == "Ready" }?.text("status")
    }

    @Test func aPodFromBindingToDeletion() async throws {
        try await withFolder { (folder: String) async throws in
            try Files.makeDirectory("\(folder)/data")
            let server = try await Self.server()
            let client = server.client
            let (runtime, network, prober) = (FakeRuntime(), FakeNetwork(), FakeProber())
            let drained = Mutex(0)
            func kubelet() throws -> Kubelet {
                var config = KubeletConfig.node(folder)
                config.addresses.append(try #require(IPAddress("fd00::1")))
                config.podCIDRs = [try #require(CIDR("10.42.0.0/24"))]
                return Kubelet(
                    config, client: client, runtime: runtime, network: network, prober: prober,
                    drain: { _ in drained.withLock { $0 += 1 } })
            }
            let first = try kubelet()
            let running = Task { await first.run() }

            // The node registers itself and breathes.
            try await until { await Self.get(client, .leases, "n1", "kube-node-lease") != nil }
            let node = try #require(await Self.get(client, .nodes, "n1", ""))
            #expect(Self.ready(node) == "True")
            #expect(node.child("spec").text("podCIDR") == "10.42.0.0/24")
            #expect(node.child("status").list("addresses").count == 3)
            #expect(node.child("status").child("nodeInfo").text("kubeletVersion") == "v1.36.1+noded.1")
            #expect(node.child("status").child("allocatable").text("pods") == "110")

            _ = try await Self.create(
                client, .configMaps, "{metadata: {name: conf, namespace: default}, data: {k: one}}")
            _ = try await Self.create(
                client, .pods,
                """
                metadata: {name: web, namespace: default, labels: {app: web}, annotations: {build: one}}
                spec:
                  nodeName: n1
                  automountServiceAccountToken: false
                  terminationGracePeriodSeconds: 5
                  containers:
                  - name: app
                    image: web:1
                    volumeMounts: [{name: conf, mountPath: /conf}]
                    readinessProbe: {httpGet: {port: 80}, periodSeconds: 1, failureThreshold: 1}
                  volumes:
                  - {name: conf, configMap: {name: conf}}
                  - name: self
                    downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}
                  - name: all
                    projected:
                      sources:
                      - downwardAPI: {items: [{path: b, fieldRef: {fieldPath: "metadata.annotations['build']"}}]}
                """)
            try await until { Self.ready(await Self.get(client, .pods, "web", "default")) == "True" }
            let pod = try #require(await Self.get(client, .pods, "web", "default"))
            let uid = try #require(pod.child("metadata").text("uid"))
            let status = pod.child("status")
            #expect(status.text("phase") == "Running")
            #expect(status.text("podIP") == "10.42.0.2")
            #expect(status.text("hostIP") == "192.0.2.1")
            #expect(status.text("qosClass") == "BestEffort")
            #expect(status.list("containerStatuses").first?.text("imageID") == "sha256:1")

            // Readiness reaches the API, and stale words of the condition go.
            prober.code.withLock { $0 = 500 }
            try await until { Self.ready(await Self.get(client, .pods, "web", "default")) == "False" }
            prober.code.withLock { $0 = 200 }
            try await until { Self.ready(await Self.get(client, .pods, "web", "default")) == "True" }
            let conditions = try #require(await Self.get(client, .pods, "web", "default")).child("status").list(
                "conditions")
            #expect(conditions.first { $0.text("type") == "Ready" }?["reason"] == nil)

            // A changed ConfigMap reaches the volume.
            let file = "\(folder)/data/pods/\(uid)/volumes/kubernetes.io~configmap/conf/k"
            #expect(try Files.readText(file) == "one")
            _ = try await client.patch(
                .configMaps, ObjectKey(namespace: "default", name: "conf"), .merge, ["data": ["k": "two"]],
                subresource: nil)
            try await until { (try? Files.readText(file)) == "two" }

            // So do the pod's own labels and annotations.
            let volumes = "\(folder)/data/pods/\(uid)/volumes"
            let labels = "\(volumes)/kubernetes.io~downward-api/self/labels"
            let build = "\(volumes)/kubernetes.io~projected/all/b"
            #expect(try Files.readText(labels) == "app=\"web\"")
            #expect(try Files.readText(build) == "one")
            _ = try await client.patch(
                .pods, ObjectKey(namespace: "default", name: "web"), .merge,
                ["metadata": ["labels": ["tier": "front"], "annotations": ["build": "two"]]], subresource: nil)
            try await until { (try? Files.readText(labels)) == "app=\"web\"\ntier=\"front\"" }
            try await until { (try? Files.readText(build)) == "two" }

            let wanted: Set = ["Starting", "Pulled", "Created", "Started", "Unhealthy"]
            try await until { try await Self.reasons(client).isSuperset(of: wanted) }

            // noded restarts: same containers, same object, not one write about it.
            running.cancel()
            await running.value
            let before = try #require(await Self.get(client, .pods, "web", "default"))
            let calls = runtime.calls
            let second = try kubelet()
            let again = Task { await second.run() }
            try await until { await second.pods().count == 1 }
            try await Task.sleep(for: .milliseconds(300))
            #expect(runtime.calls == calls)
            #expect(await Self.get(client, .pods, "web", "default") == before)

            again.cancel()
            await again.value

            // Nor one while the pod network cannot be read, although readiness is asked for at the pod's address.
            network.state.withLock { ($0.failures, $0.isRecovered) = (.max, false) }
            let third = try kubelet()
            let blind = Task { await third.run() }
            try await until { await third.pods().count == 1 }
            try await Task.sleep(for: .milliseconds(300))
            #expect(!network.isRecovered)
            #expect(await Self.get(client, .pods, "web", "default") == before)
            network.state.withLock { $0.failures = 0 }
            try await until { network.isRecovered }
            #expect(network.state.withLock { $0.refused } == 0)
            #expect(runtime.calls == calls)
            #expect(await Self.get(client, .pods, "web", "default") == before)

            // A deletion: endpoints first, then the stop, then nothing is left.
            try await client.delete(.pods, ObjectKey(namespace: "default", name: "web"), DeleteOptions([:]))
            try await until { await Self.get(client, .pods, "web", "default") == nil }
            try await until { await third.pods().isEmpty }
            #expect(drained.withLock { $0 } == 1)
            #expect(runtime.calls.suffix(2) == ["stop app", "remove"])
            #expect(!Files.exists("\(folder)/data/pods/\(uid)"))
            #expect(try Files.list("\(folder)/logs").isEmpty)

            // Nobody waits for events to be written.
            try await until { try await Self.reasons(client).contains("Killing") }
            let events = try await client.list(.events, namespace: "default").items
            let started = try #require(events.first { $0.text("reason") == "Started" })
            #expect(started.child("involvedObject").text("fieldPath") == "spec.containers{app}")
            blind.cancel()
            await blind.value
        }
    }

    @Test func aDeletedNodeComesBack() async throws {
        try await withFolder { (folder: String) async throws in
            try Files.makeDirectory("\(folder)/data")
            let client = try await Self.server().client
            let kubelet = Kubelet(.node(folder), client: client)
            let running = Task { await kubelet.run() }
            try await until { Self.ready(await Self.get(client, .nodes, "n1", "")) == "True" }
            let uid = await Self.get(client, .nodes, "n1", "")?.child("metadata").text("uid")
            try await client.delete(.nodes, ObjectKey(name: "n1"))
            try await until {
                guard let node = await Self.get(client, .nodes, "n1", "") else { return false }
                return Self.ready(node) == "True" && node.child("metadata").text("uid") != uid
            }
            running.cancel()
            await running.value
        }
    }

    @Test func aStatusIsComparedWithWhatTheAPIShows() async throws {
        let server = try await Self.server()
        let pod = try await Self.create(
            server.client, .pods,
            "{metadata: {name: a, namespace: default}, spec: {nodeName: n1, containers: [{name: c, image: w}]}}")
        let client = Busy(client: server.client)
        let sink = APISink(
            client: client, recorder: EventRecorder(client: client, component: "test", logger: .quiet))
        func phase() async -> String? {
            await Self.get(server.client, .pods, "a", "default")?.child("status").text("phase")
        }
        let (pending, running): (JSON, JSON) = (["phase": "Pending"], ["phase": "Running"])
        #expect(try await sink.publish(running, of: pod, after: nil))
        // The pod at hand still says Pending; the API does not.
        #expect(try await sink.publish(pending, of: pod, after: running))
        #expect(await phase() == "Pending")
        // Somebody was faster: tried again, not taken for another pod of the name.
        client.conflicts.withLock { $0 = 1 }
        await #expect(throws: APIStatus.self) { try await sink.publish(running, of: pod, after: pending) }
        #expect(try await sink.publish(running, of: pod, after: pending))
        #expect(await phase() == "Running")
        var other = pod
        other.set("metadata", "uid", to: "another")
        #expect(try await sink.publish(["phase": "Failed"], of: other, after: nil) == false)
        try await sink.remove(other)
        #expect(await phase() == "Running")
    }

    @Test func whatIsMissingIsSaidInTheStatus() async throws {
        try await withFolder { (folder: String) async throws in
            try Files.makeDirectory("\(folder)/data")
            let client = try await Self.server().client
            let kubelet = Kubelet(.node(folder), client: client)
            let running = Task { await kubelet.run() }
            for (name, container) in [
                ("image", "{name: app, image: 'nowhere:1'}"),
                (
                    "config",
                    "{name: app, image: 'web:1', env: [{name: X, valueFrom: {secretKeyRef: {name: db, key: k}}}]}"
                ),
            ] {
                _ = try await Self.create(
                    client, .pods,
                    """
                    metadata: {name: \(name), namespace: default}
                    spec:
                      nodeName: n1
                      terminationGracePeriodSeconds: 0
                      automountServiceAccountToken: false
                      containers: [\(container)]
                    """)
            }
            func waiting(_ name: String) async -> JSON {
                let pod = await Self.get(client, .pods, name, "default") ?? .null
                return pod.child("status").list("containerStatuses").first?.child("state").child("waiting") ?? .null
            }
            try await until { await waiting("image").text("reason") == "ErrImagePull" }
            #expect(await waiting("image").text("message")?.contains("noded image import") == true)
            try await until { await waiting("config").text("reason") == "CreateContainerConfigError" }
            #expect(await waiting("config").text("message") == "secret \"db\" not found")
            // The Secret appears: the container starts.
            _ = try await Self.create(
                client, .secrets, "{metadata: {name: db, namespace: default}, stringData: {k: v}}")
            try await until { Self.ready(await Self.get(client, .pods, "config", "default")) == "True" }
            // Deleting a pod that never ran needs nothing but its object.
            try await client.delete(
                .pods, ObjectKey(namespace: "default", name: "image"), DeleteOptions(gracePeriodSeconds: 0))
            try await client.delete(.pods, ObjectKey(namespace: "default", name: "config"), DeleteOptions([:]))
            try await until { await kubelet.pods().isEmpty }
            running.cancel()
            await running.value
        }
    }
}

/// A server where somebody else is faster, as often as told.
private final class Busy: APIClient {
    let client: InProcessClient
    let conflicts = Mutex(0)

    init(client: InProcessClient) { self.client = client }

    func get(_ resource: ResourceID, _ key: ObjectKey) async throws(APIStatus) -> JSON {
        try await client.get(resource, key)
    }
    func list(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?
    ) async throws(APIStatus) -> ObjectList {
        try await client.list(resource, namespace: namespace, labels: labels, fields: fields)
    }
    func create(_ resource: ResourceID, _ object: JSON) async throws(APIStatus) -> JSON {
        try await client.create(resource, object)
    }
    func create(
        _ resource: ResourceID, _ key: ObjectKey, subresource: String, _ object: JSON
    ) async throws(APIStatus) -> JSON {
        try await client.create(resource, key, subresource: subresource, object)
    }
    func update(_ resource: ResourceID, _ object: JSON, subresource: String?) async throws(APIStatus) -> JSON {
        try await client.update(resource, object, subresource: subresource)
    }
    func patch(
        _ resource: ResourceID, _ key: ObjectKey, _ type: PatchType, _ body: JSON, subresource: String?
    ) async throws(APIStatus) -> JSON {
        let refused = conflicts.withLock { left in
            defer { left = max(0, left - 1) }
            return left > 0
        }
        if refused { throw .conflict(resource, key.name, "the object has been modified") }
        return try await client.patch(resource, key, type, body, subresource: subresource)
    }
    func delete(_ resource: ResourceID, _ key: ObjectKey, _ options: DeleteOptions) async throws(APIStatus) {
        try await client.delete(resource, key, options)
    }
    func watch(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?, from: String
    ) -> AsyncThrowingStream<WatchEvent, any Error> {
        client.watch(resource, namespace: namespace, labels: labels, fields: fields, from: from)
    }
}

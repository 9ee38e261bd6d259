// The Node object and its Lease: registration, a heartbeat every 10 s (a Lease, kept in memory by the server), the
// status only when it changed or after 5 minutes. An object that somebody deleted is made again at once.

import Cgroups
import Client
import Logging
import Objects
import System

actor NodeAgent {
    static let leaseNamespace = "kube-node-lease"
    private static let heartbeat = Duration.seconds(10)
    private static let leaseSeconds: Int64 = 40
    private static let statusPeriod = Duration.seconds(300)

    private let config: KubeletConfig
    private let client: any APIClient
    private let runtimeVersion: String
    private let logger: Logger
    /// Why the node cannot run pods; nil when it can.
    private var problem: String?
    private var conditions: [String: (status: String, since: Timestamp)] = [:]
    private var published: JSON?
    private var publishedAt: ContinuousClock.Instant?
    private var nodeUID: String?
    private nonisolated let wakes: AsyncStream<Void>
    private nonisolated let wake: AsyncStream<Void>.Continuation

    init(config: KubeletConfig, client: any APIClient, runtimeVersion: String, logger: Logger) {
        self.config = config
        self.client = client
        self.runtimeVersion = runtimeVersion
        self.logger = logger
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    var uid: String { nodeUID ?? config.nodeName }

    /// nil: the node is ready. Told at once to the API.
    func setProblem(_ text: String?) {
        guard text != problem else { return }
        problem = text
        wake.yield()
    }

    /// Somebody deleted the Node object while the node lives: it is registered again at once, as a new one.
    func nodeDeleted() {
        logger.warning("the Node object was deleted; registering again", metadata: ["node": "\(config.nodeName)"])
        nodeUID = nil
        published = nil
        wake.yield()
    }

    func run() async {
        var backoff = Duration.milliseconds(100)
        var failing = false
        await withDiscardingTaskGroup { group in
            // A wake between two heartbeats brings a changed status forward.
            group.addTask {
                for await _ in self.wakes {
                    do { try await self.publish() } catch { self.logger.debug("node status not sent yet: \(error)") }
                }
            }
            while !Task.isCancelled {
                do {
                    try await publish()
                    try await renewLease()
                    backoff = .milliseconds(100)
                    if failing { logger.info("node heartbeats reach the API again") }
                    failing = false
                    try? await Task.sleep(for: Self.heartbeat)
                } catch {
                    if !failing {
                        logger.warning("node heartbeat failed, trying again", metadata: ["error": "\(error)"])
                    }
                    failing = true
                    try? await Task.sleep(for: backoff)
                    backoff = min(backoff * 2, .seconds(5))
                }
            }
            group.cancelAll()
        }
    }

    // MARK: - Node

    private func publish() async throws(APIStatus) {
        let facts = await NodeFacts.now(dataDirectory: config.dataDirectory)
        let steady = status(facts, now: nil)
        if steady == published, let at = publishedAt, ContinuousClock.now - at < Self.statusPeriod { return }
        var body = status(facts, now: .now())
        // The list merges by type, and a dual-stack node has two of one type.
        body["addresses"] = .array([["$patch": "replace"]] + body.list("addresses"))
        let key = ObjectKey(name: config.nodeName)
        do {
            if nodeUID == nil { try await register(key) }
            _ = try await client.patch(.nodes, key, .strategic, ["status": body], subresource: "status")
        } catch {
            guard error.code == 404 else { throw error }
            nodeUID = nil
            try await register(key)
            _ = try await client.patch(.nodes, key, .strategic, ["status": body], subresource: "status")
        }
        published = steady
        publishedAt = .now
    }

    private var labels: JSON {
        let machine = NodeFacts.read(dataDirectory: config.dataDirectory).architecture
        var labels: JSON = [
            "kubernetes.io/hostname": .string(config.nodeName), "kubernetes.io/os": "linux",
            "kubernetes.io/arch": .string(machine), "beta.kubernetes.io/os": "linux",
            "beta.kubernetes.io/arch": .string(machine),
        ]
        for (key, value) in config.labels { labels[key] = .string(value) }
        return labels
    }

    private func register(_ key: ObjectKey) async throws(APIStatus) {
        var spec: JSON = [:]
        if let first = config.podCIDRs.first {
            spec["podCIDR"] = .string(first.description)
            spec["podCIDRs"] = .array(config.podCIDRs.map { .string($0.description) })
        }
        var node: JSON = [
            "apiVersion": "v1", "kind": "Node",
            "metadata": ["name": .string(config.nodeName), "labels": labels], "spec": spec,
        ]
        do {
            node = try await client.create(.nodes, node)
            logger.info("node registered", metadata: ["node": "\(config.nodeName)"])
        } catch {
            guard error.code == 409 else { throw error }
            // Known from before: labels may be new, everything else is others'.
            node = try await client.patch(.nodes, key, .merge, ["metadata": ["labels": labels]], subresource: nil)
            for condition in node.child("status").list("conditions") {
                guard let type = condition.text("type"), let status = condition.text("status"),
                    let since = condition.text("lastTransitionTime").flatMap({ Timestamp(rfc3339: $0) })
                else { continue }
                conditions[type] = (status, since)
            }
        }
        nodeUID = node.child("metadata").text("uid")
    }

    /// With `now` nil, the part that makes a status worth sending: no heartbeat times, no fine movement.
    private func status(_ facts: NodeFacts, now: Timestamp?) -> JSON {
        func quantities(cpu: Int64, memory: Int64) -> JSON {
            [
                "cpu": .string(cpu % 1000 == 0 ? "\(cpu / 1000)" : "\(cpu)m"), "memory": .string("\(memory / 1024)Ki"),
                "pods": .string("\(config.maximumPods)"), "ephemeral-storage": .string("\(facts.storage / 1024)Ki"),
            ]
        }
        let cpu = Int64(facts.cpus) * 1000
        var addresses = config.addresses.map { address -> JSON in
            ["type": "InternalIP", "address": .string(address.description)]
        }
        addresses.append(["type": "Hostname", "address": .string(config.nodeName)])
        return [
            "addresses": .array(addresses), "capacity": quantities(cpu: cpu, memory: facts.memory),
            "allocatable": quantities(
                cpu: max(0, cpu - config.reservedMilliCPU), memory: max(0, facts.memory - config.reservedMemory)),
            "conditions": .array(conditionList(facts).map { conditionJSON($0, now) }),
            "nodeInfo": [
                "machineID": .string(facts.machineID), "systemUUID": .string(facts.systemUUID),
                "bootID": .string(facts.bootID), "kernelVersion": .string(facts.kernelVersion),
                "osImage": .string(facts.osImage), "containerRuntimeVersion": .string(runtimeVersion),
                "kubeletVersion": .string(config.version), "kubeProxyVersion": "", "operatingSystem": "linux",
                "architecture": .string(facts.architecture),
            ],
        ]
    }

    private struct Condition {
        var type: String
        var status: Bool
        var reason: String
        var message: String
    }

    private func conditionList(_ facts: NodeFacts) -> [Condition] {
        let memory = facts.availableMemory < 100 << 20
        let disk = facts.storage > 0 && facts.availableStorage < facts.storage / 10
        var list = [
            Condition(
                type: "MemoryPressure", status: memory,
                reason: memory ? "KubeletHasInsufficientMemory" : "KubeletHasSufficientMemory",
                message: memory
                    ? "kubelet has insufficient memory available" : "kubelet has sufficient memory available"),
            Condition(
                type: "DiskPressure", status: disk,
                reason: disk ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure",
                message: disk ? "kubelet has disk pressure" : "kubelet has no disk pressure"),
            Condition(
                type: "PIDPressure", status: false, reason: "KubeletHasSufficientPID",
                message: "kubelet has sufficient PID available"),
        ]
        list.append(
            Condition(
                type: "CgroupLimitsUnenforced", status: !config.unenforced.isEmpty,
                reason: config.unenforced.isEmpty ? "AllControllersPresent" : "ControllersMissing",
                message: Unenforced.summary(config.unenforced) ?? "every resource limit is enforced"))
        list.append(
            Condition(
                type: "Ready", status: problem == nil, reason: problem == nil ? "KubeletReady" : "KubeletNotReady",
                message: problem ?? "kubelet is posting ready status"))
        return list
    }

    private func conditionJSON(_ condition: Condition, _ now: Timestamp?) -> JSON {
        let status = condition.status ? "True" : "False"
        var json: JSON = [
            "type": .string(condition.type), "status": .string(status), "reason": .string(condition.reason),
            "message": .string(condition.message),
        ]
        guard let now else { return json }
        if conditions[condition.type]?.status != status { conditions[condition.type] = (status, now) }
        json["lastHeartbeatTime"] = .string(now.rfc3339)
        json["lastTransitionTime"] = .string((conditions[condition.type]?.since ?? now).rfc3339)
        return json
    }

    // MARK: - Lease

    private func renewLease() async throws(APIStatus) {
        let key = ObjectKey(namespace: Self.leaseNamespace, name: config.nodeName)
        let spec: JSON = [
            "holderIdentity": .string(config.nodeName), "leaseDurationSeconds": .int(Self.leaseSeconds),
            "renewTime": .string(Timestamp.now().rfc3339Micro),
        ]
        do {
            _ = try await client.patch(.leases, key, .merge, ["spec": spec], subresource: nil)
        } catch {
            guard error.code == 404 else { throw error }
            var metadata: JSON = ["name": .string(key.name), "namespace": .string(key.namespace)]
            if let nodeUID {
                metadata["ownerReferences"] = [
                    [
                        "apiVersion": "v1", "kind": "Node", "name": .string(config.nodeName), "uid": .string(nodeUID),
                    ]
                ]
            }
            _ = try await client.create(
                .leases, ["apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec])
        }
    }
}

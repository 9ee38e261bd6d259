// ReplicaSet: as many pods as it says, made from its template (apps/v1 ReplicaSet).
//
// The informer's copy runs a little behind the writes. So that a second look does not make the same pods again,
// what was created or deleted and not yet seen is remembered (`Expectations`), and the replica set waits for it.

import Client
import Logging
import Objects
import Reconcile
import System

struct ReplicaSetController: Controller {
    static let name = "replicaset-controller"
    /// At most this many pods are made or deleted in one go (as kube-controller-manager does).
    private static let burst = 500

    private let client: any APIClient
    private let replicaSets: Informer
    private let pods: Informer
    private let podsByOwner: Index
    private let queue: WorkQueue<ObjectKey>
    private let events: EventRecorder
    private let expectations = Expectations()
    private let logger: Logger

    init(_ context: ControllerContext) {
        client = context.client
        replicaSets = context.informers.informer(.replicaSets)
        pods = context.informers.informer(.pods)
        podsByOwner = Index(pods, Ownership.indexValues)
        queue = WorkQueue(Self.name, logger: context.logger)
        events = EventRecorder(client: context.client, component: Self.name, logger: context.logger)
        logger = context.logger
    }

    func run() async {
        replicaSets.onChange { key, _, new in
            if new == nil { expectations.forget(key) }
            queue.add(key)
        }
        pods.onChange { key, old, new in
            for pod in [old, new].compactMap({ $0 }) {
                guard let owner = Ownership.controller(of: pod) else {
                    wakeMatching(pod)
                    continue
                }
                guard owner["kind"]?.string == "ReplicaSet", let name = owner["name"]?.string else { continue }
                let ownerKey = ObjectKey(namespace: key.namespace, name: name)
                expectations.saw(key, of: ownerKey, gone: new == nil || new?["metadata"]?["deletionTimestamp"] != nil)
                queue.add(ownerKey)
            }
        }
        await withDiscardingTaskGroup { group in
            group.addTask { await events.run() }
            group.addTask {
                await replicaSets.waitForSync()
                await pods.waitForSync()
                await queue.run(workers: 5, reconcile)
            }
        }
    }

    /// An orphan may be somebody's by its labels.
    private func wakeMatching(_ pod: JSON) {
        let namespace = pod["metadata"]?["namespace"]?.string ?? ""
        let labels = pod["metadata"]?["labels"]?.stringMap ?? [:]
        guard !labels.isEmpty else { return }
        for (key, replicaSet) in replicaSets.objects where key.namespace == namespace {
            if let selector = Ownership.selector(replicaSet["spec"]?["selector"]), selector.matches(labels) {
                queue.add(key)
            }
        }
    }

    private func reconcile(_ key: ObjectKey) async throws -> Outcome {
        guard let replicaSet = replicaSets.object(key) else { return .done }
        if let wait = expectations.pending(key) { return .after(wait) }
        guard let selector = Ownership.selector(replicaSet["spec"]?["selector"]) else {
            throw APIStatus.internalError("replica set \(key) has no usable selector")
        }
        let owned = try await Ownership.claim(
            .pods, index: podsByOwner, owner: replicaSet, in: .replicaSets, kind: "ReplicaSet",
            selector: selector, client: client)
        let active = owned.filter(PodFacts.isActive)
        let wanted = Int(replicaSet["spec"]?["replicas"]?.int ?? 1)
        var failure: APIStatus?
        if replicaSet["metadata"]?["deletionTimestamp"] == nil {
            do throws(APIStatus) {
                if active.count < wanted {
                    try await create(min(wanted - active.count, Self.burst), for: replicaSet, key)
                } else if active.count > wanted {
                    try await delete(min(active.count - wanted, Self.burst), of: active, for: replicaSet, key)
                }
            } catch {
                failure = error
            }
        }
        try await writeStatus(of: replicaSet, key, active: active, wanted: wanted, failure: failure)
        if let failure { throw failure }
        return nextLook(active, minReady: replicaSet["spec"]?["minReadySeconds"]?.int ?? 0)
    }

    /// Creates in batches of 1, 2, 4…: when the first is refused (a quota, say), the rest are not tried.
    private func create(_ count: Int, for replicaSet: JSON, _ key: ObjectKey) async throws(APIStatus) {
        var left = count
        var batch = 1
        while left > 0 {
            let size = min(batch, left)
            let results = await withTaskGroup(of: Result<JSON, APIStatus>.self) { group in
                for _ in 0..<size {
                    group.addTask { await createOne(for: replicaSet, key) }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            for case .failure(let error) in results { throw error }
            left -= size
            batch *= 2
        }
    }

    private func createOne(for replicaSet: JSON, _ key: ObjectKey) async -> Result<JSON, APIStatus> {
        let template = replicaSet["spec"]?["template"] ?? [:]
        var metadata = template["metadata"] ?? [:]
        // The name is chosen here, so that the pod is expected before it can be seen.
        let name = "\(key.name.prefix(57))-\(Random.nameSuffix())"
        metadata["name"] = .string(name)
        metadata["generateName"] = .string("\(key.name)-")
        metadata["namespace"] = .string(key.namespace)
        metadata["ownerReferences"] = [Ownership.reference(to: replicaSet, "apps/v1", "ReplicaSet")]
        let pod: JSON = [
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] ?? [:],
        ]
        let podKey = ObjectKey(namespace: key.namespace, name: name)
        expectations.creating(podKey, for: key)
        do throws(APIStatus) {
            let created = try await client.create(.pods, pod)
            events.record(
                .normal, "SuccessfulCreate", "Created pod: \(name)", about: replicaSet, kind: "ReplicaSet",
                apiVersion: "apps/v1")
            return .success(created)
        } catch {
            expectations.saw(podKey, of: key, gone: true)
            events.record(
                .warning, "FailedCreate", "Error creating: \(error.message)", about: replicaSet, kind: "ReplicaSet",
                apiVersion: "apps/v1")
            return .failure(error)
        }
    }

    private func delete(
        _ count: Int, of pods: [JSON], for replicaSet: JSON, _ key: ObjectKey
    ) async throws(APIStatus) {
        for pod in PodFacts.firstToGo(pods).prefix(count) {
            let podKey = ObjectKey(pod)
            expectations.deleting(podKey, for: key)
            do throws(APIStatus) {
                try await client.delete(.pods, podKey)
                events.record(
                    .normal, "SuccessfulDelete", "Deleted pod: \(podKey.name)", about: replicaSet, kind: "ReplicaSet",
                    apiVersion: "apps/v1")
            } catch {
                expectations.saw(podKey, of: key, gone: true)
                if error.code != 404 { throw error }
            }
        }
    }

    private func writeStatus(
        of replicaSet: JSON, _ key: ObjectKey, active: [JSON], wanted: Int, failure: APIStatus?
    ) async throws(APIStatus) {
        let minReady = replicaSet["spec"]?["minReadySeconds"]?.int ?? 0
        let templateLabels = replicaSet["spec"]?["template"]?["metadata"]?["labels"]?.stringMap ?? [:]
        let labelled = active.filter { pod in
            let labels = pod["metadata"]?["labels"]?.stringMap ?? [:]
            return templateLabels.allSatisfy { labels[$0.key] == $0.value }
        }
        var status = replicaSet["status"] ?? [:]
        func set(_ field: String, _ count: Int) {
            // Kubernetes leaves zero counts out, but for `replicas`, which is required.
            status[field] = count == 0 && field != "replicas" ? nil : .int(Int64(count))
        }
        set("replicas", active.count)
        set("fullyLabeledReplicas", labelled.count)
        set("readyReplicas", active.filter(PodFacts.isReady).count)
        set("availableReplicas", active.filter { PodFacts.isAvailable($0, minReadySeconds: minReady) }.count)
        status["observedGeneration"] = replicaSet["metadata"]?["generation"]
        let known = Conditions.find("ReplicaFailure", in: replicaSet)
        if let failure {
            status["conditions"] = [
                Conditions.make(
                    type: "ReplicaFailure", status: "True",
                    reason: active.count < wanted ? "FailedCreate" : "FailedDelete", message: failure.message,
                    previous: known)
            ]
        } else if known != nil {
            status["conditions"] = nil
        }
        guard status != replicaSet["status"] else { return }
        var updated = replicaSet
        updated["status"] = status
        do throws(APIStatus) {
            _ = try await client.update(.replicaSets, updated, subresource: "status")
        } catch where error.code == 404 {
            return
        }
    }

    /// A ready pod becomes available after minReadySeconds; nothing else tells us when.
    private func nextLook(_ pods: [JSON], minReady: Int64) -> Outcome {
        guard minReady > 0 else { return .done }
        let waiting = pods.filter { PodFacts.isReady($0) && !PodFacts.isAvailable($0, minReadySeconds: minReady) }
        return waiting.isEmpty ? .done : .after(.seconds(1))
    }
}

// As many pods as an object says, made from its template: what ReplicaSets and ReplicationControllers do alike.
//
// The informer's copy runs a little behind the writes. So that a second look does not make the same pods again,
// what was created or deleted and not yet seen is remembered (`Expectations`), and its owner waits for it.

import Client
import Logging
import Objects
import Reconcile
import System

struct ReplicaLoop: Sendable {
    /// At most this many pods are made or deleted in one go (as kube-controller-manager does).
    private static let burst = 500

    private let kind: ReplicatedKind
    private let client: any APIClient
    private let owners: Informer
    private let ownersByNamespace: Index
    private let pods: Informer
    private let podsByOwner: Index
    private let queue: WorkQueue<ObjectKey>
    private let events: EventRecorder
    private let expectations = Expectations()

    /// - Parameter name: the controller's, as it appears in events and logs.
    init(_ kind: ReplicatedKind, name: String, _ context: ControllerContext) {
        self.kind = kind
        client = context.client
        owners = context.informers.informer(kind.resource)
        ownersByNamespace = context.informers.index(kind.resource, .byNamespace)
        pods = context.informers.informer(.pods)
        podsByOwner = context.informers.index(.pods, Ownership.index)
        queue = WorkQueue(name, logger: context.logger)
        events = EventRecorder(client: context.client, component: name, logger: context.logger)
    }

    func run() async {
        await queue.run(
            workers: 5, recording: events,
            watching: [
                KeySource(owners) { key, _, new in
                    if new == nil { expectations.forget(key) }
                    return [key]
                },
                KeySource(pods) { key, old, new in
                    [old, new].compactMap { $0 }.flatMap { concerned($0, key, isGoing: Self.isGoing(new)) }
                },
            ], reconcile)
    }

    private static func isGoing(_ pod: JSON?) -> Bool { pod?.at("metadata", "deletionTimestamp") != nil || pod == nil }

    /// Whom a state of a pod concerns: its owner, or whoever may adopt it.
    private func concerned(_ pod: JSON, _ key: ObjectKey, isGoing: Bool) -> [ObjectKey] {
        guard let owner = Ownership.controller(of: pod) else { return adopters(of: pod, key) }
        guard kind.isNamed(by: owner), let name = owner["name"]?.string else { return [] }
        let ownerKey = ObjectKey(namespace: key.namespace, name: name)
        expectations.saw(key, of: ownerKey, gone: isGoing)
        return [ownerKey]
    }

    /// An orphan may be somebody's by its labels.
    private func adopters(of pod: JSON, _ key: ObjectKey) -> [ObjectKey] {
        let labels = pod.at("metadata", "labels")?.stringMap ?? [:]
        guard !labels.isEmpty else { return [] }
        return ownersByNamespace.objects(key.namespace).filter { kind.selector($0)?.matches(labels) == true }
            .map { ObjectKey($0) }
    }

    private func reconcile(_ key: ObjectKey) async throws -> Outcome {
        guard let owner = owners.object(key) else { return .done }
        if let wait = expectations.pending(key) { return .after(wait) }
        guard let selector = kind.selector(owner) else {
            throw APIStatus.internalError("\(kind.kind) \(key) has no usable selector")
        }
        let owned = try await Ownership.claim(
            .pods, index: podsByOwner, owner: owner, in: kind.resource, kind: kind.kind,
            selector: selector, client: client)
        let active = owned.filter(PodFacts.isActive)
        let wanted = Int(owner["spec"]?["replicas"]?.int ?? 1)
        var failure: APIStatus?
        if owner["metadata"]?["deletionTimestamp"] == nil {
            do throws(APIStatus) {
                if active.count < wanted {
                    try await create(min(wanted - active.count, Self.burst), for: owner, key)
                } else if active.count > wanted {
                    try await delete(min(active.count - wanted, Self.burst), of: active, for: owner, key)
                }
            } catch {
                failure = error
            }
        }
        try await writeStatus(of: owner, key, active: active, wanted: wanted, failure: failure)
        if let failure { throw failure }
        return nextLook(active, minReady: owner["spec"]?["minReadySeconds"]?.int ?? 0)
    }

    /// Creates in batches of 1, 2, 4…: when the first is refused (a quota, say), the rest are not tried.
    private func create(_ count: Int, for owner: JSON, _ key: ObjectKey) async throws(APIStatus) {
        var left = count
        var batch = 1
        while left > 0 {
            let size = min(batch, left)
            let results = await withTaskGroup(of: Result<JSON, APIStatus>.self) { group in
                for _ in 0..<size {
                    group.addTask { await createOne(for: owner, key) }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            for case .failure(let error) in results {
                if error.isNamespaceTerminating { return }
                throw error
            }
            left -= size
            batch *= 2
        }
    }

    private func createOne(for owner: JSON, _ key: ObjectKey) async -> Result<JSON, APIStatus> {
        let template = owner["spec"]?["template"] ?? [:]
        var metadata = template["metadata"] ?? [:]
        // The name is chosen here, so that the pod is expected before it can be seen.
        let name = "\(key.name.prefix(57))-\(Random.nameSuffix())"
        metadata["name"] = .string(name)
        metadata["generateName"] = .string("\(key.name)-")
        metadata["namespace"] = .string(key.namespace)
        metadata["ownerReferences"] = [Ownership.reference(to: owner, kind.resource.apiVersion, kind.kind)]
        let pod: JSON = [
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] ?? [:],
        ]
        let podKey = ObjectKey(namespace: key.namespace, name: name)
        expectations.creating(podKey, for: key)
        do throws(APIStatus) {
            let created = try await client.create(.pods, pod)
            events.record(
                .normal, "SuccessfulCreate", "Created pod: \(name)", about: owner, kind: kind.kind,
                apiVersion: kind.resource.apiVersion)
            return .success(created)
        } catch {
            expectations.saw(podKey, of: key, gone: true)
            if error.isNamespaceTerminating { return .failure(error) }
            events.record(
                .warning, "FailedCreate", "Error creating: \(error.message)", about: owner, kind: kind.kind,
                apiVersion: kind.resource.apiVersion)
            return .failure(error)
        }
    }

    private func delete(
        _ count: Int, of pods: [JSON], for owner: JSON, _ key: ObjectKey
    ) async throws(APIStatus) {
        for pod in PodFacts.firstToGo(pods).prefix(count) {
            let podKey = ObjectKey(pod)
            expectations.deleting(podKey, for: key)
            do throws(APIStatus) {
                try await client.delete(.pods, podKey)
                events.record(
                    .normal, "SuccessfulDelete", "Deleted pod: \(podKey.name)", about: owner, kind: kind.kind,
                    apiVersion: kind.resource.apiVersion)
            } catch {
                expectations.saw(podKey, of: key, gone: true)
                if error.code != 404 { throw error }
            }
        }
    }

    private func writeStatus(
        of owner: JSON, _ key: ObjectKey, active: [JSON], wanted: Int, failure: APIStatus?
    ) async throws(APIStatus) {
        let minReady = owner["spec"]?["minReadySeconds"]?.int ?? 0
        let templateLabels = owner["spec"]?["template"]?["metadata"]?["labels"]?.stringMap ?? [:]
        let labelled = active.filter { pod in
            let labels = pod["metadata"]?["labels"]?.stringMap ?? [:]
            return templateLabels.allSatisfy { labels[$0.key] == $0.value }
        }
        var status = owner["status"] ?? [:]
        func set(_ field: String, _ count: Int) {
            // Kubernetes leaves zero counts out, but for `replicas`, which is required.
            status[field] = count == 0 && field != "replicas" ? nil : .int(Int64(count))
        }
        set("replicas", active.count)
        set("fullyLabeledReplicas", labelled.count)
        set("readyReplicas", active.filter(PodFacts.isReady).count)
        set("availableReplicas", active.filter { PodFacts.isAvailable($0, minReadySeconds: minReady) }.count)
        status["observedGeneration"] = owner["metadata"]?["generation"]
        let known = Conditions.find("ReplicaFailure", in: owner)
        if let failure {
            // The first failure's words stay while its reason does: each names another pod, and a status that changes
            // with every attempt would call for the next one at once, past the queue's back-off.
            let reason = active.count < wanted ? "FailedCreate" : "FailedDelete"
            if known?["status"]?.string != "True" || known?["reason"]?.string != reason {
                status["conditions"] = [
                    Conditions.make(
                        type: "ReplicaFailure", status: "True", reason: reason, message: failure.message,
                        previous: known)
                ]
            }
        } else if known != nil {
            status["conditions"] = nil
        }
        guard status != owner["status"] else { return }
        var updated = owner
        updated["status"] = status
        do throws(APIStatus) {
            _ = try await client.update(kind.resource, updated, subresource: "status")
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

// Deployment: replica sets of one template each, and the walk from the old ones to the new (apps/v1 Deployment).
//
//      template changed -> new ReplicaSet (revision + 1) -> scale up new, scale down old, within
//      maxSurge and maxUnavailable -> all replicas new and available -> old sets kept for rollback
//
// The numbers of each step are decided by `Rollout`, a plain value; this file reads, writes and reports.

import Client
import Logging
import Objects
import Reconcile
import System

struct DeploymentController: Controller {
    static let name = "deployment-controller"

    let client: any APIClient
    let events: EventRecorder
    private let deployments: Informer
    private let deploymentsByNamespace: Index
    private let replicaSets: Informer
    private let replicaSetsByOwner: Index
    private let pods: Informer
    private let podsByOwner: Index
    private let queue: WorkQueue<ObjectKey>

    init(_ context: ControllerContext) {
        client = context.client
        deployments = context.informers.informer(.deployments)
        replicaSets = context.informers.informer(.replicaSets)
        pods = context.informers.informer(.pods)
        deploymentsByNamespace = context.informers.index(.deployments, .byNamespace)
        replicaSetsByOwner = context.informers.index(.replicaSets, Ownership.index)
        podsByOwner = context.informers.index(.pods, Ownership.index)
        queue = WorkQueue(Self.name, logger: context.logger)
        events = EventRecorder(client: context.client, component: Self.name, logger: context.logger)
    }

    func run() async {
        await queue.run(
            workers: 5, recording: events,
            watching: [
                .each(deployments),
                KeySource(replicaSets) { key, old, new in
                    [old, new].compactMap { $0 }.flatMap { concerned($0, key) }
                },
                // Recreate waits for the last old pod to be gone.
                KeySource(pods) { key, _, new in new == nil ? recreating(in: key.namespace) : [] },
            ], reconcile)
    }

    /// Whom a state of a replica set concerns: its owner, or whoever may adopt it.
    private func concerned(_ replicaSet: JSON, _ key: ObjectKey) -> [ObjectKey] {
        if let owner = Ownership.controller(of: replicaSet) {
            guard owner["kind"]?.string == "Deployment", let name = owner["name"]?.string else { return [] }
            return [ObjectKey(namespace: key.namespace, name: name)]
        }
        let labels = replicaSet.at("metadata", "labels")?.stringMap ?? [:]
        return deploymentsByNamespace.objects(key.namespace).filter {
            Ownership.selector($0.at("spec", "selector"))?.matches(labels) == true
        }.map { ObjectKey($0) }
    }

    private func recreating(in namespace: String) -> [ObjectKey] {
        deploymentsByNamespace.objects(namespace).filter { $0.at("spec", "strategy", "type") == "Recreate" }
            .map { ObjectKey($0) }
    }

    private func reconcile(_ key: ObjectKey) async throws -> Outcome {
        guard let deployment = deployments.object(key) else { return .done }
        guard let selector = Ownership.selector(deployment["spec"]?["selector"]) else {
            throw APIStatus.internalError("deployment \(key) has no usable selector")
        }
        let owned = try await Ownership.claim(
            .replicaSets, index: replicaSetsByOwner, owner: deployment, in: .deployments, kind: "Deployment",
            selector: selector, client: client)
        var rollout = Rollout(deployment: deployment, replicaSets: owned)
        if deployment["metadata"]?["deletionTimestamp"] != nil {
            return try await writeStatus(rollout, key)
        }
        if rollout.isPaused {
            try await apply(rollout.proportionalScale(), &rollout)
            return try await writeStatus(rollout, key)
        }
        try await ensureNewReplicaSet(&rollout, key)
        let oldPodsGone = !rollout.old.contains { old in
            podsByOwner.objects(old["metadata"]?["uid"]?.string ?? "").contains { pod in
                !["Succeeded", "Failed"].contains(pod["status"]?["phase"]?.string ?? "")
            }
        }
        try await apply(rollout.nextScale(oldPodsGone: oldPodsGone), &rollout)
        if rollout.isComplete { try await cleanUp(rollout) }
        return try await writeStatus(rollout, key)
    }

    /// Makes the replica set of the present template, or brings the found one's revision up to date.
    private func ensureNewReplicaSet(_ rollout: inout Rollout, _ key: ObjectKey) async throws(APIStatus) {
        let revision = String(rollout.newRevision)
        if let new = rollout.new {
            let annotations = rollout.annotations(for: new, revision: revision)
            if annotations != new["metadata"]?["annotations"] {
                var updated = new
                updated.set("metadata", "annotations", to: annotations)
                rollout.replace(try await client.update(.replicaSets, updated))
            }
        } else {
            let hash = TemplateHash.of(rollout.template, collisions: rollout.collisionCount)
            let object = rollout.makeReplicaSet(hash: hash, revision: revision)
            do throws(APIStatus) {
                let created = try await client.create(.replicaSets, object)
                rollout.replace(created)
                report(rollout.deployment, created, from: 0, to: created["spec"]?["replicas"]?.int ?? 0)
            } catch where error.reason == "AlreadyExists" {
                try await handleNameTaken(object, rollout, key, error)
            }
        }
        guard rollout.deployment["metadata"]?["annotations"]?[Rollout.revisionKey]?.string != revision else { return }
        let patch: JSON = ["metadata": ["annotations": [Rollout.revisionKey: .string(revision)]]]
        rollout.deployment = try await client.patch(.deployments, key, .merge, patch, subresource: nil)
    }

    /// The name is taken: by our own set that the informer has not shown yet (look again), or by one of another
    /// template, whose hash collides (count the collision up, so that the next hash differs).
    private func handleNameTaken(
        _ object: JSON, _ rollout: Rollout, _ key: ObjectKey, _ error: APIStatus
    ) async throws(APIStatus) {
        let existing = try await client.get(.replicaSets, ObjectKey(object))
        let ours = Ownership.controllerUID(of: existing) == rollout.deployment["metadata"]?["uid"]?.string
        if !ours || !TemplateHash.sameTemplate(existing["spec"]?["template"], rollout.template) {
            var updated = rollout.deployment
            updated.set("status", "collisionCount", to: .int(rollout.collisionCount + 1))
            _ = try await client.update(.deployments, updated, subresource: "status")
        }
        throw error
    }

    private func apply(_ steps: [Rollout.Step], _ rollout: inout Rollout) async throws(APIStatus) {
        for step in steps {
            guard let target = rollout.replicaSet(step.uid) else { continue }
            let from = target["spec"]?["replicas"]?.int ?? 0
            var updated = target
            updated.set("spec", "replicas", to: .int(step.replicas))
            updated.set("metadata", "annotations", to: rollout.sizeAnnotations(on: target))
            guard updated != target else { continue }
            rollout.replace(try await client.update(.replicaSets, updated))
            if from != step.replicas { report(rollout.deployment, target, from: from, to: step.replicas) }
        }
    }

    private func report(_ deployment: JSON, _ replicaSet: JSON, from: Int64, to: Int64) {
        let name = replicaSet["metadata"]?["name"]?.string ?? ""
        events.record(
            .normal, "ScalingReplicaSet",
            "Scaled \(to > from ? "up" : "down") replica set \(name) from \(from) to \(to)", about: deployment,
            kind: "Deployment", apiVersion: "apps/v1")
    }

    /// Deletes the oldest empty replica sets beyond spec.revisionHistoryLimit.
    private func cleanUp(_ rollout: Rollout) async throws(APIStatus) {
        for old in rollout.surplusHistory() {
            try await client.deleteIfPresent(.replicaSets, ObjectKey(old))
        }
    }

    private func writeStatus(_ rollout: Rollout, _ key: ObjectKey) async throws(APIStatus) -> Outcome {
        let (status, next) = rollout.status(now: Timestamp.now())
        guard status != rollout.deployment["status"] else { return next }
        var updated = rollout.deployment
        updated["status"] = status
        do throws(APIStatus) {
            _ = try await client.update(.deployments, updated, subresource: "status")
        } catch where error.code == 404 {
            return .done
        }
        return next
    }
}

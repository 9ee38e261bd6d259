// Deletes pods from nodes whose NoExecute taints they do not tolerate, or no longer: tolerationSeconds count from when
// this controller first saw pod and taints together.
//
//      taints of a node change ──> its pods ─┐
//      a pod is bound, tolerates more ───────┴─> TaintEviction: stays | goes after N s ──> condition, delete
//
// The moments from which seconds count are memory: a restart counts anew, as it does in Kubernetes, so that a pod stays
// rather longer than shorter. Static pods tolerate every NoExecute taint (their kubelet sees to it), and a mirror pod
// is their reflection: deleting it would end nothing. DaemonSet pods tolerate what their controller gave them.

import Client
import Logging
import Objects
import Reconcile
import Synchronization

struct TaintEvictionController: Controller {
    static let name = "taint-eviction-controller"
    private static let condition = "DisruptionTarget"
    private static let byNode = IndexKind("node") { pod in
        pod["spec"]?["nodeName"]?.string.map { $0.isEmpty ? [] : [$0] } ?? []
    }

    private struct Waiting {
        let uid: String
        let since: ContinuousClock.Instant
    }

    private final class Memory: Sendable {
        let waiting = Mutex<[ObjectKey: Waiting]>([:])
    }

    private let client: any APIClient
    private let nodes: Informer
    private let pods: Informer
    private let podsByNode: Index
    private let events: EventRecorder
    private let queue: WorkQueue<ObjectKey>
    private let memory = Memory()

    init(_ context: ControllerContext) {
        client = context.client
        nodes = context.informers.informer(.nodes)
        pods = context.informers.informer(.pods)
        podsByNode = context.informers.index(.pods, Self.byNode)
        events = EventRecorder(client: context.client, component: Self.name, logger: context.logger)
        queue = WorkQueue(Self.name, logger: context.logger)
    }

    func run() async {
        await queue.run(
            workers: 4, recording: events,
            watching: [
                KeySource(pods) { key, old, new in
                    old?["spec"]?["nodeName"] != new?["spec"]?["nodeName"]
                        || old?["spec"]?["tolerations"] != new?["spec"]?["tolerations"] ? [key] : []
                },
                KeySource(nodes) { key, old, new in
                    let taints = [old, new].map { $0.map { TaintEviction.taints(of: $0).map(\.json) } ?? [] }
                    return taints[0] == taints[1] ? [] : podsByNode.objects(key.name).map { ObjectKey($0) }
                },
            ], reconcile)
    }

    private func reconcile(_ key: ObjectKey) async throws -> Outcome {
        guard let pod = pods.object(key), pod["metadata"]?["deletionTimestamp"] == nil, !Pod(pod).isMirror,
            let name = pod["spec"]?["nodeName"]?.string, let node = nodes.object(ObjectKey(name: name))
        else {
            forget(key)
            return .done
        }
        let tolerations = (pod["spec"]?["tolerations"]?.array ?? []).map { Toleration($0) }
        guard case .goes(let seconds) = TaintEviction(TaintEviction.taints(of: node), tolerations) else {
            if forget(key) { note("Cancelling deletion of Pod \(key)", pod) }
            return .done
        }
        let due = since(key, pod) + .seconds(seconds)
        let left = ContinuousClock.now.duration(to: due)
        // Patience may be longer than clocks count.
        guard left <= .zero else { return .after(min(left, .seconds(86400))) }
        return try await evict(key, pod)
    }

    /// From when the pod's seconds count.
    private func since(_ key: ObjectKey, _ pod: JSON) -> ContinuousClock.Instant {
        let uid = pod["metadata"]?["uid"]?.string ?? ""
        return memory.waiting.withLock { waiting in
            if let known = waiting[key], known.uid == uid { return known.since }
            let now = ContinuousClock.now
            waiting[key] = Waiting(uid: uid, since: now)
            return now
        }
    }

    @discardableResult
    private func forget(_ key: ObjectKey) -> Bool { memory.waiting.withLock { $0.removeValue(forKey: key) != nil } }

    private func evict(_ key: ObjectKey, _ pod: JSON) async throws -> Outcome {
        note("Marking for deletion Pod \(key)", pod)
        let condition = Conditions.make(
            type: Self.condition, status: "True", reason: "DeletionByTaintManager",
            message: "Taint manager: deleting due to NoExecute taint",
            previous: Conditions.find(Self.condition, in: pod))
        let uid = pod["metadata"]?["uid"]?.string ?? ""
        let outcome = try await Writes.settle {
            // The uid keeps both from meeting a pod of the same name that came since.
            _ = try await client.patch(
                .pods, key, .strategic, ["metadata": ["uid": .string(uid)], "status": ["conditions": [condition]]],
                subresource: "status")
            try await client.delete(.pods, key, DeleteOptions(uid: uid))
        }
        if case .done = outcome { forget(key) }
        return outcome
    }

    private func note(_ message: String, _ pod: JSON) {
        events.record(.normal, "TaintManagerEviction", message, about: pod, kind: "Pod")
    }
}

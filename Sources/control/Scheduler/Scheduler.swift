// The scheduler: watches nodes and pods, decides with `Placement`, binds through the API.
//
// It runs on one task. Decisions come in the order of priority, then of creation; binds go out concurrently, and
// a bind that fails gives its room back and puts the pod in again. A pod that fits nowhere is tried again when a
// node changes or a pod goes; nothing polls.

public import Client
public import Logging
import Objects
import Reconcile
import Synchronization

/// Assigns pods to nodes (core/v1 Binding).
public final class Scheduler: Sendable {
    private struct State {
        var placement = Placement()
        /// Pods that fit nowhere at present.
        var waiting: Set<ObjectKey> = []
    }

    public static let name = "default-scheduler"

    private let client: any APIClient
    private let informers: InformerSet
    private let events: EventRecorder
    private let logger: Logger
    private let queue: WorkQueue<ObjectKey>
    private let state = Mutex(State())

    public init(client: any APIClient, informers: InformerSet, logger: Logger) {
        self.client = client
        self.informers = informers
        self.logger = logger
        events = EventRecorder(client: client, component: Self.name, logger: logger)
        queue = WorkQueue("scheduler", logger: logger)
    }

    /// Schedules until the task is cancelled.
    public func run() async {
        let nodes = informers.informer(.nodes)
        let pods = informers.informer(.pods)
        nodes.onChange { key, _, node in self.nodeChanged(key.name, node) }
        pods.onChange { key, old, pod in self.podChanged(key, old, pod) }
        await withDiscardingTaskGroup { group in
            group.addTask { await self.events.run() }
            group.addTask {
                guard await nodes.waitForSync(), await pods.waitForSync() else { return }
                await self.queue.run(workers: 8) { key in try await self.schedule(key, pods.object(key)) }
            }
        }
    }

    private func nodeChanged(_ name: String, _ node: JSON?) {
        state.withLock { state in
            if let node { state.placement.setNode(node) } else { state.placement.removeNode(name) }
        }
        tryWaitingAgain()
    }

    private func podChanged(_ key: ObjectKey, _ old: JSON?, _ pod: JSON?) {
        guard let pod, !Self.isOver(pod) else {
            state.withLock { state in
                state.placement.remove("\(key)")
                state.waiting.remove(key)
            }
            tryWaitingAgain()
            return
        }
        if let node = pod["spec"]?["nodeName"]?.string, !node.isEmpty {
            state.withLock { state in
                state.placement.place(PodDemand(pod), on: node)
                state.waiting.remove(key)
            }
        } else if Self.isOurs(pod) {
            queue.add(key)
        }
    }

    private func tryWaitingAgain() {
        let waiting = state.withLock { $0.waiting }
        for key in waiting { queue.add(key) }
    }

    private static func isOver(_ pod: JSON) -> Bool {
        ["Succeeded", "Failed"].contains(pod["status"]?["phase"]?.string ?? "")
    }

    private static func isOurs(_ pod: JSON) -> Bool {
        pod["spec"]?["schedulerName"]?.string ?? name == name && pod["metadata"]?["deletionTimestamp"] == nil
            && (pod["spec"]?["schedulingGates"]?.array ?? []).isEmpty
    }

    private func schedule(_ key: ObjectKey, _ pod: JSON?) async throws -> Outcome {
        guard let pod, Self.isOurs(pod), (pod["spec"]?["nodeName"]?.string ?? "").isEmpty else { return .done }
        let demand = PodDemand(pod)
        let decision = state.withLock { state in
            let decision = state.placement.decide(demand)
            if case .node(let name) = decision {
                state.placement.place(demand, on: name)
                state.waiting.remove(key)
            } else {
                state.waiting.insert(key)
            }
            return decision
        }
        switch decision {
        case .node(let name): return try await bind(key, pod, demand, to: name)
        case .none(let message): return try await report(message, of: pod, key)
        }
    }

    private func bind(_ key: ObjectKey, _ pod: JSON, _ demand: PodDemand, to node: String) async throws -> Outcome {
        let binding: JSON = [
            "apiVersion": "v1", "kind": "Binding",
            "metadata": [
                "name": .string(key.name), "namespace": .string(key.namespace),
                "uid": pod["metadata"]?["uid"] ?? .string(""),
            ],
            "target": ["apiVersion": "v1", "kind": "Node", "name": .string(node)],
        ]
        do {
            _ = try await client.create(.pods, key, subresource: "binding", binding)
        } catch {
            state.withLock { $0.placement.remove(demand.key) }
            // Gone or bound meanwhile: the watch says so, there is nothing to try again.
            if error.code == 404 || error.code == 409 { return .done }
            throw error
        }
        events.record(
            .normal, "Scheduled", "Successfully assigned \(key) to \(node)", about: pod, kind: "Pod")
        return .done
    }

    private func report(_ message: String, of pod: JSON, _ key: ObjectKey) async throws -> Outcome {
        let known = (pod["status"]?["conditions"]?.array ?? []).first { $0["type"]?.string == "PodScheduled" }
        if known?["status"]?.string == "False", known?["message"]?.string == message { return .done }
        logger.info("pod fits no node", metadata: ["pod": "\(key)", "reason": "\(message)"])
        events.record(.warning, "FailedScheduling", message, about: pod, kind: "Pod")
        let condition = Conditions.make(
            type: "PodScheduled", status: "False", reason: "Unschedulable", message: message, previous: known)
        do {
            _ = try await client.patch(
                .pods, key, .strategic, ["status": ["conditions": .array([condition])]], subresource: "status")
        } catch {
            guard error.code == 404 else { throw error }
        }
        return .done
    }
}

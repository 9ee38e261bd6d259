// Keeps the status of PodDisruptionBudgets: how many of their pods may be evicted now. The eviction of a pod takes one
// from that number (APIServer/Eviction.swift); what the number is, `DisruptionBudget` decides.

import Client
import Logging
import Objects
import Reconcile
import System

struct DisruptionController: Controller {
    static let name = "disruption-controller"

    private let client: any APIClient
    private let budgets: Informer
    private let budgetsByNamespace: Index
    private let pods: Informer
    private let podsByNamespace: Index
    private let scales: WorkloadScales
    private let events: EventRecorder
    private let queue: WorkQueue<ObjectKey>

    init(_ context: ControllerContext) {
        client = context.client
        budgets = context.informers.informer(.podDisruptionBudgets)
        budgetsByNamespace = context.informers.index(.podDisruptionBudgets, .byNamespace)
        pods = context.informers.informer(.pods)
        podsByNamespace = context.informers.index(.pods, .byNamespace)
        scales = WorkloadScales(context)
        events = EventRecorder(client: context.client, component: Self.name, logger: context.logger)
        queue = WorkQueue(Self.name, logger: context.logger)
    }

    func run() async {
        for informer in scales.informers {
            guard await informer.waitForSync() else { return }
        }
        await queue.run(
            recording: events,
            watching: [
                .each(budgets),
                KeySource(pods) { key, old, new in
                    Self.matters(old, new) ? covering([old, new].compactMap { $0 }, in: key.namespace) : []
                },
            ], reconcile)
    }

    /// Whether a change of a pod can change any budget.
    private static func matters(_ old: JSON?, _ new: JSON?) -> Bool {
        guard let old, let new else { return true }
        return ["labels", "deletionTimestamp", "ownerReferences"].contains {
            old.at("metadata", $0) != new.at("metadata", $0)
        } || PodFacts.isReady(old) != PodFacts.isReady(new)
    }

    private func covering(_ pods: [JSON], in namespace: String) -> [ObjectKey] {
        budgetsByNamespace.objects(namespace).filter { budget in
            guard let selector = Ownership.selector(budget.at("spec", "selector")) else { return false }
            return pods.contains { selector.matches($0.at("metadata", "labels")?.stringMap ?? [:]) }
        }.map { ObjectKey($0) }
    }

    private func reconcile(_ key: ObjectKey) async throws -> Outcome {
        guard let object = budgets.object(key), object.at("metadata", "deletionTimestamp") == nil else { return .done }
        // No selector selects nothing, an empty one every pod of the namespace.
        let selector = Ownership.selector(object.at("spec", "selector"))
        let covered = podsByNamespace.objects(key.namespace).filter {
            selector?.matches($0.at("metadata", "labels")?.stringMap ?? [:]) == true
        }
        let budget = DisruptionBudget(budget: object, pods: covered)
        var scale: Int64 = 0
        if budget.needsScale {
            do throws(APIStatus) {
                let (replicas, unmanaged) = try await scales.total(covered)
                scale = replicas
                if !unmanaged.isEmpty { report(unmanaged, object) }
            } catch {
                let problem = error.details?.causes.first?.message ?? error.message
                record(
                    .warning, "CalculateExpectedPodCountFailed",
                    "Failed to calculate the number of expected pods: \(problem)", object)
                _ = try await write(budget.failed(problem), object)
                throw error
            }
        }
        let (status, overdue, next) = budget.status(scale: scale, now: .now())
        for pod in overdue {
            events.record(
                .warning, "NotDeleted", "Pod was expected by PDB \(key) to be deleted but it wasn't", about: pod,
                kind: "Pod")
        }
        if case .after(let soon) = try await write(status, object) { return .after(soon) }
        return next
    }

    private func write(_ status: JSON, _ budget: JSON) async throws -> Outcome {
        guard status != budget["status"] else { return .done }
        var updated = budget
        updated["status"] = status
        let wanted = updated
        return try await Writes.settle {
            _ = try await client.update(.podDisruptionBudgets, wanted, subresource: "status")
        }
    }

    private func report(_ unmanaged: [String], _ budget: JSON) {
        record(
            .warning, "UnmanagedPods",
            "These pods have no controller and do not count in a budget with a percentage or maxUnavailable: "
                + unmanaged.sorted().joined(separator: ", "), budget)
    }

    private func record(_ severity: EventRecorder.Severity, _ reason: String, _ message: String, _ budget: JSON) {
        events.record(
            severity, reason, message, about: budget, kind: "PodDisruptionBudget", apiVersion: "policy/v1")
    }
}

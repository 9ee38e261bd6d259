// Deleting a namespace: everything in it goes first, then the namespace's own finalizer is lifted.
//
// While something is left, the status says what and why (conditions NamespaceContentRemaining,
// NamespaceFinalizersRemaining), and the controller looks again when one of its objects goes, or after a while.

import Client
import Logging
import Objects
import Reconcile

struct NamespaceController: Controller {
    static let name = "namespace-controller"

    private let client: any APIClient
    private let namespaces: Informer
    private let builtIn: [ResourceID]
    private let directory: (any ResourceDirectory)?
    private let queue: WorkQueue<String>
    private let informers: InformerSet

    init(_ context: ControllerContext) {
        client = context.client
        namespaces = context.informers.informer(.namespaces)
        builtIn = context.namespacedResources.filter { $0 != .events }
        directory = context.directory
        informers = context.informers
        queue = WorkQueue(Self.name, logger: context.logger)
    }

    func run() async {
        namespaces.onChange { key, _, new in
            if new?["metadata"]?["deletionTimestamp"] != nil { queue.add(key.name) }
        }
        // The last pod to go is what a namespace usually waits for.
        informers.informer(.pods).onChange { key, _, new in
            if new == nil, isTerminating(key.namespace) { queue.add(key.namespace) }
        }
        await namespaces.waitForSync()
        await queue.run(workers: 2, reconcile)
    }

    private func isTerminating(_ name: String) -> Bool {
        namespaces.object(ObjectKey(name: name))?["metadata"]?["deletionTimestamp"] != nil
    }

    private func reconcile(_ name: String) async throws -> Outcome {
        guard let namespace = namespaces.object(ObjectKey(name: name)),
            namespace["metadata"]?["deletionTimestamp"] != nil
        else { return .done }
        var remaining: [(ResourceID, [JSON])] = []
        let custom = (directory?.customResources ?? []).filter(\.isNamespaced).map(\.resource)
        // Events last: the deletions themselves still write some.
        for resource in builtIn + custom + [.events] {
            let left = try await empty(resource, of: name)
            if !left.isEmpty { remaining.append((resource, left)) }
        }
        guard remaining.isEmpty else {
            try await report(remaining, namespace)
            return .after(.seconds(1))
        }
        return try await finalize(name)
    }

    /// Deletes all objects of a resource in the namespace; returns those that stay for now (graceful or finalized).
    private func empty(_ resource: ResourceID, of namespace: String) async throws(APIStatus) -> [JSON] {
        for object in try await list(resource, namespace) where object["metadata"]?["deletionTimestamp"] == nil {
            do throws(APIStatus) {
                try await client.delete(resource, ObjectKey(object))
            } catch where error.code == 404 {
                continue
            }
        }
        return try await list(resource, namespace)
    }

    /// A custom resource may go meanwhile, its objects with it.
    private func list(_ resource: ResourceID, _ namespace: String) async throws(APIStatus) -> [JSON] {
        do throws(APIStatus) {
            return try await client.list(resource, namespace: namespace).items
        } catch {
            if error.code == 404 { return [] }
            throw error
        }
    }

    private func finalize(_ name: String) async throws -> Outcome {
        // Read anew: the informer's copy may be of before the last status was written.
        do {
            var namespace = try await client.get(.namespaces, ObjectKey(name: name))
            let left = (namespace["spec"]?["finalizers"]?.array ?? []).filter { $0.string != "kubernetes" }
            namespace.set("spec", "finalizers", to: left.isEmpty ? nil : .array(left))
            _ = try await client.update(.namespaces, namespace, subresource: "finalize")
        } catch {
            guard error.code == 404 else { throw error }
        }
        return .done
    }

    private func report(_ remaining: [(ResourceID, [JSON])], _ namespace: JSON) async throws(APIStatus) {
        let content = remaining.map { "\($0.0.groupResource) has \($0.1.count) resource instances" }
        var finalizers: [String: Int] = [:]
        for object in remaining.flatMap(\.1) {
            for finalizer in object["metadata"]?["finalizers"]?.strings ?? [] { finalizers[finalizer, default: 0] += 1 }
        }
        let waiting = finalizers.sorted { $0.key < $1.key }.map { "\($0.key) in \($0.value) resource instances" }
        func condition(_ type: String, _ holds: Bool, _ reason: String, _ message: String) -> JSON {
            Conditions.make(
                type: type, status: holds ? "True" : "False", reason: reason, message: message,
                previous: Conditions.find(type, in: namespace))
        }
        var updated = namespace
        updated.set("status", "phase", to: "Terminating")
        updated.set(
            "status", "conditions",
            to: [
                condition(
                    "NamespaceDeletionContentFailure", false, "ContentDeleted",
                    "All content successfully deleted, may be waiting on finalization"),
                condition(
                    "NamespaceContentRemaining", true, "SomeResourcesRemain",
                    "Some resources are remaining: \(content.joined(separator: ", "))"),
                condition(
                    "NamespaceFinalizersRemaining", !waiting.isEmpty,
                    waiting.isEmpty ? "ContentHasNoFinalizers" : "SomeFinalizersRemain",
                    waiting.isEmpty
                        ? "All content-preserving finalizers finished"
                        : "Some content in the namespace has finalizers remaining: \(waiting.joined(separator: ", "))"),
            ])
        guard updated != namespace else { return }
        do throws(APIStatus) {
            _ = try await client.update(.namespaces, updated, subresource: "status")
        } catch where error.code == 404 || error.code == 409 {
            return
        }
    }
}

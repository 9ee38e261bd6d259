// Deleting a namespace: everything in it goes first, then the namespace's own finalizer is lifted.
//
//      pods, with their grace ──> all gone ──> everything else ──> events ──> spec.finalizers
//
// Pods first (KEP-5080): whatever guards or feeds them, a NetworkPolicy or a Secret, outlives the last of them. While
// something is left, the status says what and why (`NamespaceContent`), and the controller looks again when a pod goes,
// or after a while.

import Client
import Logging
import Objects
import Reconcile

struct NamespaceController: Controller {
    static let name = "namespace-controller"

    private let client: any APIClient
    private let namespaces: Informer
    private let pods: Informer
    private let builtIn: [ResourceID]
    private let directory: (any ResourceDirectory)?
    private let queue: WorkQueue<String>

    init(_ context: ControllerContext) {
        client = context.client
        namespaces = context.informers.informer(.namespaces)
        pods = context.informers.informer(.pods)
        builtIn = context.namespacedResources.filter { $0 != .events && $0 != .pods }
        directory = context.directory
        queue = WorkQueue(Self.name, logger: context.logger)
    }

    func run() async {
        await queue.run(
            workers: 2,
            watching: [
                KeySource(namespaces) { key, _, new in new.map(Self.isTerminating) == true ? [key.name] : [] },
                // The last pod to go is what a namespace usually waits for.
                KeySource(pods) { key, _, new in
                    let namespace = new == nil ? namespaces.object(ObjectKey(name: key.namespace)) : nil
                    return namespace.map(Self.isTerminating) == true ? [key.namespace] : []
                },
            ], reconcile)
    }

    private static func isTerminating(_ namespace: JSON) -> Bool {
        namespace.at("metadata", "deletionTimestamp") != nil
    }

    private func reconcile(_ name: String) async throws -> Outcome {
        guard let namespace = namespaces.object(ObjectKey(name: name)), Self.isTerminating(namespace) else {
            return .done
        }
        var content = NamespaceContent()
        await empty(.pods, of: name, &content)
        // A pod's end wakes this controller.
        guard content.isEmpty else { return try await wait(content, namespace, .seconds(5)) }
        let custom = (directory?.customResources ?? []).filter(\.isNamespaced).map(\.resource)
        // Events last: the deletions themselves still write some.
        for resource in builtIn + custom + [.events] { await empty(resource, of: name, &content) }
        guard content.isEmpty else { return try await wait(content, namespace, .seconds(1)) }
        return try await finalize(name)
    }

    /// Deletes all objects of a resource in the namespace; `content` gets those that stay for now, or why it failed.
    private func empty(_ resource: ResourceID, of namespace: String, _ content: inout NamespaceContent) async {
        do throws(APIStatus) {
            var failure: APIStatus?
            for object in try await client.list(resource, namespace: namespace).items
            where object.at("metadata", "deletionTimestamp") == nil {
                do throws(APIStatus) {
                    try await client.deleteIfPresent(resource, ObjectKey(object))
                } catch {
                    failure = failure ?? error
                }
            }
            if let failure { content.add(resource, failure: failure) }
            content.add(resource, left: try await client.list(resource, namespace: namespace).items)
        } catch {
            // A custom resource may go meanwhile, its objects with it.
            if error.code != 404 { content.add(resource, failure: error) }
        }
    }

    private func wait(
        _ content: NamespaceContent, _ namespace: JSON, _ period: Duration
    ) async throws -> Outcome {
        var updated = namespace
        updated.set("status", "phase", to: "Terminating")
        updated.set("status", "conditions", to: content.conditions(for: namespace))
        guard updated != namespace else { return .after(period) }
        let status = updated
        // A conflict means that the namespace itself has changed: that is news for this controller, too.
        _ = try await Writes.settle { _ = try await client.update(.namespaces, status, subresource: "status") }
        return .after(period)
    }

    private func finalize(_ name: String) async throws -> Outcome {
        try await Writes.settle {
            // Read anew: the informer's copy may be of before the last status was written.
            var namespace = try await client.get(.namespaces, ObjectKey(name: name))
            let left = (namespace.at("spec", "finalizers")?.array ?? []).filter { $0.string != "kubernetes" }
            namespace.set("spec", "finalizers", to: left.isEmpty ? nil : .array(left))
            _ = try await client.update(.namespaces, namespace, subresource: "finalize")
        }
    }
}

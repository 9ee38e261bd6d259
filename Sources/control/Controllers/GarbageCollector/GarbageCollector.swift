// The garbage collector: what becomes of dependents when their owner goes (API concepts, "Garbage collection").
//
//   background  the owner is gone -> dependents without another living owner are deleted
//   foreground  the owner waits (finalizer foregroundDeletion) until its blocking dependents are gone, or wait for it
//   orphan      the owner waits (finalizer orphan) until its dependents no longer name it
//
// An owner that is not in the graph is asked for at the API before anything is deleted for its absence.

import Client
import Logging
import Objects
import Reconcile
import Synchronization

struct GarbageCollector: Controller {
    static let name = "garbage-collector"

    private let client: any APIClient
    private let set: InformerSet
    private let builtIn: [ResourceID]
    private let directory: (any ResourceDirectory)?
    private let resourceOfKind: [String: ResourceID]
    private let queue: WorkQueue<String>
    private let graph = Shared()
    private let logger: Logger

    /// The graph and its lock; a reference, so that the controller stays a value.
    private final class Shared: Sendable {
        let value = Mutex(OwnerGraph())
    }

    init(_ context: ControllerContext) {
        client = context.client
        set = context.informers
        builtIn = context.ownableResources
        for resource in builtIn { _ = set.informer(resource) }
        directory = context.directory
        resourceOfKind = context.resourceOfKind
        queue = WorkQueue(Self.name, logger: context.logger)
        logger = context.logger
    }

    func run() async {
        for resource in builtIn { set.informer(resource).onChange { _, old, new in changed(resource, old, new) } }
        for resource in builtIn {
            guard await set.informer(resource).waitForSync() else { return }
        }
        await withDiscardingTaskGroup { group in
            group.addTask { await followCustomResources() }
            await queue.run(workers: 4, reconcile)
            group.cancelAll()
        }
    }

    /// Custom resources have informers while their definitions are there.
    private func followCustomResources() async {
        guard let directory else { return }
        var followed: Set<ResourceID> = []
        for await _ in directory.changes() {
            let present = Set(directory.customResources.map(\.resource))
            for resource in followed.subtracting(present) {
                set.remove(resource)
                graph.value.withLock { $0.remove(all: resource) }
            }
            for resource in present.subtracting(followed) {
                set.informer(resource).onChange { _, old, new in changed(resource, old, new) }
            }
            followed = present
        }
    }

    private func resource(apiVersion: String, kind: String) -> ResourceID? {
        if let known = resourceOfKind["\(apiVersion)/\(kind)"] { return known }
        return directory?.customResources.first { $0.matches(apiVersion: apiVersion, kind: kind) }?.resource
    }

    private func changed(_ resource: ResourceID, _ old: JSON?, _ new: JSON?) {
        let affected = graph.value.withLock { $0.change(resource, old, new) }
        for uid in affected { queue.add(uid) }
    }

    private func reconcile(_ uid: String) async throws -> Outcome {
        let (node, dependents) = graph.value.withLock { ($0.nodes[uid], $0.dependents(of: uid)) }
        guard let node else { return .done }
        if node.deleting {
            if node.finalizers.contains("orphan") {
                for dependent in try await allDependents(of: node) { try await forget(owners: [uid], in: dependent) }
                try await lift("orphan", of: node)
            } else if node.finalizers.contains("foregroundDeletion") {
                try await deleteForeground(node, dependents)
            }
            return .done
        }
        try await collect(node)
        return .done
    }

    /// Read from the API: a dependent that the informers do not know yet would be orphaned by name only, and then be
    /// collected for its owner's absence.
    private func allDependents(of node: OwnerGraph.Node) async throws(APIStatus) -> [OwnerGraph.Node] {
        let uid = node.id.uid
        let namespace = node.id.key.namespace
        for resource in builtIn + (directory?.customResources.map(\.resource) ?? []) {
            let list: ObjectList
            do throws(APIStatus) {
                list = try await client.list(resource, namespace: namespace.isEmpty ? nil : namespace)
            } catch {
                // A custom resource went meanwhile, its objects with it.
                if error.code == 404 { continue }
                throw error
            }
            let owned = list.items.filter { object in
                (object.at("metadata", "ownerReferences")?.array ?? []).contains { $0["uid"]?.string == uid }
            }
            graph.value.withLock { graph in for object in owned { graph.set(resource, object) } }
        }
        return graph.value.withLock { $0.dependents(of: uid) }
    }

    private func deleteForeground(_ node: OwnerGraph.Node, _ dependents: [OwnerGraph.Node]) async throws(APIStatus) {
        for dependent in dependents where !dependent.deleting { try await collect(dependent) }
        if graph.value.withLock({ !$0.isBlocked(node.id.uid) }) { try await lift("foregroundDeletion", of: node) }
    }

    /// What becomes of an object by its owners: one that stays keeps it (and the others are forgotten); when all are
    /// gone, or going in the foreground, it is deleted, in the foreground too when it has dependents of its own.
    private func collect(_ node: OwnerGraph.Node) async throws(APIStatus) {
        guard !node.owners.isEmpty else { return }
        var gone: Set<String> = []
        var waiting: Set<String> = []
        for owner in node.owners {
            if graph.value.withLock({ $0.nodes[owner.uid]?.isDeletingDependents ?? false }) {
                waiting.insert(owner.uid)
            } else if try await !exists(owner, for: node) {
                gone.insert(owner.uid)
            }
        }
        guard !gone.isEmpty || !waiting.isEmpty else { return }
        if gone.count + waiting.count < Set(node.owners.map(\.uid)).count {
            try await forget(owners: gone.union(waiting), in: node)
        } else if !waiting.isEmpty, graph.value.withLock({ !$0.dependents(of: node.id.uid).isEmpty }) {
            try await delete(node, "Foreground")
        } else if node.finalizers.contains("orphan") {
            try await delete(node, "Orphan")
        } else {
            try await delete(node, node.finalizers.contains("foregroundDeletion") ? "Foreground" : "Background")
        }
    }

    private func exists(_ owner: OwnerGraph.Owner, for node: OwnerGraph.Node) async throws(APIStatus) -> Bool {
        if graph.value.withLock({ $0.nodes[owner.uid] != nil }) { return true }
        guard let resource = resource(apiVersion: owner.apiVersion, kind: owner.kind) else {
            // A kind nobody serves may come back; nothing is deleted on a guess.
            logger.warning(
                "owner of unknown kind",
                metadata: ["object": "\(node.id)", "owner": "\(owner.apiVersion) \(owner.kind)"])
            return true
        }
        for namespace in [node.id.key.namespace, ""] {
            do throws(APIStatus) {
                let found = try await client.get(resource, ObjectKey(namespace: namespace, name: owner.name))
                return found["metadata"]?["uid"]?.string == owner.uid
            } catch {
                guard error.code == 404 || error.code == 400 else { throw error }
            }
        }
        return false
    }

    /// Deletes what the graph says, if the object still has those owners: the informers may be behind.
    private func delete(_ node: OwnerGraph.Node, _ policy: String) async throws(APIStatus) {
        do throws(APIStatus) {
            let object = try await client.get(node.id.resource, node.id.key)
            let owners = (object.at("metadata", "ownerReferences")?.array ?? []).map { $0["uid"]?.string ?? "" }
            guard owners == node.owners.map(\.uid) else { return }
            let version = object.at("metadata", "resourceVersion")?.string ?? ""
            try await client.delete(
                node.id.resource, node.id.key,
                DeleteOptions(propagationPolicy: policy, uid: node.id.uid, resourceVersion: version))
        } catch where error.code == 404 {
            return
        }
    }

    /// Takes owner references off; the object's version is the precondition, so that nobody else's are lost.
    private func forget(owners: Set<String>, in node: OwnerGraph.Node) async throws(APIStatus) {
        do throws(APIStatus) {
            var object = try await client.get(node.id.resource, node.id.key)
            guard object["metadata"]?["uid"]?.string == node.id.uid else { return }
            let references = object["metadata"]?["ownerReferences"]?.array ?? []
            let left = references.filter { !owners.contains($0["uid"]?.string ?? "") }
            guard left.count < references.count else { return }
            object.set("metadata", "ownerReferences", to: left.isEmpty ? nil : .array(left))
            _ = try await client.update(node.id.resource, object)
        } catch where error.code == 404 {
            return
        }
    }

    private func lift(_ finalizer: String, of node: OwnerGraph.Node) async throws(APIStatus) {
        do throws(APIStatus) {
            var object = try await client.get(node.id.resource, node.id.key)
            guard object["metadata"]?["uid"]?.string == node.id.uid else { return }
            let left = (object["metadata"]?["finalizers"]?.array ?? []).filter { $0.string != finalizer }
            object.set("metadata", "finalizers", to: left.isEmpty ? nil : .array(left))
            _ = try await client.update(node.id.resource, object)
        } catch where error.code == 404 {
            return
        }
    }
}

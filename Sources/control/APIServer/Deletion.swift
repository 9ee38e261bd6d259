// delete: what happens to an object that is to go, decided in a value; then done.
//
//   asked ──> finalizers to wait for, or a grace period to give?
//               no   ──> removed now
//               yes  ──> marked: deletionTimestamp, deletionGracePeriodSeconds, finalizers of the propagation policy
//                        └─> removed when the last finalizer goes (Update), or by a delete with grace period 0: kubelet
//
// A second delete of a marked object may only shorten the grace period; otherwise it changes nothing and succeeds.
// A pod that no node has, or that has ended, needs no grace. A namespace also waits for spec.finalizers.

internal import Client
internal import Objects
internal import Store
internal import System
internal import Synchronization

enum Deletion: Equatable, Sendable {
    /// Nothing to change: it is on its way already.
    case alreadyGoing
    case mark(JSON)
    case remove

    static let foreground = "foregroundDeletion"
    static let orphan = "orphan"

    /// - Parameter object: current state. `now`: for the deletionTimestamp.
    static func plan(
        _ object: JSON, _ declaration: ResourceDeclaration, _ options: DeleteOptions, now: Timestamp
    ) -> Deletion {
        let metadata = object["metadata"]
        let finalizers = metadata?["finalizers"]?.strings ?? []
        var wanted = self.finalizers(finalizers, declaration, options)
        if declaration.id == .customResourceDefinitions, metadata?["deletionTimestamp"]?.string == nil {
            // Its objects go first; the finalizer is lifted when they are gone (CustomResources).
            wanted = wanted.filter { $0 != CustomDefinition.cleanup } + [CustomDefinition.cleanup]
        }
        let waits = !wanted.isEmpty || !namespaceFinalizers(object, declaration).isEmpty
        // A negative period means the shortest one that is one.
        let requested = options.gracePeriodSeconds.map { $0 < 0 ? 1 : Int64($0) }
        let grace = min(declaration.strategy.gracePeriod(object, requested: requested) ?? 0, Int64(Int32.max))

        let isMarked = metadata?["deletionTimestamp"]?.string != nil
        let given = metadata?["deletionGracePeriodSeconds"]?.int ?? 0
        if isMarked {
            // A grace period can only be shortened.
            if grace >= given, grace > 0 || waits, wanted == finalizers { return .alreadyGoing }
        }
        if !waits, grace == 0 { return .remove }
        var marked = object
        let effective = isMarked ? min(grace, given) : grace
        let changesTime = !isMarked || effective < given
        if changesTime {
            marked.set(
                "metadata", "deletionTimestamp",
                to: .string(now.advanced(by: .seconds(effective)).rfc3339))
            marked.set("metadata", "deletionGracePeriodSeconds", to: .int(effective))
            if declaration.countsGenerations, let generation = metadata?["generation"]?.int {
                marked.set("metadata", "generation", to: .int(generation + 1))
            }
        }
        marked.set("metadata", "finalizers", to: wanted.isEmpty ? nil : .array(wanted.map { .string($0) }))
        if declaration.id == .namespaces { marked.set("status", "phase", to: "Terminating") }
        return marked == object ? .alreadyGoing : .mark(marked)
    }

    /// The finalizers after the propagation policy had its say.
    private static func finalizers(
        _ present: [String], _ declaration: ResourceDeclaration, _ options: DeleteOptions
    ) -> [String] {
        let policy = options.orphanDependents.map { $0 ? "Orphan" : "Background" } ?? options.propagationPolicy
        let kept = present.filter { $0 != foreground && $0 != orphan }
        switch policy {
        case "Background": return kept
        case "Foreground": return kept + [foreground]
        case "Orphan": return kept + [orphan]
        default: return present
        }
    }

    private static func namespaceFinalizers(_ object: JSON, _ declaration: ResourceDeclaration) -> [String] {
        declaration.id == .namespaces ? object.at("spec", "finalizers")?.strings ?? [] : []
    }

    /// A marked object that nothing holds any more.
    static func isFinished(_ object: JSON, _ declaration: ResourceDeclaration) -> Bool {
        let metadata = object["metadata"]
        return metadata?["deletionTimestamp"]?.string != nil
            && (metadata?["deletionGracePeriodSeconds"]?.int ?? 0) == 0
            && (metadata?["finalizers"]?.array ?? []).isEmpty
            && namespaceFinalizers(object, declaration).isEmpty
    }
}

/// What a delete left: the object as it was removed or marked.
struct Deleted: Sendable {
    let object: Stored
    let isGone: Bool
}

extension APICore {
    func delete(
        _ declaration: ResourceDeclaration, _ key: ObjectKey, _ options: DeleteOptions, _ write: WriteOptions
    ) async throws(APIStatus) -> Deleted {
        while true {
            let current = try object(declaration, key)
            let old = declaration.shown(current.tree())
            try check(options, old, declaration, key)
            var request = AdmissionRequest(declaration, .delete, namespace: key.namespace, object: old, write)
            request.name = key.name
            try Admission.check(&request, self)
            let plan = Deletion.plan(old, declaration, options, now: .now())
            if write.dryRun {
                if case .mark(let marked) = plan {
                    return Deleted(object: Stored(unstored: marked, revision: current.revision), isGone: false)
                }
                return Deleted(object: Stored(unstored: old, revision: current.revision), isGone: plan == .remove)
            }
            do {
                switch plan {
                case .alreadyGoing: return Deleted(object: Stored(current, tree: old), isGone: false)
                case .mark(let marked):
                    let stored = try await put(declaration, key, marked, .revision(current.revision))
                    if declaration.id == .customResourceDefinitions { await customResources.settle(self) }
                    return Deleted(object: stored, isGone: false)
                case .remove:
                    let revision = try await remove(declaration, key, .revision(current.revision))
                    return Deleted(object: Stored(unstored: old, revision: revision), isGone: true)
                }
            } catch {
                if case .conflict = error, (options.preconditions?.resourceVersion ?? "").isEmpty { continue }
                throw failure(error, declaration, key.name)
            }
        }
    }

    private func check(
        _ options: DeleteOptions, _ object: JSON, _ declaration: ResourceDeclaration, _ key: ObjectKey
    ) throws(APIStatus) {
        let uid = object.at("metadata", "uid")?.string ?? ""
        if let wanted = options.preconditions?.uid, !wanted.isEmpty, wanted != uid {
            throw .conflict(
                declaration.id, key.name,
                "Precondition failed: UID in precondition: \(wanted), UID in object meta: \(uid)")
        }
        let version = object.at("metadata", "resourceVersion")?.string ?? ""
        if let wanted = options.preconditions?.resourceVersion, !wanted.isEmpty, wanted != version {
            throw .conflict(
                declaration.id, key.name,
                "Precondition failed: ResourceVersion in precondition: \(wanted), "
                    + "ResourceVersion in object meta: \(version)")
        }
    }

    /// Deletes every object that matches; returns them. An object that someone else deletes meanwhile is no failure.
    func deleteCollection(
        _ declaration: ResourceDeclaration, _ filter: ObjectFilter, _ options: DeleteOptions, _ write: WriteOptions
    ) async throws(APIStatus) -> [Stored] {
        let (table, _) = try cache(declaration).snapshot()
        var keys: [ObjectKey] = []
        table.scan(filter.scope(declaration)) { object in
            if filter.matches(object) { keys.append(ObjectKey(namespace: object.namespace, name: object.name)) }
            return true
        }
        // Several at a time, so that they share the store's transactions.
        let outcome = CollectionOutcome(count: keys.count)
        await withTaskGroup(of: Void.self) { group in
            var next = 0
            func addOne() {
                guard next < keys.count, outcome.failure == nil else { return }
                let index = next
                next += 1
                group.addTask { [self, key = keys[index]] in
                    do throws(APIStatus) {
                        outcome.set(index, try await delete(declaration, key, options, write).object)
                    } catch {
                        if !error.isNotFound { outcome.fail(error) }
                    }
                }
            }
            for _ in 0..<APICore.deletesAtOnce { addOne() }
            for await _ in group { addOne() }
        }
        if let failure = outcome.failure { throw failure }
        return outcome.deleted
    }

    /// Deletes of one collection that are under way at the same time.
    private static let deletesAtOnce = 64
}

/// What became of the objects of a collection.
///
/// Beside the tasks and not their results: in release builds of Swift 6.3.1 a task group hands a result that is a tuple
/// with a `Result<_, APIStatus>` in it over as garbage. scripts/e2e drives the release build for such cases.
private final class CollectionOutcome: Sendable {
    private let state: Mutex<(objects: [Stored?], failure: APIStatus?)>

    init(count: Int) { state = Mutex((Array(repeating: nil, count: count), nil)) }

    /// The first one.
    var failure: APIStatus? { state.withLock { $0.failure } }
    /// In the order of their keys.
    var deleted: [Stored] { state.withLock { $0.objects.compactMap { $0 } } }

    func set(_ index: Int, _ object: Stored) { state.withLock { $0.objects[index] = object } }
    func fail(_ error: APIStatus) { state.withLock { if $0.failure == nil { $0.failure = error } } }
}

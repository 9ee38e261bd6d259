// CustomResourceDefinitions at work: what they declare is served, what they lose is taken away, their status says how
// far it is. Level-triggered: a pass looks at every definition that changed since the last one and makes it so.
//
//   definition written ──> pass: names free? ──> status (NamesAccepted, Established) ──> compile ──> APICore.serve
//   definition deleted ──> pass: Terminating, creates refused ──> its objects deleted ──> finalizer lifted ──> gone
//
// A pass runs before the write of a definition is answered (`settle`), so that a client's next request already finds
// the resource, and again from `run` while something is left to do (objects with finalizers). Passes never overlap.
// A definition that cannot be compiled is logged and not served; its objects stay in the store.

internal import Client
internal import Logging
internal import Objects
internal import Store
internal import Synchronization
internal import System

final class CustomResources: Sendable {
    /// A definition as the last pass left it.
    struct Known: Sendable {
        var revision: UInt64
        var definition: Summary
        var stored: ResourceDeclaration
        var served: [ResourceDeclaration]
        /// Changes with what the resources are made of.
        var shape: Shape
    }

    /// What compiled resources depend on.
    struct Shape: Hashable, Sendable {
        let uid: String
        /// Counts changes of the spec.
        let generation: Int64
        let acceptedNames: JSON?
        let isTerminating: Bool
    }

    /// What is needed of a definition without its schemas.
    struct Summary: Sendable {
        let name: String
        let uid: String
        let group: String
        let names: JSON
        let acceptedNames: JSON
        let isTerminating: Bool
        let isEstablished: Bool
        let hasConflict: Bool

        init(_ definition: CustomDefinition) {
            name = definition.name
            uid = definition.uid
            group = definition.group
            names = definition.json.at("spec", "names") ?? [:]
            acceptedNames = definition.json.at("status", "acceptedNames") ?? [:]
            isTerminating = definition.isTerminating
            isEstablished = definition.isEstablished
            hasConflict = definition.condition("NamesAccepted") == "False"
        }
    }

    struct State: Sendable {
        /// By name: those that are served (or kept for their stored objects).
        var known: [String: Known] = [:]
        /// All that exist, established or not.
        var summaries: [String: (revision: UInt64, summary: Summary)] = [:]
        /// Stored objects of resources that nobody declares, by the store's name: they wait for their definition.
        var orphans: [String: [StoredObject]] = [:]
    }

    let state = Mutex(State())
    let listeners = ChangeListeners()
    private let gate = Gate()
    private let signal: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)

    init() {
        signal = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// One pass at a time, in order of arrival.
    private actor Gate {
        private var isBusy = false
        private var waiting: [CheckedContinuation<Void, Never>] = []

        func enter() async {
            if !isBusy {
                isBusy = true
                return
            }
            await withCheckedContinuation { waiting.append($0) }
        }

        func leave() {
            if waiting.isEmpty { isBusy = false } else { waiting.removeFirst().resume() }
        }
    }

    // MARK: - Start

    /// The snapshot to open the store's objects into. Called once, before there are caches to fill.
    func begin(_ served: Served, _ objects: [StoredObject], _ group: CacheGroup, _ logger: Logger) -> Served {
        var next = served
        state.withLock { state in
            for object in objects where object.key.resource == APICore.definitionStore {
                guard let json = try? JSON.parse(object.bytes) else { continue }
                let definition = CustomDefinition(json)
                // The others get their status, and so their resources, in the first pass.
                guard definition.isEstablished, let known = CustomResources.compile(definition, object.revision) else {
                    continue
                }
                state.summaries[definition.name] = (object.revision, Summary(definition))
                state.known[definition.name] = known
            }
            next = CustomResources.snapshot(served, state, group: group, changed: [:])
            for object in objects where next.byStorage[object.key.resource] == nil {
                state.orphans[object.key.resource, default: []].append(object)
            }
            for (resource, orphans) in state.orphans {
                logger.warning(
                    "stored objects of a resource that is not served; they stay in the store",
                    metadata: ["resource": "\(resource)", "count": "\(orphans.count)"])
            }
        }
        return next
    }

    static func compile(_ definition: CustomDefinition, _ revision: UInt64) -> Known? {
        guard !DefinitionStatus.isBuiltIn(definition), let (stored, served) = definition.declarations() else {
            return nil
        }
        return Known(
            revision: revision, definition: Summary(definition), stored: stored, served: served,
            shape: shape(definition))
    }

    static func shape(_ definition: CustomDefinition) -> Shape {
        Shape(
            uid: definition.uid, generation: definition.json.at("metadata", "generation")?.int ?? 0,
            acceptedNames: definition.json.at("status", "acceptedNames"), isTerminating: definition.isTerminating)
    }

    // MARK: - Passes

    /// Returns when every definition that was written before is served as it says.
    func settle(_ core: APICore) async {
        await gate.enter()
        await pass(core)
        await gate.leave()
        if hasWork { signal.continuation.yield() }
    }

    private var hasWork: Bool { state.withLock { $0.summaries.values.contains { $0.summary.isTerminating } } }

    /// Goes on with deletions that wait for finalizers, until cancelled. Idle otherwise.
    func run(_ core: APICore) async {
        signal.continuation.yield()
        for await _ in signal.stream {
            while hasWork, !Task.isCancelled {
                try? await Task.sleep(for: .milliseconds(500))
                await gate.enter()
                await pass(core)
                await gate.leave()
            }
        }
    }

    private func pass(_ core: APICore) async {
        // Writing a status changes a definition again: it is looked at once more.
        for _ in 0..<8 {
            let changed = await observe(core)
            if changed.isEmpty { break }
            serve(changed, core)
        }
        await finalize(core)
    }

    /// Definitions that are new or changed since the last look, with their status brought up to date; nil: gone.
    private func observe(_ core: APICore) async -> [String: (definition: CustomDefinition, revision: UInt64)?] {
        guard let cache = core.served.cache(.customResourceDefinitions) else { return [:] }
        var present: [String: CachedObject] = [:]
        cache.snapshot().table.scan { object in
            present[object.name] = object
            return true
        }
        let summaries = state.withLock { $0.summaries }
        var changed: [String: (definition: CustomDefinition, revision: UInt64)?] = [:]
        for name in summaries.keys where present[name] == nil {
            changed[name] = .some(nil)
            state.withLock { $0.summaries[name] = nil }
        }
        let names = present.keys.sorted()
        for name in names {
            guard let object = present[name] else { continue }
            let known = summaries[name]
            // Names that were taken may have become free.
            let hasConflict = known?.summary.hasConflict ?? false
            let isStale = known?.revision != object.revision || (hasConflict && !changed.isEmpty)
            guard isStale else { continue }
            let definition = CustomDefinition(object.tree())
            let written = await writeStatus(definition, object.revision, core)
            state.withLock { $0.summaries[name] = (written.revision, Summary(written.definition)) }
            changed[name] = written
        }
        return changed
    }

    /// The conditions and accepted names, stored when they differ.
    private func writeStatus(
        _ definition: CustomDefinition, _ revision: UInt64, _ core: APICore
    ) async -> (definition: CustomDefinition, revision: UInt64) {
        let others = state.withLock { state in
            state.summaries.values.map(\.summary).filter { $0.group == definition.group && $0.name != definition.name }
        }
        let updated = DefinitionStatus.updated(definition, others: others, now: .now())
        guard updated != definition.json,
            let declaration = core.registry.find(.customResourceDefinitions)
        else { return (definition, revision) }
        do throws(StoreError) {
            let stored = try await core.put(
                declaration, ObjectKey(namespace: "", name: definition.name), updated, .revision(revision))
            return (CustomDefinition(stored.tree), stored.revision)
        } catch {
            // Somebody was faster: that write brings the next pass.
            core.logger.debug("status of a CustomResourceDefinition", metadata: ["error": "\(error)"])
            return (definition, revision)
        }
    }

    // MARK: - Deletion

    private func finalize(_ core: APICore) async {
        let going = state.withLock { $0.summaries.values.filter { $0.summary.isTerminating }.map(\.summary.name) }
        for name in going {
            let stored = state.withLock { $0.known[name]?.stored }
            if let stored {
                guard await empty(stored, core) else { continue }
            }
            await lift(name, core)
            let changed = await observe(core)
            if !changed.isEmpty { serve(changed, core) }
        }
    }

    /// Deletes all objects; true when none is left.
    private func empty(_ declaration: ResourceDeclaration, _ core: APICore) async -> Bool {
        guard let cache = core.served.byStorage[APICore.storeName(declaration.storage)] else { return true }
        var keys: [ObjectKey] = []
        cache.snapshot().table.scan { object in
            if !object.isTerminating { keys.append(ObjectKey(namespace: object.namespace, name: object.name)) }
            return true
        }
        // Side by side, so that the store puts them into few transactions.
        for start in stride(from: 0, to: keys.count, by: 64) {
            await withDiscardingTaskGroup { group in
                for key in keys[start..<min(start + 64, keys.count)] {
                    group.addTask {
                        do throws(APIStatus) {
                            _ = try await core.delete(declaration, key, DeleteOptions(), WriteOptions())
                        } catch {
                            if error.isNotFound { return }
                            core.logger.warning(
                                "object of a deleted CustomResourceDefinition",
                                metadata: ["object": "\(declaration.id) \(key)", "error": "\(error)"])
                        }
                    }
                }
            }
        }
        return cache.snapshot().table.count == 0
    }

    /// Takes the finalizer off; the definition goes when it was the last.
    private func lift(_ name: String, _ core: APICore) async {
        guard let declaration = core.registry.find(.customResourceDefinitions) else { return }
        let key = ObjectKey(namespace: "", name: name)
        do throws(APIStatus) {
            _ = try await core.modify(declaration, key, target: .main, WriteOptions()) { old in
                let finalizers = old.at("metadata", "finalizers")?.array ?? []
                let left = finalizers.filter { $0.string != CustomDefinition.cleanup }
                var new = old
                new.set("metadata", "finalizers", to: left.isEmpty ? nil : .array(left))
                return new
            }
        } catch {
            if error.isNotFound { return }
            core.logger.warning(
                "finalizer of a CustomResourceDefinition", metadata: ["name": "\(name)", "error": "\(error)"])
        }
    }
}

// How a controller begins: the changes of the resources it follows become keys in its queue, and it works on them once
// every local copy is there. What it then does about a key is the controller's own.

import Client
import Objects
import Reconcile

/// Which keys a change of one resource concerns. Asked for every object already there, too.
struct KeySource<Key: Hashable & Sendable>: Sendable {
    /// `new` is nil when the object is gone. Runs on the informer's task: must not block.
    typealias Keys = @Sendable (_ key: ObjectKey, _ old: JSON?, _ new: JSON?) -> [Key]

    fileprivate let informer: Informer
    fileprivate let keys: Keys

    init(_ informer: Informer, _ keys: @escaping Keys) {
        self.informer = informer
        self.keys = keys
    }
}

extension KeySource where Key == ObjectKey {
    /// Every object by its own key, also when it is gone.
    static func each(_ informer: Informer) -> KeySource { KeySource(informer) { key, _, _ in [key] } }
}

extension WorkQueue {
    /// Works on what `sources` say until the task is cancelled, from the moment when all of them have their first list.
    /// - Parameter events: written meanwhile.
    func run(
        workers: Int = 1, recording events: EventRecorder? = nil, watching sources: [KeySource<Key>],
        _ reconcile: @escaping @Sendable (Key) async throws -> Outcome
    ) async {
        for source in sources {
            source.informer.onChange { key, old, new in
                for key in source.keys(key, old, new) { self.add(key) }
            }
        }
        await withDiscardingTaskGroup { group in
            if let events { group.addTask { await events.run() } }
            for source in sources {
                guard await source.informer.waitForSync() else { return }
            }
            await run(workers: workers) { key in
                do {
                    return try await reconcile(key)
                } catch let error as APIStatus where error.isNamespaceTerminating {
                    // Nothing will be created there any more: trying again would only fill the log.
                    return .done
                }
            }
            group.cancelAll()
        }
    }
}

/// A controller's way with one resource: each object is looked at when it is first seen and whenever it changes.
struct ObjectLoop: Sendable {
    let objects: Informer
    private let queue: WorkQueue<ObjectKey>

    init(_ controller: any Controller.Type, _ resource: ResourceID, _ context: ControllerContext) {
        objects = context.informers.informer(resource)
        queue = WorkQueue(controller.name, logger: context.logger)
    }

    /// - Parameter needsWork: says of a changed object whether it is worth a look.
    func run(
        when needsWork: @escaping @Sendable (JSON) -> Bool = { _ in true },
        _ reconcile: @escaping @Sendable (JSON) async throws -> Outcome
    ) async {
        let changed = KeySource(objects) { key, _, new in new.map(needsWork) == true ? [key] : [] }
        await queue.run(watching: [changed]) { key in
            guard let object = objects.object(key) else { return .done }
            return try await reconcile(object)
        }
    }
}

// An informer keeps a local copy of one resource: list once, then watch from there, list again when the watch
// is too old. Readers look at the copy without waiting; handlers hear of each change in order.
//
// A watch that breaks is resumed from the last resourceVersion seen, after a short back-off that grows to 5 s,
// so a server that is away costs nothing but staleness. The copy is never emptied while the server is away.

public import Objects
public import Logging
import Synchronization

/// A live local copy of the objects of one resource.
public final class Informer: Sendable {
    /// Called with the object before and after; `new` is nil when it is gone. Handlers run on the informer's
    /// task, in order, must not block, and must not add handlers to the same informer.
    public typealias Handler = @Sendable (_ key: ObjectKey, _ old: JSON?, _ new: JSON?) -> Void

    private struct State {
        var objects = KeptObjects()
        var resourceVersion = ""
        var synced = false
        var waiting: [Int: CheckedContinuation<Bool, Never>] = [:]
        var lastWaiter = 0
        var handlers: [Handler] = []
        var isStopped = false
    }

    public let resource: ResourceID
    private let client: any APIClient
    private let namespace: String?
    private let labels: LabelSelector?
    private let fields: FieldSelector?
    private let logger: Logger
    private let state = Mutex(State())
    /// Held while the copy changes and its handlers are told, and while a new handler is told what is here: without
    /// it a handler could hear of an object's end before it hears of the object.
    private let delivery = Mutex(())

    public init(
        _ client: any APIClient, _ resource: ResourceID, namespace: String? = nil, labels: LabelSelector? = nil,
        fields: FieldSelector? = nil, logger: Logger
    ) {
        self.client = client
        self.resource = resource
        self.namespace = namespace
        self.labels = labels
        self.fields = fields
        self.logger = logger
    }

    /// Adds a handler; it first hears of every object already here.
    public func onChange(_ handler: @escaping Handler) {
        delivery.withLock { _ in
            let known = state.withLock { state in
                state.handlers.append(handler)
                return state.objects.items
            }
            for (key, item) in known { handler(key, nil, item.tree) }
        }
    }

    public func object(_ key: ObjectKey) -> JSON? { state.withLock { $0.objects[key] }?.tree }

    /// All of them. Makes a tree of each: for resources of which there are few.
    public var objects: [ObjectKey: JSON] {
        let items = state.withLock { $0.objects.items }
        return Dictionary(uniqueKeysWithValues: items.map { ($0.key, $0.item.tree) })
    }

    public var hasSynced: Bool { state.withLock { $0.synced } }

    /// Those that wait for the first list.
    var waiters: Int { state.withLock { $0.waiting.count } }

    /// Returns true once the first list has been delivered to every handler; false when the task is cancelled before.
    public func waitForSync() async -> Bool {
        let number = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = state.withLock { state in
                    if state.synced { return true }
                    // Looked at under the lock: who cancels later finds the waiter.
                    if Task.isCancelled { return false }
                    state.waiting[number] = continuation
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: number) }?.resume(returning: false)
        }
    }

    /// `run` returns when its present watch ends, which it does when its resource goes; whoever waits for the first
    /// list waits no longer.
    public func stop() {
        let waiting = state.withLock { state in
            state.isStopped = true
            state.synced = true
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for continuation in waiting { continuation.resume(returning: true) }
    }

    private var isStopped: Bool { state.withLock { $0.isStopped } }

    /// Lists and watches until the task is cancelled or the informer stopped.
    public func run() async {
        var backoff = Duration.milliseconds(50)
        var needsList = true
        while !Task.isCancelled, !isStopped {
            do {
                if needsList {
                    try await relist()
                    needsList = false
                }
                let from = state.withLock { $0.resourceVersion }
                let stream = client.watch(resource, namespace: namespace, labels: labels, fields: fields, from: from)
                for try await event in stream {
                    apply(event)
                    backoff = .milliseconds(50)
                }
            } catch let status as APIStatus where status.code == 410 {
                logger.debug("watch is too old to resume, listing again", metadata: ["resource": "\(resource)"])
                needsList = true
                continue
            } catch is CancellationError {
                return
            } catch {
                if isStopped { return }
                logger.warning(
                    "watch broke, resuming", metadata: ["resource": "\(resource)", "error": "\(error)"])
            }
            try? await Task.sleep(for: backoff)
            backoff = min(backoff * 2, .seconds(5))
        }
    }

    private func relist() async throws(APIStatus) {
        let list = try await client.keptList(resource, namespace: namespace, labels: labels, fields: fields)
        replace(with: list)
        let waiting = state.withLock { state in
            state.synced = true
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for continuation in waiting { continuation.resume(returning: true) }
    }

    private func replace(with list: KeptList) {
        delivery.withLock { _ in
            var fresh = KeptObjects()
            var keys: Set<ObjectKey> = []
            let (old, handlers) = state.withLock { ($0.objects, $0.handlers) }
            for item in list.items {
                fresh.put(item.key, item)
                keys.insert(item.key)
            }
            state.withLock { state in
                state.objects = fresh
                state.resourceVersion = list.resourceVersion
            }
            // One tree at a time, for the handlers.
            for (key, item) in fresh.items where !handlers.isEmpty {
                let (tree, before) = (item.tree, old[key]?.tree)
                guard before != tree else { continue }
                for handler in handlers { handler(key, before, tree) }
            }
            for (key, item) in old.items where !keys.contains(key) {
                let tree = item.tree
                for handler in handlers { handler(key, tree, nil) }
            }
        }
    }

    private func apply(_ event: WatchEvent) {
        delivery.withLock { _ in change(event) }
    }

    private func change(_ event: WatchEvent) {
        let key = ObjectKey(event.object)
        let version = event.object["metadata"]?["resourceVersion"]?.string
        let (old, handlers): (KeptItem?, [Handler]) = state.withLock { state in
            if let version { state.resourceVersion = version }
            switch event.kind {
            case .bookmark: return (nil, [])
            case .added, .modified: return (state.objects.put(key, event.object, event.kept), state.handlers)
            case .deleted: return (state.objects.remove(key), state.handlers)
            }
        }
        guard !handlers.isEmpty else { return }
        let before = old?.tree
        for handler in handlers { handler(key, before, event.kind == .deleted ? nil : event.object) }
    }
}

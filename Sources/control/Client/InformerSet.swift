// One informer a resource, shared by everything in the process that reads it: a hundred controllers cost one
// watch and one copy. So with the indexes that several need.
//
// `informer(_:)` may be called before and while `run()` is under way.

public import Objects
public import Logging
import Synchronization

/// The informers of one process, made on first use.
public final class InformerSet: Sendable {
    private struct State {
        var informers: [ResourceID: Informer] = [:]
        var starter: AsyncStream<Informer>.Continuation?
    }

    private struct IndexName: Hashable {
        let resource: ResourceID
        let kind: String
    }

    public let client: any APIClient
    private let logger: Logger
    private let state = Mutex(State())
    private let indexes = Mutex<[IndexName: Index]>([:])

    public init(client: any APIClient, logger: Logger) {
        self.client = client
        self.logger = logger
    }

    /// The shared informer of all objects of `resource` in every namespace.
    public func informer(_ resource: ResourceID) -> Informer {
        state.withLock { state in
            if let known = state.informers[resource] { return known }
            let informer = Informer(client, resource, logger: logger)
            state.informers[resource] = informer
            state.starter?.yield(informer)
            return informer
        }
    }

    /// The shared index of that kind over the resource's shared informer. Not to be asked for by an informer's handler.
    public func index(_ resource: ResourceID, _ kind: IndexKind) -> Index {
        let informer = informer(resource)
        return indexes.withLock { indexes in
            let name = IndexName(resource: resource, kind: kind.name)
            if let known = indexes[name] { return known }
            let index = Index(informer, kind.values)
            indexes[name] = index
            return index
        }
    }

    /// Ends and forgets the informer of a resource that is gone; one asked for later starts anew.
    public func remove(_ resource: ResourceID) {
        indexes.withLock { indexes in indexes = indexes.filter { $0.key.resource != resource } }
        state.withLock { $0.informers.removeValue(forKey: resource) }?.stop()
    }

    /// Runs every informer, those asked for later too, until the task is cancelled.
    public func run() async {
        let (stream, continuation) = AsyncStream<Informer>.makeStream()
        let early = state.withLock { state in
            state.starter = continuation
            return Array(state.informers.values)
        }
        for informer in early { continuation.yield(informer) }
        await withDiscardingTaskGroup { group in
            for await informer in stream {
                group.addTask { await informer.run() }
            }
            group.cancelAll()
        }
    }
}

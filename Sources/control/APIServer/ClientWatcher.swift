// A watch of a client in the same process: trees instead of bytes, nothing encoded, and mostly nothing parsed.
//
// Events are queued without a bound on waiting but with one on number: a client that falls ten thousand behind is cut
// with 410 and lists again, as one over the network would be.

internal import Client
internal import Objects
internal import Synchronization

final class ClientWatcher: WatchReceiver {
    /// Events a client may be behind before it is cut and has to list again.
    static let limit = 10_000

    let scope: WatchScope
    private let cache: WatchCache
    private let declaration: ResourceDeclaration
    private let filter: ObjectFilter
    private let continuation: AsyncThrowingStream<WatchEvent, any Error>.Continuation
    private let position: Mutex<UInt64>

    init(
        _ cache: WatchCache, _ declaration: ResourceDeclaration, filter: ObjectFilter,
        continuation: AsyncThrowingStream<WatchEvent, any Error>.Continuation
    ) {
        self.cache = cache
        self.declaration = declaration
        self.filter = filter
        scope = filter.scope(cache.declaration)
        self.continuation = continuation
        position = Mutex(0)
    }

    func start(after revision: UInt64) {
        continuation.onTermination = { [weak self] _ in
            if let self { cache.remove(self) }
        }
        position.withLock { $0 = revision }
        while true {
            let from = position.withLock { $0 }
            switch cache.resume(self, after: from, limit: 1024, ready: {}) {
            case .live: return
            case .ended: return continuation.finish()
            case .behind(let events):
                for event in events {
                    position.withLock { $0 = event.revision }
                    guard yield(event, tree: { event.subject($0).tree(at: event.revision) }) else { return }
                }
            case .tooOld(let floor):
                return continuation.finish(throwing: APIStatus.tooOldResourceVersion(from, oldest: floor))
            case .future(let current):
                return continuation.finish(throwing: APIStatus.tooLargeResourceVersion(from, current: current))
            }
        }
    }

    func deliver(_ delivery: Delivery) {
        let revision = delivery.event.revision
        let go = position.withLock { position in
            guard position < revision else { return false }
            position = revision
            return true
        }
        if go { _ = yield(delivery.event) { delivery.tree($0) } }
    }

    func end() { continuation.finish() }

    /// False when the client has fallen too far behind and is cut.
    private func yield(_ event: CacheEvent, tree: (WatchEvent.Kind) -> JSON) -> Bool {
        guard let kind = event.kind(for: filter) else { return true }
        // A DELETED shows its object at another revision than the one that is kept.
        let kept = kind != .deleted && declaration.showsStoredBytes ? event.subject(kind) : nil
        let told = WatchEvent(kind: kind, object: declaration.shown(tree(kind)), kept: kept)
        if case .dropped = continuation.yield(told) {
            let status = APIStatus.tooOldResourceVersion(event.revision, oldest: event.revision)
            continuation.finish(throwing: status)
            cache.remove(self)
            return false
        }
        return true
    }
}

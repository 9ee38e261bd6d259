// One HTTP watch: a filter, a position and a sink.
//
//              nothing missing                         queue over parkLimit
//   pumping ────────────────────> live      live ─────────────────────────────> pumping
//      │                            │
//      └── too old / closed ──> closed <────┘
//
// Live, each change is written to the sink at once, on the writer's thread, without waiting. When the client does not
// read, its queue grows; past `parkLimit` the watcher is parked: changes pass it by, and a task pumps what it misses
// out of the cache's ring at the pace the client reads. The same pump serves the first moments of a watch (initial
// events, resuming from an old version). A client so slow that the ring has moved on gets 410 and starts over.

internal import Client
internal import HTTP
internal import Objects
internal import Synchronization

final class StreamWatcher: WatchReceiver {
    private enum Phase { case pumping, live, closed }

    private struct State {
        var phase = Phase.pumping
        /// Every change up to here was written (or did not match).
        var position: UInt64
        var columnsSent = false
        var pump: Task<Void, Never>?
    }

    /// Where a watch begins.
    enum Start: Sendable {
        /// After this revision.
        case after(UInt64)
        /// With an ADDED for each object of now, then from there.
        case initial(bookmark: Bool)
        /// After what is current, without it.
        case now
    }

    let scope: WatchScope

    /// Bytes queued and unsent beyond which a watcher is parked.
    static let parkLimit = 1 << 20

    private let cache: WatchCache
    private let filter: ObjectFilter
    private let views: ObjectViews
    private let view: WatchView
    private let wantsBookmarks: Bool
    private let sink: any ByteSink
    private let state: Mutex<State>
    /// Held from a look at the position to the write that follows from it, so that a bookmark (the tick's thread)
    /// cannot come after a change that is newer (the writer's thread).
    private let output = Mutex(())

    init(
        _ cache: WatchCache, filter: ObjectFilter, views: ObjectViews, view: WatchView, bookmarks: Bool,
        sink: any ByteSink
    ) {
        self.cache = cache
        self.filter = filter
        scope = filter.scope(cache.declaration)
        self.views = views
        self.view = view
        wantsBookmarks = bookmarks
        self.sink = sink
        state = Mutex(State(position: 0))
    }

    /// Begins. Ends by itself when the client goes, or after `timeout`.
    func start(_ start: Start, timeout: Duration) {
        let deadline = Task { [weak self] in
            try? await Task.sleep(for: timeout)
            if !Task.isCancelled { self?.expire() }
        }
        sink.onClose { [self] in
            deadline.cancel()
            close()
        }
        switch start {
        case .after(let revision):
            state.withLock { $0.position = revision }
            // Most watches begin where a list ended, with nothing missing: live at once, without a task.
            if !advanceOnce() { pump(nil) }
        case .now:
            state.withLock { $0.position = cache.snapshot().revision }
            if !advanceOnce() { pump(nil) }
        case .initial(let bookmark):
            let (table, revision) = cache.snapshot()
            state.withLock { $0.position = revision }
            pump(Initial(table: table, revision: revision, bookmark: bookmark))
        }
    }

    // MARK: - Live

    func deliver(_ delivery: Delivery) {
        let isFull = output.withLock { _ in
            guard advance(to: delivery.event.revision), let kind = delivery.event.kind(for: filter) else {
                return false
            }
            return sink.write(delivery.frame(kind, currentView(), views)) > StreamWatcher.parkLimit
        }
        guard isFull else { return }
        let parked = state.withLock { state in
            guard state.phase == .live else { return false }
            state.phase = .pumping
            return true
        }
        if parked { pump(nil, parked: true) }
    }

    /// Tells an idle client how far it is. `revision`: up to which every live watcher has been given everything.
    func bookmark(revision: UInt64) {
        guard wantsBookmarks else { return }
        output.withLock { _ in
            guard advance(to: revision) else { return }
            sink.write(views.bookmark(revision: revision, initialEventsEnd: false, currentView()))
        }
    }

    /// Takes a revision as given; false when the watcher is not live or has it already.
    private func advance(to revision: UInt64) -> Bool {
        state.withLock { state in
            guard state.phase == .live, state.position < revision else { return false }
            state.position = revision
            return true
        }
    }

    private func currentView() -> WatchView {
        guard view.representation == .table else { return view }
        var view = view
        view.columns = state.withLock { state in
            defer { state.columnsSent = true }
            return !state.columnsSent
        }
        return view
    }

    // MARK: - Pumping

    private struct Initial: Sendable {
        let table: ObjectTable
        let revision: UInt64
        let bookmark: Bool
    }

    // A task of its own, not of a group: its life is that of the HTTP stream, which cancels it (`close`).
    //
    // Parked, it first waits until the client has taken what is queued: a client that takes nothing would be live
    // again after each change that comes alone, and its queue would grow with every one.
    private func pump(_ initial: Initial?, parked: Bool = false) {
        let task = Task { [self] in
            do {
                if parked { try await sink.writeWaiting([]) }
                if let initial { try await send(initial) }
                while !Task.isCancelled {
                    let position = state.withLock { $0.position }
                    switch resume(position, limit: 256) {
                    case .live: return
                    case .behind(let events): try await send(events)
                    case .ended, .tooOld, .future: return
                    }
                }
            } catch {
                // The connection is gone; onClose has been or will be called.
            }
        }
        let closed = state.withLock { state in
            state.pump = task
            return state.phase == .closed
        }
        if closed { task.cancel() }
    }

    /// True when the watch is live (or over) after a look at the ring.
    private func advanceOnce() -> Bool {
        let position = state.withLock { $0.position }
        if case .behind = resume(position, limit: 1) { return false }
        return true
    }

    private func resume(_ position: UInt64, limit: Int) -> WatchCache.Resume {
        let result = cache.resume(self, after: position, limit: limit) {
            state.withLock { if $0.phase == .pumping { $0.phase = .live } }
        }
        switch result {
        case .tooOld(let floor): fail(.tooOldResourceVersion(position, oldest: floor))
        case .ended: finish()
        case .future(let current): fail(.tooLargeResourceVersion(position, current: current))
        case .live where state.withLock({ $0.phase == .closed }): cache.remove(self)
        default: break
        }
        return result
    }

    private func send(_ events: [CacheEvent]) async throws {
        var buffer: [UInt8] = []
        for event in events {
            guard let kind = event.kind(for: filter) else { continue }
            buffer += views.frame(kind, event.subject(kind), revision: event.revision, currentView())
        }
        if !buffer.isEmpty { try await sink.writeWaiting(buffer) }
        // The pump is the only one who moves the position while pumping.
        if let last = events.last { state.withLock { $0.position = max($0.position, last.revision) } }
    }

    private func send(_ initial: Initial) async throws {
        var after: String?
        var more = true
        while more {
            var buffer: [UInt8] = []
            more = false
            initial.table.scan(scope, after: after) { object in
                after = object.key
                if filter.matches(object) {
                    buffer += views.frame(.added, object, revision: object.revision, currentView())
                }
                more = buffer.count >= 64 << 10
                return !more
            }
            if !buffer.isEmpty { try await sink.writeWaiting(buffer) }
        }
        if initial.bookmark {
            let frame = views.bookmark(
                revision: initial.revision, initialEventsEnd: true, currentView())
            try await sink.writeWaiting(frame)
        }
    }

    // MARK: - Ending

    private func fail(_ status: APIStatus) {
        sink.write(ObjectViews.errorFrame(status))
        finish()
    }

    /// A watch that is pumping goes on until it has written everything, and finds the cache closed then.
    func end() {
        guard state.withLock({ $0.phase == .live }) else { return }
        finish()
    }

    /// The time is up: the client, told how far it is, comes back from there.
    private func expire() {
        bookmark(revision: cache.reached)
        finish()
    }

    func finish() {
        close()
        sink.finish()
    }

    private func close() {
        let pump = state.withLock { state in
            state.phase = .closed
            return state.pump
        }
        pump?.cancel()
        cache.remove(self)
    }
}

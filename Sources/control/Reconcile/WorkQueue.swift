// The keyed queue behind every controller: level-triggered, deduplicating, with back-off and delay.
//
// A key goes in whenever something that concerns it changed; `reconcile` reads the present state and acts. Keys
// in work are never worked on twice at once; a key that comes in meanwhile runs once more afterwards. A throw
// backs the key off (5 ms doubling to 30 s); nothing is ever dropped. Order: `QueueState`.

public import Logging
import Synchronization

/// What a reconciler answers.
public enum Outcome: Sendable {
    /// Nothing left to do until something changes.
    case done
    /// Look at the key again after this long, even if nothing changes.
    case after(Duration)
}

/// A queue of keys and the tasks that work on them.
public final class WorkQueue<Key: Hashable & Sendable>: Sendable {
    private struct State {
        var queue = QueueState<Key, ContinuousClock.Instant>()
        var idleWorkers: [CheckedContinuation<Key?, Never>] = []
        var closed = false
    }

    private let name: String
    private let logger: Logger
    private let state = Mutex(State())
    private let timerChanged = Signal()

    public init(_ name: String, logger: Logger) {
        self.name = name
        self.logger = logger
    }

    public func add(_ key: Key) {
        handOut { $0.add(key) }
    }

    public func add(_ key: Key, after delay: Duration) {
        state.withLock { $0.queue.add(key, due: .now + delay) }
        timerChanged.raise()
    }

    /// Works on keys with `workers` tasks until the task is cancelled.
    public func run(workers: Int = 4, _ reconcile: @escaping @Sendable (Key) async throws -> Outcome) async {
        await withTaskCancellationHandler {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.keepTime() }
                for _ in 0..<workers {
                    group.addTask {
                        while let key = await self.next() { await self.work(on: key, reconcile) }
                    }
                }
            }
        } onCancel: {
            close()
        }
    }

    private func work(on key: Key, _ reconcile: @Sendable (Key) async throws -> Outcome) async {
        do {
            let outcome = try await reconcile(key)
            handOut { $0.succeeded(key) }
            if case .after(let delay) = outcome { add(key, after: delay) }
        } catch {
            let failures = state.withLock { $0.queue.failed(key) }
            let delay = min(Duration.milliseconds(5) * (1 << min(failures - 1, 13)), .seconds(30))
            // A conflict or two is the normal way of optimistic concurrency; only what persists is worth a line.
            logger.log(
                level: failures < 4 ? .debug : .warning, "reconcile failed, will try again",
                metadata: ["controller": "\(name)", "key": "\(key)", "failures": "\(failures)", "error": "\(error)"])
            add(key, after: delay)
            handOut { _ in }
        }
    }

    /// Changes the queue, then gives ready keys to waiting workers.
    private func handOut(_ change: (inout QueueState<Key, ContinuousClock.Instant>) -> Void) {
        let ready = state.withLock { state in
            change(&state.queue)
            var ready: [(CheckedContinuation<Key?, Never>, Key)] = []
            while !state.idleWorkers.isEmpty, let key = state.queue.next() {
                ready.append((state.idleWorkers.removeFirst(), key))
            }
            return ready
        }
        for (worker, key) in ready { worker.resume(returning: key) }
    }

    private func next() async -> Key? {
        await withCheckedContinuation { continuation in
            let answer: Key?? = state.withLock { state in
                if state.closed { return .some(nil) }
                if let key = state.queue.next() { return .some(key) }
                state.idleWorkers.append(continuation)
                return nil
            }
            if let answer { continuation.resume(returning: answer) }
        }
    }

    private func close() {
        let idle = state.withLock { state in
            state.closed = true
            defer { state.idleWorkers = [] }
            return state.idleWorkers
        }
        for worker in idle { worker.resume(returning: nil) }
        timerChanged.raise()
    }

    /// Sleeps until the next delayed key is due; no key delayed, no wake-up.
    private func keepTime() async {
        while !Task.isCancelled {
            handOut { queue in _ = queue.release(at: .now) }
            let (due, closed) = state.withLock { ($0.queue.nextDue, $0.closed) }
            if closed { return }
            await timerChanged.wait(until: due)
        }
    }
}

/// Lets one task sleep until a moment or until it is woken, whichever comes first.
private final class Signal: Sendable {
    private struct State {
        var raised = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    func raise() {
        let waiter = state.withLock { state in
            state.raised = state.waiter == nil
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// `nil`: until raised.
    func wait(until deadline: ContinuousClock.Instant?) async {
        await withTaskGroup(of: Void.self) { group in
            if let deadline {
                group.addTask {
                    // Cancelled means woken by somebody else: raising then would wake the next wait for nothing.
                    guard (try? await Task.sleep(until: deadline, clock: .continuous)) != nil else { return }
                    self.raise()
                }
            }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let now = state.withLock { state in
                        if state.raised || Task.isCancelled {
                            state.raised = false
                            return true
                        }
                        state.waiter = continuation
                        return false
                    }
                    if now { continuation.resume() }
                }
            } onCancel: {
                raise()
            }
            group.cancelAll()
        }
    }
}

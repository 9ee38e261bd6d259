// Tells many that something has changed, without saying what: they look for themselves. Changes that come while a
// listener is busy are one wake.

import Synchronization

final class ChangeSignal: Sendable {
    private struct State {
        var next = 0
        var listeners: [Int: AsyncStream<Void>.Continuation] = [:]
        var ended = false
    }

    private let state = Mutex(State())

    /// Wakes after each change from now on; ends with the last one.
    func changes() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let id: Int? = state.withLock { state in
            guard !state.ended else { return nil }
            state.next += 1
            state.listeners[state.next] = continuation
            return state.next
        }
        guard let id else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { _ = $0.listeners.removeValue(forKey: id) }
        }
        return stream
    }

    func signal() {
        for listener in state.withLock({ Array($0.listeners.values) }) { listener.yield() }
    }

    func end() {
        let listeners = state.withLock { state in
            defer { state.listeners = [:] }
            state.ended = true
            return Array(state.listeners.values)
        }
        for listener in listeners { listener.finish() }
    }
}

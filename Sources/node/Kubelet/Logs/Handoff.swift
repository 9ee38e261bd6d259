// A stream whose producer hands over one piece at a time and waits until it is taken: nothing is buffered, nothing
// wakes up to look again. It ends with its consumer: cancelled or dropped, the producer's task is cancelled.

import Synchronization

final class Handoff<Piece: Sendable>: Sendable {
    private enum State {
        case idle
        case offered(Piece, CheckedContinuation<Void, any Error>)
        case wanted(CheckedContinuation<Piece?, any Error>)
        case ended((any Error)?)
    }

    private let state = Mutex(State.idle)

    /// A stream of what `body` emits. `body` runs in a task of its own, from now on.
    static func stream(
        _ body: @escaping @Sendable (_ emit: @Sendable (consuming Piece) async throws -> Void) async throws -> Void
    ) -> AsyncThrowingStream<Piece, any Error> {
        let handoff = Handoff()
        // Unstructured, because the stream outlives who asked for it; it ends with the stream.
        let task = Task {
            do {
                try await body { try await handoff.offer($0) }
                handoff.end(nil)
            } catch {
                handoff.end(error is CancellationError ? nil : error)
            }
        }
        let consumer = Consumer(handoff: handoff, task: task)
        return AsyncThrowingStream { try await consumer.next() }
    }

    /// Goes with the stream that holds it, and takes the producer along.
    private final class Consumer: Sendable {
        let handoff: Handoff
        let task: Task<Void, Never>

        init(handoff: Handoff, task: Task<Void, Never>) { (self.handoff, self.task) = (handoff, task) }

        deinit { stop() }

        private func stop() {
            task.cancel()
            handoff.end(nil)
        }

        func next() async throws -> Piece? {
            try await withTaskCancellationHandler { try await handoff.next() } onCancel: { stop() }
        }
    }

    // A continuation is resumed outside the lock: resuming takes the task's own lock, which a cancellation holds while
    // it calls `stop` and waits for this one.

    /// Returns when the consumer has taken the piece; throws CancellationError when it will not.
    private func offer(_ piece: consuming Piece) async throws {
        let piece = piece
        try await withCheckedThrowingContinuation { producer in
            let resume: (@Sendable () -> Void)? = state.withLock { state in
                switch state {
                case .wanted(let consumer):
                    state = .idle
                    return {
                        consumer.resume(returning: piece)
                        producer.resume()
                    }
                case .idle:
                    state = .offered(piece, producer)
                    return nil
                case .ended: return { producer.resume(throwing: CancellationError()) }
                case .offered: preconditionFailure("one producer")
                }
            }
            resume?()
        }
    }

    private func next() async throws -> Piece? {
        try await withCheckedThrowingContinuation { consumer in
            let resume: (@Sendable () -> Void)? = state.withLock { state in
                switch state {
                case .offered(let piece, let producer):
                    state = .idle
                    return {
                        consumer.resume(returning: piece)
                        producer.resume()
                    }
                case .idle:
                    state = .wanted(consumer)
                    return nil
                case .ended(let error):
                    state = .ended(nil)
                    return { Self.end(consumer, error) }
                case .wanted: preconditionFailure("one consumer")
                }
            }
            resume?()
        }
    }

    private func end(_ error: (any Error)?) {
        let resume: (@Sendable () -> Void)? = state.withLock { state in
            switch state {
            case .idle:
                state = .ended(error)
                return nil
            case .offered(_, let producer):
                state = .ended(error)
                return { producer.resume(throwing: CancellationError()) }
            case .wanted(let consumer):
                state = .ended(nil)
                return { Self.end(consumer, error) }
            case .ended: return nil
            }
        }
        resume?()
    }

    private static func end(_ consumer: CheckedContinuation<Piece?, any Error>, _ error: (any Error)?) {
        if let error { consumer.resume(throwing: error) } else { consumer.resume(returning: nil) }
    }
}

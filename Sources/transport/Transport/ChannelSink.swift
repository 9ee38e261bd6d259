// The body of an endless answer: bytes in from any thread, chunks out on the connection's event loop.
//
// `write` never waits; it says how much is queued, so that a watch can cut a client that does not read. What threads
// write before the loop comes round is one buffer: one hop, one chunk, one TLS record, however many events it holds.
// What one thread writes before it finishes comes before the end, and what another thread writes too late is dropped
// instead of landing in the next answer.

import HTTP
import NIOCore
import NIOHTTP1
import Synchronization

final class ChannelSink: ByteSink {
    /// How bytes get on the wire. Called on the event loop only.
    struct Output: Sendable {
        let write: @Sendable (ByteBuffer) -> EventLoopFuture<Void>?
        /// Ends the answer; called at most once.
        let end: @Sendable () -> Void
    }

    private struct State {
        /// Written and not yet given to the loop.
        var pending = ByteBuffer()
        var waiting: [EventLoopPromise<Void>] = []
        /// A drain is on its way to the loop.
        var draining = false
        /// Nothing is accepted any more; what was queued before still goes out.
        var finishing = false
        /// Set on the loop only: the end is written or the connection is gone.
        var over = false
        /// What the loop wrote last: all before it has gone when this has.
        var last: EventLoopFuture<Void>?
        var closers: [@Sendable () -> Void] = []
    }

    private let channel: any Channel
    private let queued = Atomic<Int>(0)
    private let state = Mutex(State())
    private let output: Output

    init(_ channel: any Channel, _ output: Output) {
        self.channel = channel
        self.output = output
    }

    @discardableResult
    func write(_ bytes: [UInt8]) -> Int {
        channel.isActive ? enqueue(bytes, nil) ?? 0 : 0
    }

    func writeWaiting(_ bytes: [UInt8]) async throws {
        guard channel.isActive else { throw TransportError.closed }
        let promise = channel.eventLoop.makePromise(of: Void.self)
        if enqueue(bytes, promise) == nil { promise.fail(TransportError.closed) }
        try await promise.futureResult.get()
    }

    /// Bytes that are queued with these; nil when the stream takes nothing any more.
    private func enqueue(_ bytes: [UInt8], _ promise: EventLoopPromise<Void>?) -> Int? {
        let (total, wake) = state.withLock { state -> (Int?, Bool) in
            guard !state.finishing, !state.over else { return (nil, false) }
            state.pending.writeBytes(bytes)
            if let promise { state.waiting.append(promise) }
            let total = queued.add(bytes.count, ordering: .relaxed).newValue
            defer { state.draining = true }
            return (total, !state.draining)
        }
        if wake { channel.eventLoop.execute { self.drain() } }
        return total
    }

    /// On the loop: everything written so far goes out.
    private func drain() {
        let (buffer, waiting, over, last) = state.withLock { state in
            state.draining = false
            defer {
                state.pending = ByteBuffer()
                state.waiting = []
            }
            return (state.pending, state.waiting, state.over, state.last)
        }
        let count = buffer.readableBytes
        if count == 0, !over, let last {
            for promise in waiting { last.cascade(to: promise) }
            return
        }
        guard !over, count > 0, let written = output.write(buffer) else {
            queued.subtract(count, ordering: .relaxed)
            for promise in waiting {
                if over { promise.fail(TransportError.closed) } else { promise.succeed(()) }
            }
            return
        }
        state.withLock { $0.last = written }
        written.whenComplete { result in
            self.queued.subtract(count, ordering: .relaxed)
            for promise in waiting { promise.completeWith(result) }
        }
    }

    func finish() {
        let first = state.withLock { state in
            defer { state.finishing = true }
            return !state.finishing && !state.over
        }
        guard first else { return }
        channel.eventLoop.execute {
            self.drain()
            guard self.stop() else { return }
            self.output.end()
        }
    }

    /// On the loop: the stream is over. False if it already was.
    @discardableResult
    func stop() -> Bool {
        let closers = state.withLock { state -> [@Sendable () -> Void]? in
            guard !state.over else { return nil }
            state.over = true
            defer { state.closers = [] }
            return state.closers
        }
        guard let closers else { return false }
        for closer in closers { closer() }
        return true
    }

    func onClose(_ f: @escaping @Sendable () -> Void) {
        let over = state.withLock { state in
            if !state.over { state.closers.append(f) }
            return state.over
        }
        if over { f() }
    }
}

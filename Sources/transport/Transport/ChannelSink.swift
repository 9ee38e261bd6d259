// The body of an endless answer: bytes in from any thread, chunks out on the connection's event loop.
//
// `write` never waits; it says how much is queued, so that a watch can cut a client that does not read. Everything goes
// through the loop's queue, also from the loop itself: so what one thread writes before it finishes comes before the
// end, and what another thread writes too late is dropped instead of landing in the next answer.

import HTTP
import NIOCore
import NIOHTTP1
import Synchronization

final class ChannelSink: ByteSink {
    private struct State {
        /// Nothing is accepted any more; what was queued before still goes out.
        var finishing = false
        /// Set on the loop only: the end is written or the connection is gone.
        var over = false
        var closers: [@Sendable () -> Void] = []
    }

    private let channel: any Channel
    private let queued = Atomic<Int>(0)
    private let state = Mutex(State())
    private let end: @Sendable () -> Void

    /// `end` is called at most once, on the event loop, to end the answer.
    init(_ channel: any Channel, end: @escaping @Sendable () -> Void) {
        self.channel = channel
        self.end = end
    }

    private var isOpen: Bool { channel.isActive && !state.withLock { $0.finishing || $0.over } }

    @discardableResult
    func write(_ bytes: [UInt8]) -> Int {
        guard isOpen else { return 0 }
        let queuedNow = queued.add(bytes.count, ordering: .relaxed).newValue
        send(bytes, promise: nil)
        return queuedNow
    }

    func writeWaiting(_ bytes: [UInt8]) async throws {
        guard isOpen else { throw TransportError.closed }
        queued.add(bytes.count, ordering: .relaxed)
        let promise = channel.eventLoop.makePromise(of: Void.self)
        send(bytes, promise: promise)
        try await promise.futureResult.get()
    }

    private func send(_ bytes: [UInt8], promise: EventLoopPromise<Void>?) {
        channel.eventLoop.execute {
            guard !self.state.withLock({ $0.over }) else {
                self.queued.subtract(bytes.count, ordering: .relaxed)
                promise?.fail(TransportError.closed)
                return
            }
            let written = self.channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: bytes))))
            written.whenComplete { _ in self.queued.subtract(bytes.count, ordering: .relaxed) }
            written.cascade(to: promise)
        }
    }

    func finish() {
        let first = state.withLock { state in
            defer { state.finishing = true }
            return !state.finishing && !state.over
        }
        guard first else { return }
        channel.eventLoop.execute {
            guard self.stop() else { return }
            self.end()
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

// The body of an endless answer: bytes in from any thread, chunks out on the connection's event loop.
//
// `write` never waits; it says how much is queued, so that a watch can cut a client that does not read.

import HTTP
import NIOCore
import NIOHTTP1
import Synchronization

final class ChannelSink: ByteSink {
    private let channel: any Channel
    private let queued = Atomic<Int>(0)
    private let end: Mutex<(@Sendable () -> Void)?>

    /// `end` is called once, on the event loop, to end the answer.
    init(_ channel: any Channel, end: @escaping @Sendable () -> Void) {
        self.channel = channel
        self.end = Mutex(end)
    }

    @discardableResult
    func write(_ bytes: [UInt8]) -> Int {
        let queuedNow = queued.add(bytes.count, ordering: .relaxed).newValue
        send(bytes).whenComplete { _ in _ = self.queued.subtract(bytes.count, ordering: .relaxed) }
        return queuedNow
    }

    func writeWaiting(_ bytes: [UInt8]) async throws {
        guard channel.isActive else { throw TransportError.closed }
        try await send(bytes).get()
    }

    private func send(_ bytes: [UInt8]) -> EventLoopFuture<Void> {
        var buffer = channel.allocator.buffer(capacity: bytes.count)
        buffer.writeBytes(bytes)
        return channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(buffer)))
    }

    func finish() {
        let end = end.withLock { end in
            defer { end = nil }
            return end
        }
        if let end { channel.eventLoop.execute(end) }
    }

    func onClose(_ f: @escaping @Sendable () -> Void) { channel.closeFuture.whenComplete { _ in f() } }
}

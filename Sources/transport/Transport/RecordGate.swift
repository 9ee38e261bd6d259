// The last place an HTTP/1.1 connection's bytes pass before TLS: what is written between two flushes becomes one
// buffer, as far as it is small. TLS makes a record (a cipher call here, two reads at the client) of each write.
//
// TLS also keeps what is written until it is flushed, and the socket does not know: it stays writable however much that
// is. So the gate flushes by itself before it is much, and the socket can say that it has no room for another answer.
//
// On the connection's event loop only. Nothing can fail: what is written to a connection that has gone is dropped.

import NIOCore

/// A place in the pipeline to write from, and to see that something was read.
final class RecordGate: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Bytes of the largest buffer that is put together: the largest TLS record (RFC 8446, 5.1). Copying
    /// more costs more than the record it saves.
    private static let limit = 16 << 10
    /// Bytes that may wait for a flush behind the gate.
    static let unflushedLimit = 256 << 10

    private var context: ChannelHandlerContext?
    /// Written and not yet passed on.
    private var gathered = ByteBuffer()
    /// Bytes passed on since the last flush.
    private var unflushed = 0
    /// Called when bytes have come, before they are looked at.
    var onRead: (() -> Void)?

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        passOn(context)
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        onRead?()
        context.fireChannelRead(data)
    }

    func flush(context: ChannelHandlerContext) {
        passOn(context)
        unflushed = 0
        context.flush()
    }

    /// Writes a buffer with the next flush, or a little before.
    func write(_ buffer: ByteBuffer) {
        guard let context else { return }
        guard gathered.readableBytes + buffer.readableBytes <= Self.limit else {
            passOn(context)
            return pass(buffer, context)
        }
        if gathered.readableBytes == 0 { gathered = buffer } else { gathered.writeImmutableBuffer(buffer) }
    }

    func flush() {
        if let context { flush(context: context) }
    }

    /// Writes a buffer as it is, behind what was written before, and flushes.
    /// - Returns: when it has gone out; nil when the connection is over.
    func writeAndFlush(_ buffer: ByteBuffer) -> EventLoopFuture<Void>? {
        guard let context else { return nil }
        passOn(context)
        unflushed = 0
        return context.writeAndFlush(wrapOutboundOut(buffer))
    }

    private func passOn(_ context: ChannelHandlerContext) {
        guard gathered.readableBytes > 0 else { return }
        // What a flush sets off may write again.
        let buffer = gathered
        gathered = ByteBuffer()
        pass(buffer, context)
    }

    private func pass(_ buffer: ByteBuffer, _ context: ChannelHandlerContext) {
        context.write(wrapOutboundOut(buffer), promise: nil)
        unflushed += buffer.readableBytes
        guard unflushed >= Self.unflushedLimit else { return }
        unflushed = 0
        context.flush()
    }
}

// The last place an HTTP/1.1 connection's bytes pass before TLS: what is written between two flushes becomes one
// buffer, as far as it is small. TLS makes a record (a cipher call here, two reads at the client) of each write.
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

    private var context: ChannelHandlerContext?
    /// Written and not yet passed on.
    private var gathered = ByteBuffer()
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
        context.flush()
    }

    /// Writes a buffer with the next flush.
    func write(_ buffer: ByteBuffer) {
        guard let context else { return }
        guard gathered.readableBytes + buffer.readableBytes <= Self.limit else {
            passOn(context)
            return context.write(wrapOutboundOut(buffer), promise: nil)
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
        return context.writeAndFlush(wrapOutboundOut(buffer))
    }

    private func passOn(_ context: ChannelHandlerContext) {
        guard gathered.readableBytes > 0 else { return }
        context.write(wrapOutboundOut(gathered), promise: nil)
        gathered = ByteBuffer()
    }
}

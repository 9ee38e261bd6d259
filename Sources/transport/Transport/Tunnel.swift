// Two connections joined into one: what comes in on one goes out on the other, as bytes (RFC 9110, 7.8, after an upgrade).
//
// A side is read only while the other one has room. When one is closed or fails, so is the other, after what was on its
// way. Both are on one event loop.

import NIOCore

final class TunnelEnd: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var partner: TunnelEnd?
    private var context: ChannelHandlerContext?
    private var readIsPending = false

    static func pair() -> (TunnelEnd, TunnelEnd) {
        let (a, b) = (TunnelEnd(), TunnelEnd())
        a.partner = b
        b.partner = a
        return (a, b)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        // What was here before may have kept a read back.
        context.read()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        partner = nil
    }

    /// Flushed at once: behind what a decoder hands over as it leaves no end of reading comes.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        partner?.context?.writeAndFlush(data, promise: nil)
    }

    func read(context: ChannelHandlerContext) {
        if let other = partner?.context, !other.channel.isWritable { readIsPending = true } else { context.read() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, let partner, partner.readIsPending {
            partner.readIsPending = false
            partner.context?.read()
        }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        partner?.finish()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is CloseWhenIdle { context.close(promise: nil) } else { context.fireUserInboundEventTriggered(event) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        partner?.finish()
        context.close(promise: nil)
    }

    /// Closes behind what has been written; a peer that does not take it is cut.
    private func finish() {
        guard let context else { return }
        let channel = context.channel
        context.eventLoop.scheduleTask(in: .seconds(30)) { channel.close(promise: nil) }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in channel.close(promise: nil) }
    }
}

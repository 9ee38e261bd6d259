// Two connections joined into one: what comes in on one goes out on the other, as bytes
// (RFC 9110, 7.8, after an upgrade).
//
// A side is read only while the other one has room. When one is closed or fails, so is the other, after what was on its
// way; one that takes nothing of what waits for it is closed (StallWatch). Both are on one event loop.

import NIOCore

final class TunnelEnd: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var partner: TunnelEnd?
    private var context: ChannelHandlerContext?
    private var readIsPending = false
    private let clock: DeadlineClock
    private let timeout: TimeAmount
    private var stall: StallWatch?
    private var place: (any AnyObject & Sendable)?

    private init(_ clock: DeadlineClock, _ timeout: TimeAmount, _ place: (any AnyObject & Sendable)?) {
        self.clock = clock
        self.timeout = timeout
        self.place = place
    }

    /// - Parameters:
    ///   - timeout: how long a side may take nothing of what waits for it.
    ///   - place: held while one of the two connections is there.
    static func pair(
        _ clock: DeadlineClock, timeout: TimeAmount, place: (any AnyObject & Sendable)?
    ) -> (TunnelEnd, TunnelEnd) {
        let (a, b) = (TunnelEnd(clock, timeout, place), TunnelEnd(clock, timeout, place))
        a.partner = b
        b.partner = a
        return (a, b)
    }

    /// Lets both ends go that no pipeline took.
    func discard() {
        partner?.partner = nil
        partner?.place = nil
        partner = nil
        place = nil
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        stall = StallWatch(context.channel, clock, timeout: timeout)
        // What was here before may have kept a read back.
        context.read()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        partner = nil
        place = nil
        stall?.end()
    }

    /// Flushed at once: behind what a decoder hands over as it leaves no end of reading comes.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        partner?.write(data)
    }

    private func write(_ data: NIOAny) {
        guard let context else { return }
        let written = context.writeAndFlush(data)
        stall?.wrote(written)
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

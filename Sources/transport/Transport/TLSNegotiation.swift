// The first moments of a TLS connection: until the handshake is done nobody knows which HTTP it will be (ALPN, RFC
// 7301). A client that does not finish the handshake in time is cut.

import NIOCore
import NIOSSL
import NIOTLS

final class TLSNegotiation: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    enum Outcome { case http1, http2 }

    private let timeout: TimeAmount
    private let configure: (Outcome, any Channel) throws -> Void
    private var timer: Scheduled<Void>?

    /// - Parameter configure: adds the handlers that come next; called once, on the loop.
    init(timeout: TimeAmount, _ configure: @escaping (Outcome, any Channel) throws -> Void) {
        self.timeout = timeout
        self.configure = configure
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        timer = context.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is CloseWhenIdle {
            context.close(promise: nil)
            return
        }
        guard case .handshakeCompleted(let negotiated)? = event as? TLSUserEvent else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        timer?.cancel()
        do {
            // Added behind this one, at once: no byte can come in between.
            try configure(negotiated == "h2" ? .http2 : .http1, context.channel)
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

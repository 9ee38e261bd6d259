// One HTTP/2 connection (RFC 9113): NIO's state machine, one HTTPConnection a stream, and what concerns all streams.
//
//      TLS <-> NIOHTTP2Handler <-> HTTP2Connection            (the connection)
//                    └── codec <-> HTTPConnection             (each stream, a channel of its own)
//
// Bounded: streams at a time, header lists, resets and control frames in a period (rapid reset), buffered bytes of a
// stream in both directions. An idle connection is told to go (GOAWAY) and closed; at shutdown so is every one, its
// endless answers ended first.

import NIOCore
import NIOHTTP2

final class HTTP2Connection: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    /// Streams that a client may have open at a time.
    static let streamLimit = 250

    static var connectionConfiguration: NIOHTTP2Handler.ConnectionConfiguration {
        var configuration = NIOHTTP2Handler.ConnectionConfiguration()
        configuration.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: streamLimit),
            HTTP2Setting(parameter: .maxHeaderListSize, value: 64 << 10),
            HTTP2Setting(parameter: .initialWindowSize, value: 256 << 10),
        ]
        // Of all streams together: a client cannot make more than this wait in memory unread.
        configuration.targetWindowSize = 1 << 20
        configuration.maximumBufferedControlFrames = 1000
        // Watches that come and go reset their streams: one a second and some is honest, a flood is not.
        configuration.maximumRecentlyResetStreams = 100
        return configuration
    }

    static var streamConfiguration: NIOHTTP2Handler.StreamConfiguration {
        var configuration = NIOHTTP2Handler.StreamConfiguration()
        configuration.targetWindowSize = 256 << 10
        configuration.outboundBufferSizeHighWatermark = 256 << 10
        configuration.outboundBufferSizeLowWatermark = 64 << 10
        configuration.streamResetFrameRateLimit.maximumCount = 500
        return configuration
    }

    private let requestTimeout: TimeAmount
    private let idleTimeout: TimeAmount
    private var streams: [ObjectIdentifier: any Channel] = [:]
    private var context: ChannelHandlerContext?
    /// Of the connection and all its streams.
    let clock: DeadlineClock
    private var deadline: Deadline?
    private var leaving = false

    /// - Parameters:
    ///   - requestTimeout: until the first request's head is there.
    ///   - idleTimeout: without a stream.
    init(requestTimeout: TimeAmount, idleTimeout: TimeAmount, _ loop: any EventLoop) {
        self.requestTimeout = requestTimeout
        self.idleTimeout = idleTimeout
        clock = DeadlineClock(loop)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        deadline = clock.deadline { [unowned self] in if let context = self.context { leave(context) } }
        deadline?.set(in: requestTimeout)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.end()
        deadline = nil
        self.context = nil
    }

    /// Takes a new stream in. On the loop.
    func add(_ stream: any Channel) {
        deadline?.clear()
        let id = ObjectIdentifier(stream)
        streams[id] = stream
        let bound = NIOLoopBound(self, eventLoop: stream.eventLoop)
        stream.closeFuture.whenComplete { _ in bound.value.remove(id) }
        if leaving { stream.pipeline.fireUserInboundEventTriggered(CloseWhenIdle()) }
    }

    private func remove(_ id: ObjectIdentifier) {
        streams[id] = nil
        guard streams.isEmpty, let context else { return }
        if leaving { context.close(promise: nil) } else { deadline?.set(in: idleTimeout) }
    }

    private func leave(_ context: ChannelHandlerContext) {
        guard !leaving else { return }
        leaving = true
        let goodbye = HTTP2Frame(
            streamID: .rootStream,
            payload: .goAway(lastStreamID: .maxID, errorCode: .noError, opaqueData: nil))
        context.writeAndFlush(wrapOutboundOut(goodbye), promise: nil)
        for stream in streams.values { stream.pipeline.fireUserInboundEventTriggered(CloseWhenIdle()) }
        if streams.isEmpty { context.close(promise: nil) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is CloseWhenIdle { leave(context) } else { context.fireUserInboundEventTriggered(event) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.clear()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // An error of one stream is that stream's; the state machine has reset it. A client whose
        // body is refused may end it before its length.
        if error is NIOHTTP2Errors.StreamError || error is NIOHTTP2Errors.ContentLengthViolated { return }
        context.close(promise: nil)
    }
}

// One HTTP/1.1 connection, or one stream of an HTTP/2 connection: gathers a request, asks the handler,
// writes its reply; then, in HTTP/1.1, the next.
//
//      idle --head--> gathering --end--> answering --written, and the socket has room--> idle
//                        |  refused: close
//
// This file holds what a connection knows, and sorts what happens to it; what it does is in a file for each part:
// +Request (a body is gathered, within bounds), +Forward (a body that the handler forwards is not: the request is
// answered at its head), +Answer, +Stream (an answer without an end), and WebSocketUpgrade.
//
// A client that does not read its answer gets no other one and no more than a slice of a large body is copied for it;
// one that reads nothing for `idleTimeout` is cut (of a forwarded answer: StallWatch). So pipelining costs no memory.
//
// Everything here runs on the connection's event loop. Deferred replies are awaited in a task of their own, which is
// cancelled when the connection goes; its result comes back to the loop. What fails here is the connection: it is
// closed, and when the bytes were no HTTP, after an answer that says so.

import HTTP
import Logging
import NIOCore
import NIOHTTP1
import NIOSSL

final class HTTPConnection: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    enum State {
        case idle
        /// The body so far is in `gathered`: inside the state every part would copy it.
        case gathering(HTTPRequestHead)
        case answering(keepAlive: Bool)
        /// The last answer is written, or being written; what still comes in is dropped.
        case refusing
        case upgraded
    }

    /// How long a client whose body was refused may go on sending it. Closing at once would reset the connection, and
    /// the client would not see the answer.
    static let lingerTime = Duration.seconds(2)

    let handler: any HTTPHandler
    /// nil on a stream of HTTP/2, which brings one request and frames its own answer.
    let wire: HTTPWire?
    let configuration: HTTPServerConfiguration
    let secure: Bool
    let logger: Logger
    var state = State.idle
    /// Known from the first request on.
    var peer: Peer?
    var head: HTTPRequestHead?
    var request: HTTPRequest?
    /// Set while a request's body is handed on as it comes.
    var intake: BodyIntake?
    /// Set while another server answers.
    var forward: ForwardExchange?
    var gathered: GatheredBody
    /// Set while an endless answer is given.
    var sink: ChannelSink?
    /// Answers that are being given inside each other.
    var nesting = 0
    /// Makes a deferred reply.
    var work: Task<Void, Never>?
    /// That of an HTTP/2 connection is shared by its streams.
    private(set) var clock: DeadlineClock?
    /// The connection is closed then.
    var deadline: Deadline?
    /// The deadline is that of a request that has begun, or of the first one.
    private var isArriving = false
    /// What is left of a large answer, and whether the connection goes on behind it.
    var sending: (body: BodyWriter, keepAlive: Bool)?
    private(set) var closing = false
    /// A refusal is out and the rest of its request is awaited.
    var lingering = false
    /// Bytes of that rest.
    private var dropped = 0

    /// - Parameter clock: of the HTTP/2 connection that this is a stream of.
    init(
        handler: any HTTPHandler, wire: HTTPWire?, clock: DeadlineClock? = nil, configuration: HTTPServerConfiguration,
        budget: BodyBudget, secure: Bool, logger: Logger
    ) {
        self.handler = handler
        self.wire = wire
        self.clock = clock
        gathered = GatheredBody(budget)
        self.configuration = configuration
        self.secure = secure
        self.logger = logger
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        let clock = clock ?? DeadlineClock(context.eventLoop)
        self.clock = clock
        deadline = clock.deadline { channel.close(promise: nil) }
        wire?.onRead = { [unowned self] in if case .idle = state { expectRequest() } }
        if context.channel.isActive { expectRequest() }
    }

    func channelActive(context: ChannelHandlerContext) {
        expectRequest()
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.clear()
        gathered.drop()
        work?.cancel()
        sink?.stop()
        sink = nil
        sending = nil
        forward?.abandon()
        forward = nil
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        wire?.onRead = nil
        deadline?.end()
        deadline = nil
        gathered.drop()
        forward?.abandon()
        forward = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        logger.debug("connection failed", metadata: ["peer": "\(peer?.address ?? "?")", "error": "\(error)"])
        let isBegun = sink != nil || sending != nil || forward?.isAnswering == true
        // What another server still says is too late: either the refusal is the answer, or a part must not look whole.
        forward?.abandon()
        forward = nil
        if error is HTTPParserError, !isBegun {
            // The answer is written; closed at once, the client's unread bytes would reset it away.
            state = .refusing
            resumeReading(context)
            intake = nil
            arm(Self.lingerTime)
            return
        }
        close(context)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is CloseWhenIdle {
            closing = true
            if let sink { end(sink, context) } else if case .idle = state { close(context) }
            return
        }
        if let event = event as? ChannelEvent, event == .inputClosed, case .idle = state {
            close(context)
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// Answers of this turn may still wait to be sent (AnswerFlusher).
    private func close(_ context: ChannelHandlerContext) {
        context.flush()
        context.close(promise: nil)
    }

    /// Closes the connection unless armed anew or the deadline is cleared within `timeout`.
    func arm(_ timeout: Duration) { deadline?.set(in: TimeAmount(timeout)) }

    /// The first byte of a request is there: the rest has `requestTimeout`.
    private func expectRequest() {
        guard !isArriving else { return }
        isArriving = true
        arm(configuration.requestTimeout)
    }

    /// The answer is given: the next request may take its time to begin.
    func awaitRequest() {
        isArriving = false
        arm(configuration.idleTimeout)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch (unwrapInboundIn(data), state) {
        case (.head(let head), .idle):
            expectRequest()
            if isHandedOn(head) {
                handOn(head, context)
                return
            }
            begin(head, context)
        case (.body(var part), .gathering(let head)):
            gather(&part, head, context)
        case (.end, .gathering(let head)):
            deadline?.clear()
            answer(head, context)
        case (.body(let part), .answering) where intake != nil: take(part, context)
        case (.end, .answering) where intake != nil: endIntake(context)
        case (.body(let part), .refusing) where lingering:
            // Its rest may come for a while, so that the client sees the answer, but not without end.
            dropped += part.readableBytes
            if dropped > configuration.bodyLimit { cut(context) }
        case (.end, .refusing) where lingering:
            // A stream is over when both sides have ended it; closed here, it might be before its answer is out.
            if wire != nil { close(context) }
        default:
            // The rest of a body that was refused, or bytes after the end: nothing to do with them.
            break
        }
    }

    /// Closes behind TLS's back, which would else take in all that still comes until the other side says goodbye, too.
    private func cut(_ context: ChannelHandlerContext) {
        let tls = try? context.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self)
        (tls ?? context).close(promise: nil)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { send(context) }
        forward?.clientRoomChanged()
        context.fireChannelWritabilityChanged()
    }
}

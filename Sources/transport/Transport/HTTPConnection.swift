// One HTTP/1.1 connection, or one stream of an HTTP/2 connection: gathers a request, asks the handler, writes its reply;
// then, in HTTP/1.1, the next.
//
//      idle --head--> gathering --end--> answering --written, and the socket has room--> idle
//                        |  body too large: 413; who asks may not: 401, 403; too many bodies at a time: 429; close
//
// A body of more than `unscreenedLimit` is gathered only when the handler, shown the head, has nothing against it; all
// bodies together are bounded by the server's `BodyBudget`.
//
// A body that the handler forwards is not gathered: the request is answered at its head (ForwardExchange).
//
// A client that does not read its answer gets no other one and no more than a slice of a large body is copied for it; one
// that reads nothing for `idleTimeout` is cut (of a forwarded answer: StallWatch). So pipelining costs no memory.
//
// Everything here runs on the connection's event loop. Deferred replies are awaited in a task of their own, which is
// cancelled when the connection goes; its result comes back to the loop.

import HTTP
import Logging
import NIOCore
import NIOHTTP1
import NIOSSL
import PKI

final class HTTPConnection: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    enum State {
        case idle
        /// The body so far is in `body`: inside the state every part would copy it.
        case gathering(HTTPRequestHead)
        case answering(keepAlive: Bool)
        /// The last answer is written, or being written; what still comes in is dropped.
        case refusing
        case upgraded
    }

    /// How long a client whose body was refused may go on sending it. Closing at once would reset the connection, and
    /// the client would not see the answer.
    static let lingerTime = Duration.seconds(2)
    /// Bytes of a body that are gathered before the handler is asked who sends it. Nearly all bodies are smaller, and
    /// their requests are looked at once.
    static let unscreenedLimit = 16 << 10
    /// How many answers may be given inside each other: the end of one answer hands out the next pipelined request.
    private static let nestingLimit = 16

    let handler: any HTTPHandler
    /// nil on a stream of HTTP/2, which brings one request and frames its own answer.
    let wire: HTTPWire?
    let configuration: HTTPServerConfiguration
    private let secure: Bool
    let logger: Logger
    var state = State.idle
    private var peer: Peer?
    var head: HTTPRequestHead?
    var request: HTTPRequest?
    /// Set while a request's body is handed on as it comes.
    var intake: BodyIntake?
    /// Set while another server answers.
    var forward: ForwardExchange?
    private var body = ByteBuffer()
    private var hold: BodyHold
    /// The handler has nothing against the body that is being gathered.
    private var isScreened = false
    private var sink: ChannelSink?
    private var nesting = 0
    private var work: Task<Void, Never>?
    /// That of an HTTP/2 connection is shared by its streams.
    private(set) var clock: DeadlineClock?
    /// The connection is closed then.
    var deadline: Deadline?
    /// The deadline is that of a request that has begun, or of the first one.
    private var isArriving = false
    /// What is left of a large answer, and whether the connection goes on behind it.
    private var sending: (body: BodyWriter, keepAlive: Bool)?
    private(set) var closing = false
    /// A refusal is out and the rest of its request is awaited.
    private var lingering = false
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
        hold = BodyHold(budget)
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
        hold.release()
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
        hold.release()
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

    /// Ends an endless answer (a watch, a followed log) because the server stops. A client that does not read what is
    /// still on its way is cut.
    private func end(_ sink: ChannelSink, _ context: ChannelHandlerContext) {
        arm(Self.lingerTime)
        sink.finish()
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

    // MARK: - The request

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

    /// The client waits for a word before it sends the body (RFC 9110, 10.1.1).
    private func asksFirst(_ head: HTTPRequestHead) -> Bool {
        wire != nil && head.headers["expect"].contains { $0.lowercased() == "100-continue" }
    }

    func welcomeBody(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        guard asksFirst(head) else { return }
        context.writeAndFlush(wrapOutboundOut(.head(.init(version: head.version, status: .continue))), promise: nil)
    }

    private func begin(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        body = ByteBuffer()
        request = nil
        isScreened = false
        state = .gathering(head)
        let length = head.headers.first(name: "content-length").flatMap(Int.init) ?? 0
        guard length <= configuration.bodyLimit else { return refuse(tooLarge, head, context) }
        if asksFirst(head) || length > Self.unscreenedLimit {
            guard screen(head, context) else { return }
        }
        welcomeBody(head, context)
    }

    private func gather(_ part: inout ByteBuffer, _ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let count = part.readableBytes
        let total = body.readableBytes + count
        guard total <= configuration.bodyLimit else { return refuse(tooLarge, head, context) }
        // Of small bodies strangers' and others' are told apart only when there is no room for both.
        var isHeld = (isScreened || total <= Self.unscreenedLimit) && hold.take(count)
        if !isHeld, !isScreened {
            guard screen(head, context) else { return }
            isHeld = hold.take(count)
        }
        guard isHeld else { return refuse(tooBusy, head, context) }
        body.writeBuffer(&part)
    }

    /// Shows the handler the head of a request whose body is still coming. False when that was its end.
    private func screen(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) -> Bool {
        let request = makeRequest(head, context)
        self.request = request
        let account: BodyBudget.Account
        switch handler.screen(request) {
        case .refused(let response):
            refuse(response, head, context)
            return false
        case .stranger: account = .strangers
        case .known: account = .known
        case .exempt: account = .exempt
        }
        isScreened = true
        guard hold.move(to: account) else {
            refuse(tooBusy, head, context)
            return false
        }
        return true
    }

    /// The request without its body.
    private func makeRequest(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) -> HTTPRequest {
        let target = HTTPTarget.parse(head.uri)
        var request = HTTPRequest(method: head.method.rawValue, path: target.path)
        request.query = target.query
        request.headers = HTTPHeaders(head.headers.map { ($0.name, $0.value) })
        request.peer = currentPeer(context)
        return request
    }

    func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        var request = self.request ?? makeRequest(head, context)
        request.body = Array(body.readableBytesView)
        body = ByteBuffer()
        hold.release()
        self.head = head
        self.request = request
        // After a request to upgrade the decoder stops: the connection is of no use for another request.
        let keepAlive = wire != nil && head.isKeepAlive && !closing && !Self.asksToUpgrade(head)
        state = .answering(keepAlive: keepAlive)
        guard nesting >= Self.nestingLimit else {
            perform(handler.handle(request), context)
            return
        }
        let bound = NIOLoopBound((self, context, request), eventLoop: context.eventLoop)
        context.eventLoop.execute {
            let (connection, context, request) = bound.value
            guard context.channel.isActive else { return }
            connection.perform(connection.handler.handle(request), context)
        }
    }

    static func asksToUpgrade(_ head: HTTPRequestHead) -> Bool {
        head.method == .CONNECT
            || head.headers.contains(name: "upgrade")
                && head.headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
    }

    /// Who is at the other end; the certificate is parsed once a connection.
    private func currentPeer(_ context: ChannelHandlerContext) -> Peer {
        if let peer { return peer }
        // A stream's TLS is that of its connection.
        let channel = wire == nil ? context.channel.parent ?? context.channel : context.channel
        var peer = Peer(address: channel.remoteAddress?.ipAddress ?? "")
        if secure, let certificate = try? channel.pipeline.syncOperations.nioSSL_peerCertificate(),
            let der = try? certificate.toDERBytes(), let subject = CertificateSubject(der: der) {
            peer.certificate = ClientCertificate(
                commonName: subject.commonName, organizations: subject.organizations,
                fingerprint: SHA256Hash.hex(of: der))
        }
        self.peer = peer
        return peer
    }

    private var tooLarge: HTTPResponse {
        Refusal.response(
            413, "RequestEntityTooLarge", "Request entity too large: limit is \(configuration.bodyLimit)")
    }

    private var tooBusy: HTTPResponse {
        var response = Refusal.response(
            429, "TooManyRequests", "too many request bodies are under way, please try again later")
        response.headers["Retry-After"] = "1"
        return response
    }

    /// An answer before the end of the request, then the end of the connection: the rest of the body is dropped.
    private func refuse(_ response: HTTPResponse, _ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        state = .refusing
        self.head = head
        body = ByteBuffer()
        hold.release()
        lingering = true
        write(response, keepAlive: false, context)
    }

    /// Closes behind TLS's back, which would else take in all that still comes until the other side says goodbye, too.
    private func cut(_ context: ChannelHandlerContext) {
        let tls = try? context.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self)
        (tls ?? context).close(promise: nil)
    }

    // MARK: - The reply

    func perform(_ reply: HTTPReply, _ context: ChannelHandlerContext) {
        // A request whose body turned out to be none while the reply was made has been answered.
        guard case .answering = state else { return }
        switch reply {
        case .response(let response):
            if let request, Gzip.isWanted(response, request) {
                self.request = nil
                let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
                let (loop, channel) = (context.eventLoop, context.channel)
                let isTaken = Compressor.shared.compress(response, while: { channel.isActive }) { smaller in
                    loop.execute {
                        let (connection, context) = bound.value
                        guard context.channel.isActive else { return }
                        connection.perform(.response(smaller), context)
                    }
                }
                if isTaken { return }
            }
            var keepAlive = false
            if case .answering(let keep) = state { keepAlive = keep && !closing }
            write(response, keepAlive: keepAlive, context)
        case .deferred(let produce):
            let loop = context.eventLoop
            let bound = NIOLoopBound((self, context), eventLoop: loop)
            work = Task {
                let reply = await produce()
                loop.execute {
                    let (connection, context) = bound.value
                    guard context.channel.isActive else { return }
                    connection.perform(reply, context)
                }
            }
        case .stream(let status, let headers, let start):
            startStream(status, headers, start, context)
        case .webSocket(let subprotocol, let start):
            upgrade(subprotocol, start, context)
        case .forward(let forwarding):
            startForward(forwarding, context)
        }
    }

    func write(_ response: HTTPResponse, keepAlive: Bool, _ context: ChannelHandlerContext) {
        var headers = NIOHTTP1.HTTPHeaders(response.headers.fields.map { ($0.name, $0.value) })
        let keepAlive = keepAlive && !isReceiving
        let length = response.contentLength
        let bodyless = response.status == 204 || response.status == 304 || response.status < 200
        if !bodyless { headers.replaceOrAdd(name: "Content-Length", value: String(length)) }
        if wire == nil {
            // HTTP/2 says it in frames.
        } else if !keepAlive {
            headers.replaceOrAdd(name: "Connection", value: "close")
        } else if head?.version == .http1_0 {
            headers.replaceOrAdd(name: "Connection", value: "keep-alive")
        }
        context.write(
            wrapOutboundOut(
                .head(.init(version: .http1_1, status: .init(statusCode: response.status), headers: headers))),
            promise: nil)
        request = nil
        let hasBody = length > 0 && head?.method != .HEAD && !bodyless
        sending = (BodyWriter(hasBody ? response.body : [], count: hasBody ? length : 0), keepAlive)
        send(context)
    }

    /// Sends what the socket has room for; the rest when it has room again. What comes last is the end of the answer: the
    /// next request is not looked at before.
    private func send(_ context: ChannelHandlerContext) {
        guard sending != nil else { return }
        var isFirst = true
        while let left = sending?.body.remaining, left > 0 {
            // A short rest is not worth a turn.
            guard isFirst || context.channel.isWritable else { break }
            isFirst = false
            guard let buffer = sending?.body.take(context.channel.allocator) else { break }
            let part = wrapOutboundOut(.body(.byteBuffer(buffer)))
            if left > BodyWriter.slice { context.writeAndFlush(part, promise: nil) } else { context.write(part, promise: nil) }
        }
        // Writing may make the socket writable, and then this method has finished the answer inside of itself.
        guard let (body, keepAlive) = sending else { return }
        guard body.remaining == 0 else {
            arm(configuration.idleTimeout)
            return
        }
        guard context.channel.isWritable || !keepAlive else {
            context.flush()
            arm(configuration.idleTimeout)
            return
        }
        sending = nil
        finishAnswer(keepAlive: keepAlive, context)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { send(context) }
        forward?.clientRoomChanged()
        context.fireChannelWritabilityChanged()
    }

    /// Ends the present answer and makes ready for the next request, or closes.
    private func finishAnswer(keepAlive: Bool, _ context: ChannelHandlerContext) {
        let channel = context.channel
        forward = nil
        guard channel.isActive else { return }
        if isReceiving {
            // What the client still sends has nobody to go to; it is dropped for a moment so that the answer is seen.
            lingering = true
            resumeReading(context)
        }
        intake = nil
        if keepAlive {
            state = .idle
            isArriving = false
            arm(configuration.idleTimeout)
            nesting += 1
            if wire != nil {
                AnswerFlusher.of(context.eventLoop).add(channel)
                context.write(wrapOutboundOut(.end(nil)), promise: nil)
            } else {
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            }
            nesting -= 1
        } else {
            state = .refusing
            let lingers = lingering
            arm(lingers ? Self.lingerTime : configuration.idleTimeout)
            let isStream = wire == nil
            context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
                // A stream whose request was complete is over with this.
                if !lingers, !isStream { channel.close(promise: nil) }
            }
        }
    }

    private func startStream(
        _ status: Int, _ headers: HTTP.HTTPHeaders, _ start: @Sendable (any ByteSink) -> Void,
        _ context: ChannelHandlerContext
    ) {
        guard case .answering(let keepAlive) = state, head?.method != .HEAD else {
            // The answer to HEAD is the head alone.
            perform(.response(HTTPResponse(status: status, headers: headers)), context)
            return
        }
        let version = head?.version ?? .http1_1
        var headers = NIOHTTP1.HTTPHeaders(headers.fields.map { ($0.name, $0.value) })
        if wire == nil {
            // HTTP/2 frames the body.
        } else if version == .http1_0 {
            // No chunks there: the end of the connection is the end of the body.
            state = .answering(keepAlive: false)
            headers.replaceOrAdd(name: "Connection", value: "close")
        } else {
            headers.replaceOrAdd(name: "Transfer-Encoding", value: "chunked")
            if !keepAlive { headers.replaceOrAdd(name: "Connection", value: "close") }
        }
        context.writeAndFlush(
            wrapOutboundOut(.head(.init(version: version, status: .init(statusCode: status), headers: headers))),
            promise: nil)
        request = nil
        let sink = ChannelSink(context.channel, output(isChunked: wire != nil && version != .http1_0, context))
        self.sink = sink
        start(sink)
        if closing { end(sink, context) }
    }

    /// How a stream's bytes get out: in HTTP/1.1 each buffer is a chunk and passes the encoder by.
    func output(isChunked: Bool, _ context: ChannelHandlerContext) -> ChannelSink.Output {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        return ChannelSink.Output(
            write: { buffer in
                let (connection, context) = bound.value
                guard let wire = connection.wire, isChunked else {
                    return context.writeAndFlush(connection.wrapOutboundOut(.body(.byteBuffer(buffer))))
                }
                var chunk = context.channel.allocator.buffer(capacity: buffer.readableBytes + 12)
                chunk.writeString(String(buffer.readableBytes, radix: 16))
                chunk.writeStaticString("\r\n")
                chunk.writeImmutableBuffer(buffer)
                chunk.writeStaticString("\r\n")
                return wire.writeRaw(chunk)
            },
            end: {
                let (connection, context) = bound.value
                connection.sink = nil
                guard case .answering(let keepAlive) = connection.state else { return }
                connection.finishAnswer(keepAlive: keepAlive && !connection.closing, context)
            })
    }
}

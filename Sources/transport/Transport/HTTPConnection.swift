// One connection: gathers a request, asks the handler, writes its reply; then the next.
//
//      idle --head--> gathering --end--> answering --written--> idle
//                        |  body too large: 413, close
//
// Everything here runs on the connection's event loop. Deferred replies are awaited in a task of their own, which is
// cancelled when the connection goes; its result comes back to the loop.

import HTTP
import Logging
import NIOCore
import NIOHTTP1
import NIOSSL
import NIOWebSocket
import PKI

final class HTTPConnection: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private enum State {
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
    private static let lingerTime = Duration.seconds(2)
    /// How many answers may be given inside each other: the end of one answer hands out the next pipelined request.
    private static let nestingLimit = 16

    private let handler: any HTTPHandler
    private let wire: HTTPWire
    private let configuration: HTTPServerConfiguration
    private let secure: Bool
    private let logger: Logger
    private var state = State.idle
    private var peer: Peer?
    private var head: HTTPRequestHead?
    private var body = ByteBuffer()
    private var sink: ChannelSink?
    private var nesting = 0
    private var work: Task<Void, Never>?
    private var timer: Scheduled<Void>?
    private var closing = false
    /// A refusal is out and the rest of its request is awaited.
    private var lingering = false

    init(
        handler: any HTTPHandler, wire: HTTPWire, configuration: HTTPServerConfiguration, secure: Bool, logger: Logger
    ) {
        self.handler = handler
        self.wire = wire
        self.configuration = configuration
        self.secure = secure
        self.logger = logger
    }

    func channelActive(context: ChannelHandlerContext) {
        arm(configuration.requestTimeout, context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        work?.cancel()
        sink?.stop()
        sink = nil
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        logger.debug("connection failed", metadata: ["peer": "\(peer?.address ?? "?")", "error": "\(error)"])
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is CloseWhenIdle {
            closing = true
            if let sink { end(sink, context) } else if case .idle = state { context.close(promise: nil) }
            return
        }
        if let event = event as? ChannelEvent, event == .inputClosed, case .idle = state {
            context.close(promise: nil)
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// Ends an endless answer (a watch, a followed log) because the server stops. A client that does not read what is
    /// still on its way is cut.
    private func end(_ sink: ChannelSink, _ context: ChannelHandlerContext) {
        arm(Self.lingerTime, context)
        sink.finish()
    }

    /// Closes the connection unless re-armed or cancelled within `timeout`.
    private func arm(_ timeout: Duration, _ context: ChannelHandlerContext) {
        timer?.cancel()
        let channel = context.channel
        timer = context.eventLoop.scheduleTask(in: TimeAmount(timeout)) { channel.close(promise: nil) }
    }

    // MARK: - The request

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch (unwrapInboundIn(data), state) {
        case (.head(let head), .idle):
            arm(configuration.requestTimeout, context)
            let length = head.headers.first(name: "content-length").flatMap(Int.init)
            if let length, length > configuration.bodyLimit {
                refuse(head, context)
                return
            }
            if head.headers["expect"].contains(where: { $0.lowercased() == "100-continue" }) {
                context.writeAndFlush(
                    wrapOutboundOut(.head(.init(version: head.version, status: .continue))), promise: nil)
            }
            body = ByteBuffer()
            state = .gathering(head)
        case (.body(var part), .gathering(let head)):
            guard body.readableBytes + part.readableBytes <= configuration.bodyLimit else {
                refuse(head, context)
                return
            }
            body.writeBuffer(&part)
        case (.end, .gathering(let head)):
            timer?.cancel()
            answer(head, context)
        case (.end, .refusing) where lingering:
            context.close(promise: nil)
        default:
            // The rest of a body that was refused, or bytes after the end: nothing to do with them.
            break
        }
    }

    private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let target = RequestTarget.parse(head.uri)
        var request = HTTPRequest(method: head.method.rawValue, path: target.path)
        request.query = target.query
        request.headers = HTTPHeaders(head.headers.map { ($0.name, $0.value) })
        request.body = Array(body.readableBytesView)
        body = ByteBuffer()
        request.peer = currentPeer(context)
        self.head = head
        // After a request to upgrade the decoder stops: the connection is of no use for another request.
        state = .answering(keepAlive: head.isKeepAlive && !closing && !Self.asksToUpgrade(head))
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

    private static func asksToUpgrade(_ head: HTTPRequestHead) -> Bool {
        head.method == .CONNECT
            || head.headers.contains(name: "upgrade")
                && head.headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
    }

    /// Who is at the other end; the certificate is parsed once a connection.
    private func currentPeer(_ context: ChannelHandlerContext) -> Peer {
        if let peer { return peer }
        var peer = Peer(address: context.remoteAddress?.ipAddress ?? "")
        if secure, let certificate = try? context.channel.pipeline.syncOperations.nioSSL_peerCertificate(),
            let der = try? certificate.toDERBytes(), let subject = CertificateSubject(der: der) {
            peer.certificate = ClientCertificate(
                commonName: subject.commonName, organizations: subject.organizations)
        }
        self.peer = peer
        return peer
    }

    /// 413 in the shape of the API's own errors, then the end: the rest of the body is dropped.
    private func refuse(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        state = .refusing
        self.head = head
        body = ByteBuffer()
        let text = """
            {"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Request entity too large: \
            limit is \(configuration.bodyLimit)","reason":"RequestEntityTooLarge","code":413}
            """
        var response = HTTPResponse(status: 413, bytes: Array(text.utf8))
        response.headers["Content-Type"] = "application/json"
        lingering = true
        write(response, keepAlive: false, context)
    }

    // MARK: - The reply

    private func perform(_ reply: HTTPReply, _ context: ChannelHandlerContext) {
        switch reply {
        case .response(let response):
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
        }
    }

    private func write(_ response: HTTPResponse, keepAlive: Bool, _ context: ChannelHandlerContext) {
        var headers = NIOHTTP1.HTTPHeaders(response.headers.fields.map { ($0.name, $0.value) })
        let length = response.contentLength
        let bodyless = response.status == 204 || response.status == 304 || response.status < 200
        if !bodyless { headers.replaceOrAdd(name: "Content-Length", value: String(length)) }
        if !keepAlive {
            headers.replaceOrAdd(name: "Connection", value: "close")
        } else if head?.version == .http1_0 {
            headers.replaceOrAdd(name: "Connection", value: "keep-alive")
        }
        context.write(
            wrapOutboundOut(
                .head(.init(version: .http1_1, status: .init(statusCode: response.status), headers: headers))),
            promise: nil)
        if length > 0, head?.method != .HEAD, !bodyless {
            var buffer = context.channel.allocator.buffer(capacity: length)
            for piece in response.body { buffer.writeBytes(piece) }
            context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
        }
        finishAnswer(keepAlive: keepAlive, context)
    }

    /// Ends the present answer and makes ready for the next request, or closes.
    private func finishAnswer(keepAlive: Bool, _ context: ChannelHandlerContext) {
        let channel = context.channel
        guard channel.isActive else { return }
        if keepAlive {
            state = .idle
            arm(configuration.idleTimeout, context)
            nesting += 1
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            nesting -= 1
        } else {
            state = .refusing
            let lingers = lingering
            if lingers { arm(Self.lingerTime, context) }
            context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
                if !lingers { channel.close(promise: nil) }
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
        if version == .http1_0 {
            // No chunks there: the end of the connection is the end of the body.
            state = .answering(keepAlive: false)
        } else {
            headers.replaceOrAdd(name: "Transfer-Encoding", value: "chunked")
        }
        if !keepAlive || version == .http1_0 { headers.replaceOrAdd(name: "Connection", value: "close") }
        context.writeAndFlush(
            wrapOutboundOut(.head(.init(version: version, status: .init(statusCode: status), headers: headers))),
            promise: nil)
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let sink = ChannelSink(context.channel) {
            let (connection, context) = bound.value
            connection.sink = nil
            guard case .answering(let keepAlive) = connection.state else { return }
            connection.finishAnswer(keepAlive: keepAlive && !connection.closing, context)
        }
        self.sink = sink
        start(sink)
        if closing { end(sink, context) }
    }

    // MARK: - WebSocket

    private func upgrade(
        _ subprotocol: String, _ start: @escaping @Sendable (any WebSocketConnection) async -> Void,
        _ context: ChannelHandlerContext
    ) {
        guard let head, head.method == .GET, Self.asksToUpgrade(head),
            head.headers[canonicalForm: "upgrade"].contains(where: { $0.lowercased() == "websocket" })
        else {
            refuseUpgrade("Upgrade: websocket and Connection: Upgrade are missing", context)
            return
        }
        let upgrader = NIOWebSocketServerUpgrader(
            maxFrameSize: WebSocketHandler.messageLimit,
            shouldUpgrade: { channel, _ in
                channel.eventLoop.makeSucceededFuture(NIOHTTP1.HTTPHeaders())
            },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() })
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        upgrader.buildUpgradeResponse(
            channel: context.channel, upgradeRequest: head,
            initialResponseHeaders: ["Upgrade": "websocket", "Connection": "Upgrade"]
        ).whenComplete { result in
            let (connection, context) = bound.value
            switch result {
            case .success(var headers):
                if !subprotocol.isEmpty { headers.replaceOrAdd(name: "Sec-WebSocket-Protocol", value: subprotocol) }
                connection.switchProtocols(headers, subprotocol, start, context)
            case .failure(let error):
                connection.refuseUpgrade("\(error)", context)
            }
        }
    }

    private func refuseUpgrade(_ reason: String, _ context: ChannelHandlerContext) {
        let text = "the request is no WebSocket upgrade (RFC 6455): \(reason)\n"
        write(
            HTTPResponse(status: 400, headers: ["Content-Type": "text/plain"], bytes: Array(text.utf8)),
            keepAlive: false, context)
    }

    private func switchProtocols(
        _ headers: NIOHTTP1.HTTPHeaders, _ subprotocol: String,
        _ start: @escaping @Sendable (any WebSocketConnection) async -> Void, _ context: ChannelHandlerContext
    ) {
        state = .upgraded
        timer?.cancel()
        context.write(
            wrapOutboundOut(.head(.init(version: .http1_1, status: .switchingProtocols, headers: headers))),
            promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        do {
            let webSocket = WebSocketHandler(context.channel)
            try wire.replace(in: context.pipeline.syncOperations, with: [
                WebSocketFrameEncoder(),
                ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: WebSocketHandler.messageLimit)),
                NIOWebSocketFrameAggregator(
                    minNonFinalFragmentSize: 0, maxAccumulatedFrameCount: 1024,
                    maxAccumulatedFrameSize: WebSocketHandler.messageLimit),
                webSocket,
            ])
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
            webSocket.run(start)
        } catch {
            logger.warning("cannot switch to WebSocket", metadata: ["error": "\(error)"])
            context.close(promise: nil)
        }
    }
}

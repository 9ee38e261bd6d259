// One request that another server answers: a connection of its own to that server, on the client's event loop, and both
// bodies copied at the pace of the slower side.
//
//      client -> HTTPConnection ──parts──> ForwardExchange ──> UpstreamHandler -> server
//             <-                <──output──                <──                <-
//
// Neither side is read from while the other one has no room, so that an exchange holds about a socket buffer each way,
// however large its bodies; nor does the client's next request get its answer before the client has made room. A
// failure before the answer's head becomes a response; after it, the client's connection is cut, so that it cannot
// take a part for the whole. When the client goes, the connection to the server goes; a client that takes nothing of
// what waits for it is made to go (StallWatch).
//
// The connection is not kept for another request: who uses this looks at a page or calls a hook now and then.

import HTTP
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// On the client's event loop only.
final class ForwardExchange {
    /// As Kubernetes dials.
    private static let connectTimeout = TimeAmount.seconds(30)
    private static let insecure = Result<NIOSSLContext, TransportError> { () throws(TransportError) in
        try Dial.insecureContext()
    }

    private let connection: HTTPConnection
    private let context: ChannelHandlerContext
    private let forwarding: Forwarding
    private let request: HTTPRequestHead
    /// The upgrade that the client asks for; nil for none.
    private let upgrade: String?
    /// The body when it was complete before.
    private let gathered: [UInt8]
    /// Holds this, too, until its channel is closed: let go of with `finish`.
    private var upstream: UpstreamHandler?
    private(set) var isOpen = false
    private var output: ChannelSink.Output?
    /// The other server has agreed to the upgrade with this head.
    private var switching: HTTPResponseHead?
    private var isOver = false
    /// The answer is complete; its end waits for the client to have room.
    private var isEnding = false
    private let stall: StallWatch

    /// - Parameter stall: of the client's channel.
    init(
        _ connection: HTTPConnection, _ context: ChannelHandlerContext, _ forwarding: Forwarding,
        _ head: HTTPRequestHead, gathered: [UInt8], _ stall: StallWatch
    ) {
        self.stall = stall
        self.connection = connection
        self.context = context
        self.forwarding = forwarding
        self.gathered = gathered
        upgrade =
            connection.wire != nil && HTTPConnection.asksToUpgrade(head) ? head.headers.first(name: "upgrade") : nil
        let query = head.uri.utf8.drop { $0 != UInt8(ascii: "?") }.prefix { $0 != UInt8(ascii: "#") }
        request = HTTPRequestHead(
            version: .http1_1, method: head.method, uri: forwarding.path + String(Substring(query)),
            headers: Self.fields(
                forwarding.headers, head, upgrade, isStreamed: connection.intake != nil, gathered.count))
    }

    private static func fields(
        _ fields: HTTP.HTTPHeaders, _ head: HTTPRequestHead, _ upgrade: String?, isStreamed: Bool, _ count: Int
    ) -> NIOHTTP1.HTTPHeaders {
        var headers = NIOHTTP1.HTTPHeaders(fields)
        headers.remove(name: "Content-Length")
        // Has been answered here.
        headers.remove(name: "Expect")
        if let upgrade {
            headers.add(name: "Connection", value: "Upgrade")
            headers.add(name: "Upgrade", value: upgrade)
        } else {
            headers.add(name: "Connection", value: "close")
        }
        if isStreamed {
            if let length = head.headers.first(name: "content-length") {
                headers.add(name: "Content-Length", value: length)
            } else {
                headers.add(name: "Transfer-Encoding", value: "chunked")
            }
        } else if count > 0 || head.method == .POST || head.method == .PUT || head.method == .PATCH {
            headers.add(name: "Content-Length", value: String(count))
        }
        return headers
    }

    func start() {
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        let isSecure = forwarding.isSecure
        do {
            let address = try SocketAddress(ipAddress: "\(forwarding.address)", port: forwarding.port)
            ClientBootstrap(group: context.eventLoop)
                .connectTimeout(Self.connectTimeout)
                .channelOption(.socketOption(.tcp_nodelay), value: 1)
                .channelOption(.writeBufferWaterMark, value: .init(low: 64 << 10, high: 256 << 10))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let pipeline = channel.pipeline.syncOperations
                        if isSecure {
                            try pipeline.addHandler(
                                NIOSSLClientHandler(context: try Self.insecure.get(), serverHostname: nil))
                        }
                        try bound.value.dialing().add(to: pipeline)
                    }
                }
                .connect(to: address)
                .whenFailure { error in
                    let exchange = bound.value
                    exchange.fail(
                        Dial.explain(error, "\(exchange.forwarding.address)", exchange.forwarding.port))
                }
        } catch {
            fail("\(error)")
        }
    }

    // MARK: - To the server

    private func dialing() -> UpstreamHandler {
        let handler = UpstreamHandler(self)
        upstream = handler
        return handler
    }

    func connected(_ handler: UpstreamHandler) {
        guard !isOver else { return handler.close() }
        isOpen = true
        handler.send(.head(request))
        if !gathered.isEmpty { handler.send(.body(.byteBuffer(ByteBuffer(bytes: gathered)))) }
        guard let intake = connection.intake else { return handler.send(.end(nil)) }
        connection.intake?.waiting = []
        for part in intake.waiting { handler.send(.body(.byteBuffer(part))) }
        if intake.isEnded { handler.send(.end(nil)) }
        serverRoomChanged()
    }

    func send(_ part: ByteBuffer) {
        upstream?.send(.body(.byteBuffer(part)))
        serverRoomChanged()
    }

    func sendEnd() { upstream?.send(.end(nil)) }

    /// The client is read from while the server takes what comes.
    func serverRoomChanged() {
        guard let upstream, isOpen, connection.isReceiving else { return }
        if upstream.hasRoom { connection.resumeReading(context) } else { connection.pauseReading(context) }
    }

    // MARK: - To the client

    /// The head of the answer is out.
    var isAnswering: Bool { output != nil }

    func received(_ part: HTTPClientResponsePart) {
        guard !isOver else { return }
        switch part {
        case .head(let head) where head.status == .switchingProtocols:
            if upgrade == nil { fail("it switched protocols without being asked to") } else { switching = head }
        // The decoder has dropped those of 100 and more.
        case .head(let head) where head.status.code < 200:
            fail("malformed HTTP status code \(head.status.code)")
        case .head(let head):
            let fields = HTTP.HTTPHeaders(head.headers).endToEnd
            let status = Int(head.status.code)
            output = connection.writeForwarded(status, forwarding.answered(status, fields), context)
        case .body(let part):
            if let written = output?.write(part) { stall.wrote(written) }
            clientRoomChanged()
        case .end:
            if let switching { return join(switching) }
            finish()
            isEnding = true
            clientRoomChanged()
        }
    }

    /// The server is read from while the client takes what comes.
    func clientRoomChanged() {
        guard let output else { return }
        let hasRoom = context.channel.isWritable
        if isEnding, hasRoom {
            isEnding = false
            stall.end()
            output.end()
        } else if !isOver {
            upstream?.read(hasRoom)
        }
    }

    private func join(_ head: HTTPResponseHead) {
        isOver = true
        guard let upstream else { return }
        self.upstream = nil
        var fields = HTTP.HTTPHeaders(head.headers).endToEnd
        fields = forwarding.answered(101, fields)
        fields["Connection"] = "Upgrade"
        fields["Upgrade"] = head.headers.first(name: "upgrade") ?? upgrade
        let (client, server) = TunnelEnd.pair(stall.clock, timeout: stall.timeout, place: forwarding.place)
        guard connection.becomeTunnel(fields, context, client) else {
            client.discard()
            return upstream.close()
        }
        upstream.becomeTunnel(server)
    }

    // MARK: - The end

    func fail(_ reason: String) {
        guard !isOver else { return }
        abandon()
        guard output == nil else { return context.close(promise: nil) }
        connection.forward = nil
        if context.channel.isActive { connection.perform(.response(forwarding.failed(reason)), context) }
    }

    /// The client has gone, or has been answered otherwise.
    func abandon() {
        isEnding = false
        stall.end()
        finish()
    }

    private func finish() {
        isOver = true
        upstream?.close()
        upstream = nil
    }
}

/// The connection to the server.
final class UpstreamHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private var exchange: ForwardExchange?
    private let encoder = HTTPRequestEncoder()
    private let decoder = ByteToMessageHandler(HTTPResponseDecoder(leftOverBytesStrategy: .forwardBytes))
    private var context: ChannelHandlerContext?

    init(_ exchange: ForwardExchange) { self.exchange = exchange }

    func add(to pipeline: ChannelPipeline.SynchronousOperations) throws {
        try pipeline.addHandlers([encoder, decoder, self])
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        exchange = nil
    }

    var hasRoom: Bool { context?.channel.isWritable ?? false }

    func send(_ part: HTTPClientRequestPart) {
        guard let context else { return }
        context.writeAndFlush(wrapOutboundOut(part), promise: nil)
    }

    func read(_ isWanted: Bool) { _ = context?.channel.setOption(.autoRead, value: isWanted) }

    func close() { context?.close(promise: nil) }

    func becomeTunnel(_ end: TunnelEnd) {
        guard let context else { return }
        let pipeline = context.pipeline.syncOperations
        do {
            try pipeline.addHandler(end, position: .after(decoder))
            pipeline.removeHandler(encoder, promise: nil)
            pipeline.removeHandler(self, promise: nil)
            // Last: it hands the bytes that came with the answer to what is then behind it.
            pipeline.removeHandler(decoder, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    func channelActive(context: ChannelHandlerContext) {
        exchange?.connected(self)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { exchange?.received(unwrapInboundIn(data)) }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        exchange?.serverRoomChanged()
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        exchange?.fail("EOF")
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let error = error as? IOError, error.errnoCode == ECONNRESET {
            exchange?.fail("read: connection reset by peer")
        } else {
            exchange?.fail("\(error)")
        }
        context.close(promise: nil)
    }
}

// The HTTP/1.1 part of a connection's pipeline, kept together so that it can be taken out when a connection turns into
// a WebSocket.
//
//      TLS <-> gate <-> encoder, decoder <-> order of answers <-> errors <-> HTTPConnection
//
// The gate makes one buffer of what is written between two flushes, as far as it is small: TLS makes a record (a cipher
// call here, two reads at the client) of each write, and an answer is a head and a body. A chunk of an endless answer
// passes by it as one buffer; through the encoder it would be three.

import NIOCore
import NIOHTTP1

/// Decoder, encoder and their order of answers.
final class HTTPWire {
    private let gate = RecordGate()
    private let encoder = HTTPResponseEncoder()
    private let decoder: ByteToMessageHandler<HTTPRequestDecoder>
    private let order = HTTPServerPipelineHandler()
    private let errors = ParserErrors()

    /// - Parameters: bytes of a header field (the request target is bounded alike), bytes and number of all.
    init(fieldLimit: Int, headLimit: Int, fieldCount: Int) {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = fieldLimit
        limits.maxHeaderListSize = headLimit
        limits.maxHeaderFieldCount = fieldCount
        decoder = ByteToMessageHandler(
            HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits))
    }

    /// Called when bytes have come, before they are looked at. On the loop.
    var onRead: (() -> Void)? {
        get { gate.onRead }
        set { gate.onRead = newValue }
    }

    func add(to pipeline: ChannelPipeline.SynchronousOperations) throws {
        try pipeline.addHandlers([gate, encoder, decoder, order, errors])
    }

    /// Writes bytes of a body that frames itself. On the loop only.
    func writeRaw(_ buffer: ByteBuffer) -> EventLoopFuture<Void>? { gate.write(buffer) }

    /// Puts `handlers` where HTTP was.
    ///
    /// The decoder leaves last, and not before the loop's next turn: a client may have sent more with its request, and
    /// these bytes must find the new handlers. The encoder has passed on all it was given, so it may go at once.
    func replace(
        in pipeline: ChannelPipeline.SynchronousOperations, with handlers: [any ChannelHandler]
    ) throws {
        for handler: any RemovableChannelHandler in [errors, order, encoder, gate] {
            pipeline.removeHandler(handler, promise: nil)
        }
        try pipeline.addHandlers(handlers, position: .after(decoder))
        pipeline.removeHandler(decoder, promise: nil)
    }
}

/// A place in the pipeline to write from, to see that something was read, and where small writes are put together.
private final class RecordGate: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = ByteBuffer

    /// Bytes of the largest buffer that is put together: the largest TLS record (RFC 8446, 5.1). Copying
    /// more costs more than the record it saves.
    private static let limit = 16 << 10

    private var context: ChannelHandlerContext?
    /// Written and not yet passed on.
    private var gathered = ByteBuffer()
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

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard case .byteBuffer(var buffer) = unwrapOutboundIn(data), promise == nil,
            gathered.readableBytes + buffer.readableBytes <= Self.limit
        else {
            passOn(context)
            return context.write(data, promise: promise)
        }
        if gathered.readableBytes == 0 { gathered = buffer } else { gathered.writeBuffer(&buffer) }
    }

    func flush(context: ChannelHandlerContext) {
        passOn(context)
        context.flush()
    }

    /// Writes a buffer as it is, behind what was written before.
    func write(_ buffer: ByteBuffer) -> EventLoopFuture<Void>? {
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

/// Answers what is no HTTP with a Status that says so: 431 when the head is too large, else 400. The connection is of
/// no use afterwards; HTTPConnection closes it.
private final class ParserErrors: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// The end of a request has not come yet.
    private var isReceiving = false
    /// That request, or the one whose answer is not over yet, has been answered: another answer would be taken for that
    /// of a request the client has not sent.
    private var isAnswered = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            isReceiving = true
            isAnswered = false
        case .body: break
        case .end: isReceiving = false
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head): if head.status.code >= 200 || head.status == .switchingProtocols { isAnswered = true }
        case .body: break
        case .end: if !isReceiving { isAnswered = false }
        }
        context.write(data, promise: promise)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError, !isAnswered else { return context.fireErrorCaught(error) }
        let isOverflow = error == .headerOverflow
        let text = Refusal.status(
            isOverflow ? 431 : 400, isOverflow ? "RequestHeaderFieldsTooLarge" : "BadRequest",
            isOverflow
                ? "the head of the request is too large"
                : "the request is no HTTP/1.1 (RFC 9112): \(error)")
        let headers: NIOHTTP1.HTTPHeaders = [
            "Connection": "close", "Content-Type": "application/json", "Content-Length": "\(text.utf8.count)",
        ]
        let head = HTTPResponseHead(
            version: .http1_1, status: isOverflow ? .requestHeaderFieldsTooLarge : .badRequest, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.fireErrorCaught(error)
    }
}

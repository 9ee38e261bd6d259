// The HTTP/1.1 part of a connection's pipeline, kept together so that it can be taken out when a connection turns into
// a WebSocket or a tunnel.
//
//      TLS <-> gate <-- this, which writes answers
//               |
//               +--> decoder --> order of requests --> HTTPConnection
//
// An answer is written as bytes, past the decoder's pipeline: its head and its body, when it is small, are one buffer
// and one TLS record. As parts for an encoder they would be five objects through four handlers, a sixth of what a GET
// costs.
//
// On the connection's event loop only. Nothing here can fail.

import HTTP
import NIOCore
import NIOHTTP1

final class HTTPWire {
    private let gate = RecordGate()
    private let decoder: ByteToMessageHandler<HTTPRequestDecoder>
    private let order: RequestOrder
    /// The body of the answer that is being written is framed in chunks (RFC 9112, 7.1).
    private var isChunked = false

    /// - Parameters: bytes of a header field (the request target is bounded alike), bytes and number of all.
    init(fieldLimit: Int, headLimit: Int, fieldCount: Int) {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = fieldLimit
        limits.maxHeaderListSize = headLimit
        limits.maxHeaderFieldCount = fieldCount
        decoder = ByteToMessageHandler(
            HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits))
        order = RequestOrder { [gate] response in
            var body = BodyWriter(response)
            let head = AnswerHead(
                response.status, response.headers, framing: .length(body.remaining), connection: "close")
            gate.write(head.encoded(with: &body))
            gate.flush()
        }
    }

    /// Called when bytes have come, before they are looked at.
    var onRead: (() -> Void)? {
        get { gate.onRead }
        set { gate.onRead = newValue }
    }

    func add(to pipeline: ChannelPipeline.SynchronousOperations) throws {
        try pipeline.addHandlers([gate, decoder, order])
    }

    // MARK: - Answers

    /// Begins an answer with its head and the first slice of its body, or says something before it (1xx).
    func begin(_ head: AnswerHead, _ body: inout BodyWriter) {
        if head.isFinal { order.answerBegan() }
        isChunked = head.isChunked
        gate.write(head.encoded(with: &body))
    }

    /// The same for a head alone.
    func begin(_ head: AnswerHead) {
        var nothing = BodyWriter()
        begin(head, &nothing)
    }

    /// More of the body, with the next flush. Not for a body in chunks.
    func write(_ buffer: ByteBuffer) { gate.write(buffer) }

    /// More of the body, at once; a chunk of its own where there are chunks.
    /// - Returns: when it has gone out; nil when the connection is over.
    func writeAndFlush(_ buffer: ByteBuffer) -> EventLoopFuture<Void>? {
        // An empty chunk would be the end of the body.
        guard isChunked, buffer.readableBytes > 0 else { return gate.writeAndFlush(buffer) }
        var chunk = ByteBuffer()
        chunk.reserveCapacity(buffer.readableBytes + 12)
        chunk.writeString(String(buffer.readableBytes, radix: 16))
        chunk.writeStaticString("\r\n")
        chunk.writeImmutableBuffer(buffer)
        chunk.writeStaticString("\r\n")
        return gate.writeAndFlush(chunk)
    }

    /// Ends the answer, and flushes it with those of the same turn of the event loop. The next pipelined
    /// request, and its answer, may come inside of this call.
    func end(_ loop: any EventLoop) {
        AnswerFlusher.of(loop).add(gate)
        writeEnd()
        order.answerEnded()
    }

    /// Ends the last answer of the connection.
    /// - Returns: when it has gone out; nil when the connection is over.
    @discardableResult
    func endAndFlush() -> EventLoopFuture<Void>? {
        writeEnd()
        let written = gate.writeAndFlush(ByteBuffer())
        order.lastAnswerEnded()
        return written
    }

    private func writeEnd() {
        guard isChunked else { return }
        isChunked = false
        gate.write(ByteBuffer(staticString: "0\r\n\r\n"))
    }

    // MARK: - The end of HTTP

    /// Puts `handlers` where HTTP was.
    ///
    /// The decoder leaves last, and not before the loop's next turn: a client may have sent more with its request, and
    /// these bytes must find the new handlers. The gate has passed on all it was given, so it may go at once.
    func replace(
        in pipeline: ChannelPipeline.SynchronousOperations, with handlers: [any ChannelHandler]
    ) throws {
        for handler: any RemovableChannelHandler in [order, gate] { pipeline.removeHandler(handler, promise: nil) }
        try pipeline.addHandlers(handlers, position: .after(decoder))
        pipeline.removeHandler(decoder, promise: nil)
    }
}

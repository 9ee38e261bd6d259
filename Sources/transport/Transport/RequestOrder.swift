// HTTP/1.1's requests one after another (RFC 9112, 9.3.2): while a request that has come whole waits for its answer,
// what a client sent behind it is kept, and nothing more is read. And an answer for what is no request at all.
//
// A client that pipelines holds no more of this server than one read brings. What is no HTTP is answered with a Status
// that says so, 431 when the head is too large, else 400, in its turn: after the answers of the requests before it. The
// connection is of no use afterwards; HTTPConnection, which gets the error then, closes it.

import HTTP
import NIOCore
import NIOHTTP1

/// Between the decoder and HTTPConnection, which says when an answer begins and ends. On the loop only.
final class RequestOrder: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = Never

    private enum Event {
        case part(NIOAny)
        case error(HTTPParserError)
        case inputClosed
    }

    /// Writes an answer that HTTPConnection does not know of.
    private let refuse: (HTTPResponse) -> Void
    /// The end of a request has not come yet.
    private var isReceiving = false
    /// A request has begun whose answer is not over.
    private var isOwing = false
    /// That request, or the one that still comes, has been answered: another answer would be taken for that of a
    /// request the client has not sent.
    private var isAnswered = false
    /// The answer is the last one of the connection: what comes behind its request gets none.
    private var isLast = false
    private var waiting = CircularBuffer<Event>(initialCapacity: 0)
    private var readIsPending = false
    private var context: ChannelHandlerContext?

    init(refuse: @escaping (HTTPResponse) -> Void) { self.refuse = refuse }

    /// Nothing more is handed out before the answer.
    private var isHolding: Bool { isOwing && !isReceiving }

    // MARK: - The answer

    /// The head of the answer, not of something before it (1xx), is written.
    func answerBegan() { isAnswered = true }

    func lastAnswerEnded() {
        isLast = true
        answerEnded()
    }

    /// Hands out what has come meanwhile: the next answer may end inside of this call.
    func answerEnded() {
        isOwing = false
        if !isReceiving { isAnswered = false }
        guard let context else { return }
        while !isHolding, let event = waiting.popFirst() { hand(event, context) }
        if readIsPending, !isHolding {
            readIsPending = false
            context.read()
        }
    }

    // MARK: - What comes

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { take(.part(data), context) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError else { return context.fireErrorCaught(error) }
        take(.error(error), context)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // It is about what comes behind it only when something waits.
        if let event = event as? ChannelEvent, event == .inputClosed, !waiting.isEmpty {
            waiting.append(.inputClosed)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func read(context: ChannelHandlerContext) {
        if isHolding { readIsPending = true } else { context.read() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        // Nobody is there for the answers.
        waiting.removeAll()
        readIsPending = false
        context.fireChannelInactive()
    }

    /// What waits, and the read, are for who takes this one's place.
    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        while let event = waiting.popFirst() {
            switch event {
            case .part(let data): context.fireChannelRead(data)
            case .error(let error): context.fireErrorCaught(error)
            case .inputClosed: context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
            }
        }
        if readIsPending { context.read() }
    }

    private func take(_ event: Event, _ context: ChannelHandlerContext) {
        if isHolding || !waiting.isEmpty { waiting.append(event) } else { hand(event, context) }
    }

    private func hand(_ event: Event, _ context: ChannelHandlerContext) {
        switch event {
        case .part(let data):
            switch unwrapInboundIn(data) {
            case .head:
                isReceiving = true
                isOwing = true
                isAnswered = false
            case .body: break
            case .end:
                isReceiving = false
                if !isOwing { isAnswered = false }
            }
            context.fireChannelRead(data)
        case .error(let error):
            if !isAnswered, !isLast { refuse(Self.answer(to: error)) }
            isAnswered = true
            context.fireErrorCaught(error)
        case .inputClosed:
            context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        }
    }

    private static func answer(to error: HTTPParserError) -> HTTPResponse {
        let isOverflow = error == .headerOverflow
        let text = Refusal.status(
            isOverflow ? 431 : 400, isOverflow ? "RequestHeaderFieldsTooLarge" : "BadRequest",
            isOverflow
                ? "the head of the request is too large"
                : "the request is no HTTP/1.1 (RFC 9112): \(error)")
        return HTTPResponse(
            status: isOverflow ? 431 : 400, headers: ["Content-Type": "application/json"], bytes: Array(text.utf8))
    }
}

// A WebSocket (RFC 6455) as messages in and out.
//
// The socket is read only while fewer than `backlog` bytes wait to be taken, so a slow reader slows its sender down
// instead of filling memory; nor is it read while the peer leaves more than a high-water mark of what it gets. Pings
// are answered here, with one pong under way at a time: of those that came meanwhile the newest is answered (RFC 6455,
// 5.5.3), so that a peer that pings and does not read costs one pong. A close is answered and ends `messages`.

import HTTP
import NIOCore
import NIOWebSocket
import Synchronization

final class WebSocketHandler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    /// Bytes of the largest message; kubectl sends at most 32 KiB at once.
    static let messageLimit = 1 << 20
    /// How long a peer may take to answer a close frame.
    static let closeTime = TimeAmount.seconds(2)

    private let connection: MessageQueue
    /// Payload of the newest ping, until it is answered.
    private var ping: ByteBuffer?
    private var pongIsUnderWay = false

    init(_ channel: any Channel) { connection = MessageQueue(channel) }

    /// Runs `body` with this connection and closes it afterwards.
    func run(_ body: @escaping @Sendable (any WebSocketConnection) async -> Void) {
        let connection = connection
        Task {
            await body(connection)
            await connection.close(code: 1000)
        }
    }

    func handlerAdded(context: ChannelHandlerContext) {
        // From here on a read is asked for when there is room for what it brings.
        _ = context.channel.setOption(.autoRead, value: false)
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        switch frame.opcode {
        case .binary, .text:
            connection.push(Array(frame.unmaskedData.readableBytesView))
        case .ping:
            let isFirst = ping == nil
            ping = frame.unmaskedData
            guard isFirst, !pongIsUnderWay else { break }
            // Behind the other frames of this read: there may be thousands.
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            context.eventLoop.execute {
                let (handler, context) = bound.value
                handler.answerPing(context)
            }
        case .connectionClose:
            answerPing(context)
            // In this order: `finish` wakes whoever then closes from the other side.
            defer { connection.finish() }
            let channel = context.channel
            if connection.markClosed() {
                let answer = WebSocketFrame(fin: true, opcode: .connectionClose, data: frame.unmaskedData)
                context.writeAndFlush(wrapOutboundOut(answer)).whenComplete { _ in channel.close(promise: nil) }
            } else {
                channel.close(promise: nil)
            }
        default:
            break
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        readOn(context)
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            answerPing(context)
            readOn(context)
        }
        context.fireChannelWritabilityChanged()
    }

    private func readOn(_ context: ChannelHandlerContext) {
        guard context.channel.isWritable, connection.wantsMore() else { return }
        context.read()
    }

    private func answerPing(_ context: ChannelHandlerContext) {
        guard let payload = ping, !pongIsUnderWay, context.channel.isWritable, !connection.isClosed else { return }
        ping = nil
        pongIsUnderWay = true
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let pong = WebSocketFrame(fin: true, opcode: .pong, data: payload)
        context.writeAndFlush(wrapOutboundOut(pong)).whenComplete { _ in
            let (handler, context) = bound.value
            handler.pongIsUnderWay = false
            guard context.channel.isActive else { return }
            handler.answerPing(context)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        connection.finish()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is CloseWhenIdle else { return context.fireUserInboundEventTriggered(event) }
        let connection = connection
        // 1001: going away (RFC 6455, 7.4.1).
        Task { await connection.close(code: 1001) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        defer { connection.finish() }
        let channel = context.channel
        let code: WebSocketErrorCode
        switch error {
        case NIOWebSocketError.invalidFrameLength, NIOWebSocketFrameAggregator.Error.accumulatedFrameSizeIsTooLarge,
            NIOWebSocketFrameAggregator.Error.tooManyFragments: code = .messageTooLarge
        case is NIOWebSocketError, is NIOWebSocketFrameAggregator.Error, is ClientFrames.Violation:
            code = .protocolError
        default:
            context.close(promise: nil)
            return
        }
        guard connection.markClosed() else {
            context.close(promise: nil)
            return
        }
        // RFC 6455, 7.1.7: say why, then fail the connection; not at once, because what the peer is still sending would
        // reset the connection before it has read why.
        var reason = channel.allocator.buffer(capacity: 2)
        reason.write(webSocketErrorCode: code)
        context.writeAndFlush(
            wrapOutboundOut(WebSocketFrame(fin: true, opcode: .connectionClose, data: reason)), promise: nil)
        context.eventLoop.scheduleTask(in: Self.closeTime) { channel.close(promise: nil) }
    }
}

/// Refuses what NIO lets pass: frames of a client that are not masked (RFC 6455, 5.1), reserved bits and opcodes (5.2).
final class ClientFrames: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias InboundOut = WebSocketFrame

    struct Violation: Error {}

    private var isBroken = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isBroken else { return }
        let frame = unwrapInboundIn(data)
        let isKnown =
            switch frame.opcode {
            case .continuation, .text, .binary, .connectionClose, .ping, .pong: true
            default: false
            }
        guard isKnown, frame.maskKey != nil, !frame.rsv1, !frame.rsv2, !frame.rsv3 else {
            isBroken = true
            context.fireErrorCaught(Violation())
            return
        }
        context.fireChannelRead(data)
    }
}

/// The messages between the event loop and whoever serves the WebSocket.
private final class MessageQueue: WebSocketConnection {
    private static let backlog = 256 << 10
    /// Bytes that a message counts on top of its own: an empty one takes memory, too.
    private static let overhead = 64

    private struct State {
        var waiting = CircularBuffer<[UInt8]>()
        var bytes = 0
        var finished = false
        var closed = false
        var paused = false
        var taker: CheckedContinuation<[UInt8]?, Never>?
    }

    private let channel: any Channel
    private let state = Mutex(State())

    init(_ channel: any Channel) { self.channel = channel }

    func push(_ message: [UInt8]) {
        let taker = state.withLock { state -> CheckedContinuation<[UInt8]?, Never>? in
            if let taker = state.taker {
                state.taker = nil
                return taker
            }
            guard !state.finished else { return nil }
            state.waiting.append(message)
            state.bytes += message.count + Self.overhead
            return nil
        }
        taker?.resume(returning: message)
    }

    func finish() {
        let taker = state.withLock { state in
            state.finished = true
            defer { state.taker = nil }
            return state.taker
        }
        taker?.resume(returning: nil)
    }

    /// Whether there is room for more; if not, the next `take` asks for it.
    func wantsMore() -> Bool {
        state.withLock { state in
            state.paused = state.bytes >= Self.backlog
            return !state.paused
        }
    }

    /// The close frame is out.
    var isClosed: Bool { state.withLock { $0.closed } }

    /// True for the first caller, who sends the close frame. On the loop only.
    func markClosed() -> Bool {
        state.withLock { state in
            defer { state.closed = true }
            return !state.closed
        }
    }

    var messages: AsyncStream<[UInt8]> { AsyncStream { await self.take() } }

    private func take() async -> [UInt8]? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                enum Answer { case message([UInt8], resume: Bool), end, wait }
                let answer: Answer = state.withLock { state in
                    if let message = state.waiting.popFirst() {
                        state.bytes -= message.count + Self.overhead
                        let resume = state.paused && state.bytes < Self.backlog
                        if resume { state.paused = false }
                        return .message(message, resume: resume)
                    }
                    if state.finished || Task.isCancelled { return .end }
                    state.taker = continuation
                    return .wait
                }
                switch answer {
                case .message(let message, let resume):
                    if resume { channel.read() }
                    continuation.resume(returning: message)
                case .end: continuation.resume(returning: nil)
                case .wait: break
                }
            }
        } onCancel: {
            let taker = state.withLock { state in
                defer { state.taker = nil }
                return state.taker
            }
            taker?.resume(returning: nil)
        }
    }

    func send(_ message: [UInt8], asText: Bool) async throws {
        guard channel.isActive, !state.withLock({ $0.closed }) else { throw TransportError.closed }
        var buffer = channel.allocator.buffer(capacity: message.count)
        buffer.writeBytes(message)
        try await channel.writeAndFlush(WebSocketFrame(fin: true, opcode: asText ? .text : .binary, data: buffer)).get()
    }

    func close(code: UInt16) async {
        let channel = channel
        // On the loop in one go: a peer's close that comes in between would close before the frame is written.
        try? await channel.eventLoop.flatSubmit {
            guard channel.isActive, self.markClosed() else { return channel.eventLoop.makeSucceededVoidFuture() }
            var reason = channel.allocator.buffer(capacity: 2)
            reason.writeInteger(code)
            // The peer answers with a close of its own; one that does not is cut off.
            channel.eventLoop.scheduleTask(in: WebSocketHandler.closeTime) { channel.close(promise: nil) }
            return channel.writeAndFlush(WebSocketFrame(fin: true, opcode: .connectionClose, data: reason))
        }.get()
    }
}

// HTTPConnection's side of a forwarded request: the body that is handed on as it comes, the head of the other server's
// answer, and the pipeline changed when both become a tunnel. The other side is ForwardExchange.

import HTTP
import Logging
import NIOCore
import NIOHTTP1

/// What has come of a body that is handed on and has not been taken yet: no more than a read or two,
/// since reading stops until somebody takes it.
struct BodyIntake {
    var waiting: [ByteBuffer] = []
    var isEnded = false
    /// Nothing is read from the client until there is room.
    var isPaused = false
}

extension HTTPConnection {
    /// The request is being answered while its body still comes.
    var isReceiving: Bool { intake.map { !$0.isEnded } ?? false }

    // MARK: - The request

    func isHandedOn(_ head: HTTPRequestHead) -> Bool {
        let hasBody: Bool
        if let length = head.headers.first(name: "content-length") {
            hasBody = length != "0"
        } else if wire != nil {
            hasBody = head.headers.contains(name: "transfer-encoding")
        } else {
            // HTTP/2 tells by the end of the stream, which is not known yet; a body of other methods is gathered.
            hasBody = head.method == .POST || head.method == .PUT || head.method == .PATCH
        }
        guard hasBody else { return false }
        let path = head.uri.utf8.prefix { $0 != UInt8(ascii: "?") }
        return handler.forwards(path: String(Substring(path)))
    }

    func handOn(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        welcomeBody(head, context)
        intake = BodyIntake()
        pauseReading(context)
        answer(head, context)
        if isReceiving { arm(configuration.idleTimeout) }
    }

    func take(_ part: ByteBuffer, _ context: ChannelHandlerContext) {
        arm(configuration.idleTimeout)
        if let forward, forward.isOpen { forward.send(part) } else { intake?.waiting.append(part) }
    }

    func endIntake(_ context: ChannelHandlerContext) {
        deadline?.clear()
        intake?.isEnded = true
        resumeReading(context)
        forward?.sendEnd()
    }

    func pauseReading(_ context: ChannelHandlerContext) {
        intake?.isPaused = true
        _ = context.channel.setOption(.autoRead, value: false)
    }

    func resumeReading(_ context: ChannelHandlerContext) {
        guard intake?.isPaused == true else { return }
        intake?.isPaused = false
        _ = context.channel.setOption(.autoRead, value: true)
        // A stream of HTTP/2 does not begin to read by the option alone.
        context.channel.read()
    }

    // MARK: - The answer

    func startForward(_ forwarding: Forwarding, _ context: ChannelHandlerContext) {
        guard case .answering = state, let head, let clock else { return }
        let stall = StallWatch(context.channel, clock, timeout: TimeAmount(configuration.idleTimeout))
        let exchange = ForwardExchange(self, context, forwarding, head, gathered: request?.body ?? [], stall)
        request = nil
        forward = exchange
        exchange.start()
    }

    /// Begins the answer with the other server's head; returns how its body gets out.
    func writeForwarded(
        _ status: Int, _ fields: HTTP.HTTPHeaders, _ context: ChannelHandlerContext
    ) -> ChannelSink.Output {
        var keepAlive = false
        if case .answering(let keep) = state { keepAlive = keep && !closing && !isReceiving }
        guard let wire else {
            state = .answering(keepAlive: keepAlive)
            writeHead(status, fields, context)
            context.flush()
            return output(context)
        }
        let version = head?.version ?? .http1_1
        var framing = AnswerHead.Framing.given
        if fields["Content-Length"] == nil, AnswerHead.mayHaveBody(status), head?.method != .HEAD {
            if version != .http1_0 {
                framing = .chunked
            } else {
                // The end of the connection is the end of the body.
                keepAlive = false
            }
        }
        state = .answering(keepAlive: keepAlive)
        wire.begin(
            AnswerHead(status, fields, framing: framing, connection: connectionField(keepAlive), version: version))
        context.flush()
        return output(context)
    }

    /// The other server has agreed to the client's upgrade: from here on bytes pass as they are.
    /// - Returns: nil when the pipeline could not be changed; the connection is closed then.
    func becomeTunnel(_ fields: HTTP.HTTPHeaders, _ context: ChannelHandlerContext, _ end: TunnelEnd) -> Bool {
        state = .upgraded
        deadline?.clear()
        forward = nil
        wire?.begin(AnswerHead(101, fields, framing: .given))
        wire?.endAndFlush()
        do {
            try wire?.replace(in: context.pipeline.syncOperations, with: [end])
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
            return true
        } catch {
            logger.warning("cannot switch to a tunnel", metadata: ["error": "\(error)"])
            context.close(promise: nil)
            return false
        }
    }
}

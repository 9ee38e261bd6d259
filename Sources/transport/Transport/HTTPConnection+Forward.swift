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
        var version = head?.version ?? .http1_1
        var headers = NIOHTTP1.HTTPHeaders(fields.fields.map { ($0.name, $0.value) })
        let isHead = head?.method == .HEAD
        let mayHaveBody = !isHead && status != 204 && status != 304
        var isChunked = false
        if wire != nil, !headers.contains(name: "Content-Length") {
            if mayHaveBody, version != .http1_0 {
                headers.replaceOrAdd(name: "Transfer-Encoding", value: "chunked")
                isChunked = true
            } else if mayHaveBody || isHead {
                // The end of the connection is the end of the body. To HEAD the encoder would send an empty chunk; it
                // does not in HTTP/1.0.
                version = .http1_0
                keepAlive = false
            }
        }
        if wire != nil {
            if !keepAlive {
                headers.replaceOrAdd(name: "Connection", value: "close")
            } else if version == .http1_0 {
                headers.replaceOrAdd(name: "Connection", value: "keep-alive")
            }
        }
        state = .answering(keepAlive: keepAlive)
        context.writeAndFlush(
            wrapOutboundOut(.head(.init(version: version, status: .init(statusCode: status), headers: headers))),
            promise: nil)
        return output(isChunked: isChunked, context)
    }

    /// The other server has agreed to the client's upgrade: from here on bytes pass as they are.
    /// - Returns: nil when the pipeline could not be changed; the connection is closed then.
    func becomeTunnel(_ fields: HTTP.HTTPHeaders, _ context: ChannelHandlerContext, _ end: TunnelEnd) -> Bool {
        state = .upgraded
        deadline?.clear()
        forward = nil
        let headers = NIOHTTP1.HTTPHeaders(fields.fields.map { ($0.name, $0.value) })
        context.write(
            wrapOutboundOut(.head(.init(version: .http1_1, status: .switchingProtocols, headers: headers))),
            promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
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

// HTTPConnection's side of an endless answer (a watch, a followed log): its head at once, then what the handler writes
// to a ChannelSink from any thread, until it finishes, the client goes or the server stops. Nothing here can fail.

import HTTP
import NIOCore
import NIOHTTP1

extension HTTPConnection {
    func startStream(
        _ status: Int, _ headers: HTTP.HTTPHeaders, _ start: @Sendable (any ByteSink) -> Void,
        _ context: ChannelHandlerContext
    ) {
        guard case .answering(let keepAlive) = state else { return }
        // The answer to HEAD is the head alone, and how long the body would be nobody knows.
        if head?.method == .HEAD { return answerHead(status, headers, keepAlive && !closing, context) }
        if let wire {
            // No chunks in HTTP/1.0: the end of the connection is the end of the body.
            let version = head?.version ?? .http1_1
            let hasChunks = version != .http1_0
            if !hasChunks { state = .answering(keepAlive: false) }
            wire.begin(
                AnswerHead(
                    status, headers, framing: hasChunks ? .chunked : .given,
                    connection: keepAlive && hasChunks ? nil : "close", version: version))
        } else {
            writeHead(status, headers, context)
        }
        context.flush()
        request = nil
        let sink = ChannelSink(context.channel, output(context))
        self.sink = sink
        start(sink)
        if closing { end(sink, context) }
    }

    private func answerHead(
        _ status: Int, _ headers: HTTP.HTTPHeaders, _ keepAlive: Bool, _ context: ChannelHandlerContext
    ) {
        if let wire {
            wire.begin(AnswerHead(status, headers, framing: .given, connection: connectionField(keepAlive)))
        } else {
            writeHead(status, headers, context)
        }
        request = nil
        finishAnswer(keepAlive: keepAlive, context)
    }

    /// How a stream's bytes get out: in HTTP/1.1 each buffer is a chunk.
    func output(_ context: ChannelHandlerContext) -> ChannelSink.Output {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        return ChannelSink.Output(
            write: { buffer in
                let (connection, context) = bound.value
                if let wire = connection.wire { return wire.writeAndFlush(buffer) }
                return context.writeAndFlush(connection.wrapOutboundOut(.body(.byteBuffer(buffer))))
            },
            end: {
                let (connection, context) = bound.value
                connection.sink = nil
                guard case .answering(let keepAlive) = connection.state else { return }
                connection.finishAnswer(keepAlive: keepAlive && !connection.closing, context)
            })
    }

    /// Ends an endless answer (a watch, a followed log) because the server stops. A client that does not read what is
    /// still on its way is cut.
    func end(_ sink: ChannelSink, _ context: ChannelHandlerContext) {
        arm(Self.lingerTime)
        sink.finish()
    }
}

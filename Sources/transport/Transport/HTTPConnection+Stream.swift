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

    /// Ends an endless answer (a watch, a followed log) because the server stops. A client that does not read what is
    /// still on its way is cut.
    func end(_ sink: ChannelSink, _ context: ChannelHandlerContext) {
        arm(Self.lingerTime)
        sink.finish()
    }
}

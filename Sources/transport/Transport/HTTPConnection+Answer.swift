// HTTPConnection's side of an answer: a reply becomes a head and a body, then comes the next request or the end of the
// connection.
//
// Nothing here can fail: an answer that the socket has no room for waits (`sending`), and one whose client has gone is
// dropped. The end of one answer hands out the next pipelined request, whose answer may end inside of that call; so
// what is left to send is looked at anew after each write.

import HTTP
import NIOCore
import NIOHTTP1

extension HTTPConnection {
    func perform(_ reply: HTTPReply, _ context: ChannelHandlerContext) {
        // A request whose body turned out to be none while the reply was made has been answered.
        guard case .answering = state else { return }
        switch reply {
        case .response(let response):
            if let request, Gzip.isWanted(response, request) {
                self.request = nil
                if compress(response, context) { return }
            }
            var keepAlive = false
            if case .answering(let keep) = state { keepAlive = keep && !closing }
            write(response, keepAlive: keepAlive, context)
        case .deferred(let produce):
            let loop = context.eventLoop
            let bound = NIOLoopBound((self, context), eventLoop: loop)
            work = Task {
                let reply = await produce()
                HTTPConnection.perform(reply, bound, loop)
            }
        case .stream(let status, let headers, let start):
            startStream(status, headers, start, context)
        case .webSocket(let subprotocol, let start):
            upgrade(subprotocol, start, context)
        case .forward(let forwarding):
            startForward(forwarding, context)
        }
    }

    /// Comes back with a reply that was made elsewhere. The client may be gone by then.
    private static func perform(
        _ reply: HTTPReply, _ bound: NIOLoopBound<(HTTPConnection, ChannelHandlerContext)>, _ loop: any EventLoop
    ) {
        loop.execute {
            let (connection, context) = bound.value
            guard context.channel.isActive else { return }
            connection.perform(reply, context)
        }
    }

    /// False when the response has to go out as it is: there is too much to compress already.
    private func compress(_ response: HTTPResponse, _ context: ChannelHandlerContext) -> Bool {
        let (loop, channel) = (context.eventLoop, context.channel)
        let bound = NIOLoopBound((self, context), eventLoop: loop)
        return Compressor.shared.compress(response, while: { channel.isActive }) { smaller in
            HTTPConnection.perform(.response(smaller), bound, loop)
        }
    }

    func write(_ response: HTTPResponse, keepAlive: Bool, _ context: ChannelHandlerContext) {
        let keepAlive = keepAlive && !isReceiving
        request = nil
        var body = BodyWriter(response)
        let length = body.remaining
        if head?.method == .HEAD || !AnswerHead.mayHaveBody(response.status) { body = BodyWriter() }
        if let wire {
            wire.begin(
                AnswerHead(
                    response.status, response.headers, framing: .length(length),
                    connection: connectionField(keepAlive)),
                &body)
        } else {
            var fields = response.headers
            if AnswerHead.mayHaveBody(response.status) { fields["Content-Length"] = String(length) }
            writeHead(response.status, fields, context)
        }
        sending = (body, keepAlive)
        if wire != nil, body.remaining > 0 { context.flush() }
        send(context)
    }

    /// What HTTP/1.1 says of the connection; nothing where that goes without saying.
    func connectionField(_ keepAlive: Bool) -> StaticString? {
        if !keepAlive { "close" } else if head?.version == .http1_0 { "keep-alive" } else { nil }
    }

    /// The head of an answer on a stream of HTTP/2, which frames the body itself.
    func writeHead(_ status: Int, _ fields: HTTP.HTTPHeaders, _ context: ChannelHandlerContext) {
        var headers = NIOHTTP1.HTTPHeaders(fields)
        if !headers.contains(name: "Date") { headers.add(name: "Date", value: DateField.now) }
        context.write(
            wrapOutboundOut(.head(.init(version: .http1_1, status: .init(statusCode: status), headers: headers))),
            promise: nil)
    }

    /// Sends what the socket has room for; the rest when it has room again. What comes last is the end of the answer:
    /// the next request is not looked at before.
    func send(_ context: ChannelHandlerContext) {
        // In HTTP/1.1 the head has taken a slice with it.
        var isFirst = wire == nil
        while let left = sending?.body.remaining, left > 0, isFirst || context.channel.isWritable {
            isFirst = false
            guard let part = sending?.body.take() else { break }
            if let wire {
                wire.write(part)
            } else {
                context.write(wrapOutboundOut(.body(.byteBuffer(part))), promise: nil)
            }
            // The last part leaves with the end.
            if left > BodyWriter.slice { context.flush() }
        }
        // Writing may make the socket writable, and then this method has finished the answer inside of itself.
        guard let (body, keepAlive) = sending else { return }
        guard body.remaining == 0 else {
            arm(configuration.idleTimeout)
            return
        }
        guard context.channel.isWritable || !keepAlive else {
            context.flush()
            arm(configuration.idleTimeout)
            return
        }
        sending = nil
        finishAnswer(keepAlive: keepAlive, context)
    }

    /// Ends the present answer and makes ready for the next request, or closes.
    func finishAnswer(keepAlive: Bool, _ context: ChannelHandlerContext) {
        let channel = context.channel
        forward = nil
        guard channel.isActive else { return }
        if isReceiving {
            // What the client still sends has nobody to go to; it is dropped for a moment so that the answer is seen.
            lingering = true
            resumeReading(context)
        }
        intake = nil
        if keepAlive {
            state = .idle
            awaitRequest()
            nesting += 1
            if let wire {
                wire.end(context.eventLoop)
            } else {
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            }
            nesting -= 1
        } else {
            state = .refusing
            let lingers = lingering
            arm(lingers ? Self.lingerTime : configuration.idleTimeout)
            if let wire {
                wire.endAndFlush()?.whenComplete { _ in
                    if !lingers { channel.close(promise: nil) }
                }
            } else {
                // A stream whose request was complete is over with this.
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            }
        }
    }
}

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
        var headers = NIOHTTP1.HTTPHeaders(response.headers.fields.map { ($0.name, $0.value) })
        let keepAlive = keepAlive && !isReceiving
        let length = response.contentLength
        let bodyless = response.status == 204 || response.status == 304 || response.status < 200
        if !bodyless { headers.replaceOrAdd(name: "Content-Length", value: String(length)) }
        if wire == nil {
            // HTTP/2 says it in frames.
        } else if !keepAlive {
            headers.replaceOrAdd(name: "Connection", value: "close")
        } else if head?.version == .http1_0 {
            headers.replaceOrAdd(name: "Connection", value: "keep-alive")
        }
        context.write(
            wrapOutboundOut(
                .head(.init(version: .http1_1, status: .init(statusCode: response.status), headers: headers))),
            promise: nil)
        request = nil
        let hasBody = length > 0 && head?.method != .HEAD && !bodyless
        sending = (BodyWriter(hasBody ? response.body : [], count: hasBody ? length : 0), keepAlive)
        send(context)
    }

    /// Sends what the socket has room for; the rest when it has room again. What comes last is the end of the answer:
    /// the next request is not looked at before.
    func send(_ context: ChannelHandlerContext) {
        guard sending != nil else { return }
        var isFirst = true
        while let left = sending?.body.remaining, left > 0 {
            // A short rest is not worth a turn.
            guard isFirst || context.channel.isWritable else { break }
            isFirst = false
            guard let buffer = sending?.body.take(context.channel.allocator) else { break }
            let part = wrapOutboundOut(.body(.byteBuffer(buffer)))
            if left > BodyWriter.slice {
                context.writeAndFlush(part, promise: nil)
            } else {
                context.write(part, promise: nil)
            }
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
            if wire != nil {
                AnswerFlusher.of(context.eventLoop).add(channel)
                context.write(wrapOutboundOut(.end(nil)), promise: nil)
            } else {
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            }
            nesting -= 1
        } else {
            state = .refusing
            let lingers = lingering
            arm(lingers ? Self.lingerTime : configuration.idleTimeout)
            let isStream = wire == nil
            context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
                // A stream whose request was complete is over with this.
                if !lingers, !isStream { channel.close(promise: nil) }
            }
        }
    }
}

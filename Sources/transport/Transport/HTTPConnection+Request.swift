// HTTPConnection's side of a request that is gathered: its head, its body within the bounds, and then the question to
// the handler.
//
// A body of more than `unscreenedLimit` is gathered only when the handler, shown the head, has nothing against it; all
// bodies together are bounded by the server's `BodyBudget`. What is over a bound is refused before its end, and then
// the connection is over, too: 413 for one body, 429 for all together, what the handler says (401, 403) for who asks.

import HTTP
import NIOCore
import NIOHTTP1

extension HTTPConnection {
    /// Bytes of a body that are gathered before the handler is asked who sends it. Nearly all bodies are smaller, and
    /// their requests are looked at once.
    private static let unscreenedLimit = 16 << 10
    /// How many answers may be given inside each other: the end of one answer hands out the next pipelined request.
    private static let nestingLimit = 16

    /// The client waits for a word before it sends the body (RFC 9110, 10.1.1).
    private func asksFirst(_ head: HTTPRequestHead) -> Bool {
        wire != nil && head.headers["expect"].contains { $0.lowercased() == "100-continue" }
    }

    func welcomeBody(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        guard asksFirst(head) else { return }
        wire?.begin(AnswerHead(100, [:], framing: .given, version: head.version))
        context.flush()
    }

    func begin(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        gathered.begin()
        request = nil
        state = .gathering(head)
        let length = head.headers.first(name: "content-length").flatMap(Int.init) ?? 0
        guard length <= configuration.bodyLimit else {
            return refuse(Refusal.tooLarge(configuration.bodyLimit), head, context)
        }
        if asksFirst(head) || length > Self.unscreenedLimit {
            guard screen(head, context) else { return }
        }
        welcomeBody(head, context)
    }

    func gather(_ part: inout ByteBuffer, _ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let total = gathered.count + part.readableBytes
        guard total <= configuration.bodyLimit else {
            return refuse(Refusal.tooLarge(configuration.bodyLimit), head, context)
        }
        // Of small bodies strangers' and others' are told apart only when there is no room for both.
        var isHeld = (gathered.isScreened || total <= Self.unscreenedLimit) && gathered.append(&part)
        if !isHeld, !gathered.isScreened {
            guard screen(head, context) else { return }
            isHeld = gathered.append(&part)
        }
        guard isHeld else { return refuse(Refusal.tooBusy, head, context) }
    }

    /// Shows the handler the head of a request whose body is still coming. False when that was its end.
    private func screen(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) -> Bool {
        let request = makeRequest(head, context)
        self.request = request
        let account: BodyBudget.Account
        switch handler.screen(request) {
        case .refused(let response):
            refuse(response, head, context)
            return false
        case .stranger: account = .strangers
        case .known: account = .known
        case .exempt: account = .exempt
        }
        guard gathered.screened(account) else {
            refuse(Refusal.tooBusy, head, context)
            return false
        }
        return true
    }

    /// The request without its body.
    private func makeRequest(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) -> HTTPRequest {
        let target = HTTPTarget.parse(head.uri)
        var request = HTTPRequest(method: head.method.rawValue, path: target.path)
        request.query = target.query
        request.headers = HTTPHeaders(head.headers)
        request.peer = currentPeer(context)
        return request
    }

    func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        var request = self.request ?? makeRequest(head, context)
        request.body = gathered.take()
        self.head = head
        self.request = request
        // After a request to upgrade the decoder stops: the connection is of no use for another request.
        let keepAlive = wire != nil && head.isKeepAlive && !closing && !Self.asksToUpgrade(head)
        state = .answering(keepAlive: keepAlive)
        guard nesting >= Self.nestingLimit else {
            perform(handler.handle(request), context)
            return
        }
        let bound = NIOLoopBound((self, context, request), eventLoop: context.eventLoop)
        context.eventLoop.execute {
            let (connection, context, request) = bound.value
            guard context.channel.isActive else { return }
            connection.perform(connection.handler.handle(request), context)
        }
    }

    static func asksToUpgrade(_ head: HTTPRequestHead) -> Bool {
        head.method == .CONNECT
            || head.headers.contains(name: "upgrade")
                && head.headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
    }

    /// Who is at the other end; looked at once a connection.
    private func currentPeer(_ context: ChannelHandlerContext) -> Peer {
        if let peer { return peer }
        // A stream's TLS is that of its connection.
        let channel = wire == nil ? context.channel.parent ?? context.channel : context.channel
        let peer = Peer(of: channel, isSecure: secure)
        self.peer = peer
        return peer
    }

    /// An answer before the end of the request, then the end of the connection: the rest of the body is dropped.
    private func refuse(_ response: HTTPResponse, _ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        state = .refusing
        self.head = head
        gathered.drop()
        lingering = true
        write(response, keepAlive: false, context)
    }
}

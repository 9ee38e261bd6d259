// Requests, replies and the handler between them, as plain values: what the API server is written against.
//
// Nothing here knows a socket, NIO or TLS: Transport moves these values over a wire, tests build them by hand. A
// handler decides; the five kinds of reply are everything the API needs (an answer at once, an answer after an fsync,
// an endless stream, a WebSocket, the answer of another server). A handler cannot fail: every failure is a response.

/// Who is at the other end of a connection.
public struct Peer: Sendable, Hashable {
    /// Textual address, without port; "in-process" for callers inside noded.
    public var address: String
    /// Present only if the client's certificate was verified against the client CA.
    public var certificate: ClientCertificate?

    public init(address: String, certificate: ClientCertificate? = nil) {
        self.address = address
        self.certificate = certificate
    }
}

/// The identity in a verified client certificate: Kubernetes' user name is the CN, its groups are the O's.
public struct ClientCertificate: Sendable, Hashable {
    public var commonName: String
    public var organizations: [String]
    /// SHA-256 of the certificate's DER bytes, 64 lower-case hexadecimal digits; "" when it is not known.
    public var fingerprint: String

    public init(commonName: String, organizations: [String] = [], fingerprint: String = "") {
        self.commonName = commonName
        self.organizations = organizations
        self.fingerprint = fingerprint
    }

    /// By the fingerprint alone, in which any two that are known differ.
    public func hash(into hasher: inout Hasher) { hasher.combine(fingerprint) }
}

/// One request, its body complete (Transport bounds the body and answers 413 itself) unless the handler `forwards` its
/// path: then the body is empty here and goes where the `.forward` leads.
public struct HTTPRequest: Sendable {
    /// Upper case: GET, POST, PUT, PATCH, DELETE …
    public var method: String
    /// As sent, percent-encoding kept, without the query.
    public var path: String
    /// Decoded (percent and plus), in order, repeated names kept.
    public var query: [(String, String)]
    public var headers: HTTPHeaders
    public var body: [UInt8]
    public var peer: Peer

    public init(
        method: String, path: String, query: [(String, String)] = [], headers: HTTPHeaders = [:], body: [UInt8] = [],
        peer: Peer = Peer(address: "")
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.peer = peer
    }
}

/// A complete response. The body is a list of pieces, so that a LIST joins buffers that others share;
/// Transport computes Content-Length and writes the pieces one after the other.
public struct HTTPResponse: Sendable {
    public var status: Int
    public var headers: HTTPHeaders
    public var body: [ArraySlice<UInt8>]

    public init(status: Int, headers: HTTPHeaders = [:], body: [ArraySlice<UInt8>] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    public init(status: Int, headers: HTTPHeaders = [:], bytes: [UInt8]) {
        self.init(status: status, headers: headers, body: bytes.isEmpty ? [] : [bytes[...]])
    }

    /// Length of the body, bytes.
    public var contentLength: Int { body.reduce(0) { $0 + $1.count } }
}

/// What a handler answers with.
public enum HTTPReply: Sendable {
    /// The answer, at once.
    case response(HTTPResponse)
    /// The answer needs waiting; Transport runs the closure in a task and sends what it returns.
    /// Cancelled when the client goes away.
    case deferred(@Sendable () async -> HTTPReply)
    /// A body of unknown length (chunked): the head is sent at once, then `start` gets
    /// the sink. `start` must not block.
    case stream(status: Int, headers: HTTPHeaders, start: @Sendable (any ByteSink) -> Void)
    /// Upgrade to WebSocket with this subprotocol ("" for none). The connection is closed (1000) when `start` returns
    /// without having closed it.
    case webSocket(subprotocol: String, start: @Sendable (any WebSocketConnection) async -> Void)
    /// Another server answers. An upgrade (RFC 9110, 7.8) that it agrees to joins the two connections.
    case forward(Forwarding)
}

/// What a handler says of a request whose body is still coming.
public enum BodyScreening: Sendable {
    /// This is the answer, whatever the body says: it is not read.
    case refused(HTTPResponse)
    /// Nobody knows who asks: the body counts towards the few bytes that all strangers together may make a server hold.
    case stranger
    /// The body counts towards what the others may.
    case known
    /// The body is read however many there are.
    case exempt
}

/// Answers requests. Called on an event loop: it must not block and must not do more than microseconds of work.
public protocol HTTPHandler: Sendable {
    func handle(_ request: HTTPRequest) -> HTTPReply
    /// Whether a request for this path with a body is to be handled as soon as its head is there, because `.forward`
    /// may be its reply. A body of any size may then pass. Asked for requests with bodies only.
    func forwards(path: String) -> Bool
    /// Asked before a large body is gathered, with a request whose body is empty; `handle` is given the whole request
    /// afterwards and must not rely on this one's having been asked.
    func screen(_ head: HTTPRequest) -> BodyScreening
}

extension HTTPHandler {
    public func forwards(path: String) -> Bool { false }
    public func screen(_ head: HTTPRequest) -> BodyScreening { .stranger }
}

/// The body of a streamed response. Any thread may write; writes of one thread keep their order.
public protocol ByteSink: AnyObject, Sendable {
    /// Queues bytes. Returns how many bytes are queued and not yet sent (after this write), so that the caller can
    /// park or cut a slow reader. After a close it does nothing and returns 0.
    @discardableResult func write(_ bytes: [UInt8]) -> Int
    /// Queues bytes and waits until they, and all before them, have gone to the reader; without bytes only waits. Throws
    /// when the connection is gone.
    func writeWaiting(_ bytes: [UInt8]) async throws
    /// Ends the body (last chunk). Idempotent.
    func finish()
    /// Calls `f` once when the stream is over, for whatever reason; at once if it already is.
    func onClose(_ f: @escaping @Sendable () -> Void)
}

/// One upgraded connection. Fragments are reassembled, pings answered by Transport.
public protocol WebSocketConnection: Sendable {
    /// Sends one message; waits for room. Throws when the connection is gone.
    /// - Parameter asText: a text message; the bytes are UTF-8.
    func send(_ message: [UInt8], asText: Bool) async throws
    /// Payloads of binary and text messages, in order; ends when the peer closes or the connection is lost. One
    /// consumer. Bounded: Transport stops reading from the socket when the consumer falls behind.
    var messages: AsyncStream<[UInt8]> { get }
    /// Sends a close frame (RFC 6455, 7.4.1: 1000 normal, 1011 internal error) and closes. Idempotent.
    func close(code: UInt16) async
}

extension WebSocketConnection {
    /// Sends one binary message.
    public func send(_ message: [UInt8]) async throws { try await send(message, asText: false) }
}

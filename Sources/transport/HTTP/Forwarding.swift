// One request that another server answers: what the handler decides of it, as a value. Transport connects, copies both
// bodies at the pace of the slower side, and keeps nothing.
//
// Whoever makes one decides all about the fields but those of a single connection (RFC 9110, 7.6.1): how a body is
// framed, when a connection ends and what it becomes is Transport's.

public import System

public struct Forwarding: Sendable {
    public var address: IPAddress
    public var port: Int
    /// TLS; the certificate is not verified (what Kubernetes does for pods: nobody has certified them).
    public var isSecure: Bool
    /// Begins with "/", percent-encoding as it goes out. The request's query, as it was sent, is added.
    public var path: String
    /// The request's fields as the other server gets them, Host among them; end to end only (`HTTPHeaders.endToEnd`).
    public var headers: HTTPHeaders
    /// Given the status and the fields of the answer, returns those for the client. Called once.
    public var answered: @Sendable (Int, HTTPHeaders) -> HTTPHeaders
    /// What the client gets when there is no answer. Called instead, with the reason:
    /// `dial tcp 10.42.0.5:80: connect: connection refused`.
    public var failed: @Sendable (String) -> HTTPResponse
    /// Held until the exchange, or the tunnel that it becomes, is over: by this its maker can count them.
    public var place: (any AnyObject & Sendable)?

    public init(
        address: IPAddress, port: Int, isSecure: Bool, path: String, headers: HTTPHeaders,
        answered: @escaping @Sendable (Int, HTTPHeaders) -> HTTPHeaders = { $1 },
        failed: @escaping @Sendable (String) -> HTTPResponse, place: (any AnyObject & Sendable)? = nil
    ) {
        self.address = address
        self.port = port
        self.isSecure = isSecure
        self.path = path
        self.headers = headers
        self.answered = answered
        self.failed = failed
        self.place = place
    }
}

// The server side of HTTP/1.1 and HTTP/2 over TLS: sockets, pipelines, certificates. What to answer is the handler's
// business.
//
//      socket -> TLS -> ALPN ─┬─ http/1.1 -> request decoder -> pipelining ─┬─> HTTPConnection -> HTTPHandler
//                             └─ h2 ------> streams --------------------────┘
//
// A connection is closed when it sends no complete request within `requestTimeout` (slow-loris), when it idles
// longer than `idleTimeout`, when its peer has vanished (`keepalive`), or when a body is larger than
// `bodyLimit` (after a 413) or one too many (429). The certificate can be replaced at any time;
// connections that are open keep the one they have.

public import HTTP
public import Logging
import NIOCore
import NIOHTTP1
import NIOHTTP2
import NIOPosix
import NIOSSL
public import PKI
import Synchronization

/// What a server needs to know besides its handler.
public struct HTTPServerConfiguration: Sendable {
    public struct TLS: Sendable {
        public var identity: Identity
        /// PEM certificates that client certificates are verified against. A client may come without one.
        public var clientAuthorityPEM: String

        public init(identity: Identity, clientAuthorityPEM: String) {
            self.identity = identity
            self.clientAuthorityPEM = clientAuthorityPEM
        }
    }

    /// An IP address; `0.0.0.0` and `::` for all.
    public var address: String
    /// 0 lets the kernel choose.
    public var port: Int
    /// Nil for plain HTTP.
    public var tls: TLS?
    /// Bytes of the largest accepted body; Kubernetes' own limit is 3 MiB.
    public var bodyLimit = 3 << 20
    /// From the first byte of a connection, or the end of the last answer's request, to a complete request.
    public var requestTimeout = Duration.seconds(30)
    /// Between requests, and of a client that does not read its answer.
    public var idleTimeout = Duration.seconds(300)
    /// Bytes of bodies that are gathered at a time: of requests whose sender nobody knows, and of the others. Above
    /// that: 429.
    public var strangerBodiesLimit = 8 << 20
    public var knownBodiesLimit = 64 << 20
    /// A peer that has not been heard of for so many seconds is asked for a sign of life (TCP keepalive), then every so
    /// many seconds again; after so many questions without an answer the connection is closed.
    public var keepalive = (idle: 30, interval: 10, count: 3)
    /// Bytes of one header field or of the request target, of a whole head, and the number of fields: else 431.
    public var headerFieldLimit = 64 << 10
    public var headLimit = 256 << 10
    public var headerFieldCount = 128

    public init(address: String, port: Int, tls: TLS?) {
        self.address = address
        self.port = port
        self.tls = tls
    }
}

/// Why a server does not start.
public enum TransportError: Error, CustomStringConvertible {
    case addressInUse(address: String, port: Int)
    case cannotListen(address: String, port: Int, reason: String)
    case badIdentity(String)
    case closed

    public var description: String {
        switch self {
        case .addressInUse(let address, let port):
            return "cannot listen on \(address) port \(port): another program has it "
                + "(see `ss -ltnp 'sport = :\(port)'`); stop that program or choose another port"
        case .cannotListen(let address, let port, let reason):
            return "cannot listen on \(address) port \(port): \(reason)"
        case .badIdentity(let reason): return "the TLS certificate or key cannot be used: \(reason)"
        case .closed: return "the connection is closed"
        }
    }
}

/// An HTTP server on one address and port.
public final class HTTPServer: Sendable {
    private let configuration: HTTPServerConfiguration
    private let handler: any HTTPHandler
    private let logger: Logger
    private let group: MultiThreadedEventLoopGroup
    private let tls: Mutex<NIOSSLContext?>
    private let listener = Mutex<(any Channel)?>(nil)
    private let connections = ConnectionSet()
    private let budget: BodyBudget

    public init(
        _ configuration: HTTPServerConfiguration, handler: any HTTPHandler, logger: Logger
    ) throws(TransportError) {
        self.configuration = configuration
        self.handler = handler
        self.logger = logger
        budget = BodyBudget(
            strangerLimit: configuration.strangerBodiesLimit, knownLimit: configuration.knownBodiesLimit)
        tls = Mutex(try configuration.tls.map { tls throws(TransportError) in try Self.context(tls) })
        group = MultiThreadedEventLoopGroup.singleton
    }

    private static func context(_ tls: HTTPServerConfiguration.TLS) throws(TransportError) -> NIOSSLContext {
        do {
            let chain = try NIOSSLCertificate.fromPEMBytes(Array(tls.identity.certificatePEM.utf8))
            let key = try NIOSSLPrivateKey(bytes: Array(tls.identity.keyPEM.utf8), format: .pem)
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
            configuration.minimumTLSVersion = .tlsv12
            configuration.applicationProtocols = ["h2", "http/1.1"]
            configuration.trustRoots = .certificates(
                try NIOSSLCertificate.fromPEMBytes(Array(tls.clientAuthorityPEM.utf8)))
            configuration.certificateVerification = .optionalVerification
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw .badIdentity("\(error)")
        }
    }

    /// Shows `identity` to every connection from now on.
    public func replaceIdentity(_ identity: Identity) throws(TransportError) {
        guard var fresh = configuration.tls else { return }
        fresh.identity = identity
        let context = try Self.context(fresh)
        tls.withLock { $0 = context }
    }

    /// Open connections.
    var connectionCount: Int { connections.count }

    /// Bytes of bodies that are being gathered.
    var heldBodies: (strangers: Int, known: Int) { budget.held }

    /// Listens; returns the port.
    public func start() async throws(TransportError) -> Int {
        let (address, port) = (configuration.address, configuration.port)
        let keepalive = configuration.keepalive
        do {
            let channel = try await ServerBootstrap(group: group)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .serverChannelOption(.backlog, value: 1024)
                .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
                .childChannelOption(.writeBufferWaterMark, value: .init(low: 128 << 10, high: 512 << 10))
                // A client that has vanished (a laptop asleep during `logs -f`) is noticed after a minute; one that
                // something was sent to meanwhile, by VanishedClients.
                .childChannelOption(.socketOption(.so_keepalive), value: 1)
                .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPIDLE)), value: keepalive.idle)
                .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPINTVL)), value: keepalive.interval)
                .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPCNT)), value: keepalive.count)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try self.setUp(channel) }
                }
                .bind(host: address, port: port).get()
            listener.withLock { $0 = channel }
            return channel.localAddress?.port ?? port
        } catch {
            throw Self.explain(error, address, port)
        }
    }

    /// Throws what `start` would throw, without serving anything: for a check before anything is changed.
    public static func check(address: String, port: Int) async throws(TransportError) {
        do {
            let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                // Whoever connects in this moment is sent away at once, not left without an answer.
                .childChannelInitializer { $0.close() }
                .bind(host: address, port: port).get()
            try await channel.close().get()
        } catch {
            throw Self.explain(error, address, port)
        }
    }

    private static func explain(_ error: any Error, _ address: String, _ port: Int) -> TransportError {
        if let error = error as? IOError, error.errnoCode == EADDRINUSE {
            return .addressInUse(address: address, port: port)
        }
        if let error = error as? IOError, error.errnoCode == EADDRNOTAVAIL {
            return .cannotListen(
                address: address, port: port, reason: "this machine has no such address (see `ip address`)")
        }
        return .cannotListen(address: address, port: port, reason: "\(error)")
    }

    private func setUp(_ channel: any Channel) throws {
        connections.add(channel)
        VanishedClients.watch(channel)
        guard let context = tls.withLock({ $0 }) else { return try addHTTP1(channel, secure: false) }
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(NIOSSLServerHandler(context: context))
        try pipeline.addHandler(
            TLSNegotiation(timeout: TimeAmount(configuration.requestTimeout)) { outcome, channel in
                switch outcome {
                case .http1: try self.addHTTP1(channel, secure: true)
                case .http2: try self.addHTTP2(channel)
                }
            })
    }

    private func addHTTP1(_ channel: any Channel, secure: Bool) throws {
        let pipeline = channel.pipeline.syncOperations
        let wire = HTTPWire(
            fieldLimit: configuration.headerFieldLimit, headLimit: configuration.headLimit,
            fieldCount: configuration.headerFieldCount)
        try wire.add(to: pipeline)
        try pipeline.addHandler(
            HTTPConnection(
                handler: handler, wire: wire, configuration: configuration, budget: budget, secure: secure,
                logger: logger))
    }

    private func addHTTP2(_ channel: any Channel) throws {
        let connection = HTTP2Connection(
            requestTimeout: TimeAmount(configuration.requestTimeout),
            idleTimeout: TimeAmount(configuration.idleTimeout),
            channel.eventLoop)
        let bound = NIOLoopBound(connection, eventLoop: channel.eventLoop)
        let pipeline = channel.pipeline.syncOperations
        _ = try pipeline.configureHTTP2Pipeline(
            mode: .server, connectionConfiguration: HTTP2Connection.connectionConfiguration,
            streamConfiguration: HTTP2Connection.streamConfiguration
        ) { stream in
            stream.eventLoop.makeCompletedFuture {
                let pipeline = stream.pipeline.syncOperations
                try pipeline.addHandlers([
                    HTTP2FramePayloadToHTTP1ServerCodec(),
                    HTTPConnection(
                        handler: self.handler, wire: nil, clock: bound.value.clock, configuration: self.configuration,
                        budget: self.budget, secure: true, logger: self.logger),
                ])
                bound.value.add(stream)
            }
        }
        try pipeline.addHandler(connection)
    }

    /// Stops listening at once, ends endless answers and WebSockets, lets the other answers under way finish for at
    /// most `grace`, then closes every connection.
    public func shutdown(grace: Duration) async {
        let channel = listener.withLock { listener in
            defer { listener = nil }
            return listener
        }
        try? await channel?.close().get()
        connections.askToClose()
        let deadline = ContinuousClock.now + grace
        while connections.count > 0, ContinuousClock.now < deadline { try? await Task.sleep(for: .milliseconds(20)) }
        connections.closeAll()
    }
}

/// The event by which a connection learns that it should close as soon as it owes no answer.
struct CloseWhenIdle: Sendable {}

/// The open connections of a server.
private final class ConnectionSet: Sendable {
    private struct State {
        var channels: [ObjectIdentifier: any Channel] = [:]
        /// A connection that was accepted just before the listener went must not outlive the server.
        var closed = false
    }

    private let state = Mutex(State())

    var count: Int { state.withLock { $0.channels.count } }

    func add(_ channel: any Channel) {
        let closed = state.withLock { state in
            state.channels[ObjectIdentifier(channel)] = channel
            return state.closed
        }
        channel.closeFuture.whenComplete { _ in
            _ = self.state.withLock { $0.channels.removeValue(forKey: ObjectIdentifier(channel)) }
        }
        if closed { channel.close(promise: nil) }
    }

    func askToClose() {
        for channel in state.withLock({ Array($0.channels.values) }) {
            channel.pipeline.fireUserInboundEventTriggered(CloseWhenIdle())
        }
    }

    func closeAll() {
        let open = state.withLock { state in
            state.closed = true
            return Array(state.channels.values)
        }
        for channel in open { channel.close(promise: nil) }
    }
}

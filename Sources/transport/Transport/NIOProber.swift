// Probes over real sockets: one connection a probe, as the kubelet makes them.
//
// The whole probe, from connect to the last byte that counts, fits into its timeout. Certificates are not verified
// (Pod.spec.containers[].livenessProbe.httpGet.scheme), redirects are answers like any other.

public import HTTP
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// A `Prober` over NIO.
public struct NIOProber: Prober {
    /// Bytes of a body that are kept; the rest of the answer is not read.
    private static let bodyLimit = 10 << 10

    private let group: MultiThreadedEventLoopGroup
    private let insecure: NIOSSLContext

    public init() throws(TransportError) {
        group = .singleton
        insecure = try Dial.insecureContext()
    }

    public func tcp(host: String, port: Int, timeout: Duration) async -> String? {
        do {
            let channel = try await connect(ClientBootstrap(group: group), host, port, timeout).get()
            channel.close(promise: nil)
            return nil
        } catch {
            return Self.explain(error, host, port)
        }
    }

    /// An address is connected to as it is; only a name goes through the resolver.
    private func connect(
        _ bootstrap: ClientBootstrap, _ host: String, _ port: Int, _ timeout: Duration
    ) -> EventLoopFuture<any Channel> {
        let bootstrap = bootstrap.connectTimeout(TimeAmount(timeout))
        if let address = try? SocketAddress(ipAddress: host, port: port) { return bootstrap.connect(to: address) }
        return bootstrap.connect(host: host, port: port)
    }

    public func httpGet(
        scheme: String, host: String, port: Int, path: String, headers: HTTP.HTTPHeaders, timeout: Duration
    ) async -> ProbeResult {
        let deadline = NIODeadline.now() + TimeAmount(timeout)
        let insecure = scheme.lowercased() == "https" ? insecure : nil
        var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: path.hasPrefix("/") ? path : "/" + path)
        head.headers = NIOHTTP1.HTTPHeaders(headers)
        if !head.headers.contains(name: "Host") {
            head.headers.add(name: "Host", value: Dial.authority(host, port))
        }
        if !head.headers.contains(name: "User-Agent") { head.headers.add(name: "User-Agent", value: "kube-probe/1.36") }
        if !head.headers.contains(name: "Accept") { head.headers.add(name: "Accept", value: "*/*") }
        head.headers.replaceOrAdd(name: "Connection", value: "close")
        let request = head
        let bootstrap = ClientBootstrap(group: group).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let pipeline = channel.pipeline.syncOperations
                if let insecure {
                    try pipeline.addHandler(NIOSSLClientHandler(context: insecure, serverHostname: nil))
                }
                try pipeline.addHTTPClientHandlers()
            }
        }
        do {
            return try await connect(bootstrap, host, port, timeout).flatMap { channel in
                // Only now, with a connection, is there somebody who settles the promise.
                let promise = channel.eventLoop.makePromise(of: ProbeResult.self)
                let handler = ProbeHandler(request, promise, deadline: deadline, bodyLimit: Self.bodyLimit)
                do {
                    try channel.pipeline.syncOperations.addHandler(handler)
                } catch {
                    handler.settle(.failure(error))
                }
                return promise.futureResult.always { _ in channel.close(promise: nil) }
            }.get()
        } catch {
            let url = "\(scheme.lowercased())://\(Dial.authority(host, port))\(request.uri)"
            return .failure("Get \"\(url)\": \(Self.explain(error, host, port))")
        }
    }

    private static func explain(_ error: any Error, _ host: String, _ port: Int) -> String {
        if let error = error as? ProbeHandler.Failure { return error.text }
        return Dial.explain(error, host, port)
    }
}

/// Sends one request and gathers the beginning of its answer.
private final class ProbeHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    struct Failure: Error { let text: String }

    private let request: HTTPRequestHead
    private let promise: EventLoopPromise<ProbeResult>
    private let deadline: NIODeadline
    private let bodyLimit: Int
    private var status: Int?
    private var body: [UInt8] = []
    private var done = false
    private var timer: Scheduled<Void>?

    init(_ request: HTTPRequestHead, _ promise: EventLoopPromise<ProbeResult>, deadline: NIODeadline, bodyLimit: Int) {
        self.request = request
        self.promise = promise
        self.deadline = deadline
        self.bodyLimit = bodyLimit
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        guard channel.isActive else {
            settle(.failure(Failure(text: "EOF")))
            return
        }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(deadline: deadline) {
            bound.value.settle(
                .failure(Failure(text: "context deadline exceeded (Client.Timeout exceeded while awaiting headers)")))
        }
        context.write(wrapOutboundOut(.head(request)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): status = Int(head.status.code)
        case .body(let part):
            body += part.readableBytesView.prefix(bodyLimit - body.count)
            if body.count >= bodyLimit { complete() }
        case .end: complete()
        }
    }

    private func complete() {
        guard let status else { return }
        settle(.success(.response(status: status, body: body)))
    }

    /// The first result counts; the connection is closed with it.
    func settle(_ result: Result<ProbeResult, any Error>) {
        guard !done else { return }
        done = true
        timer?.cancel()
        promise.completeWith(result)
    }

    func channelInactive(context: ChannelHandlerContext) {
        if status != nil { complete() } else { settle(.failure(Failure(text: "EOF"))) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let error = error as? IOError, error.errnoCode == ECONNRESET {
            settle(.failure(Failure(text: "read: connection reset by peer")))
        } else {
            settle(.failure(Failure(text: "\(error)")))
        }
        context.close(promise: nil)
    }
}

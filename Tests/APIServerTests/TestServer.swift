// A real API server over MemoryStore, driven through its HTTPHandler: requests in, statuses and JSON out, no network.

import APIServer
import Client
import HTTP
import Logging
import Objects
import Store
import Synchronization
import System
import Testing

/// A node that answers from what a test gave it.
final class TestNode: NodeBackend {
    let logText = Mutex<[UInt8]>([])
    let lastLog = Mutex<LogOptions?>(nil)
    let session = Mutex<TestExec?>(nil)

    func logs(
        pod: ObjectKey, node: String, options: LogOptions
    ) async throws(APIStatus) -> AsyncThrowingStream<[UInt8], any Error> {
        lastLog.withLock { $0 = options }
        let text = logText.withLock { $0 }
        return AsyncThrowingStream { continuation in
            continuation.yield(text)
            continuation.finish()
        }
    }

    func exec(pod: ObjectKey, options: ExecOptions) async throws(APIStatus) -> any ExecStreams {
        guard let exec = session.withLock({ $0 }) else { throw .internalError("no session") }
        return exec
    }

    func attach(pod: ObjectKey, options: ExecOptions) async throws(APIStatus) -> any ExecStreams {
        try await exec(pod: pod, options: options)
    }

    func connect(pod: ObjectKey, port: Int) async throws(APIStatus) -> any PodConnection {
        guard port < 9000 else { throw .internalError("connection refused") }
        return Echo(port)
    }

    let end = AsyncStream<Void>.makeStream()
    func untilGone(pod: ObjectKey) async { for await _ in end.stream {} }

    func page(node: String, path: String) async throws(APIStatus) -> NodePage? {
        path == "/healthz" ? NodePage(contentType: "text/plain", body: Array("\(node) is well".utf8)) : nil
    }
}

/// A server in a pod that greets with its port and says everything again.
final class Echo: PodConnection {
    private let pieces: AsyncStream<[UInt8]>
    private let said: AsyncStream<[UInt8]>.Continuation

    init(_ port: Int) {
        (pieces, said) = AsyncStream.makeStream()
        said.yield(Array("\(port):".utf8))
    }

    func read() async throws -> [UInt8]? {
        for await piece in pieces { return piece }
        return nil
    }
    func write(_ bytes: [UInt8]) async throws { said.yield(bytes) }
    func finish() async { said.finish() }
}

/// `cat`: echoes stdin to stdout, ends with an exit code when stdin is closed.
final class TestExec: ExecStreams {
    let stdout: AsyncStream<[UInt8]>
    let stderr: AsyncStream<[UInt8]>
    private let out: AsyncStream<[UInt8]>.Continuation
    private let err: AsyncStream<[UInt8]>.Continuation
    private let ended: AsyncStream<Int32>
    private let end: AsyncStream<Int32>.Continuation
    private let code: Int32
    let size = Mutex<(UInt16, UInt16)?>(nil)
    let wasCancelled = Mutex(false)

    init(exitCode: Int32) {
        (stdout, out) = AsyncStream.makeStream()
        (stderr, err) = AsyncStream.makeStream()
        (ended, end) = AsyncStream.makeStream()
        code = exitCode
    }

    func writeStdin(_ bytes: [UInt8]) async throws { out.yield(bytes) }
    func closeStdin() async { finish(code) }
    func resize(columns: UInt16, rows: UInt16) async { size.withLock { $0 = (columns, rows) } }
    func cancel() async {
        wasCancelled.withLock { $0 = true }
        finish(129)
    }

    private func finish(_ code: Int32) {
        out.finish()
        err.finish()
        end.yield(code)
        end.finish()
    }

    func exit() async throws -> Int32 {
        for await code in ended { return code }
        return -1
    }
}

/// A response body that a test reads line by line; it can refuse to drain, as a slow client does.
final class TestSink: ByteSink {
    private struct State {
        var bytes: [UInt8] = []
        var read = 0
        var isFinished = false
        var isStalled: Bool
        var queued = 0
        var onClose: [@Sendable () -> Void] = []
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state: Mutex<State>

    init(stalled: Bool = false) { state = Mutex(State(isStalled: stalled)) }

    var isFinished: Bool { state.withLock { $0.isFinished } }
    var totalBytes: Int { state.withLock { $0.bytes.count } }

    func write(_ bytes: [UInt8]) -> Int {
        state.withLock { state in
            guard !state.isFinished else { return 0 }
            state.bytes += bytes
            state.queued = state.isStalled ? state.queued + bytes.count : 0
            return state.queued
        }
    }

    func writeWaiting(_ bytes: [UInt8]) async throws {
        await withCheckedContinuation { continuation in
            let go = state.withLock { state in
                if state.isStalled { state.waiting.append(continuation) }
                return !state.isStalled
            }
            if go { continuation.resume() }
        }
        if isFinished { throw SystemError("write", "test sink", .EPIPE) }
        _ = write(bytes)
    }

    /// The client reads on.
    func drain() {
        let waiting = state.withLock { state in
            state.isStalled = false
            state.queued = 0
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    func finish() {
        let callbacks = state.withLock { state in
            guard !state.isFinished else { return [@Sendable () -> Void]() }
            state.isFinished = true
            defer { state.onClose = [] }
            return state.onClose
        }
        for callback in callbacks { callback() }
    }

    func onClose(_ f: @escaping @Sendable () -> Void) {
        let now = state.withLock { state in
            if !state.isFinished { state.onClose.append(f) }
            return state.isFinished
        }
        if now { f() }
    }

    var text: String { state.withLock { String(decoding: $0.bytes, as: UTF8.self) } }

    /// Every complete line so far, as JSON.
    var events: [JSON] {
        text.split(separator: "\n").compactMap { try? JSON.parse(Array($0.utf8)) }
    }

    /// Waits until there are so many events.
    func events(atLeast count: Int) async throws -> [JSON] {
        for _ in 0..<12_000 {
            let events = events
            if events.count >= count { return events }
            try await Task.sleep(for: .milliseconds(5))
        }
        Issue.record("waited for \(count) events, got \(events.count)")
        return events
    }
}

/// A WebSocket in memory.
final class TestSocket: WebSocketConnection {
    let messages: AsyncStream<[UInt8]>
    let client: AsyncStream<[UInt8]>.Continuation
    let sent = Mutex<[[UInt8]]>([])
    let closeCode = Mutex<UInt16?>(nil)

    init() { (messages, client) = AsyncStream.makeStream() }

    func send(_ message: [UInt8], asText: Bool) async throws { sent.withLock { $0.append(message) } }

    func close(code: UInt16) async {
        closeCode.withLock { $0 = $0 ?? code }
        client.finish()
    }
}

struct Answer {
    let status: Int
    let headers: HTTPHeaders
    let bytes: [UInt8]

    var json: JSON { (try? JSON.parse(bytes)) ?? .null }
    var text: String { String(decoding: bytes, as: UTF8.self) }
    var version: String { json.at("metadata", "resourceVersion")?.string ?? "" }
    var message: String { json["message"]?.string ?? "" }
    var reason: String { json["reason"]?.string ?? "" }
}

final class TestServer: Sendable {
    let server: APIServer
    let store: MemoryStore
    let node = TestNode()

    static let tokenFile = """
        # bearer tokens
        letmein,robin,u-1,"dev,ops"
        master-key,root,u-2,system:masters

        """

    static let admin = Peer(
        address: "127.0.0.1",
        certificate: ClientCertificate(commonName: "kubernetes-admin", organizations: ["system:masters"]))

    init(
        store: MemoryStore = MemoryStore(), open: Bool = true,
        configure: (inout APIServerConfiguration) -> Void = { _ in }
    ) async throws {
        self.store = store
        var configuration = APIServerConfiguration(advertiseAddress: IPAddress("192.0.2.1")!)
        configuration.serviceCIDRs = [CIDR("10.43.0.0/24")!]
        configuration.tokenSigner = TestTokenSigner()
        configuration.certificateSigner = TestCertificateSigner()
        configuration.staticTokens = (try? StaticToken.parse(TestServer.tokenFile)) ?? []
        configure(&configuration)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        server = APIServer(store: store, configuration: configuration, nodeBackend: node, logger: logger)
        if open { try await server.open() }
    }

    func request(
        _ method: String, _ url: String, body: [UInt8] = [], headers: HTTPHeaders = [:], peer: Peer = TestServer.admin
    ) -> HTTPReply {
        let parts = url.split(separator: "?", maxSplits: 1).map(String.init)
        let query: [(String, String)] = parts.count < 2 ? [] : parts[1].split(separator: "&").map { pair in
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            return (sides[0], sides.count > 1 ? sides[1] : "")
        }
        return server.handle(
            HTTPRequest(method: method, path: parts[0], query: query, headers: headers, body: body, peer: peer))
    }

    func send(
        _ method: String, _ url: String, _ body: JSON? = nil, headers: HTTPHeaders = [:],
        peer: Peer = TestServer.admin
    ) async -> Answer {
        var headers = headers
        if body != nil, headers["Content-Type"] == nil { headers["Content-Type"] = "application/json" }
        return await answer(request(method, url, body: body?.encode() ?? [], headers: headers, peer: peer))
    }

    func answer(_ reply: HTTPReply) async -> Answer {
        switch reply {
        case .response(let response):
            return Answer(
                status: response.status, headers: response.headers, bytes: response.body.flatMap { Array($0) })
        case .deferred(let work): return await answer(await work())
        case .stream(let status, let headers, let start):
            let sink = TestSink()
            start(sink)
            for _ in 0..<30_000 where !sink.isFinished { try? await Task.sleep(for: .milliseconds(2)) }
            return Answer(status: status, headers: headers, bytes: Array(sink.text.utf8))
        case .webSocket: return Answer(status: 101, headers: [:], bytes: [])
        case .forward(let forwarding):
            // What Transport would do with it is tested there; here the target is the answer.
            let target = "\(forwarding.address) \(forwarding.port) \(forwarding.path)"
            return Answer(status: 299, headers: forwarding.headers, bytes: Array(target.utf8))
        }
    }

    func watch(_ url: String, headers: HTTPHeaders = [:], sink: TestSink = TestSink()) -> TestSink {
        guard case .stream(_, _, let start) = request("GET", url, headers: headers) else {
            Issue.record("GET \(url) is not a stream")
            return sink
        }
        start(sink)
        return sink
    }

    /// A namespace to work in.
    func namespace(_ name: String) async {
        let answer = await send("POST", "/api/v1/namespaces", ["metadata": ["name": .string(name)]])
        #expect(answer.status == 201)
    }
}

func configMap(_ name: String, _ data: JSON = ["a": "b"], labels: JSON? = nil) -> JSON {
    var object: JSON = [
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": .string(name)], "data": data,
    ]
    if let labels { object.set("metadata", "labels", to: labels) }
    return object
}

func pod(_ name: String, node: String? = nil) -> JSON {
    var object: JSON = [
        "apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name)],
        "spec": ["containers": [["name": "main", "image": "demo:1"]]],
    ]
    if let node { object.set("spec", "nodeName", to: .string(node)) }
    return object
}

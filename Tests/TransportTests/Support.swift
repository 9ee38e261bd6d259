// A server to talk to and a client that sees every byte: a blocking socket, so that tests can send what no well-behaved
// client would. Blocking work runs on threads of its own; the cooperative pool belongs to the server's tasks.

import Glibc
import HTTP
import Logging
import PKI
import Synchronization
import System
import Testing
import Transport

/// One after the other: they count on answering within their deadlines.
@Suite(.serialized) enum TransportTests {}

struct Handler: HTTPHandler {
    let answer: @Sendable (HTTPRequest) -> HTTPReply
    var screening: @Sendable (HTTPRequest) -> BodyScreening = { _ in .stranger }

    func handle(_ request: HTTPRequest) -> HTTPReply { answer(request) }
    func screen(_ head: HTTPRequest) -> BodyScreening { screening(head) }
}

func text(_ text: String, status: Int = 200) -> HTTPReply {
    .response(HTTPResponse(status: status, bytes: Array(text.utf8)))
}

/// On a port of the kernel's choice.
func local(tls: HTTPServerConfiguration.TLS? = nil) -> HTTPServerConfiguration {
    HTTPServerConfiguration(address: "127.0.0.1", port: 0, tls: tls)
}

/// With TLS: a certificate of `authority` for `names`, and clients that have one of it are known.
func local(
    _ authority: CertificateAuthority, names: [CertificateAuthority.Name] = [.address(IPAddress("127.0.0.1")!)]
) throws -> HTTPServerConfiguration {
    local(
        tls: HTTPServerConfiguration.TLS(
            identity: try authority.issueServer(commonName: "server", names: names),
            clientAuthorityPEM: authority.certificatePEM))
}

/// Runs a server for the length of `body`.
func withServer<T>(
    configuration: HTTPServerConfiguration = local(), _ answer: @escaping @Sendable (HTTPRequest) -> HTTPReply,
    _ body: (Int, HTTPServer) async throws -> T
) async throws -> T {
    try await withServer(configuration: configuration, handler: Handler(answer: answer), body)
}

func withServer<T>(
    configuration: HTTPServerConfiguration = local(), handler: any HTTPHandler,
    _ body: (Int, HTTPServer) async throws -> T
) async throws -> T {
    let server = try HTTPServer(configuration, handler: handler, logger: Logger(label: "test"))
    let port = try await server.start()
    do {
        let result = try await body(port, server)
        await server.shutdown(grace: .zero)
        return result
    } catch {
        await server.shutdown(grace: .zero)
        throw error
    }
}

private let pool = BlockingPool(name: "test-client", maximumThreads: 16)

/// Runs `body` off the cooperative pool.
func blocking<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T { try await pool.run(body) }

/// Talks to `port` over plain TCP.
func talk<T: Sendable>(_ port: Int, _ body: @escaping @Sendable (Client) throws -> T) async throws -> T {
    try await blocking { try body(try Client(port)) }
}

struct Ended: Error {}

/// Milliseconds after which what a test waits for does not come any more. No machine is so slow.
let patience = 90_000

/// A port on loopback that does not answer, held for as long as this lives so that nobody else gets it.
///
/// Refusing is done by a socket that never listens: a closed listener may live on for a moment, in a child that another
/// test is just starting. Silent is one whose queue is full and stays so: no address outside this machine is silent for
/// certain, its gateway may refuse or accept for it.
final class DeafPort {
    enum Manner { case refusing, silent }

    let number: Int
    private var descriptors: [Int32] = []

    init(_ manner: Manner) throws {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let socket = Self.socket()
        descriptors = [socket]
        let made = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, length) == 0 && (manner == .refusing || listen(socket, 0) == 0)
                    && getsockname(socket, $0, &length) == 0
            }
        }
        number = Int(UInt16(bigEndian: address.sin_port))
        guard made else { throw SystemError("bind", "a deaf port", Errno(errno)) }
        guard manner == .silent else { return }
        // A backlog of 0 holds one connection; the second one finds the queue full.
        for _ in 0..<2 {
            let filler = Self.socket()
            descriptors.append(filler)
            _ = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(filler, $0, length) }
            }
        }
    }

    private static func socket() -> Int32 {
        Glibc.socket(
            AF_INET,
            Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    }

    deinit { for descriptor in descriptors { Glibc.close(descriptor) } }
}

/// One blocking connection; a read that waits for `patience` fails.
final class Client {
    struct Response {
        var status = 0, head = "", body: [UInt8] = []
        var text: String { String(decoding: body, as: UTF8.self) }
    }

    private let fd: Int32
    private var buffer: [UInt8] = []

    init(_ port: Int) throws {
        fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        timeout(SO_RCVTIMEO, milliseconds: patience)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            let code = errno
            Glibc.close(fd)
            throw SystemError("connect", "port \(port)", Errno(code))
        }
    }

    /// The other end of somebody's connection.
    init(accepted fd: Int32) {
        self.fd = fd
        timeout(SO_RCVTIMEO, milliseconds: patience)
    }

    deinit { Glibc.close(fd) }

    /// As if the machine had lost its power: the kernel drops what arrives before TCP sees it (a socket filter that
    /// accepts no byte, socket(7) SO_ATTACH_FILTER), so no answer, no acknowledgement, no RST.
    func vanish() throws {
        // struct sock_filter: 16 bits code (BPF_RET | BPF_K), 8 + 8 bits jumps, 32 bits k.
        let program: [UInt64] = [0x06]
        let result = program.withUnsafeBytes { filter in
            // struct sock_fprog: 16 bits length, pointer.
            let head = [UInt64(1), UInt64(UInt(bitPattern: filter.baseAddress))]
            return head.withUnsafeBytes { setsockopt(fd, SOL_SOCKET, 26, $0.baseAddress, socklen_t($0.count)) }
        }
        guard result == 0 else { throw SystemError("setsockopt", "SO_ATTACH_FILTER", Errno(errno)) }
    }

    func timeout(_ option: Int32, milliseconds: Int) {
        var time = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
        setsockopt(fd, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        guard trySend(bytes) == bytes.count else { throw Ended() }
    }

    /// How many of the bytes went out before the socket stalled or failed.
    func trySend(_ bytes: [UInt8]) -> Int {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { break }
            sent += count
        }
        return sent
    }

    /// Sends until the other side has taken nothing for half a second, or all of `limit` bytes: how many it took.
    func sendUntilStalled(limit: Int) -> Int {
        timeout(SO_SNDTIMEO, milliseconds: 500)
        let part = [UInt8](repeating: 1, count: 1 << 20)
        var sent = 0
        while sent < limit {
            let count = trySend(part)
            sent += count
            if count < part.count { break }
        }
        return sent
    }

    /// False at the end of the connection.
    private func fill() throws -> Bool {
        var chunk = [UInt8](repeating: 0, count: 65536)
        let count = recv(fd, &chunk, chunk.count, 0)
        if count < 0, errno != ECONNRESET { throw SystemError("recv", "test client", Errno(errno)) }
        guard count > 0 else { return false }
        buffer += chunk[..<count]
        return true
    }

    func read(_ count: Int) throws -> [UInt8] {
        while buffer.count < count { guard try fill() else { throw Ended() } }
        defer { buffer.removeFirst(count) }
        return Array(buffer[..<count])
    }

    func readLine() throws -> String {
        while true {
            if let end = buffer.firstIndex(of: 10) {
                let line = String(decoding: buffer[..<end].filter { $0 != 13 }, as: UTF8.self)
                buffer.removeFirst(end + 1)
                return line
            }
            guard try fill() else { throw Ended() }
        }
    }

    func readToEnd() throws -> [UInt8] {
        while try fill() {}
        defer { buffer = [] }
        return buffer
    }

    func readChunk() throws -> [UInt8] {
        let size = Int(try readLine(), radix: 16) ?? -1
        let bytes = try read(size)
        _ = try readLine()
        return bytes
    }

    func readHead() throws -> Response {
        var response = Response()
        while case let line = try readLine(), !line.isEmpty { response.head += line.lowercased() + "\n" }
        response.status = Int(response.head.split(separator: " ")[1]) ?? 0
        return response
    }

    func readResponse(toHead: Bool = false) throws -> Response {
        var response = try readHead()
        if !toHead, let line = response.head.split(separator: "\n").first(where: { $0.hasPrefix("content-length: ") }) {
            response.body = try read(Int(line.dropFirst("content-length: ".count)) ?? 0)
        }
        return response
    }

    func get(_ target: String) throws -> Response {
        try send("GET \(target) HTTP/1.1\r\nHost: x\r\n\r\n")
        return try readResponse()
    }
}

/// What the shell says to `command`, and its exit status.
func shell(_ command: String) async throws -> (status: Int, output: String) {
    try await blocking {
        guard let pipe = popen("{ \(command)\n} 2>&1 </dev/null", "r") else { throw Ended() }
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while case let count = fread(&chunk, 1, chunk.count, pipe), count > 0 { output += chunk[..<count] }
        return (Int(pclose(pipe) >> 8), String(decoding: output, as: UTF8.self))
    }
}

/// A directory that is gone afterwards.
func withDirectory<T>(_ body: (String) async throws -> T) async throws -> T {
    let path = "/tmp/noded-transport-\(Random.nameSuffix(10))"
    try Files.makeDirectory(path)
    do {
        let result = try await body(path)
        try Files.removeTree(path)
        return result
    } catch {
        try? Files.removeTree(path)
        throw error
    }
}

/// A value that tests wait for, at most for their `patience`.
final class Promise<T: Sendable>: @unchecked Sendable {
    private let value = Mutex<T?>(nil)
    // Invariant: initialised before anybody else sees it, and never moved; otherwise the kernel's to guard.
    private let fulfilled = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { sem_init(fulfilled, 0, 0) }

    deinit {
        sem_destroy(fulfilled)
        fulfilled.deallocate()
    }

    func fulfil(_ new: T) {
        value.withLock { $0 = new }
        sem_post(fulfilled)
    }

    var present: T? { value.withLock { $0 } }

    func get() async throws -> T {
        try await eventually { present != nil }
        return present!
    }

    /// Blocks the thread: for what runs off the cooperative pool.
    @discardableResult
    func wait() throws -> T {
        var deadline = timespec()
        clock_gettime(CLOCK_REALTIME, &deadline)
        deadline.tv_sec += patience / 1000
        while sem_timedwait(fulfilled, &deadline) != 0 { guard errno == EINTR else { throw Ended() } }
        // For the next one who waits.
        sem_post(fulfilled)
        return present!
    }
}

/// Waits until something holds; throws when it does not for as long as `patience`.
func eventually(_ holds: () -> Bool) async throws {
    let deadline = ContinuousClock.now + .milliseconds(patience)
    while !holds() {
        guard ContinuousClock.now < deadline else { throw Ended() }
        try await Task.sleep(for: .milliseconds(5))
    }
}

/// The same, blocking the thread: for what runs off the cooperative pool.
func waitUntil(_ holds: @escaping @Sendable () -> Bool) throws {
    let held = Promise<Bool>()
    Task { held.fulfil((try? await eventually(holds)) != nil) }
    guard try held.wait() else { throw Ended() }
}

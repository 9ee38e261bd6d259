// A node and its pods as network namespaces of the test's own, and sockets inside them. A namespace lives as long as
// its descriptor or a process in it; pods are `sleep` processes that the test ends and that end by themselves after ten
// minutes, so nothing is left however a test ends. (ServiceProxyTests uses this file through a symlink.)

import Glibc
import Kernel
import Synchronization
import System
import TestSupport

final class TestNode: Sendable {
    let namespace: SharedDescriptor
    let directory: String

    init() throws {
        namespace = try NetworkNamespace.create()
        directory = "/tmp/noded-net-test-\(Random.nameSuffix(10))"
        try Files.makeDirectory(directory)
    }

    deinit { try? Files.removeTree(directory) }

    func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) throws -> T {
        try NetworkNamespace.runBlocking(fd: namespace, body)
    }

    /// A command inside the namespace; its exit code.
    @discardableResult
    func command(_ arguments: String...) throws -> Int32 {
        try run { try waitFor(spawn(arguments)) }
    }

    /// Standard output of a command inside.
    func output(_ arguments: String...) throws -> String {
        let file = directory + "/output-\(Random.nameSuffix(8))"
        defer { try? Files.remove(file) }
        _ = try run { try waitFor(spawn(["sh", "-c", "\(arguments.joined(separator: " ")) > \(file) 2>&1"])) }
        return try Files.readText(file)
    }
}

/// A process in a network namespace of its own.
final class TestPod: Sendable {
    let uid = Random.uuid()
    let pid: Int32
    let process: ProcessHandle
    let namespace: SharedDescriptor

    init() throws {
        namespace = try NetworkNamespace.create()
        pid = try NetworkNamespace.runBlocking(fd: namespace) { try spawn(["sleep", "600"]) }
        process = try ProcessHandle(pid: pid)
    }

    deinit {
        kill(pid, SIGKILL)
        _ = try? waitFor(pid)
    }
}

struct TestFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

// MARK: sockets

/// Runs `body` with a socket address.
func withSocketAddress<R>(_ address: IPAddress, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R
{
    var storage = sockaddr_storage()
    let size: Int
    switch address {
    case .v4(let value):
        size = MemoryLayout<sockaddr_in>.size
        let raw = sockaddr_in(
            sin_family: sa_family_t(AF_INET), sin_port: port.bigEndian, sin_addr: in_addr(s_addr: value.bigEndian),
            sin_zero: (0, 0, 0, 0, 0, 0, 0, 0))
        withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: raw, as: sockaddr_in.self) }
    case .v6:
        size = MemoryLayout<sockaddr_in6>.size
        var raw = sockaddr_in6()
        raw.sin6_family = sa_family_t(AF_INET6)
        raw.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &raw.sin6_addr) { $0.copyBytes(from: address.bytes) }
        withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: raw, as: sockaddr_in6.self) }
    }
    return withUnsafePointer(to: &storage) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(size)) }
    }
}

private func open(_ type: __socket_type, _ address: IPAddress, seconds: Int) -> Int32 {
    let fd = socket(address.isV6 ? AF_INET6 : AF_INET, Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var limit = timeval(tv_sec: seconds, tv_usec: 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    return fd
}

/// What a TCP server at `address` says, or the error in words.
func askTCP(
    from namespace: SharedDescriptor, _ address: IPAddress, _ port: UInt16, sourcePort: UInt16 = 0, seconds: Int = 30
) throws -> String {
    try NetworkNamespace.runBlocking(fd: namespace) {
        let fd = open(SOCK_STREAM, address, seconds: seconds)
        defer { close(fd) }
        guard connect(fd, from: sourcePort, to: address, port) else { return "\(Errno.current)" }
        return receive(fd)
    }
}

/// What a UDP server answers. The socket is connected, so that a reject arrives as an error.
func askUDP(
    from namespace: SharedDescriptor, _ address: IPAddress, _ port: UInt16, sourcePort: UInt16 = 0, seconds: Int = 30
) throws -> String {
    try NetworkNamespace.runBlocking(fd: namespace) {
        let fd = open(SOCK_DGRAM, address, seconds: seconds)
        defer { close(fd) }
        guard connect(fd, from: sourcePort, to: address, port), send(fd, "?", 1, 0) == 1 else {
            return "\(Errno.current)"
        }
        return receive(fd)
    }
}

/// - Parameter sourcePort: 0: any.
private func connect(_ fd: Int32, from sourcePort: UInt16, to address: IPAddress, _ port: UInt16) -> Bool {
    if sourcePort != 0 {
        let any: IPAddress = address.isV6 ? .v6(hi: 0, lo: 0) : .v4(0)
        var on: Int32 = 1
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        guard withSocketAddress(any, sourcePort, { bind(fd, $0, $1) }) == 0 else { return false }
    }
    return withSocketAddress(address, port, { Glibc.connect(fd, $0, $1) }) == 0
}

private func receive(_ fd: Int32) -> String {
    var buffer = [UInt8](repeating: 0, count: 256)
    let count = recv(fd, &buffer, buffer.count, 0)
    return count >= 0 ? String(decoding: buffer[..<count], as: UTF8.self) : "\(Errno.current)"
}

/// Answers every TCP connection and UDP packet on a port, of both families, with `text` and the asker's address.
final class TestServer: Sendable {
    private let stopped = Atomic(false)
    private let ended = Gate<Bool>()

    init(in namespace: SharedDescriptor, port: UInt16, address: IPAddress = .v6(hi: 0, lo: 0), _ text: String) throws {
        let listeners = try NetworkNamespace.runBlocking(fd: namespace) {
            try [SOCK_STREAM, SOCK_DGRAM].map { type in
                let fd = open(type, address, seconds: 30)
                var on: Int32 = 1
                setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, 4)
                guard withSocketAddress(address, port, { bind(fd, $0, $1) }) == 0 else {
                    throw TestFailure("bind \(address):\(port): \(Errno.current)")
                }
                if type == SOCK_STREAM { listen(fd, 64) }
                return fd
            }
        }
        Threads.start(name: "test-server") { [self] in
            var polls = listeners.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            while !stopped.load(ordering: .relaxed) {
                guard poll(&polls, 2, 20) > 0 else { continue }
                var peer = sockaddr_storage()
                var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
                withUnsafeMutablePointer(to: &peer) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                        if polls[0].revents != 0 {
                            let fd = accept(listeners[0], pointer, &size)
                            let answer = "\(text) \(Self.text(of: pointer))"
                            _ = send(fd, answer, answer.utf8.count, Int32(MSG_NOSIGNAL))
                            close(fd)
                        } else if polls[1].revents != 0 {
                            var byte: UInt8 = 0
                            guard recvfrom(listeners[1], &byte, 1, 0, pointer, &size) >= 0 else { return }
                            let answer = "\(text) \(Self.text(of: pointer))"
                            _ = sendto(listeners[1], answer, answer.utf8.count, 0, pointer, size)
                        }
                    }
                }
            }
            listeners.forEach { close($0) }
            ended.open(true)
        }
    }

    func stop() {
        stopped.store(true, ordering: .relaxed)
        _ = ended.wait()
    }

    private static func text(of address: UnsafePointer<sockaddr>) -> String {
        let raw = UnsafeRawPointer(address)
        if address.pointee.sa_family == sa_family_t(AF_INET) {
            return "\(IPAddress.v4(UInt32(bigEndian: raw.load(as: sockaddr_in.self).sin_addr.s_addr)))"
        }
        var six = raw.load(as: sockaddr_in6.self).sin6_addr
        let bytes = withUnsafeBytes(of: &six) { Array($0) }
        // An IPv4 client of an IPv6 socket.
        let mapped = bytes.prefix(10).allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff
        return "\(IPAddress(bytes: mapped ? Array(bytes[12...]) : bytes)!)"
    }
}

/// Waits until `condition` holds, at most a minute.
func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
    let deadline = ContinuousClock.now + .seconds(60)
    while true {
        if try await condition() { return true }
        guard ContinuousClock.now < deadline else { return false }
        try await Task.sleep(for: .milliseconds(10))
    }
}

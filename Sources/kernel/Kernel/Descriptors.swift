// Descriptors that only Linux has: pipes born close-on-exec, sealed memory files, unix sockets that carry credentials
// and other descriptors (SCM_RIGHTS). All fail with SystemError.

internal import CKernel
internal import Glibc
public import System

extension FileDescriptor {
    /// pipe2(2), both ends close-on-exec.
    public static func pipe() throws(SystemError) -> Pipe {
        var fds: (Int32, Int32) = (-1, -1)
        try systemCall("pipe2", "") {
            withUnsafeMutableBytes(of: &fds) { kernel_pipe($0.baseAddress!.assumingMemoryBound(to: Int32.self)) }
        }
        return Pipe(reading: FileDescriptor(owning: fds.0), writing: FileDescriptor(owning: fds.1))
    }

    /// A file in memory that nobody can change any more (memfd_create(2), all seals): safe to execute or to hand out.
    public static func sealed(name: String, _ bytes: [UInt8]) throws(SystemError) -> FileDescriptor {
        let file = FileDescriptor(owning: try systemCall("memfd_create", name) { kernel_memfd(name) })
        try file.write(all: bytes)
        try systemCall("fcntl F_ADD_SEALS", name) { kernel_seal(file.raw) }
        return file
    }
}

/// The two ends of a pipe.
public struct Pipe: ~Copyable, Sendable {
    public let reading: FileDescriptor
    public let writing: FileDescriptor

    init(reading: consuming FileDescriptor, writing: consuming FileDescriptor) {
        self.reading = reading
        self.writing = writing
    }

    public consuming func takeReading() -> FileDescriptor { reading }
    public consuming func takeWriting() -> FileDescriptor { writing }

    /// Both ends as shared owners.
    public consuming func shared() -> (reading: SharedDescriptor, writing: SharedDescriptor) {
        let read = reading.release()
        let write = writing.release()
        return (SharedDescriptor(FileDescriptor(owning: read)), SharedDescriptor(FileDescriptor(owning: write)))
    }
}

/// Who is at the other end of a unix socket, as the kernel noted when it was connected (SO_PEERCRED, unix(7)).
public struct PeerCredentials: Hashable, Sendable {
    /// In the reader's pid namespace; 0 when it cannot be seen from there. The process may be gone by now.
    public let pid: Int32
    public let uid: UInt32
    public let gid: UInt32

    public init(pid: Int32, uid: UInt32, gid: UInt32) { (self.pid, self.uid, self.gid) = (pid, uid, gid) }
}

/// Unix sockets by path. No abstract names: those are reachable from every pod with hostNetwork (CVE-2020-15257).
public enum UnixSocket {
    public enum Kind: Sendable {
        case stream
        /// Keeps message boundaries: one send is one receive.
        case sequencedPackets

        var number: Int32 { Int32(self == .stream ? SOCK_STREAM.rawValue : SOCK_SEQPACKET.rawValue) }
    }

    /// A connected pair.
    public static func pair(_ kind: Kind = .stream) throws(SystemError) -> (SharedDescriptor, SharedDescriptor) {
        var fds: (Int32, Int32) = (-1, -1)
        try systemCall("socketpair", "") {
            withUnsafeMutableBytes(of: &fds) {
                kernel_socketpair(kind.number, $0.baseAddress!.assumingMemoryBound(to: Int32.self))
            }
        }
        return (SharedDescriptor(FileDescriptor(owning: fds.0)), SharedDescriptor(FileDescriptor(owning: fds.1)))
    }

    /// Binds and listens. A socket file left there is replaced; the new one has `mode` before anybody can connect.
    public static func listen(
        _ path: String, _ kind: Kind = .stream, mode: UInt32 = 0o600, backlog: Int32 = 64
    ) throws(SystemError) -> FileDescriptor {
        let socket = FileDescriptor(owning: try systemCall("socket AF_UNIX", path) { kernel_unix_socket(kind.number) })
        try Files.remove(path)
        try withAddress(path) { (address, size) throws(SystemError) in
            try systemCall("bind", path) { bind(socket.raw, address, size) }
        }
        try systemCall("chmod", path) { chmod(path, mode_t(mode)) }
        try systemCall("listen", path) { Glibc.listen(socket.raw, backlog) }
        return socket
    }

    public static func connect(_ path: String, _ kind: Kind = .stream) throws(SystemError) -> FileDescriptor {
        let socket = FileDescriptor(owning: try systemCall("socket AF_UNIX", path) { kernel_unix_socket(kind.number) })
        try withAddress(path) { (address, size) throws(SystemError) in
            try systemCall("connect", path) { Glibc.connect(socket.raw, address, size) }
        }
        return socket
    }

    /// The next connection; blocks, or throws EAGAIN when the listener is non-blocking.
    public static func accept(_ listener: Int32) throws(SystemError) -> FileDescriptor {
        FileDescriptor(owning: try systemCall("accept4", "fd \(listener)") { kernel_accept(listener) })
    }

    public static func peer(_ socket: Int32) throws(SystemError) -> PeerCredentials {
        var (pid, uid, gid) = (pid_t(0), uid_t(0), gid_t(0))
        try systemCall("getsockopt SO_PEERCRED", "fd \(socket)") { kernel_peer(socket, &pid, &uid, &gid) }
        return PeerCredentials(pid: pid, uid: uid, gid: gid)
    }

    /// Sends bytes, with up to 32 descriptors (the receiver gets copies; ours stay open). At least one byte must go with
    /// descriptors. Returns how many bytes went; descriptors go with the first. Never raises SIGPIPE: EPIPE is thrown.
    @discardableResult
    public static func send(
        _ socket: Int32, _ bytes: [UInt8], descriptors: [Int32] = []
    ) throws(SystemError) -> Int {
        precondition(descriptors.isEmpty || !bytes.isEmpty, "descriptors need a byte to travel with")
        return try systemCall("sendmsg", "fd \(socket)") {
            bytes.withUnsafeBytes { data in
                descriptors.withUnsafeBufferPointer { fds in
                    kernel_send_with_fds(socket, data.baseAddress, data.count, fds.baseAddress, fds.count)
                }
            }
        }
    }

    /// Receives up to `limit` bytes and up to `maximumDescriptors` (at most 32) descriptors; no bytes mean the peer has
    /// closed. EMSGSIZE when a message or its descriptors do not fit (nothing is kept then).
    public static func receive(
        _ socket: Int32, limit: Int, maximumDescriptors: Int = 8
    ) throws(SystemError) -> (bytes: [UInt8], descriptors: [SharedDescriptor]) {
        var fds = [Int32](repeating: -1, count: maximumDescriptors)
        var bytes = [UInt8](repeating: 0, count: limit)
        var count = 0
        let size = try systemCall("recvmsg", "fd \(socket)") {
            bytes.withUnsafeMutableBytes { data in
                fds.withUnsafeMutableBufferPointer { fds in
                    kernel_receive_with_fds(socket, data.baseAddress, data.count, fds.baseAddress, fds.count, &count)
                }
            }
        }
        bytes.removeLast(limit - size)
        return (bytes, fds[..<count].map { SharedDescriptor(FileDescriptor(owning: $0)) })
    }

    /// sun_path holds 107 bytes; a longer path is reached through a descriptor of its folder.
    private static func withAddress<R>(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemError) -> R
    ) throws(SystemError) -> R {
        if path.utf8.count < 108 { return try withShortAddress(path, body) }
        let folder = try FileDescriptor.open(Files.parent(of: path), [.path, .directory])
        let name = path.split(separator: "/").last ?? ""
        let short = "/proc/self/fd/\(folder.raw)/\(name)"
        guard short.utf8.count < 108 else { throw SystemError("bind", path, .ENAMETOOLONG) }
        return try withShortAddress(short, body)
    }

    private static func withShortAddress<R>(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemError) -> R
    ) throws(SystemError) -> R {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result: Result<R, SystemError> = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                do throws(SystemError) {
                    return .success(try body(pointer, socklen_t(MemoryLayout<sockaddr_un>.size)))
                } catch {
                    return .failure(error)
                }
            }
        }
        return try result.get()
    }
}

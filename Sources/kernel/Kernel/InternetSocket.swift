// UDP and TCP sockets for the data planes that are loops of their own (the DNS resolver): non-blocking, close-on-exec,
// addresses as values, and poll(2) over borrowed descriptors. Nothing here waits except `Poll.wait`.
//
// What is not there yet (EAGAIN) is nil or false, never an error; everything else is a SystemError.

internal import Glibc
public import System

/// An address and a port.
public struct InternetEndpoint: Hashable, Sendable, CustomStringConvertible {
    public let address: IPAddress
    public let port: UInt16

    public init(_ address: IPAddress, _ port: UInt16) { (self.address, self.port) = (address, port) }

    /// "10.0.0.1:53", "[fd00::1]:53".
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard let address = IPAddress(host) else { return nil }
        self.init(address, port)
    }

    public var description: String { address.isV6 ? "[\(address)]:\(port)" : "\(address):\(port)" }
}

public enum InternetSocket {
    public enum Kind: Sendable, Hashable { case udp, tcp }

    /// A bound socket; TCP listens. The receive buffer of UDP is enlarged (4 MiB when allowed), so that it holds what
    /// arrives while its reader is restarted. Port 0 asks for any.
    public static func bound(_ kind: Kind, _ local: InternetEndpoint) throws(SystemError) -> FileDescriptor {
        let socket = try make(kind, local)
        try set(socket.raw, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR")
        if local.address.isV6 { try set(socket.raw, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1, "IPV6_V6ONLY") }
        if kind == .udp {
            // SO_RCVBUFFORCE (33) goes beyond net.core.rmem_max, with CAP_NET_ADMIN; a smaller buffer still works.
            _ = try? set(socket.raw, SOL_SOCKET, 33, 4 << 20, "SO_RCVBUFFORCE")
        }
        _ = try withAddress(local) { (address, size) throws(SystemError) in
            try systemCall("bind", "\(local)") { bind(socket.raw, address, size) }
        }
        if kind == .tcp { try systemCall("listen", "\(local)") { listen(socket.raw, 128) } }
        return socket
    }

    /// A socket connected to `remote` from a port of the kernel's choice; TCP may still be under way (writable when done).
    public static func connected(_ kind: Kind, to remote: InternetEndpoint) throws(SystemError) -> FileDescriptor {
        let socket = try make(kind, remote)
        do throws(SystemError) {
            _ = try withAddress(remote) { (address, size) throws(SystemError) in
                try systemCall("connect", "\(remote)") { connect(socket.raw, address, size) }
            }
        } catch where error.errno.code == EINPROGRESS {
        }
        return socket
    }

    /// Says that nothing more will be sent (shutdown(2) SHUT_WR). Nothing happens when the connection has gone.
    public static func finish(_ socket: Int32) { _ = shutdown(socket, Int32(SHUT_WR)) }

    /// Throws what a connection under way came to (SO_ERROR): ECONNREFUSED and the like.
    public static func check(_ socket: Int32, to remote: InternetEndpoint) throws(SystemError) {
        var error: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        try systemCall("getsockopt SO_ERROR", "\(remote)") {
            getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size)
        }
        guard error == 0 else { throw SystemError("connect to", "\(remote)", Errno(error)) }
    }

    public static func local(_ socket: Int32) throws(SystemError) -> InternetEndpoint {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        try systemCall("getsockname", "fd \(socket)") {
            withUnsafeMutablePointer(to: &storage) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &size) }
            }
        }
        return endpoint(storage)
    }

    /// SOCK_DGRAM or SOCK_STREAM of an open socket.
    public static func kind(_ socket: Int32) throws(SystemError) -> Kind {
        var type: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        try systemCall("getsockopt SO_TYPE", "fd \(socket)") { getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) }
        return type == Int32(SOCK_DGRAM.rawValue) ? .udp : .tcp
    }

    /// One datagram; what exceeds the buffer is cut off. Nil when none is there.
    public static func receive(
        _ socket: Int32, into buffer: inout [UInt8]
    ) throws(SystemError) -> (count: Int, from: InternetEndpoint)? {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        do throws(SystemError) {
            let count = try systemCall("recvfrom", "fd \(socket)") {
                withUnsafeMutablePointer(to: &storage) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                        buffer.withUnsafeMutableBytes {
                            recvfrom(socket, $0.baseAddress, $0.count, 0, address, &size)
                        }
                    }
                }
            }
            return (count, endpoint(storage))
        } catch where error.errno == .EAGAIN {
            return nil
        }
    }

    /// Bytes of a connected socket: empty at the end of a stream, nil when none are there.
    public static func receive(_ socket: Int32, upTo limit: Int) throws(SystemError) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: limit)
        do throws(SystemError) {
            let count = try systemCall("recv", "fd \(socket)") {
                buffer.withUnsafeMutableBytes { recv(socket, $0.baseAddress, $0.count, 0) }
            }
            buffer.removeLast(limit - count)
            return buffer
        } catch where error.errno == .EAGAIN {
            return nil
        }
    }

    /// A datagram; false when the send buffer is full.
    @discardableResult
    public static func send(
        _ socket: Int32, _ bytes: [UInt8], to remote: InternetEndpoint
    ) throws(SystemError) -> Bool {
        do throws(SystemError) {
            _ = try withAddress(remote) { (address, size) throws(SystemError) in
                try systemCall("sendto", "\(remote)") {
                    bytes.withUnsafeBytes {
                        sendto(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL), address, size)
                    }
                }
            }
            return true
        } catch where error.errno == .EAGAIN {
            return false
        }
    }

    /// To a connected socket; returns how much was taken, 0 when the buffer is full or TCP is not connected yet.
    public static func send(_ socket: Int32, _ bytes: ArraySlice<UInt8>) throws(SystemError) -> Int {
        do throws(SystemError) {
            return try systemCall("send", "fd \(socket)") {
                bytes.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            }
        } catch where error.errno == .EAGAIN {
            return 0
        }
    }

    /// The next connection of a listener (TCP or unix), non-blocking; nil when none waits.
    public static func accept(_ listener: Int32) throws(SystemError) -> FileDescriptor? {
        do throws(SystemError) {
            let connection = try UnixSocket.accept(listener)
            try connection.setNonBlocking()
            return connection
        } catch where error.errno == .EAGAIN || error.errno.code == ECONNABORTED {
            return nil
        }
    }

    private static func make(_ kind: Kind, _ endpoint: InternetEndpoint) throws(SystemError) -> FileDescriptor {
        let type = (kind == .udp ? SOCK_DGRAM : SOCK_STREAM).rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let family = endpoint.address.isV6 ? AF_INET6 : AF_INET
        return FileDescriptor(owning: try systemCall("socket", "\(endpoint)") { socket(family, Int32(type), 0) })
    }

    private static func set(
        _ socket: Int32, _ level: Int32, _ option: Int32, _ value: Int32, _ name: String
    ) throws(SystemError) {
        var value = value
        try systemCall("setsockopt \(name)", "\(value)") {
            setsockopt(socket, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
        }
    }

    private static func withAddress<R>(
        _ endpoint: InternetEndpoint, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemError) -> R
    ) throws(SystemError) -> R {
        var storage = sockaddr_storage()
        let size = withUnsafeMutableBytes(of: &storage) { raw -> Int in
            let bytes = endpoint.address.bytes
            switch endpoint.address {
            case .v4:
                var address = sockaddr_in()
                address.sin_family = sa_family_t(AF_INET)
                address.sin_port = endpoint.port.bigEndian
                withUnsafeMutableBytes(of: &address.sin_addr) { $0.copyBytes(from: bytes) }
                raw.storeBytes(of: address, as: sockaddr_in.self)
                return MemoryLayout<sockaddr_in>.size
            case .v6:
                var address = sockaddr_in6()
                address.sin6_family = sa_family_t(AF_INET6)
                address.sin6_port = endpoint.port.bigEndian
                withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: bytes) }
                raw.storeBytes(of: address, as: sockaddr_in6.self)
                return MemoryLayout<sockaddr_in6>.size
            }
        }
        let result: Result<R, SystemError> = withUnsafePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                do throws(SystemError) {
                    return .success(try body(pointer, socklen_t(size)))
                } catch {
                    return .failure(error)
                }
            }
        }
        return try result.get()
    }

    private static func endpoint(_ storage: sockaddr_storage) -> InternetEndpoint {
        withUnsafeBytes(of: storage) { raw in
            if storage.ss_family == sa_family_t(AF_INET6) {
                let address = raw.load(as: sockaddr_in6.self)
                let bytes = withUnsafeBytes(of: address.sin6_addr) { Array($0) }
                return InternetEndpoint(IPAddress(bytes: bytes) ?? .v6(hi: 0, lo: 0), UInt16(bigEndian: address.sin6_port))
            }
            let address = raw.load(as: sockaddr_in.self)
            let bytes = withUnsafeBytes(of: address.sin_addr) { Array($0) }
            return InternetEndpoint(IPAddress(bytes: bytes) ?? .v4(0), UInt16(bigEndian: address.sin_port))
        }
    }
}

/// poll(2): for loops with a thread of their own and a few hundred descriptors.
public enum Poll {
    /// One borrowed descriptor and what is asked of it.
    public struct Entry {
        var raw: pollfd

        public init(_ fd: Int32, reading: Bool, writing: Bool = false) {
            raw = pollfd(fd: fd, events: Int16((reading ? POLLIN : 0) | (writing ? POLLOUT : 0)), revents: 0)
        }

        /// Something to read, the end of the stream, or an error that a read will report.
        public var isReadable: Bool { raw.revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 }
        public var isWritable: Bool { raw.revents & Int16(POLLOUT | POLLHUP | POLLERR) != 0 }
    }

    /// Blocks until an entry is ready or `milliseconds` have passed (negative: for ever). An interrupted wait is begun
    /// anew.
    public static func wait(_ entries: inout [Entry], milliseconds: Int32) throws(SystemError) {
        _ = try systemCall("poll", "\(entries.count) descriptors") {
            entries.withUnsafeMutableBytes {
                let count = nfds_t($0.count / MemoryLayout<pollfd>.size)
                return poll($0.baseAddress?.assumingMemoryBound(to: pollfd.self), count, milliseconds)
            }
        }
    }
}

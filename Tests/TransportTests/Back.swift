// The server behind the one under test, on plain sockets: it says what no well-behaved server would, and sees every byte.

import Glibc
import System
import Testing

/// A server of plain sockets: answers one connection as a test says, then closes it.
final class Back: Sendable {
    let port: Int

    init(_ answer: @escaping @Sendable (Client) throws -> Void) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let made = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 8) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard made else { throw SystemError("listen", "a test's server", Errno(errno)) }
        port = Int(UInt16(bigEndian: address.sin_port))
        Task {
            try await blocking {
                let fd = accept(listener, nil, nil)
                Glibc.close(listener)
                try answer(Client(accepted: fd))
            }
        }
    }
    /// Begins an answer with one chunk, "a", and waits for the client's end.
    /// - Parameter ended: what came from the client until then.
    static func beginning(ended: @escaping @Sendable ([UInt8]) -> Void) throws -> Back {
        try Back { peer in
            _ = try peer.readHead()
            try peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            ended(try peer.readToEnd())
        }
    }

    /// Agrees to `Echo.request`, and says every four bytes again.
    static func echo() throws -> Back {
        try Back { peer in
            _ = try peer.readHead()
            try peer.send(Echo.agreement)
            while let bytes = try? peer.read(4) { try peer.send(bytes) }
        }
    }
}

/// A protocol to upgrade to.
enum Echo {
    static let request = "GET /x HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
    static let agreement = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
}

extension Client {
    /// Opens a tunnel to `Back.echo` and speaks through it.
    func openEcho() throws {
        try send(Echo.request)
        #expect(try readHead().status == 101)
        try hearEcho()
    }

    func hearEcho() throws {
        try send("abcd")
        #expect(try read(4) == Array("abcd".utf8))
    }
}

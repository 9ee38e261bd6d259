// noded's end of the control connection: connects, takes copies of the resolver's sockets, writes frames without
// blocking a thread. Fails with SystemError when the resolver is not there or goes, with ControlError when it is not
// one.

import Kernel
import System

final class ResolverLink: Sendable {
    let socket: SharedDescriptor
    let process: ProcessHandle
    /// Copies of what it listens on.
    let sockets: [SharedDescriptor]
    let version: UInt16

    /// Connects to the resolver at `path` and reads its first frame. Blocks for at most `patience` milliseconds.
    init(path: String, patience: Int32 = 5000) throws {
        let socket = SharedDescriptor(try UnixSocket.connect(path))
        let peer = try UnixSocket.peer(socket.raw)
        guard peer.uid == 0 || peer.uid == ResolverProcess.user else {
            throw ControlError(what: "\(path) belongs to uid \(peer.uid)")
        }
        try socket.setNonBlocking()
        var entries = [Poll.Entry(socket.raw, reading: true)]
        try Poll.wait(&entries, milliseconds: patience)
        guard entries[0].isReadable else { throw ControlError(what: "pid \(peer.pid) does not answer at \(path)") }
        // A connection that the resolver made room for by closing it reads as nothing.
        let (bytes, sockets) = try UnixSocket.receive(socket.raw, limit: 4096, maximumDescriptors: 32)
        var reader = ControlReader()
        reader.append(bytes)
        guard case .hello(let version, _)? = try reader.messages().first else {
            throw ControlError(what: "no greeting at \(path)")
        }
        // The pid of the socket's peer, as seen from here, is the process to watch: a namespace may lie between.
        process = try ProcessHandle(pid: peer.pid)
        (self.socket, self.sockets, self.version) = (socket, sockets, version)
    }

    func send(_ messages: [ControlMessage]) async throws { try await send(messages.flatMap { $0.encoded() }) }

    /// Sends frames; waits, off every thread, while the resolver is slow.
    func send(_ frames: [UInt8]) async throws {
        var rest = frames[...]
        while !rest.isEmpty {
            let sent = try InternetSocket.send(socket.raw, rest)
            rest = rest.dropFirst(sent)
            if sent == 0 { _ = try await Readiness.shared.wait(socket, for: .writable) }
        }
    }

    /// Gives each message of the resolver to `handle` until the connection ends, which throws.
    func read(_ handle: (ControlMessage) -> Void) async throws {
        var reader = ControlReader()
        while true {
            _ = try await Readiness.shared.wait(socket, for: .readable)
            guard let bytes = try InternetSocket.receive(socket.raw, upTo: 16384) else { continue }
            guard !bytes.isEmpty else { throw ControlError(what: "the resolver has closed it") }
            reader.append(bytes)
            for message in try reader.messages() { handle(message) }
        }
    }
}

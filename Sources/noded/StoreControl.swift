// The running noded's side door for `noded store status` and `noded backup`: a socket beside the store (0600 in a
// folder of 0700, so for root only), because the store's file cannot be read while noded has it open.
//
//      > status | check | backup, a newline          < ok, a newline, the answer, the end      or      < error …
//
// Answers are written by threads of their own: a client that does not read holds up nobody.

import Kernel
import Logging
import Store
import System

struct StoreControl: Sendable {
    private let listener: SharedDescriptor
    private let store: SQLiteStore
    private let logger: Logger
    private let pool = BlockingPool(name: "noded-control", maximumThreads: 4)

    static func path(_ dataDirectory: String) -> String { "\(dataDirectory)/store/control.sock" }

    init(dataDirectory: String, store: SQLiteStore, logger: Logger) throws {
        let socket = SharedDescriptor(try UnixSocket.listen(StoreControl.path(dataDirectory)))
        try socket.setNonBlocking(true)
        (listener, self.store, self.logger) = (socket, store, logger)
    }

    /// Answers until the task is cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                do {
                    _ = try await Readiness.shared.wait(listener, for: .readable)
                    let connection = SharedDescriptor(try UnixSocket.accept(listener.raw))
                    group.addTask { await serve(connection) }
                } catch is CancellationError {
                    return
                } catch {
                    // Out of descriptors, or the client has gone already.
                    logger.debug("control connection failed", metadata: ["error": "\(error)"])
                    try? await Task.sleep(for: .milliseconds(100))
                }
            }
        }
    }

    private func serve(_ connection: SharedDescriptor) async {
        do {
            let bytes = try await pool.run { try connection.read(upTo: 64) }
            let request = String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
            do {
                try await answer(request, connection)
            } catch let error as StoreError {
                try await send("error \(error)\n", connection)
            }
        } catch {
            logger.debug("control connection failed", metadata: ["error": "\(error)"])
        }
    }

    private func answer(_ request: String, _ connection: SharedDescriptor) async throws {
        switch request {
        case "status":
            let lines = try await store.statistics().lines
            try await send("ok\n" + lines.map { $0 + "\n" }.joined(), connection)
        case "check":
            let findings = try await store.check()
            try await send("ok\n" + findings.map { $0 + "\n" }.joined(), connection)
        case "backup":
            let snapshot = try await store.snapshot()
            try await send("ok\n", connection)
            try await pool.run { try snapshot.send { try connection.write(all: $0) } }
        default:
            try await send("error this noded does not know the request \"\(request)\"\n", connection)
        }
    }

    private func send(_ text: String, _ connection: SharedDescriptor) async throws {
        try await pool.run { try connection.write(all: Array(text.utf8)) }
    }

    // MARK: - The client

    /// What the running noded answers, to be read to its end; nil when none runs on that data directory.
    static func ask(_ request: String, _ dataDirectory: String) throws -> Answer? {
        let socket: FileDescriptor
        do throws(SystemError) {
            socket = try UnixSocket.connect(path(dataDirectory))
        } catch {
            guard error.errno == .ENOENT || error.errno == .ECONNREFUSED else { throw error }
            return nil
        }
        try socket.write(all: Array("\(request)\n".utf8))
        return try Answer(SharedDescriptor(socket))
    }

    final class Answer {
        private let socket: SharedDescriptor
        private var rest: [UInt8] = []

        fileprivate init(_ socket: SharedDescriptor) throws {
            self.socket = socket
            while !rest.contains(UInt8(ascii: "\n")) {
                let more = try socket.read(upTo: 4096)
                guard !more.isEmpty else { throw StartFailure("noded closed its control socket without an answer") }
                rest += more
            }
            let line = String(decoding: rest.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
            guard line == "ok" else { throw StartFailure(String(line.dropFirst("error ".count))) }
            rest.removeFirst(3)
        }

        func read(_ count: Int) throws -> [UInt8] {
            guard rest.isEmpty else {
                defer { rest = [] }
                return rest
            }
            return try socket.read(upTo: count)
        }

        func lines() throws -> [String] {
            var bytes: [UInt8] = []
            while case let more = try read(1 << 16), !more.isEmpty { bytes += more }
            return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
        }
    }
}

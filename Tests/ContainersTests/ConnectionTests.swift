// The line to a supervisor that does not answer: what is given up does not pile up.

import Kernel
import SupervisorProtocol
import System
import Testing

@testable import Containers

/// The supervisor's end.
private struct Peer {
    let socket: SharedDescriptor
    var input: [UInt8] = []

    mutating func next() async throws -> (kind: MessageKind, id: UInt32, fields: [UInt8]) {
        while true {
            if let header = input.withUnsafeBytes({ MessageHeader($0) }),
                input.count >= MessageHeader.size + header.length
            {
                let end = MessageHeader.size + header.length
                defer { input.removeFirst(end) }
                let kind = try #require(MessageKind(rawValue: header.kind))
                return (kind, header.id, Array(input[MessageHeader.size..<end]))
            }
            do {
                _ = try await Readiness.shared.wait(socket, for: .readable)
                let piece = try UnixSocket.receive(socket.raw, limit: 1 << 20, maximumDescriptors: 8)
                try #require(!piece.bytes.isEmpty, "the line is closed")
                input += piece.bytes
            } catch let error as SystemError where error.errno == .EAGAIN {
                continue
            }
        }
    }

    /// How many messages come before the first of a kind.
    mutating func count(before kind: MessageKind) async throws -> Int {
        var count = 0
        while try await next().kind != kind { count += 1 }
        return count
    }

    func send(_ kind: MessageKind, _ id: UInt32) throws {
        try UnixSocket.send(socket.raw, FieldWriter().message(kind, id: id))
    }
}

@Suite(.timeLimit(.minutes(5))) struct ConnectionTests {
    private func withLine(_ body: (SupervisorConnection, inout Peer) async throws -> Void) async throws {
        let (ours, theirs) = try UnixSocket.pair()
        try theirs.setNonBlocking()
        let connection = try SupervisorConnection(uid: "u1", socket: ours, exited: { _ in }, closed: {})
        let reader = Task { await connection.run() }
        defer { reader.cancel() }
        var peer = Peer(socket: theirs)
        try await body(connection, &peer)
    }

    @Test func probesOfASupervisorThatDoesNotAnswerAreNotSent() async throws {
        try await withLine { connection, peer in
            let first = Task { try await connection.request(.exec, command: ("c1", waits: true)).id }
            let stale = try await peer.next()
            #expect(stale.kind == .exec)
            first.cancel()
            await #expect(throws: CancellationError.self) { _ = try await first.value }
            let more = (0..<50).map { _ in
                Task { try await connection.request(.exec, command: ("c1", waits: true)).id }
            }
            try await Task.sleep(for: .milliseconds(100))
            for task in more { task.cancel() }
            for task in more { await #expect(throws: CancellationError.self) { _ = try await task.value } }
            let mark = Task { try await connection.request(.reopenLog, container: "c1") }
            #expect(try await peer.count(before: .reopenLog) == 0)
            mark.cancel()

            // Whom it does not concern, and who asked for himself, is not held up.
            let others = [("c2", true), ("c1", false)].map { container, waits in
                Task { try await connection.request(.exec, command: (container, waits: waits)).id }
            }
            for _ in others {
                let sent = try await peer.next()
                #expect(sent.kind == .exec)
                try peer.send(.execStarted, sent.id)
            }
            for task in others { _ = try await task.value }

            // The one that waits is asked for when the old one is ended.
            let last = Task { try await connection.request(.exec, command: ("c1", waits: true)).id }
            try await Task.sleep(for: .milliseconds(50))
            try peer.send(.execStarted, stale.id)
            #expect(try await peer.next().kind == .cancelExec)
            let asked = try await peer.next()
            #expect(asked.kind == .exec)
            try peer.send(.execStarted, asked.id)
            #expect(try await last.value == asked.id)
        }
    }

    @Test func aCommandThatIsGivenUpBeforeItIsSentIsNotSent() async throws {
        try await withLine { connection, peer in
            var fields = FieldWriter()
            // More than a socket holds.
            fields.put(Tag.id, [UInt8](repeating: 1, count: 1 << 20))
            let large = fields
            let tasks = (0..<32).map { number in
                Task { try await connection.request(.exec, large, command: ("c\(number)", waits: true)).id }
            }
            try await Task.sleep(for: .milliseconds(100))
            for task in tasks { task.cancel() }
            for task in tasks { await #expect(throws: CancellationError.self) { _ = try await task.value } }
            let mark = Task { try await connection.request(.reopenLog, container: "c1") }
            // One is on its way; the line stays whole behind it.
            #expect(try await peer.count(before: .reopenLog) <= 16)
            mark.cancel()
        }
    }
}

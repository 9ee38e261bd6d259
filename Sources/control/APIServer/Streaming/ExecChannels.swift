// A session with a container's process (exec, attach) over one WebSocket: each message names its channel
// (ChannelProtocol has the versions).
//
//   client -> server   0 stdin   4 terminal size, {"Width":80,"Height":24}   255 close, one byte: the channel closed
//   server -> client   1 stdout  2 stderr  3 error: a Status at the end, with the exit code as a cause

internal import HTTP
internal import Objects

/// One exec session over one WebSocket.
struct ExecChannels: Sendable {
    private enum Channel {
        static let stdin: UInt8 = 0
        static let stdout: UInt8 = 1
        static let stderr: UInt8 = 2
        static let error: UInt8 = 3
        static let resize: UInt8 = 4
        static let close: UInt8 = 255
    }

    private let streams: any ExecStreams
    private let connection: any WebSocketConnection
    private let options: ExecOptions
    private let wire: ChannelProtocol
    /// The session ends with the command's exit code; an attachment's does not.
    private let showsExitCode: Bool

    init(
        _ streams: any ExecStreams, _ connection: any WebSocketConnection, _ options: ExecOptions,
        _ wire: ChannelProtocol, showsExitCode: Bool
    ) {
        self.streams = streams
        self.connection = connection
        self.options = options
        self.wire = wire
        self.showsExitCode = showsExitCode
    }

    func run() async {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await receive()
                return false
            }
            group.addTask {
                await transmit()
                return true
            }
            // The client has gone: an exec's command goes, too, an attachment just ends.
            if await group.next() == false { await streams.cancel() }
            group.cancelAll()
        }
    }

    private func transmit() async {
        // An empty message tells the client that the command is there.
        let first = options.stdout ? Channel.stdout : options.stderr ? Channel.stderr : Channel.error
        try? await ExecChannels.send([], first, wire, connection)
        async let out: Void = send(streams.stdout, Channel.stdout, wanted: options.stdout)
        async let err: Void = send(streams.stderr, Channel.stderr, wanted: options.stderr)
        let status: JSON
        do {
            let code = try await streams.exit()
            status = ExecChannels.status(exitCode: showsExitCode ? code : 0)
        } catch {
            status = APIStatus.internalError("\(error)").json
        }
        _ = await (out, err)
        guard !Task.isCancelled else { return }
        if let verdict = wire.verdict(status) {
            try? await ExecChannels.send(verdict, Channel.error, wire, connection)
        }
        await connection.close(code: 1000)
    }

    private func receive() async {
        for await message in connection.messages {
            guard let (channel, bytes) = wire.decode(message) else { continue }
            switch channel {
            case Channel.stdin where options.stdin && !bytes.isEmpty:
                // A command that no longer reads its input goes on without it.
                try? await streams.writeStdin(bytes)
            case Channel.resize where options.tty:
                guard let size = try? JSON.parse(bytes) else { continue }
                let columns = UInt16(clamping: size["Width"]?.int ?? 0)
                let rows = UInt16(clamping: size["Height"]?.int ?? 0)
                if columns > 0, rows > 0 { await streams.resize(columns: columns, rows: rows) }
            case Channel.close where wire.hasClose:
                if bytes.first == Channel.stdin { await streams.closeStdin() }
            default: break
            }
        }
    }

    /// What nobody wants is read all the same: a full pipe would stop the command.
    private func send(_ bytes: AsyncStream<[UInt8]>, _ channel: UInt8, wanted: Bool) async {
        for await chunk in bytes where wanted && !chunk.isEmpty {
            do {
                try await ExecChannels.send(chunk, channel, wire, connection)
            } catch {
                // The client has gone, which the other side may not see while the command leaves its input unread.
                await streams.cancel()
                return
            }
        }
    }

    private static func send(
        _ bytes: [UInt8], _ channel: UInt8, _ wire: ChannelProtocol, _ connection: any WebSocketConnection
    ) async throws {
        try await connection.send(wire.encode(channel, bytes), asText: wire.isText)
    }

    /// Ends a session whose command did not start.
    static func refuse(
        _ failure: APIStatus, _ connection: any WebSocketConnection, _ wire: ChannelProtocol
    ) async {
        if let verdict = wire.verdict(failure.json) { try? await send(verdict, Channel.error, wire, connection) }
        await connection.close(code: 1000)
    }

    static func status(exitCode: Int32) -> JSON {
        if exitCode == 0 { return ["metadata": [:], "status": "Success"] }
        return [
            "metadata": [:], "status": "Failure", "reason": "NonZeroExitCode",
            "message": .string(
                "command terminated with non-zero exit code: command terminated with exit code \(exitCode)"),
            "details": ["causes": [["reason": "ExitCode", "message": .string(String(exitCode))]]],
        ]
    }
}

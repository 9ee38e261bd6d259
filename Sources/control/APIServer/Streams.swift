// Subresources of a pod that stream: log and exec.
//
// exec speaks the channel protocol over WebSocket (ChannelProtocol has its versions): each message names its channel.
//
//   client -> server   0 stdin   4 terminal size, {"Width":80,"Height":24}   255 close, one byte: the channel closed
//   server -> client   1 stdout  2 stderr  3 error: a Status at the end, with the exit code as a cause
//
// SPDY, the protocol before, is not offered; clients of Kubernetes 1.31 and later ask for WebSocket first.

internal import Client
internal import HTTP
internal import Objects
internal import System

extension HTTPFront {
    // MARK: - log

    func log(_ call: Call) throws(APIStatus) -> HTTPReply {
        let pod = Pod(try core.object(call.declaration, call.key).tree())
        let container = try Streams.container(call.query["container"], of: pod, key: call.key, for: "log")
        let options = try Streams.logOptions(call.query, container)
        let nodeName = pod.json.at("spec", "nodeName")?.string ?? ""
        // A pod that no node has has no log yet.
        if nodeName.isEmpty { return .response(Responses.text(200, "")) }
        let key = call.key
        return .deferred { [node] in
            do throws(APIStatus) {
                let chunks = try await node.logs(pod: key, node: nodeName, options: options)
                return .stream(status: 200, headers: ["Content-Type": "text/plain", "Cache-Control": "no-cache"]) {
                    Streams.copy(chunks, to: $0)
                }
            } catch {
                return .response(Responses.failure(error))
            }
        }
    }

    // MARK: - exec

    func exec(_ call: Call) throws(APIStatus) -> HTTPReply {
        let pod = Pod(try core.object(call.declaration, call.key).tree())
        let container = try Streams.container(call.query["container"], of: pod, key: call.key, for: "exec")
        let phase = pod.json.at("status", "phase")?.string ?? ""
        if phase == "Succeeded" || phase == "Failed" {
            throw .badRequest("cannot exec into a container in a completed pod; current phase is \(phase)")
        }
        if (pod.json.at("spec", "nodeName")?.string ?? "").isEmpty {
            throw .badRequest("pod \(call.key.name) does not have a host assigned")
        }
        var options = ExecOptions(container: container, command: call.query.all("command"))
        options.stdin = call.query.flag("stdin")
        options.stdout = call.query.flag("stdout")
        options.stderr = call.query.flag("stderr")
        options.tty = call.query.flag("tty")
        let kind = GroupVersionKind(group: "", version: "v1", kind: "PodExecOptions")
        if options.command.isEmpty { throw .invalid(kind, "", [.required(FieldPath("command"))]) }
        guard options.stdin || options.stdout || options.stderr else {
            throw .badRequest("you must specify at least 1 of stdin, stdout, stderr")
        }
        if options.tty, options.stderr { throw .badRequest("tty and stderr cannot both be true") }
        let offered = call.request.headers.list("Sec-WebSocket-Protocol")
        guard call.request.headers["Upgrade"]?.lowercased() == "websocket" else {
            throw .badRequest(
                "unable to upgrade: exec needs a WebSocket with subprotocol \(ChannelProtocol.v5.rawValue)")
        }
        guard let chosen = ChannelProtocol.choose(offered) else {
            throw .badRequest(
                "unable to upgrade: none of the subprotocols \(offered) is supported "
                    + "(\(ChannelProtocol.allCases.map(\.rawValue)))")
        }
        let subprotocol = offered.isEmpty ? "" : chosen.rawValue
        let key = call.key
        // The command starts when the upgrade has happened: one that is refused (HTTP/2, a client that has gone) runs nothing.
        return .webSocket(subprotocol: subprotocol) { [node, options] connection in
            do throws(APIStatus) {
                let streams = try await node.exec(pod: key, options: options)
                await ExecChannels(streams, connection, options, chosen).run()
            } catch {
                // Told on the error channel: a client that is refused the upgrade tries SPDY next, and would only
                // ever show the answer to that.
                await ExecChannels.refuse(error, connection, chosen)
            }
        }
    }
}

enum Streams {
    /// The container a request means: the named one if the pod has it, else the only one.
    static func container(
        _ name: String?, of pod: Pod, key: ObjectKey, for verb: String
    ) throws(APIStatus) -> String {
        func names(_ list: String) -> [String] {
            (pod.json.at("spec", list)?.array ?? []).compactMap { $0["name"]?.string }
        }
        let containers = names("containers")
        let initContainers = names("initContainers")
        let ephemeral = names("ephemeralContainers")
        if let name, !name.isEmpty {
            guard (containers + initContainers + ephemeral).contains(name) else {
                throw .badRequest("container \(name) is not valid for pod \(key.name)")
            }
            return name
        }
        if containers.count == 1 { return containers[0] }
        var message = "a container name must be specified for pod \(key.name), choose one of: "
            + "[\(containers.joined(separator: " "))]"
        if !initContainers.isEmpty {
            message += " or one of the init containers: [\(initContainers.joined(separator: " "))]"
        }
        throw .badRequest(message)
    }

    static func logOptions(_ query: Query, _ container: String) throws(APIStatus) -> LogOptions {
        var options = LogOptions(container: container)
        options.follow = query.flag("follow")
        options.previous = query.flag("previous")
        options.timestamps = query.flag("timestamps")
        options.sinceSeconds = try query.integer("sinceSeconds")
        options.tailLines = try query.integer("tailLines")
        options.limitBytes = try query.integer("limitBytes")
        if let stream = query["stream"], !stream.isEmpty { options.stream = stream }
        var errors: [FieldError] = []
        if let text = query["sinceTime"], !text.isEmpty {
            guard let time = Timestamp(rfc3339: text) else {
                throw .badRequest("parsing time \"\(text)\" (query parameter sinceTime): not RFC 3339")
            }
            options.sinceTime = time
            if options.sinceSeconds != nil {
                errors.append(
                    .forbidden(FieldPath(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
            }
        }
        if let seconds = options.sinceSeconds, seconds < 1 {
            errors.append(.invalid(FieldPath("sinceSeconds"), .int(seconds), "must be greater than 0"))
        }
        if let lines = options.tailLines, lines < 0 {
            errors.append(.invalid(FieldPath("tailLines"), .int(lines), "must be greater than or equal to 0"))
        }
        if let bytes = options.limitBytes, bytes < 1 {
            errors.append(.invalid(FieldPath("limitBytes"), .int(bytes), "must be greater than 0"))
        }
        if !["All", "Stdout", "Stderr"].contains(options.stream) {
            errors.append(
                .notSupported(FieldPath("stream"), .string(options.stream), ["All", "Stdout", "Stderr"]))
        } else if options.stream != "All", options.tailLines != nil {
            errors.append(
                .forbidden(FieldPath(""), "`tailLines` and specific `stream` are mutually exclusive for now"))
        }
        let kind = GroupVersionKind(group: "", version: "v1", kind: "PodLogOptions")
        guard errors.isEmpty else { throw .invalid(kind, "", errors) }
        return options
    }

    /// Copies at the pace of the reader. The task lives as long as the HTTP stream.
    static func copy(_ chunks: AsyncThrowingStream<[UInt8], any Error>, to sink: any ByteSink) {
        let task = Task {
            do {
                for try await chunk in chunks { try await sink.writeWaiting(chunk) }
            } catch {
                // The head has been sent: all that is left is to end the body. The reader's absence ends here too.
            }
            sink.finish()
        }
        sink.onClose { task.cancel() }
    }
}

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

    init(
        _ streams: any ExecStreams, _ connection: any WebSocketConnection, _ options: ExecOptions,
        _ wire: ChannelProtocol
    ) {
        self.streams = streams
        self.connection = connection
        self.options = options
        self.wire = wire
    }

    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await receive() }
            // An empty message tells the client that the command is there.
            let first = options.stdout ? Channel.stdout : options.stderr ? Channel.stderr : Channel.error
            try? await ExecChannels.send([], first, wire, connection)
            async let out: Void = send(streams.stdout, Channel.stdout)
            async let err: Void = send(streams.stderr, Channel.stderr)
            let status: JSON
            do {
                status = ExecChannels.status(exitCode: try await streams.exit())
            } catch {
                status = APIStatus.internalError("\(error)").json
            }
            _ = await (out, err)
            if let verdict = wire.verdict(status) {
                try? await ExecChannels.send(verdict, Channel.error, wire, connection)
            }
            await connection.close(code: 1000)
            group.cancelAll()
        }
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
        // Cancelled: the command has ended. Otherwise the client has gone, and the command with it.
        if !Task.isCancelled { await streams.cancel() }
    }

    private func send(_ bytes: AsyncStream<[UInt8]>, _ channel: UInt8) async {
        for await chunk in bytes where !chunk.isEmpty {
            do {
                try await ExecChannels.send(chunk, channel, wire, connection)
            } catch {
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

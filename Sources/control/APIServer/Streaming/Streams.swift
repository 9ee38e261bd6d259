// Subresources of a pod that stream to and from its containers: log, exec, attach. (portforward: PortForward.swift)
//
// exec and attach speak the channel protocol over WebSocket (ChannelProtocol has its versions,
// ExecChannels the session). SPDY, the protocol before WebSocket, is not offered; clients of
// Kubernetes 1.31 and later ask for WebSocket first.

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

    // MARK: - exec, attach

    func exec(_ call: Call) throws(APIStatus) -> HTTPReply {
        let pod = Pod(try core.object(call.declaration, call.key).tree())
        let container = try Streams.container(call.query["container"], of: pod, key: call.key, for: "exec")
        let phase = pod.json.at("status", "phase")?.string ?? ""
        if phase == "Succeeded" || phase == "Failed" {
            throw .badRequest("cannot exec into a container in a completed pod; current phase is \(phase)")
        }
        try Streams.checkHost(pod, call.key)
        var options = ExecOptions(container: container, command: call.query.all("command"))
        try Streams.read(call.query, &options)
        let kind = GroupVersionKind(group: "", version: "v1", kind: "PodExecOptions")
        if options.command.isEmpty { throw .invalid(kind, "", [.required(FieldPath("command"))]) }
        let key = call.key
        return try session(call, options, showsExitCode: true) { [node] options throws(APIStatus) in
            try await node.exec(pod: key, options: options)
        }
    }

    func attach(_ call: Call) throws(APIStatus) -> HTTPReply {
        let pod = Pod(try core.object(call.declaration, call.key).tree())
        let container = try Streams.container(call.query["container"], of: pod, key: call.key, for: "attach")
        try Streams.checkHost(pod, call.key)
        var options = ExecOptions(container: container, command: [])
        try Streams.read(call.query, &options)
        let key = call.key
        // How the container ends is in the pod's status, not in the session.
        return try session(call, options, showsExitCode: false) { [node] options throws(APIStatus) in
            try await node.attach(pod: key, options: options)
        }
    }

    /// The command starts, or the streams are joined, when the upgrade has happened: one that is refused (HTTP/2, a
    /// client that has gone) runs nothing.
    private func session(
        _ call: Call, _ options: ExecOptions, showsExitCode: Bool,
        _ open: @escaping @Sendable (ExecOptions) async throws(APIStatus) -> any ExecStreams
    ) throws(APIStatus) -> HTTPReply {
        let offered = try Streams.offered(call, ChannelProtocol.v5.rawValue)
        guard let chosen = ChannelProtocol.choose(offered) else {
            throw Streams.unsupported(offered, ChannelProtocol.allCases.map(\.rawValue))
        }
        let session = try sessions.open(call.user)
        return .webSocket(subprotocol: offered.isEmpty ? "" : chosen.rawValue) { [options] connection in
            defer { withExtendedLifetime(session) {} }
            do throws(APIStatus) {
                let streams = try await open(options)
                await ExecChannels(streams, connection, options, chosen, showsExitCode: showsExitCode).run()
            } catch {
                // Told on the error channel: a client that is refused the upgrade tries SPDY next, and would only
                // ever show the answer to that.
                await ExecChannels.refuse(error, connection, chosen)
            }
        }
    }
}

enum Streams {
    static func checkHost(_ pod: Pod, _ key: ObjectKey) throws(APIStatus) {
        if (pod.json.at("spec", "nodeName")?.string ?? "").isEmpty {
            throw .badRequest("pod \(key.name) does not have a host assigned")
        }
    }

    /// stdin, stdout, stderr and tty of exec and attach.
    static func read(_ query: Query, _ options: inout ExecOptions) throws(APIStatus) {
        options.stdin = query.flag("stdin")
        options.stdout = query.flag("stdout")
        options.stderr = query.flag("stderr")
        options.tty = query.flag("tty")
        guard options.stdin || options.stdout || options.stderr else {
            throw .badRequest("you must specify at least 1 of stdin, stdout, stderr")
        }
        if options.tty, options.stderr { throw .badRequest("tty and stderr cannot both be true") }
    }

    /// The subprotocols that an upgrade to WebSocket offers; throws when the request is none.
    static func offered(_ call: HTTPFront.Call, _ preferred: String) throws(APIStatus) -> [String] {
        guard call.request.headers["Upgrade"]?.lowercased() == "websocket" else {
            let what = call.path.subresource ?? ""
            throw .badRequest("unable to upgrade: \(what) needs a WebSocket with subprotocol \(preferred)")
        }
        return call.request.headers.list("Sec-WebSocket-Protocol")
    }

    static func unsupported(_ offered: [String], _ spoken: [String]) -> APIStatus {
        .badRequest("unable to upgrade: none of the subprotocols \(offered) is supported (\(spoken))")
    }

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
        var message =
            "a container name must be specified for pod \(key.name), choose one of: "
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

// portforward: connections to ports of a pod, carried over one WebSocket in one of two ways.
//
// `SPDY/3.1+portforward.k8s.io` (kubectl): a SPDY connection inside the messages, in PortForwardTunnel.swift. Any
// number of connections, opened as they are needed. `v4.channel.k8s.io` (the Python and JavaScript clients): one
// connection for each `ports=` of the query, made at once. Of the n-th port, channel 2n carries data and 2n+1 what went
// wrong; on each the server first sends the port, two bytes, little endian.

internal import Client
internal import HTTP
internal import Objects

extension HTTPFront {
    private static let tunnel = "SPDY/3.1+portforward.k8s.io"
    private static let channels = "v4.channel.k8s.io"

    func portForward(_ call: Call) throws(APIStatus) -> HTTPReply {
        let pod = Pod(try core.object(call.declaration, call.key).tree())
        try Streams.checkHost(pod, call.key)
        let spoken = [Self.tunnel, Self.channels]
        let offered = try Streams.offered(call, Self.tunnel)
        guard let chosen = spoken.first(where: offered.contains) else { throw Streams.unsupported(offered, spoken) }
        let phase = pod.json.at("status", "phase")?.string ?? ""
        guard phase == "Running" else {
            throw .badRequest("unable to forward port because pod is not running. Current status=\(phase)")
        }
        let key = call.key
        let ports = PodPorts(node, pod: key, call.user, sessions)
        guard chosen == Self.channels else {
            let session = try ports.open()
            return .webSocket(subprotocol: chosen) { [logger] in
                await PortForwardTunnel(ports, $0, logger: logger).run()
                withExtendedLifetime(session) {}
            }
        }
        var wanted: [Int] = []
        for text in call.query.all("ports").flatMap({ $0.split(separator: ",") }) {
            guard let port = Int(text), (1...65535).contains(port) else {
                throw .badRequest("port \(text) must be a number from 1 to 65535 (query parameter ports)")
            }
            wanted.append(port)
        }
        guard !wanted.isEmpty, wanted.count <= 64 else {
            throw .badRequest("the query parameter ports is required: 1 to 64 ports, one each")
        }
        let session = try ports.open()
        return .webSocket(subprotocol: chosen) { [wanted] in
            await PortForwardChannels(ports, wanted, $0).run()
            withExtendedLifetime(session) {}
        }
    }
}

/// Makes connections to a pod's ports and copies both ways.
struct PodPorts: Sendable {
    /// Bytes sent to the client at once.
    static let piece = 32 << 10
    /// How long a pod may leave what a client sends unread before that connection ends: it holds up the others of its
    /// session, which have no way around it.
    static let patience = Duration.seconds(60)

    let pod: ObjectKey
    private let node: any NodeBackend
    private let user: UserInfo
    private let sessions: Sessions

    init(_ node: any NodeBackend, pod: ObjectKey, _ user: UserInfo, _ sessions: Sessions) {
        self.node = node
        self.pod = pod
        self.user = user
        self.sessions = sessions
    }

    /// What the user's next connection, or the whole port-forward, is counted by.
    /// - Throws: 429 when he has too many.
    func open() throws(APIStatus) -> Session? { try sessions.open(user) }

    /// Why there is no connection, in words for the client.
    func failure(_ port: Int, _ error: APIStatus) -> String {
        // An internal error's own words are in its cause.
        let words = error.details?.causes.first?.message ?? error.message
        return "error forwarding port \(port) to pod \(pod.name): \(words)"
    }

    /// Returns when the pod has lost its network: nothing more can be forwarded.
    func gone() async { await node.untilGone(pod: pod) }

    /// Copies until both sides have ended, or the pod's has: what is sent after that would never be answered. `send`
    /// gets what the pod says, an empty piece at its end. A connection that breaks ends, like one that was closed.
    /// - Returns: why there is no connection, in words for the client; nil when there was one.
    func forward(
        port: Int, from input: PieceQueue, send: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async -> String? {
        // Nothing is taken any more: what the client still sends is dropped, and holds nobody up.
        defer { input.finish() }
        let connection: any PodConnection
        do {
            connection = try await node.connect(pod: pod, port: port)
        } catch {
            return failure(port, error)
        }
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                while let bytes = await input.next() {
                    guard await write(bytes, to: connection) else { return true }
                }
                await connection.finish()
                return false
            }
            group.addTask {
                do {
                    while let bytes = try await connection.read() {
                        var rest = bytes[...]
                        while !rest.isEmpty {
                            try await send(Array(rest.prefix(Self.piece)))
                            rest = rest.dropFirst(Self.piece)
                        }
                    }
                } catch {
                    // Broken on either side: there is nobody to tell but by ending.
                }
                try? await send([])
                return true
            }
            for await isOver in group where isOver {
                input.finish()
                group.cancelAll()
            }
        }
        return nil
    }

    /// False when the pod does not take it.
    private func write(_ bytes: [UInt8], to connection: any PodConnection) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                do { try await connection.write(bytes) } catch { return false }
                return true
            }
            group.addTask {
                try? await Task.sleep(for: Self.patience)
                return false
            }
            defer { group.cancelAll() }
            return await group.next() ?? false
        }
    }
}

/// The channel protocol.
struct PortForwardChannels: Sendable {
    private let ports: PodPorts
    private let wanted: [Int]
    private let connection: any WebSocketConnection
    private let inputs: [PieceQueue]

    init(_ ports: PodPorts, _ wanted: [Int], _ connection: any WebSocketConnection) {
        self.ports = ports
        self.wanted = wanted
        self.connection = connection
        inputs = wanted.map { _ in PieceQueue() }
    }

    func run() async {
        for (index, port) in wanted.enumerated() {
            let number = [UInt8(port & 0xff), UInt8(port >> 8)]
            try? await connection.send([UInt8(2 * index)] + number)
            try? await connection.send([UInt8(2 * index + 1)] + number)
        }
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await receive()
                return false
            }
            group.addTask {
                await withTaskGroup(of: Void.self) { group in
                    for index in wanted.indices { group.addTask { await forward(index) } }
                }
                return true
            }
            group.addTask {
                await ports.gone()
                return true
            }
            _ = await group.next()
            group.cancelAll()
            for input in inputs { input.finish() }
        }
        await connection.close(code: 1000)
    }

    private func forward(_ index: Int) async {
        let (connection, channel) = (connection, UInt8(2 * index))
        var failure: String?
        do {
            let session = try ports.open()
            failure = await ports.forward(port: wanted[index], from: inputs[index]) { bytes in
                if !bytes.isEmpty { try await connection.send([channel] + bytes) }
            }
            withExtendedLifetime(session) {}
        } catch {
            // What is still sent to it is dropped.
            inputs[index].finish()
            failure = ports.failure(wanted[index], error)
        }
        if let failure { try? await connection.send([channel + 1] + Array(failure.utf8)) }
    }

    private func receive() async {
        for await message in connection.messages {
            guard let channel = message.first, channel % 2 == 0, Int(channel) / 2 < inputs.count else { continue }
            await inputs[Int(channel) / 2].push(Array(message.dropFirst()))
        }
    }
}

// kubectl port-forward: SPDY/3.1 inside the messages of a WebSocket (KEP-4006). For each connection kubectl opens two
// streams with the same `requestid` and `port`: of `streamtype` error, which it closes at once and reads for words
// about a failure, and of `streamtype` data.
//
// One task reads and decides, one task a connection copies. What the client sends to a pod that does not read fills a
// bounded queue and then stops the whole tunnel: kubectl has no windows, so there is no way to stop one stream. It ends
// with the pod. kubectl itself ends when it reads words on an error stream, and resets each data stream once it has
// seen its end, so that only the reset says that a connection is over for the client.

internal import Client
internal import HTTP
internal import Logging
internal import Objects
internal import SPDY
import Synchronization

struct PortForwardTunnel: Sendable {
    private let ports: PodPorts
    private let connection: any WebSocketConnection

    private let logger: Logger

    init(_ ports: PodPorts, _ connection: any WebSocketConnection, logger: Logger) {
        self.ports = ports
        self.connection = connection
        self.logger = logger
    }

    /// The client's side of a data stream.
    private final class Input: Sendable {
        let queue = PieceQueue()
        /// The connection has ended, whatever the client still says of it.
        let isOver = Mutex(false)
        /// Finished when the client wants nothing more of the connection.
        let drop = AsyncStream<Void>.makeStream()

        func end() {
            queue.finish()
            drop.continuation.finish()
        }
    }

    /// How many connections one tunnel may hold, made and half made: what it may hold of a client's bytes is this many
    /// queues.
    private static let limit = 512

    func run() async {
        // One task is the reader; its end (the client has gone, or is not to be understood) ends the others.
        await withDiscardingTaskGroup { group in
            group.addTask {
                await ports.gone()
                // The reader sees the client's answer, or the end.
                if !Task.isCancelled { await connection.close(code: 1000) }
            }
            var reader = SPDYReader()
            var writer = SPDYWriter()
            // Error streams that wait for their data stream, by request.
            var halves: [String: UInt32] = [:]
            var inputs: [UInt32: Input] = [:]
            reading: for await message in connection.messages {
                let frames: [SPDYFrame]
                do {
                    frames = try reader.take(message)
                } catch {
                    logger.warning(
                        "port-forward ends: its client is not understood",
                        metadata: ["pod": "\(ports.pod)", "error": "\(error)"])
                    break
                }
                for frame in frames {
                    switch frame {
                    case .open(let stream, let fin, let headers):
                        if inputs.count + halves.count >= Self.limit {
                            inputs = inputs.filter { !$0.value.isOver.withLock { $0 } }
                        }
                        guard let (id, port) = Self.request(headers, stream), inputs.count + halves.count < Self.limit
                        else {
                            try? await connection.send(SPDYWriter.reset(stream: stream, status: 3))
                            continue
                        }
                        if headers["streamtype"] == "error" {
                            halves[id] = stream
                            try? await connection.send(writer.reply(stream: stream))
                            continue
                        }
                        // Always the second: what nobody takes must not be received.
                        guard inputs[stream] == nil, let half = halves.removeValue(forKey: id) else {
                            try? await connection.send(SPDYWriter.reset(stream: stream, status: 1))
                            continue
                        }
                        let session: Session?
                        do {
                            session = try ports.open()
                        } catch {
                            // Words would end kubectl, and with it the connections that there are.
                            try? await connection.send(SPDYWriter.reset(stream: stream, status: 3))
                            try? await connection.send(SPDYWriter.data(stream: half, fin: true, []))
                            continue
                        }
                        try? await connection.send(writer.reply(stream: stream))
                        let input = Input()
                        inputs[stream] = input
                        if fin { input.queue.finish() }
                        group.addTask {
                            await forward(port, data: stream, error: half, input)
                            withExtendedLifetime(session) {}
                        }
                    case .data(let stream, let fin, let bytes):
                        await inputs[stream]?.queue.push(bytes)
                        if fin { inputs[stream]?.queue.finish() }
                    case .reset(let stream, _): inputs.removeValue(forKey: stream)?.end()
                    case .ping(let id) where id % 2 == 1: try? await connection.send(SPDYWriter.ping(id))
                    case .goAway: break reading
                    case .ping, .headers, .other: break
                    }
                }
            }
            for input in inputs.values { input.end() }
            group.cancelAll()
        }
        await connection.close(code: 1000)
    }

    /// The request that a stream belongs to, and its port; nil when it is none of ours. Old clients have no request id:
    /// their streams come in pairs, the error stream first.
    private static func request(_ headers: [String: String], _ stream: UInt32) -> (id: String, port: Int)? {
        guard let type = headers["streamtype"], type == "error" || type == "data",
            let port = headers["port"].flatMap({ Int($0) }), (1...65535).contains(port)
        else { return nil }
        return (headers["requestid"] ?? "stream-\(type == "error" ? stream : stream - min(stream, 2))", port)
    }

    private func forward(_ port: Int, data: UInt32, error: UInt32, _ input: Input) async {
        let connection = connection
        let failure = await withTaskGroup(of: String?.self) { group in
            group.addTask {
                await ports.forward(port: port, from: input.queue) { bytes in
                    try await connection.send(SPDYWriter.data(stream: data, fin: bytes.isEmpty, bytes))
                }
            }
            group.addTask {
                for await _ in input.drop.stream {}
                return nil
            }
            // The other one ends when it is cancelled.
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
        input.isOver.withLock { $0 = true }
        // Without a connection nothing has been said on the data stream.
        if failure != nil { try? await connection.send(SPDYWriter.data(stream: data, fin: true, [])) }
        try? await connection.send(SPDYWriter.data(stream: error, fin: true, Array((failure ?? "").utf8)))
    }
}

// The API server's view of the kubelet: logs, exec, attach and ports, in process.
//
// The API server is made before the kubelet (the kubelet needs its client), so the backend is a place that is filled
// when the kubelet is there; until then it says so.

import APIServer
import Client
import Containers
import Kubelet
import Objects
import Synchronization

final class LocalNode: NodeBackend {
    private let kubelet = Mutex<Kubelet?>(nil)

    func attach(_ kubelet: Kubelet) { self.kubelet.withLock { $0 = kubelet } }

    private func node() throws(APIStatus) -> Kubelet {
        guard let kubelet = kubelet.withLock({ $0 }) else {
            throw .unavailable("the node is still starting")
        }
        return kubelet
    }

    func logs(
        pod: ObjectKey, node: String, options: LogOptions
    ) async throws(APIStatus) -> AsyncThrowingStream<[UInt8], any Error> {
        var wanted = ContainerLogOptions()
        wanted.container = options.container
        wanted.follow = options.follow
        wanted.previous = options.previous
        wanted.timestamps = options.timestamps
        wanted.tailLines = options.tailLines.map { Int(clamping: $0) }
        wanted.limitBytes = options.limitBytes.map { Int(clamping: $0) }
        wanted.sinceSeconds = options.sinceSeconds
        wanted.sinceTime = options.sinceTime
        wanted.stream = options.stream == "All" ? nil : options.stream
        let kubelet = try self.node()
        do {
            return try await kubelet.logs(pod: pod, options: wanted)
        } catch {
            throw Self.status(error)
        }
    }

    func exec(pod: ObjectKey, options: ExecOptions) async throws(APIStatus) -> any ExecStreams {
        let kubelet = try node()
        do {
            let session = try await kubelet.exec(
                pod: pod, container: options.container,
                ExecConfig(arguments: options.command, terminal: options.tty, stdin: options.stdin))
            return LocalExec(session: session)
        } catch {
            throw Self.status(error)
        }
    }

    func attach(pod: ObjectKey, options: ExecOptions) async throws(APIStatus) -> any ExecStreams {
        let kubelet = try node()
        do {
            return LocalExec(session: try await kubelet.attach(
                    pod: pod, container: options.container, stdin: options.stdin))
        } catch {
            throw Self.status(error)
        }
    }

    func connect(pod: ObjectKey, port: Int) async throws(APIStatus) -> any PodConnection {
        let kubelet = try node()
        do {
            return LocalConnection(socket: try await kubelet.connect(pod: pod, port: port))
        } catch {
            throw Self.status(error)
        }
    }

    func untilGone(pod: ObjectKey) async { await (try? node())?.networkEnd(of: pod) }

    func page(node: String, path: String) async throws(APIStatus) -> NodePage? {
        let kubelet = try self.node()
        guard let page = await kubelet.page(node: node, path: path) else { return nil }
        return NodePage(contentType: page.contentType, body: page.body)
    }

    private static func status(_ error: any Error) -> APIStatus {
        (error as? APIStatus) ?? .internalError("\(error)")
    }
}

private struct LocalConnection: PodConnection {
    let socket: PodSocket

    func read() async throws -> [UInt8]? { try await socket.read() }
    func write(_ bytes: [UInt8]) async throws { try await socket.write(bytes) }
    func finish() async { socket.finish() }
}

private struct LocalExec: ExecStreams {
    let session: ExecSession

    func writeStdin(_ bytes: [UInt8]) async throws { try await session.write(bytes) }
    func closeStdin() async { await session.closeStdin() }
    var stdout: AsyncStream<[UInt8]> { session.stdout }
    var stderr: AsyncStream<[UInt8]> { session.stderr }
    func resize(columns: UInt16, rows: UInt16) async { session.resize(columns: columns, rows: rows) }
    func exit() async throws -> Int32 { try await session.wait() }
    func cancel() async { session.cancel() }
}

// An API server over a store in memory, asked from a thread that may wait.

import APIServer
import Client
import Glibc
import HTTP
import Logging
import Objects
import Store
import Synchronization
import System

final class FuzzServer: Sendable {
    static let shared = FuzzServer()

    private struct NoNode: NodeBackend {
        func logs(
            pod: ObjectKey, node: String, options: LogOptions
        ) async throws(APIStatus) -> AsyncThrowingStream<[UInt8], any Error> { throw .unavailable("no node") }

        func exec(pod: ObjectKey, options: ExecOptions) async throws(APIStatus) -> any ExecStreams {
            throw .unavailable("no node")
        }

        func attach(pod: ObjectKey, options: ExecOptions) async throws(APIStatus) -> any ExecStreams {
            throw .unavailable("no node")
        }

        func connect(pod: ObjectKey, port: Int) async throws(APIStatus) -> any PodConnection {
            throw .unavailable("no node")
        }

        func untilGone(pod: ObjectKey) async {}

        func page(node: String, path: String) async throws(APIStatus) -> NodePage? { throw .unavailable("no node") }
    }

    private final class Box: Sendable {
        let reply = Mutex<HTTPReply?>(nil)
    }

    private let server: APIServer

    private init() {
        let server = APIServer(
            store: MemoryStore(), configuration: APIServerConfiguration(advertiseAddress: IPAddress("192.0.2.1")!),
            nodeBackend: NoNode(), logger: Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() })
        self.server = server
        FuzzServer.wait { _ = try? await server.open() }
    }

    /// The answer; nil for streams and WebSockets, which are not begun.
    func answer(_ request: HTTPRequest) -> HTTPResponse? {
        var reply = server.handle(request)
        while case .deferred(let work) = reply {
            let next = Box()
            FuzzServer.wait {
                let answer = await work()
                next.reply.withLock { $0 = answer }
            }
            guard let answer = next.reply.withLock({ $0 }) else { return nil }
            reply = answer
        }
        if case .response(let response) = reply { return response }
        return nil
    }

    /// Runs it on the cooperative pool and blocks this thread, which is not of that pool.
    private static func wait(_ work: @escaping @Sendable () async -> Void) {
        let done = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
        sem_init(done, 0, 0)
        let address = UInt(bitPattern: done)
        Task {
            await work()
            if let done = UnsafeMutablePointer<sem_t>(bitPattern: address) { sem_post(done) }
        }
        while sem_wait(done) != 0 {}
        sem_destroy(done)
        done.deallocate()
    }
}

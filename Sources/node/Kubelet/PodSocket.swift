// A TCP connection to a port of a pod's loopback, made inside the pod's network namespace: a socket belongs to the
// namespace it was made in, wherever it is used afterwards. For port-forward.

public import Client
import Containers
import Kernel
import Objects
import System

public final class PodSocket: Sendable {
    private static let piece = 64 << 10
    private let descriptor: SharedDescriptor

    private init(_ descriptor: SharedDescriptor) { self.descriptor = descriptor }

    /// - Parameter process: one in the pod's network namespace; nil for the node's own. A handle and no number: a
    ///   number may by now be a process outside, whose loopback is the node's.
    /// - Throws: SystemError, ECONNREFUSED when nobody listens, ESRCH when the process has ended; CancellationError.
    static func connect(in process: ProcessHandle?, port: UInt16) async throws -> PodSocket {
        var failure: (any Error)?
        // As "localhost" resolves: IPv4 first.
        for text in ["127.0.0.1", "::1"] {
            guard let address = IPAddress(text) else { continue }
            let remote = InternetEndpoint(address, port)
            let open: @Sendable () throws -> SharedDescriptor = {
                SharedDescriptor(try InternetSocket.connected(.tcp, to: remote))
            }
            do {
                let descriptor =
                    if let process { try await NetworkNamespace.run(in: process, open) } else { try open() }
                _ = try await Readiness.shared.wait(descriptor, for: .writable)
                try InternetSocket.check(descriptor.raw, to: remote)
                return PodSocket(descriptor)
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                failure = failure ?? error
            }
        }
        throw failure ?? SystemError("connect to", "port \(port)", .ECONNREFUSED)
    }

    /// nil at the end of the stream.
    public func read() async throws -> [UInt8]? {
        while true {
            if let bytes = try InternetSocket.receive(descriptor.raw, upTo: Self.piece) {
                return bytes.isEmpty ? nil : bytes
            }
            _ = try await Readiness.shared.wait(descriptor, for: .readable)
        }
    }

    public func write(_ bytes: [UInt8]) async throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = try InternetSocket.send(descriptor.raw, rest)
            rest = rest.dropFirst(count)
            if count == 0 { _ = try await Readiness.shared.wait(descriptor, for: .writable) }
        }
    }

    public func finish() { InternetSocket.finish(descriptor.raw) }
}

extension Kubelet {
    /// Connects to a port of the pod's loopback.
    /// - Throws: `APIStatus` notFound without such a pod; internalError when nobody listens there.
    public func connect(pod key: ObjectKey, port: Int) async throws -> PodSocket {
        let worker = try worker(key)
        guard let number = UInt16(exactly: port), number > 0 else { throw APIStatus.badRequest("port \(port)") }
        let missing = APIStatus.internalError("pod \(key.name) has no network yet")
        guard let place = await worker.networkPlace else { throw missing }
        var process: ProcessHandle?
        if place == .sandbox {
            process = await dependencies.runtime.supervisor(of: worker.uid)
            if process == nil { throw missing }
        }
        do {
            return try await PodSocket.connect(in: process, port: number)
        } catch let error as SystemError {
            throw APIStatus.internalError(
                "failed to connect to localhost:\(port) inside the pod's network namespace: \(error.errno)")
        }
    }

    /// Returns when the pod has no network (any more), or when the task is cancelled.
    public func networkEnd(of key: ObjectKey) async {
        guard let worker = try? worker(key) else { return }
        // Listened to before it is looked: a change in between is not missed.
        let changes = worker.changes()
        if await worker.networkPlace == nil { return }
        for await _ in changes {
            if await worker.networkPlace == nil { return }
        }
    }
}

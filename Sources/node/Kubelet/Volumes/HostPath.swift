// hostPath volumes: HostPathVolumeSource.type is checked, nothing is mounted here.
//
// The path may lie on a file system whose server is away (a hard NFS mount): a call into it then blocks in the kernel
// for as long as the server is. So the checks have threads of their own, one a path however many ask, and nobody waits
// for long: the pod is told and tries again.

import Objects
import Synchronization
import System

final class HostPath: Sendable {
    typealias Check = @Sendable (_ path: String, _ type: String) throws -> Void

    static let shared = HostPath(limit: .seconds(10), check: HostPath.check)

    private let pool = BlockingPool(name: "noded-hostpath", maximumThreads: 128)
    private let limit: Duration
    private let check: Check
    /// Checks that are under way, with who waits for them.
    private let pending = Mutex<[String: [AsyncStream<Failure?>.Continuation]]>([:])

    private struct Failure: Sendable { var error: any Error }

    /// - Parameter limit: how long a caller waits for the file system.
    init(limit: Duration, check: @escaping Check) {
        self.limit = limit
        self.check = check
    }

    /// - Throws: KubeletError when the path is not what `type` wants, or cannot be asked within the limit;
    ///   CancellationError.
    func verify(_ path: String, type: String) async throws {
        let (answers, waiter) = AsyncStream<Failure?>.makeStream()
        let key = "\(type):\(path)"
        let isFirst = pending.withLock { pending in
            pending[key, default: []].append(waiter)
            return pending[key]?.count == 1
        }
        if isFirst {
            pool.submit { [self] in
                var failure: Failure?
                do { try check(path, type) } catch { failure = Failure(error: error) }
                for waiter in pending.withLock({ $0.removeValue(forKey: key) }) ?? [] {
                    waiter.yield(failure)
                    waiter.finish()
                }
            }
        }
        let answer = await withTaskGroup(of: Failure??.self) { group in
            group.addTask {
                for await answer in answers { return .some(answer) }
                return nil
            }
            group.addTask { [limit] in
                try? await Task.sleep(for: limit)
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
        try Task.checkCancellation()
        guard let answer else {
            throw KubeletError.badRequest(
                "hostPath \(path) does not answer within \(limit): its file system may have lost its server")
        }
        if let answer { throw answer.error }
    }

    static func check(_ path: String, type: String) throws {
        guard path.hasPrefix("/"), !path.split(separator: "/").contains("..") else {
            throw KubeletError.badRequest("hostPath \"\(path)\" must be absolute and without \"..\"")
        }
        let format = (try? Files.attributes(path)).map { $0.mode & 0o170000 }
        func expect(_ wanted: UInt32, _ what: String) throws {
            guard format == wanted else {
                throw KubeletError.badRequest("hostPath type check failed: \(path) is not a \(what)")
            }
        }
        switch type {
        case "": break
        case "DirectoryOrCreate":
            if format == nil { try Files.makeDirectory(path, mode: 0o755) } else { try expect(0o040000, "directory") }
        case "Directory": try expect(0o040000, "directory")
        case "FileOrCreate":
            if format == nil {
                _ = try FileDescriptor.open(path, [.write, .create], mode: 0o644)
            } else {
                try expect(0o100000, "file")
            }
        case "File": try expect(0o100000, "file")
        case "Socket": try expect(0o140000, "socket")
        case "CharDevice": try expect(0o020000, "character device")
        case "BlockDevice": try expect(0o060000, "block device")
        default: throw KubeletError.unsupported("hostPath type \(type) is not known")
        }
    }
}

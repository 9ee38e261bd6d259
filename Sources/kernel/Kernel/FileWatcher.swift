// Changes in files and folders (inotify(7)), with one inotify descriptor and one sleeping thread for the whole process:
// machines allow few instances (128 is common), and noded's watches must not use them up.
//
// An event says only that something changed; the reader looks for itself. So a queue that overflowed (IN_Q_OVERFLOW)
// is no loss: everybody is woken.

internal import Glibc
public import System
internal import Synchronization

public final class FileWatcher: Sendable {
    /// The process's watcher; its thread starts with the first watch and lives on.
    public static let shared = FileWatcher()

    private struct State {
        var descriptor: Int32?
        var next = 0
        var watches: [Int32: [Int: AsyncStream<Void>.Continuation]] = [:]
    }

    private let state = Mutex(State())

    /// Wakes the reader after each change of the file or in the folder (written, made, removed, renamed); changes that
    /// come while it is busy are one wake. Ends when the path is removed or its file system unmounted.
    /// - Throws: ENOENT when there is no such path, ENOSPC when the user's watches are used up.
    public func changes(_ path: String) throws(SystemError) -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let mask = UInt32(IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE
            | IN_DELETE_SELF | IN_MOVE_SELF)
        let result: Result<(Int32, Int), SystemError> = state.withLock { state in
            do throws(SystemError) {
                let descriptor = try open(&state)
                let watch = try systemCall("inotify_add_watch", path) { inotify_add_watch(descriptor, path, mask) }
                state.next += 1
                state.watches[watch, default: [:]][state.next] = continuation
                return .success((watch, state.next))
            } catch {
                return .failure(error)
            }
        }
        let (watch, id) = try result.get()
        continuation.onTermination = { [weak self] _ in self?.forget(watch, id) }
        return stream
    }

    private func open(_ state: inout State) throws(SystemError) -> Int32 {
        if let descriptor = state.descriptor { return descriptor }
        let descriptor = try systemCall("inotify_init1", "") { inotify_init1(Int32(IN_CLOEXEC)) }
        state.descriptor = descriptor
        Threads.start(name: "noded-inotify") { [self] in read(descriptor) }
        return descriptor
    }

    private func forget(_ watch: Int32, _ id: Int) {
        state.withLock { state in
            state.watches[watch]?[id] = nil
            guard let descriptor = state.descriptor, state.watches[watch]?.isEmpty == true else { return }
            state.watches[watch] = nil
            // Fails when the kernel removed the watch already; there is nothing left to do then.
            _ = inotify_rm_watch(descriptor, watch)
        }
    }

    private func read(_ descriptor: Int32) {
        while let bytes = try? RawRead.read(descriptor, upTo: 16384), !bytes.isEmpty {
            bytes.withUnsafeBytes { buffer in
                var offset = 0
                while offset + 16 <= buffer.count {
                    let watch = buffer.loadUnaligned(fromByteOffset: offset, as: Int32.self)
                    let mask = buffer.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
                    let length = buffer.loadUnaligned(fromByteOffset: offset + 12, as: UInt32.self)
                    deliver(watch, mask)
                    offset += 16 + Int(length)
                }
            }
        }
    }

    private func deliver(_ watch: Int32, _ mask: UInt32) {
        let (woken, ended) = state.withLock { state -> ([AsyncStream<Void>.Continuation], Bool) in
            if mask & UInt32(IN_Q_OVERFLOW) != 0 { return (state.watches.values.flatMap(\.values), false) }
            if mask & UInt32(IN_IGNORED) != 0 {
                return (state.watches.removeValue(forKey: watch).map { Array($0.values) } ?? [], true)
            }
            return (state.watches[watch].map { Array($0.values) } ?? [], false)
        }
        for continuation in woken {
            continuation.yield()
            if ended { continuation.finish() }
        }
    }
}

private enum RawRead {
    static func read(_ descriptor: Int32, upTo count: Int) throws(SystemError) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: count)
        let length = try systemCall("read", "inotify") {
            buffer.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress!, $0.count) }
        }
        return Array(buffer[..<length])
    }
}

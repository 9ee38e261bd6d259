// One process owns a store: a flock(2) on PATH.lock says so before SQLite touches anything. The kernel releases it
// with the process, however that ends; the file stays and names its last holder.

internal import System

/// The lock of a store and, when it is new, its empty file and folder.
final class HeldLock {
    private let lock: FileLock

    /// Throws `.locked` when another process has it, `.io` when the folder cannot be made or written.
    init(_ path: String) throws(StoreError) {
        let name = path + ".lock"
        do throws(SystemError) {
            try Files.makeDirectory(Files.parent(of: path))
            lock = try Files.lock(name, wait: false)
        } catch {
            guard error.errno == .EAGAIN else { throw HeldLock.failure(path, error) }
            let holder = (try? Files.readText(name)) ?? "unknown"
            throw .locked(path: path, holder: String(holder.prefix { $0 != "\n" }))
        }
        do throws(SystemError) {
            let pid = Files.symlinkTarget("/proc/self") ?? "unknown"
            // As long as any before it: the file is not truncated.
            try Files.writeExisting(
                name, "pid " + pid + "\n" + String(repeating: " ", count: 12 - min(pid.utf8.count, 12)))
            // SQLite would make it readable by all, and would not sync the folder.
            if !Files.exists(path) { try Files.writeAtomically(path, [], mode: 0o600) }
        } catch {
            throw HeldLock.failure(path, error)
        }
    }

    private static func failure(_ path: String, _ error: SystemError) -> StoreError {
        .io(path: path, operation: "open", code: 0, detail: "\(error)")
    }
}

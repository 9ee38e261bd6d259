// One process owns a store: a flock(2) on PATH.lock says so before SQLite touches anything. The kernel releases it
// with the process, however that ends; the file stays and names its last holder.
//
// The file also remembers that there was a store. A store whose file is missing or empty although there was one is
// damaged, and never begun anew silently; so is one whose restore was cut short (PATH.restoring).

internal import System

/// The lock of a store and, when it is new, its empty file and folder.
final class HeldLock {
    private let lock: FileLock
    private let path: String
    private var remembers: Bool

    /// Bytes of the first line, its end and padding.
    private static let lineLength = 32
    private static let mark = "a store was made here\n"

    private static func name(_ path: String) -> String { path + ".lock" }

    /// What a restore leaves beside the store until it is through.
    static func restoreMark(_ path: String) -> String { path + ".restoring" }

    /// Throws `.locked` when another process has it, `.io` when the folder cannot be made or written, `.corrupt` when
    /// a store was here and is not any more.
    /// - Parameter replacing: whatever is there is about to be replaced, so it does not matter what that is.
    init(_ path: String, replacing: Bool = false) throws(StoreError) {
        self.path = path
        let name = HeldLock.name(path)
        do throws(SystemError) {
            try Files.makeDirectory(Files.parent(of: path))
            lock = try Files.lock(name, wait: false)
        } catch {
            guard error.errno == .EAGAIN else { throw HeldLock.failure(path, error) }
            let holder = (try? Files.readText(name)) ?? "unknown"
            throw .locked(path: path, holder: String(holder.prefix { $0 != "\n" }))
        }
        do throws(SystemError) {
            remembers = try Files.readText(name).contains(HeldLock.mark)
            let line = "pid " + (Files.symlinkTarget("/proc/self") ?? "unknown") + "\n"
            // Always the same length: the file is not truncated, and what follows stays.
            let padding = String(repeating: " ", count: max(0, HeldLock.lineLength - line.utf8.count))
            try Files.writeExisting(name, line + padding)
        } catch {
            throw HeldLock.failure(path, error)
        }
        if !replacing { try prepareFile() }
    }

    private func prepareFile() throws(StoreError) {
        if Files.exists(HeldLock.restoreMark(path)) {
            throw .corrupt(path: path, detail: "a restore of it was cut short; run `noded restore` again")
        }
        let exists = Files.exists(path)
        if remembers, !exists || (try? Files.attributes(path).size) == 0 {
            throw .corrupt(
                path: path,
                detail: "the file is \(exists ? "empty" : "missing"), although there was a store "
                    + "(to begin empty, remove \(HeldLock.name(path)) too)")
        }
        guard !exists else { return }
        do throws(SystemError) {
            // SQLite would make it readable by all, and would not sync the folder.
            try Files.writeAtomically(path, [], mode: 0o600)
        } catch {
            throw HeldLock.failure(path, error)
        }
    }

    /// Remembers, once, that the file is a store from now on.
    func noteStore() throws(StoreError) {
        guard !remembers else { return }
        do throws(SystemError) {
            let file = try FileDescriptor.open(HeldLock.name(path), [.write])
            try file.seek(to: HeldLock.lineLength)
            try file.write(all: Array(HeldLock.mark.utf8))
            try file.sync()
        } catch {
            throw HeldLock.failure(path, error)
        }
        remembers = true
    }

    static func failure(_ path: String, _ error: SystemError) -> StoreError {
        .io(path: path, operation: "open", code: 0, detail: "\(error)")
    }
}

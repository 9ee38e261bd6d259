// One noded a data directory: two would give out the same addresses. The lock file holds the pid of who has it, for the
// message to who comes second; the lock itself is the kernel's and goes with the process.

import Glibc
import System

enum DataLock {
    static func path(_ dataDirectory: String) -> String { "\(dataDirectory)/noded.lock" }

    /// - Throws: StartFailure that names the process which has it.
    static func take(_ dataDirectory: String) throws -> FileLock {
        do throws(SystemError) {
            return try lock(path(dataDirectory))
        } catch {
            throw refusal(dataDirectory, error)
        }
    }

    private static func lock(_ path: String) throws(SystemError) -> FileLock {
        let lock = try Files.lock(path, wait: false)
        try lock.note("\(getpid())\n")
        return lock
    }

    private static func refusal(_ dataDirectory: String, _ error: SystemError) -> StartFailure {
        guard error.errno == .EAGAIN else { return StartFailure("cannot lock \(dataDirectory): \(error)") }
        let text = (try? Files.readText(path(dataDirectory))) ?? ""
        let holder = text.split(separator: "\n").first.flatMap { Int32($0) }.map { " (pid \($0))" } ?? ""
        return StartFailure(
            "another noded\(holder) is running on \(dataDirectory): stop that one, or choose another --data-dir")
    }
}

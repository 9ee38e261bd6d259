// Processes of a test's own.

import Glibc
import System

/// Starts a program, found by PATH, with the test's own files and environment; returns its process id.
public func spawn(_ arguments: [String]) throws -> Int32 {
    var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { pointers.forEach { free($0) } }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // Test threads may block signals; a child must not inherit that.
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    var pid = pid_t()
    let result = posix_spawnp(&pid, arguments[0], nil, &attributes, &pointers, environ)
    guard result == 0 else { throw SystemError("posix_spawn", arguments[0], Errno(result)) }
    return pid
}

/// Waits for a child's end; returns its exit code, or 128 and the signal that ended it.
@discardableResult
public func waitFor(_ pid: Int32) throws -> Int32 {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 {
        let error = errno
        guard error == EINTR else { throw SystemError("waitpid", "\(pid)", Errno(error)) }
    }
    return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f)
}

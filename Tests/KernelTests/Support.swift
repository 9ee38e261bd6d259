// What the kernel tests share: scratch folders and child processes that go with their values, also when a test fails.

import Glibc
import Kernel
import System
import Testing

/// A folder that lives as long as the value, with whatever is still mounted below it.
struct ScratchFolder: ~Copyable {
    let path: String
    init() throws {
        path = "/tmp/noded-test-\(Random.nameSuffix(12))"
        try Files.makeDirectory(path)
    }
    deinit {
        try? Mounts.unmountAll(below: path)
        try? Files.removeTree(path)
    }
}

/// A child that is killed and reaped with the value.
struct Child: ~Copyable {
    let process: ProcessHandle

    init(_ arguments: [String]) throws {
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { argv.forEach { free($0) } }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Test threads may block signals; a child must not inherit that.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var pid = pid_t()
        let result = posix_spawn(&pid, arguments[0], nil, &attributes, &argv, environ)
        if result != 0 { throw SystemError("posix_spawn", arguments[0], Errno(result)) }
        process = try ProcessHandle(pid: pid)
    }

    deinit {
        try? process.signal(Signal.kill)
        _ = try? process.waitBlocking()
    }
}

/// Runs `body`, and fails instead of hanging when it does not end in time.
func bounded<T: Sendable>(
    _ limit: Duration = .seconds(90), _ body: @escaping @Sendable () async throws -> T
) async throws -> T {
    try await withThrowingTaskGroup(of: T.self) { group in
        group.addTask(operation: body)
        group.addTask {
            try await Task.sleep(for: limit)
            throw SystemError("test", "deadline", .ETIMEDOUT)
        }
        defer { group.cancelAll() }
        return try await group.next()!
    }
}

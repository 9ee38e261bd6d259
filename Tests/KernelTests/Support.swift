// What the kernel tests share: child processes that go with their values, also when a test fails.

import Kernel
import System
import TestSupport

/// A child that is killed and reaped with the value.
struct Child: ~Copyable {
    let process: ProcessHandle

    init(_ arguments: [String]) throws {
        process = try ProcessHandle(pid: try spawn(arguments))
    }

    deinit {
        try? process.signal(Signal.kill)
        _ = try? process.waitBlocking()
    }
}

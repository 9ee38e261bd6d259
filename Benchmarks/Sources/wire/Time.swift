// Clock, output and a bridge from a thread to a task.

import Dispatch
import Glibc

/// Nanoseconds of CLOCK_MONOTONIC.
func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// A pipe's reader sees lines when they are written, not when the buffer is full.
func flushOutput() { fflush(nil) }

/// Runs a task and waits for it on this thread.
func wait(_ body: @escaping @Sendable () async -> Void) {
    let done = DispatchSemaphore(value: 0)
    Task {
        await body()
        done.signal()
    }
    done.wait()
}

/// A thousand connections are more than a shell's usual soft limit of descriptors.
func raiseOpenFiles() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit)
}

// Namespaces of processes, and work inside another network namespace.
//
// setns(2) changes the calling thread only. A thread that has changed is never lent out again: each piece of work gets
// a thread of its own that ends afterwards (about 50 µs), so that no forgotten namespace can leak into other work.

internal import CKernel
public import System

/// The kinds of namespaces(7), by their names in /proc/PID/ns.
public enum NamespaceKind: String, CaseIterable, Sendable {
    case network = "net"
    case mount = "mnt"
    case pid, ipc, uts, cgroup, user
}

public enum Namespace {
    /// Opens /proc/PID/ns/KIND. Keeps the namespace alive, also without processes. ENOENT when there is no such process.
    public static func open(_ kind: NamespaceKind, of process: ProcessHandle) throws(SystemError) -> FileDescriptor {
        let namespace = try open(kind, pid: process.pid)
        // The pid cannot have been another process's while the pidfd's process still runs.
        guard process.isRunning else { throw SystemError("open namespace of", "pid \(process.pid)", .ESRCH) }
        return namespace
    }

    /// Without protection against a pid that has been reused.
    public static func open(_ kind: NamespaceKind, pid: Int32) throws(SystemError) -> FileDescriptor {
        try FileDescriptor.open("/proc/\(pid)/ns/\(kind.rawValue)")
    }

    /// The identity of a namespace: "net:[4026531840]", equal for processes that share it. Nil without such a process.
    public static func identity(_ kind: NamespaceKind, pid: Int32) -> String? {
        Files.symlinkTarget("/proc/\(pid)/ns/\(kind.rawValue)")
    }
}

/// Work inside a network namespace, on a thread of its own.
public enum NetworkNamespace {
    /// Makes a new, empty one (loopback only, down). It lives as long as the descriptor or something in it does.
    public static func create() throws -> SharedDescriptor {
        try Threads.runAndWait(name: "netns") {
            try systemCall("unshare CLONE_NEWNET", "") { kernel_unshare(kernel_clone_flag_newnet()) }
            return SharedDescriptor(try FileDescriptor.open("/proc/thread-self/ns/net"))
        }
    }

    /// Performs `body` inside, off the cooperative pool.
    public static func run<T: Sendable>(
        fd namespace: SharedDescriptor, _ body: @escaping @Sendable () throws -> T
    ) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            Threads.start(name: "netns") {
                continuation.resume(with: Result { try enter(namespace.raw, "fd \(namespace.raw)", body) })
            }
        }
    }

    /// The same in the namespace of a process, by pidfd: a reused pid is impossible. ESRCH when it is gone.
    public static func run<T: Sendable>(
        in process: ProcessHandle, _ body: @escaping @Sendable () throws -> T
    ) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            Threads.start(name: "netns") {
                continuation.resume(with: Result { try enter(process.descriptor.raw, "pid \(process.pid)", body) })
            }
        }
    }

    /// Blocks the calling thread until `body` has run inside: for synchronous code that is on a thread of its own anyway.
    public static func runBlocking<T: Sendable>(
        fd namespace: SharedDescriptor, _ body: @escaping @Sendable () throws -> T
    ) throws -> T {
        try Threads.runAndWait(name: "netns") { try enter(namespace.raw, "fd \(namespace.raw)", body) }
    }

    /// setns accepts a namespace's descriptor and, since Linux 5.8, a pidfd.
    private static func enter<T>(_ fd: Int32, _ name: String, _ body: () throws -> T) throws -> T {
        try systemCall("setns CLONE_NEWNET", name) { kernel_setns(fd, kernel_clone_flag_newnet()) }
        return try body()
    }
}

/// Work inside a new mount namespace whose mounts do not propagate to the host's: for tests and for unpacking.
public enum MountNamespace {
    /// Blocks the calling thread until `body` has run on a thread of its own inside.
    public static func runBlockingInNew<T: Sendable>(_ body: @escaping @Sendable () throws -> T) throws -> T {
        try Threads.runAndWait(name: "mntns") {
            try systemCall("unshare CLONE_NEWNS", "") { kernel_unshare(kernel_clone_flag_newns()) }
            let root = try FileDescriptor.open("/", [.path, .directory])
            try Mounts.setAttributes(root.raw, propagation: .private, recursive: true)
            return try body()
        }
    }
}

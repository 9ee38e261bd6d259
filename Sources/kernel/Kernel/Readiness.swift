// Waiting for descriptors without blocking a thread for each: one epoll instance, one thread, for the whole process.
// The thread starts with the first wait, sleeps in epoll_wait without a timeout, and so costs nothing when idle.
//
// Each wait registers a duplicate of the descriptor, once (EPOLLONESHOT). epoll knows registrations by (file, number):
// the duplicate makes two waits on one descriptor independent, and the caller may close its own at any time without
// its number coming back as somebody else's. The duplicate is deregistered before it is closed, because closing alone
// does not (the caller's descriptor keeps the file open).

internal import CKernel
internal import Glibc
internal import Synchronization
public import System

public final class Readiness: Sendable {
    /// What can happen to a descriptor (epoll_ctl(2)). `hangUp` and `error` are reported whether asked for or not.
    public struct Events: OptionSet, Sendable, Hashable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// Bytes, a connection, or the end of the file can be read; a pidfd's process has ended.
        public static let readable = Events(rawValue: KERNEL_EPOLLIN)
        public static let writable = Events(rawValue: KERNEL_EPOLLOUT)
        /// Exceptional condition: the content of a cgroup or sysfs file has changed.
        public static let priority = Events(rawValue: KERNEL_EPOLLPRI)
        /// The peer has shut down its writing half, or all.
        public static let peerClosed = Events(rawValue: KERNEL_EPOLLRDHUP)
        public static let hangUp = Events(rawValue: KERNEL_EPOLLHUP)
        public static let error = Events(rawValue: KERNEL_EPOLLERR)
    }

    public static let shared = Readiness()

    private struct State {
        var nextID: UInt64 = 0
        var started = false
        var waits: [UInt64: (fd: Int32, continuation: CheckedContinuation<Events, any Error>)] = [:]
        // Cancelled between the handler's installation and the registration.
        var cancelledEarly: Set<UInt64> = []
    }

    private let epoll: FileDescriptor
    private let state = Mutex(State())

    private init() {
        let raw = kernel_epoll_create()
        precondition(raw >= 0, "epoll_create1: \(Errno.current)")
        epoll = FileDescriptor(owning: raw)
    }

    /// Waits until at least one of `events` (or hangUp, error) holds, and returns what does. A regular file is ready at
    /// once. Throws CancellationError when the task is cancelled, SystemError when the kernel refuses.
    /// - Parameter fd: borrowed; must be open at the time of the call only.
    public func wait(_ fd: Int32, for events: Events) async throws -> Events {
        let copy = try systemCall("fcntl F_DUPFD_CLOEXEC", "fd \(fd)") { fcntl(fd, F_DUPFD_CLOEXEC, 0) }
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        // A cancellation that came after the answer has marked the id for nobody.
        defer { state.withLock { _ = $0.cancelledEarly.remove(id) } }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { register(id, copy, events, $0) }
        } onCancel: {
            cancel(id)
        }
    }

    /// The same for a shared owner, kept open meanwhile.
    public func wait(_ fd: SharedDescriptor, for events: Events) async throws -> Events {
        try await wait(fd.raw, for: events)
    }

    private func register(
        _ id: UInt64, _ fd: Int32, _ events: Events, _ continuation: CheckedContinuation<Events, any Error>
    ) {
        let outcome: Result<Events, any Error>? = state.withLock { state in
            if state.cancelledEarly.remove(id) != nil { return .failure(CancellationError()) }
            if !state.started {
                state.started = true
                Threads.start(name: "noded-epoll") { [self] in loop() }
            }
            if kernel_epoll_add_once(epoll.raw, fd, events.rawValue, id) == -1 {
                let errno = Errno.current
                // EPERM: the file type cannot be polled because it never blocks.
                return errno == .EPERM
                    ? .success(events.intersection([.readable, .writable]))
                    : .failure(SystemError("epoll_ctl", "fd \(fd)", errno))
            }
            state.waits[id] = (fd, continuation)
            return nil
        }
        guard let outcome else { return }
        close(fd)
        continuation.resume(with: outcome)
    }

    private func cancel(_ id: UInt64) {
        let continuation: CheckedContinuation<Events, any Error>? = state.withLock { state in
            guard let wait = state.waits.removeValue(forKey: id) else {
                // Not registered yet (register will see the mark), or already answered (wait removes it).
                state.cancelledEarly.insert(id)
                return nil
            }
            forget(wait.fd)
            return wait.continuation
        }
        continuation?.resume(throwing: CancellationError())
    }

    private func forget(_ fd: Int32) {
        _ = kernel_epoll_remove(epoll.raw, fd)
        close(fd)
    }

    private func loop() {
        var events = [kernel_event](repeating: kernel_event(), count: 64)
        while true {
            let count = kernel_epoll_wait(epoll.raw, &events, Int32(events.count))
            if count < 0 {
                precondition(Errno.current == .EINTR, "epoll_wait: \(Errno.current)")
                continue
            }
            for event in events[..<Int(count)] {
                let continuation: CheckedContinuation<Events, any Error>? = state.withLock { state in
                    guard let wait = state.waits.removeValue(forKey: event.id) else { return nil }
                    forget(wait.fd)
                    return wait.continuation
                }
                continuation?.resume(returning: Events(rawValue: event.events))
            }
        }
    }
}

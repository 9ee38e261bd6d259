// Threads for work that blocks (files, namespaces, libraries with their own waits), so that Swift's cooperative pool
// never does. Threads start when there is work for them, wait in the kernel without waking up, and end with the pool.
// Starting a thread fails only for want of memory or pids; then the process could do nothing sensible: it traps.

internal import Glibc

/// Plain threads.
public enum Threads {
    /// Runs `body` on a new detached thread with every signal blocked (signals belong to the main loop).
    /// - Parameters:
    ///   - name: as ps and gdb show it, at most 15 bytes count.
    ///   - stackSize: bytes; touched pages only are backed by memory.
    public static func start(
        name: String, stackSize: Int = 512 << 10, _ body: @escaping @Sendable () -> Void
    ) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, stackSize)
        var all = sigset_t()
        var old = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &old)
        defer { pthread_sigmask(SIG_SETMASK, &old, nil) }
        var thread = pthread_t()
        let result = ThreadStart(name, body).create(&thread, &attributes)
        precondition(result == 0, "pthread_create: \(Errno(result))")
    }

    /// Runs `body` on a new thread and waits for it; for the few places that are synchronous by nature (tests, set-up).
    public static func runAndWait<T: Sendable>(
        name: String, _ body: @escaping @Sendable () throws -> T
    ) throws -> T {
        let done = Gate<Result<T, any Error>>()
        start(name: name) { done.open(Result(catching: body)) }
        return try done.wait().get()
    }
}

private final class ThreadStart: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(_ name: String, _ body: @escaping @Sendable () -> Void) { (self.name, self.body) = (name, body) }

    // A method of its own: inlined into Threads.start it crashes the 6.3.1 compiler (pass SendNonSendable).
    func create(_ thread: inout pthread_t, _ attributes: inout pthread_attr_t) -> Int32 {
        pthread_create(&thread, &attributes, threadMain, Unmanaged.passRetained(self).toOpaque())
    }
}

private func threadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    let start = Unmanaged<ThreadStart>.fromOpaque(context!).takeRetainedValue()
    // The thread's own comm file: pthread_setname_np is a GNU extension the Glibc module does not show.
    _ = try? Files.writeExisting("/proc/thread-self/comm", String(decoding: start.name.utf8.prefix(15), as: UTF8.self))
    start.body()
    return nil
}

/// A value that threads (not tasks) can wait for.
public final class Gate<T: Sendable>: @unchecked Sendable {
    // Invariant: `value` is touched only with `lock` held; the two pthread objects never move.
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let opened = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var value: T?

    public init() {
        pthread_mutex_init(lock, nil)
        pthread_cond_init(opened, nil)
    }

    deinit {
        pthread_cond_destroy(opened)
        pthread_mutex_destroy(lock)
        opened.deallocate()
        lock.deallocate()
    }

    public func open(_ value: T) {
        pthread_mutex_lock(lock)
        self.value = value
        pthread_cond_broadcast(opened)
        pthread_mutex_unlock(lock)
    }

    /// Blocks the thread until `open`.
    public func wait() -> T {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        while true {
            if let value { return value }
            pthread_cond_wait(opened, lock)
        }
    }
}

/// Runs blocking closures on up to `maximumThreads` threads of its own; what exceeds them waits in order.
public final class BlockingPool: Sendable {
    /// For short blocking work of any kind: file system, netlink round trips.
    public static let shared = BlockingPool(name: "noded-blocking", maximumThreads: 8)

    private let name: String
    private let maximumThreads: Int
    private let queue = WorkQueue()

    public init(name: String, maximumThreads: Int) {
        precondition(maximumThreads > 0)
        self.name = name
        self.maximumThreads = maximumThreads
    }

    deinit { queue.close() }

    /// Performs `body` on a thread of the pool. It is not cancelled with the task: what it began, it ends.
    public func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            submit { continuation.resume(with: Result(catching: body)) }
        }
    }

    /// The same without a result and without waiting.
    public func submit(_ body: @escaping @Sendable () -> Void) {
        guard queue.append(body, maximumThreads: maximumThreads) else { return }
        Threads.start(name: name) { [queue] in
            while let work = queue.next() { work() }
        }
    }
}

/// One thread that performs closures in the order of their submission: for what is bound to a thread (a namespace, a
/// library context) or must be serial.
public final class WorkerThread: Sendable {
    private let pool: BlockingPool

    public init(name: String) { pool = BlockingPool(name: name, maximumThreads: 1) }

    public func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await pool.run(body)
    }

    public func submit(_ body: @escaping @Sendable () -> Void) { pool.submit(body) }
}

private final class WorkQueue: @unchecked Sendable {
    // Invariant: every property below is touched only with `lock` held; the two pthread objects never move.
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var waiting: [@Sendable () -> Void] = []
    private var head = 0
    private var idle = 0
    private var threads = 0
    private var closed = false

    init() {
        pthread_mutex_init(lock, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(lock)
        changed.deallocate()
        lock.deallocate()
    }

    /// True when the caller must start another thread.
    func append(_ work: @escaping @Sendable () -> Void, maximumThreads: Int) -> Bool {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        waiting.append(work)
        if idle >= waiting.count - head {
            pthread_cond_signal(changed)
            return false
        }
        guard threads < maximumThreads else { return false }
        threads += 1
        return true
    }

    /// Waits for work; nil when the queue is closed and empty.
    func next() -> (@Sendable () -> Void)? {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        while head == waiting.count {
            if closed { return nil }
            idle += 1
            pthread_cond_wait(changed, lock)
            idle -= 1
        }
        let work = waiting[head]
        head += 1
        if head == waiting.count {
            waiting.removeAll(keepingCapacity: waiting.capacity <= 64)
            head = 0
        } else if head >= 256 {
            waiting.removeFirst(head)
            head = 0
        }
        return work
    }

    func close() {
        pthread_mutex_lock(lock)
        closed = true
        pthread_cond_broadcast(changed)
        pthread_mutex_unlock(lock)
    }
}

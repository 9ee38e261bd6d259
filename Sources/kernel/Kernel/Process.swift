// Processes by descriptor. A pid is reused sooner or later; a pidfd (pidfd_open(2)) is one process for ever, so that a
// signal never hits a stranger and its end can be waited for, also when it is not our child.

internal import CKernel
internal import Glibc
public import System

/// How a process ended (waitid(2)).
public enum ProcessExit: Hashable, Sendable, CustomStringConvertible {
    /// exit(code), 0 to 255.
    case exited(code: Int32)
    case killed(signal: Int32)

    /// The shell's and Kubernetes' number: the code, or 128 + signal.
    public var code: Int32 {
        switch self {
        case .exited(let code): code
        case .killed(let signal): 128 + signal
        }
    }

    public var description: String {
        switch self {
        case .exited(let code): "exit code \(code)"
        case .killed(let signal): "killed by \(Signal.name(signal))"
        }
    }
}

/// A process held by its pidfd.
public final class ProcessHandle: Sendable {
    public let pid: Int32
    /// The pidfd: readable (epoll) once the process has ended.
    public let descriptor: SharedDescriptor

    /// Throws ESRCH when there is no such process.
    public init(pid: Int32) throws(SystemError) {
        self.pid = pid
        descriptor = SharedDescriptor(
            FileDescriptor(owning: try systemCall("pidfd_open", "pid \(pid)") { kernel_pidfd_open(pid) }))
    }

    /// Takes over a pidfd that came with clone3 or over a socket.
    public init(owning descriptor: consuming FileDescriptor, pid: Int32) {
        self.pid = pid
        self.descriptor = SharedDescriptor(descriptor)
    }

    /// Sends a signal; throws ESRCH when the process has ended and been reaped.
    public func signal(_ signal: Int32) throws(SystemError) {
        try systemCall("pidfd_send_signal \(Signal.name(signal))", "pid \(pid)") {
            kernel_pidfd_send_signal(descriptor.raw, signal)
        }
    }

    /// False once the process has ended, reaped or not.
    public var isRunning: Bool {
        var poll = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&poll, 1, 0) == 0
    }

    /// Returns when the process has ended (any process, not only a child). Throws only CancellationError or EMFILE.
    public func ended() async throws { _ = try await Readiness.shared.wait(descriptor, for: .readable) }

    /// Reaps a child that has ended; nil when it has not. Throws ECHILD when it is not (or no longer) a child of ours.
    public func reap() throws(SystemError) -> ProcessExit? { try wait(blocking: false) }

    /// Blocks the thread until the child ends, and reaps it.
    public func waitBlocking() throws(SystemError) -> ProcessExit { try wait(blocking: true)! }

    /// Waits for the child's end and reaps it.
    public func exit() async throws -> ProcessExit {
        while true {
            try await ended()
            if let exit = try reap() { return exit }
        }
    }

    private func wait(blocking: Bool) throws(SystemError) -> ProcessExit? {
        var (code, status): (Int32, Int32) = (0, 0)
        let ended = try systemCall("waitid", "pid \(pid)") {
            kernel_pidfd_wait(descriptor.raw, blocking ? 1 : 0, &code, &status)
        }
        if ended == 0 { return nil }
        return code == 1 /* CLD_EXITED */ ? .exited(code: status) : .killed(signal: status)
    }

    /// When the process started, in clock ticks after boot (field 22 of /proc/PID/stat, proc(5)): with the pid it names
    /// a process for as long as the machine runs. Throws ESRCH when the process is gone.
    public func startTicks() throws(SystemError) -> UInt64 {
        let ticks = try Self.startTicks(pid: pid)
        guard isRunning else { throw SystemError("read start time of", "pid \(pid)", .ESRCH) }
        return ticks
    }

    public static func startTicks(pid: Int32) throws(SystemError) -> UInt64 {
        let text: String
        do throws(SystemError) {
            text = try Files.readText("/proc/\(pid)/stat")
        } catch {
            throw error.errno == .ENOENT ? SystemError(error.call, error.target, .ESRCH) : error
        }
        // The command in field 2 may hold spaces and brackets: count from its last bracket.
        let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ")
        guard fields.count > 20, let ticks = UInt64(fields[20]) else {
            throw SystemError("parse", "/proc/\(pid)/stat", .EBADMSG)
        }
        return ticks
    }
}

/// What a thread forbids itself.
public enum SystemCallFilter {
    /// Installs a seccomp program (an array of struct sock_filter) on the calling thread and its later children, for
    /// good. Throws EINVAL when the kernel does not accept it, EACCES without CAP_SYS_ADMIN or no_new_privs.
    public static func install(_ program: [UInt8]) throws(SystemError) {
        try systemCall("seccomp SECCOMP_SET_MODE_FILTER", "\(program.count / 8) instructions") {
            program.withUnsafeBytes { kernel_install_filter($0.baseAddress, $0.count) }
        }
    }
}

/// Signals by name, as signal(7), images (STOPSIGNAL) and Kubernetes (lifecycle.stopSignal) write them.
public enum Signal {
    /// x86_64 and aarch64 share these numbers.
    private static let names: [String] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM",
        "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH",
        "IO",
        "PWR", "SYS",
    ]
    public static let hangUp: Int32 = 1
    public static let interrupt: Int32 = 2
    public static let kill: Int32 = 9
    public static let terminate: Int32 = 15

    /// "SIGTERM", "TERM", "15", "SIGRTMIN+3", "SIGRTMAX-1"; nil for what is no signal.
    public static func number(_ text: String) -> Int32? {
        if let number = Int32(text) { return (1...64).contains(number) ? number : nil }
        var name = text.uppercased()[...]
        if name.hasPrefix("SIG") { name = name.dropFirst(3) }
        if let index = names.firstIndex(of: String(name)) { return Int32(index + 1) }
        for (base, start, sign) in [("RTMIN", Int32(34), Int32(1)), ("RTMAX", 64, -1)] where name.hasPrefix(base) {
            let rest = name.dropFirst(base.count)
            if rest.isEmpty { return start }
            guard rest.first == (sign > 0 ? "+" : "-"), let offset = Int32(rest.dropFirst()), (0...30).contains(offset)
            else { return nil }
            return start + sign * offset
        }
        return ["CLD": 17, "POLL": 29][name]
    }

    /// "SIGTERM"; "SIGRTMIN+3"; "signal 99".
    public static func name(_ number: Int32) -> String {
        if (1...31).contains(number) { return "SIG\(names[Int(number) - 1])" }
        if (34...64).contains(number) { return number == 34 ? "SIGRTMIN" : "SIGRTMIN+\(number - 34)" }
        return "signal \(number)"
    }
}

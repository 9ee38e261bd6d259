// Child processes: started with posix_spawn, read by polling, always reaped. Also the clock and the wish to stop.
//
// Every descriptor of ours is close-on-exec, so a child has what it is given and nothing else.

internal import CBench
import Glibc

struct BenchError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }

    /// For a call that just failed.
    static func call(_ name: String, _ target: String) -> BenchError {
        let code = errno
        return BenchError("\(name) \(target): \(String(cString: strerror(code)))")
    }
}

/// Progress and complaints; the table alone goes to standard output.
func say(_ line: String) {
    let bytes = Array("\(line)\n".utf8)
    _ = write(2, bytes, bytes.count)
}

/// Monotonic nanoseconds.
func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// The wall clock as RFC 3339 in UTC, whole seconds (the past one).
func wallTime() -> String {
    var (seconds, parts) = (time(nil), tm())
    gmtime_r(&seconds, &parts)
    var buffer = [CChar](repeating: 0, count: 32)
    let count = strftime(&buffer, buffer.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
    return String(decoding: buffer[..<count].map(UInt8.init), as: UTF8.self)
}

func sleep(milliseconds: UInt64) throws {
    let end = now() + milliseconds * 1_000_000
    while now() < end {
        try Interrupt.check()
        usleep(UInt32(min((end - now()) / 1000 + 1, 100_000)))
    }
}

/// SIGINT and SIGTERM end a measurement by an error, so that what it made is removed on the way out.
enum Interrupt {
    // Written by the signal handler only, from 0 to 1; a plain word is all a handler may touch.
    nonisolated(unsafe) private static var flag: Int32 = 0

    static var happened: Bool { flag != 0 }

    static func listen() {
        for number in [SIGINT, SIGTERM, SIGHUP] { signal(number) { _ in Interrupt.flag = 1 } }
        signal(SIGPIPE, SIG_IGN)
    }

    static func check() throws {
        if happened { throw BenchError("interrupted") }
    }
}

final class Child {
    enum Stream { case null, pipe, file(String) }

    let pid: pid_t
    let name: String
    /// Our ends of its pipes, or -1.
    private(set) var input: Int32 = -1
    private(set) var output: Int32 = -1
    private(set) var errors: Int32 = -1
    private(set) var status: Int32?

    init(_ arguments: [String], input: Stream = .null, output: Stream = .null, errors: Stream = .null) throws {
        name = arguments[0]
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var theirs: [Int32] = []
        defer { theirs.forEach { close($0) } }
        var ours: [Int32] = [-1, -1, -1]
        for (number, stream) in [input, output, errors].enumerated() {
            switch stream {
            case .null:
                posix_spawn_file_actions_addopen(
                    &actions, Int32(number), "/dev/null", number == 0 ? O_RDONLY : O_WRONLY, 0)
            case .file(let path):
                let flags = O_WRONLY | O_CREAT | O_APPEND
                posix_spawn_file_actions_addopen(&actions, Int32(number), path, flags, 0o600)
            case .pipe:
                var ends: [Int32] = [-1, -1]
                guard bench_pipe(&ends) == 0 else { throw BenchError.call("pipe2", name) }
                let (mine, its) = number == 0 ? (ends[1], ends[0]) : (ends[0], ends[1])
                ours[number] = mine
                theirs.append(its)
                posix_spawn_file_actions_adddup2(&actions, its, Int32(number))
            }
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
        var argv = arguments.map { strdup($0) }
        defer { argv.forEach { free($0) } }
        argv.append(nil)
        var pid: pid_t = 0
        let result = posix_spawnp(&pid, arguments[0], &actions, &attributes, argv, environ)
        guard result == 0 else {
            ours.filter { $0 >= 0 }.forEach { close($0) }
            throw BenchError("start \(name): \(String(cString: strerror(result)))")
        }
        self.pid = pid
        (self.input, self.output, self.errors) = (ours[0], ours[1], ours[2])
    }

    deinit {
        if status == nil {
            kill(pid, SIGKILL)
            _ = try? wait()
        }
        for descriptor in [input, output, errors] where descriptor >= 0 { close(descriptor) }
    }

    var hasEnded: Bool {
        if status != nil { return true }
        var value: Int32 = 0
        guard waitpid(pid, &value, WNOHANG) == pid else { return false }
        status = value
        return true
    }

    /// Waits for the end, however long. Returns the exit code; 128 + n for an end by signal n.
    @discardableResult
    func wait() throws -> Int32 {
        var value: Int32 = 0
        while status == nil {
            if waitpid(pid, &value, 0) == pid {
                status = value
            } else if errno != EINTR {
                throw BenchError.call("waitpid", name)
            }
        }
        let status = status ?? 0
        return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f
    }

    /// Asks by `signal`, kills after `seconds`. Returns whether it went by itself.
    @discardableResult
    func stop(_ signal: Int32 = SIGTERM, within seconds: UInt64 = 20) throws -> Bool {
        guard !hasEnded else { return true }
        kill(pid, signal)
        let end = now() + seconds * 1_000_000_000
        while !hasEnded, now() < end { usleep(2000) }
        if hasEnded { return true }
        kill(pid, SIGKILL)
        try wait()
        return false
    }

    /// Writes all and closes the child's standard input.
    func finishInput(_ text: String) throws {
        let bytes = Array(text.utf8)
        guard write(input, bytes, bytes.count) == bytes.count else { throw BenchError.call("write to", name) }
        close(input)
        input = -1
    }
}

/// Runs a program to its end. Throws when it cannot start; its exit code is the caller's to judge.
func runToEnd(_ arguments: [String], input: String? = nil) throws -> (code: Int32, output: String, errors: String) {
    let child = try Child(arguments, input: input == nil ? .null : .pipe, output: .pipe, errors: .pipe)
    if let input { try child.finishInput(input) }
    var (output, errors) = (Pipe(child.output), Pipe(child.errors))
    while output.open || errors.open { _ = Pipe.wait(&output, &errors, milliseconds: 1000) }
    return (
        try child.wait(), String(decoding: output.bytes, as: UTF8.self), String(decoding: errors.bytes, as: UTF8.self)
    )
}

/// Like `runToEnd`, and any exit code but 0 is an error that carries what the program said.
@discardableResult
func succeed(_ arguments: [String], input: String? = nil) throws -> String {
    let result = try runToEnd(arguments, input: input)
    guard result.code == 0 else {
        throw BenchError(
            "\(arguments.prefix(4).joined(separator: " ")): exit \(result.code): \(result.errors)\(result.output)")
    }
    return result.output
}

/// The reading end of a pipe and what came out of it so far.
struct Pipe {
    let descriptor: Int32
    var bytes: [UInt8] = []
    private(set) var open = true

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// Takes what is there; blocks only when nothing is (poll first).
    private mutating func fill() {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = read(descriptor, &buffer, buffer.count)
        if count > 0 { bytes += buffer[..<count] } else if count == 0 || errno != EINTR { open = false }
    }

    /// The next whole line, without its end.
    mutating func line() -> String? {
        guard let end = bytes.firstIndex(of: 10) else { return nil }
        defer { bytes.removeSubrange(...end) }
        return String(decoding: bytes[..<end], as: UTF8.self)
    }

    /// Waits until one of the two has news, and takes it. False: nothing came in time.
    static func wait(_ a: inout Pipe, _ b: inout Pipe, milliseconds: Int32) -> Bool {
        // poll(2) passes over negative descriptors.
        var polls = [
            pollfd(fd: a.open ? a.descriptor : -1, events: Int16(POLLIN), revents: 0),
            pollfd(fd: b.open ? b.descriptor : -1, events: Int16(POLLIN), revents: 0),
        ]
        guard poll(&polls, 2, milliseconds) > 0 else { return false }
        if polls[0].revents != 0 { a.fill() }
        if polls[1].revents != 0 { b.fill() }
        return true
    }

    static func wait(_ a: inout Pipe, milliseconds: Int32) -> Bool {
        var none = Pipe(-1)
        none.open = false
        return wait(&a, &none, milliseconds: milliseconds)
    }
}

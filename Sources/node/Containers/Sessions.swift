// Exec and attach: pipes (or a terminal) between whoever asked and a process in a container. The bytes flow through
// the kernel's pipes straight to and from the process; the supervisor only passes descriptors.

import Kernel
import SupervisorProtocol
import Synchronization
import System

enum Sessions {
    private static let piece = 32 << 10
    /// What a pipe or a terminal may still hold of a command that has ended, bytes (pipe(7): the default capacity).
    private static let remainder = 64 << 10

    static func exec(
        _ connection: SupervisorConnection, container id: String, _ config: ExecConfig
    ) async throws -> ExecSession {
        guard !config.arguments.isEmpty else { throw ContainersError.invalid("no command to execute") }
        var plan = ExecPlan()
        plan.container = Array(id.utf8)
        plan.arguments = config.arguments.map { Array($0.utf8) }
        plan.environment = config.environment.map { Array("\($0.0)=\($0.1)".utf8) }
        if config.terminal { plan.environment.append(Array("TERM=xterm".utf8)) }
        plan.workingDirectory = Array((config.workingDirectory ?? "").utf8)
        if let user = config.user {
            plan.hasUser = true
            (plan.uid, plan.gid, plan.groups) = (user.uid, user.gid, user.supplementalGroups)
        }
        plan.terminal = config.terminal
        let request = (container: id, waits: config.waitsForAbandoned)
        if config.terminal { return try await execWithTerminal(connection, plan, request) }
        let input = try FileDescriptor.pipe().shared()
        let output = try FileDescriptor.pipe().shared()
        let error = try FileDescriptor.pipe().shared()
        let command = try await connection.request(
            .exec, plan.fields, descriptors: [input.reading, output.writing, error.writing], command: request
        ).id
        let stdin = Input(config.stdin ? input.writing : nil)
        let end = end(of: command, connection)
        return ExecSession(
            stdout: try stream(output.reading, until: end), stderr: try stream(error.reading, until: end),
            actions: ExecSession.Actions(
                write: { try await stdin.write($0) }, closeStdin: { await stdin.close() }, resize: { _, _ in },
                wait: { try await end.wait() },
                cancel: { connection.cancelCommand(command) }))
    }

    private static func execWithTerminal(
        _ connection: SupervisorConnection, _ plan: ExecPlan, _ request: (container: String, waits: Bool)
    ) async throws -> ExecSession {
        let (command, answer) = try await connection.request(.exec, plan.fields, command: request)
        guard let master = answer.descriptors.first else {
            throw ContainersError.supervisor(uid: "", "it sent no terminal")
        }
        let stdin = Input(master)
        let end = end(of: command, connection)
        return ExecSession(
            stdout: try stream(master, until: end), stderr: AsyncStream { $0.finish() },
            actions: ExecSession.Actions(
                write: { try await stdin.write($0) },
                // A terminal has no end of input but its own control character.
                closeStdin: { try? await stdin.write([4]) },
                resize: { columns, rows in try? Terminal.resize(master.raw, columns: columns, rows: rows) },
                wait: { try await end.wait() },
                cancel: { connection.cancelCommand(command) }))
    }

    static func attach(
        _ connection: SupervisorConnection, container id: String, terminal: Bool, stdin wantsInput: Bool,
        exit: @escaping @Sendable () async throws -> Int32
    ) async throws -> ExecSession {
        let output = try FileDescriptor.pipe().shared()
        let error = try FileDescriptor.pipe().shared()
        var fields = FieldWriter()
        fields.put(Tag.id, Array(id.utf8))
        if !wantsInput { fields.put(Tag.number, UInt64(1)) }
        let answer = try await connection.request(
            .attach, fields, descriptors: [output.writing, error.writing]
        ).answer
        let stdin = Input(wantsInput ? answer.descriptors.first : nil)
        // Not held when it is a pipe: closing stdin must close the last writer.
        let master = terminal ? answer.descriptors.first : nil
        // The supervisor closes its ends with the container; nobody else holds them.
        let never = Outcome<Int32>()
        return ExecSession(
            stdout: try stream(output.reading, until: never), stderr: try stream(error.reading, until: never),
            actions: ExecSession.Actions(
                write: { try await stdin.write($0) }, closeStdin: { await stdin.close() },
                resize: { columns, rows in
                    if let master { try? Terminal.resize(master.raw, columns: columns, rows: rows) }
                },
                wait: { try await exit() }, cancel: {}))
    }

    /// The command's exit code, for as many as ask.
    private static func end(of command: UInt32, _ connection: SupervisorConnection) -> Outcome<Int32> {
        let outcome = Outcome<Int32>()
        // Unstructured: the command ends when it ends, whether or not somebody waits.
        Task {
            do { outcome.set(.success(try await connection.commandExit(command))) } catch {
                outcome.set(.failure(error))
            }
        }
        return outcome
    }

    /// Pulls from a descriptor: nothing is read that nobody asked for. It ends where the other side closes, or after
    /// the command's end once what it left in the pipe is read: what a command leaves running must not keep its caller,
    /// not even one that goes on writing. EIO is how a terminal's other end says it has gone.
    private static func stream(
        _ descriptor: SharedDescriptor, until end: Outcome<Int32>
    ) throws(SystemError) -> AsyncStream<[UInt8]> {
        try descriptor.setNonBlocking()
        let left = Mutex(remainder)
        return AsyncStream {
            while true {
                let over = end.result != nil
                do {
                    let allowed = over ? min(piece, left.withLock { $0 }) : piece
                    guard allowed > 0 else { return nil }
                    let bytes = try descriptor.read(upTo: allowed)
                    if over { left.withLock { $0 -= bytes.count } }
                    return bytes.isEmpty ? nil : bytes
                } catch let error as SystemError where error.errno == .EAGAIN && !over {
                    if await !readable(descriptor, orEnd: end) { return nil }
                } catch {
                    return nil
                }
            }
        }
    }

    /// False when the waiting task was cancelled.
    private static func readable(_ descriptor: SharedDescriptor, orEnd end: Outcome<Int32>) async -> Bool {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = try? await Readiness.shared.wait(descriptor, for: .readable) }
            group.addTask { _ = try? await end.wait() }
            await group.next()
            group.cancelAll()
        }
        return !Task.isCancelled
    }
}

/// The writing end of a command's input.
private actor Input {
    private var descriptor: SharedDescriptor?

    init(_ descriptor: SharedDescriptor?) {
        self.descriptor = descriptor
        try? descriptor?.setNonBlocking()
    }

    func write(_ bytes: [UInt8]) async throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            guard let descriptor else { throw SystemError("write", "stdin", .EPIPE) }
            do {
                let written = try rest.withUnsafeBytes { try descriptor.write($0) }
                rest = rest.dropFirst(written)
                continue
            } catch let error as SystemError where error.errno == .EAGAIN {
                // The pipe is full: below.
            }
            _ = try await Readiness.shared.wait(descriptor, for: .writable)
        }
    }

    func close() { descriptor = nil }
}

// How containers end: stopped with a grace, killed, or given up before their program ran.
//
// A supervisor that does not answer (stopped by a signal or a debugger, or held up in the kernel) is waited for, as
// everywhere (docs/decisions/0011-patience.md), with one difference: what is to be killed is killed without it then, by
// the container's cgroup, and the caller is told, because only the supervisor learns how the container ended.
//
// A supervisor that dies takes its containers along. Whoever is stopping one, or begins to before they are gone, has
// what he wants as soon as they are; that there is no exit status to come is told by `supervisorDied`.

import Cgroups
import Kernel
import SupervisorProtocol
import System

extension PodRuntime {
    public func stopContainer(sandbox uid: String, id: String, signal: Int32?, grace: Duration) async throws {
        guard let (sandbox, container) = containerToStop(uid, id), !container.hasEnded else { return }
        do {
            try await stop(container, of: sandbox, signal: signal ?? container.record.stopSignal, grace: grace)
        } catch {
            guard sandbox.connection.isBroken, try await wentDown(container, with: sandbox) else { throw error }
        }
    }

    /// Also one that is going down with its supervisor: there may be a new sandbox of that uid by then.
    private func containerToStop(_ uid: String, _ id: String) -> (Sandbox, Container)? {
        if let sandbox = sandboxes[uid], let container = sandbox.container(id) { return (sandbox, container) }
        for sandbox in goingDown where sandbox.record.uid == uid {
            if let container = sandbox.container(id) { return (sandbox, container) }
        }
        return nil
    }

    private func stop(
        _ container: Container, of sandbox: Sandbox, signal number: Int32, grace: Duration
    ) async throws {
        let (uid, id) = (sandbox.record.uid, container.id)
        if grace > .zero {
            let begun = ContinuousClock.now
            do {
                let connection = sandbox.connection
                let heard: Void? = try await answer(within: grace) {
                    try await connection.request(.signal, container: id, number: UInt64(number))
                }
                let left = grace - (ContinuousClock.now - begun)
                if heard != nil, left > .zero, try await ended(container, within: left) { return }
            } catch ContainersError.notRunning, ContainersError.noContainer {
                return
            }
        }
        guard !container.hasEnded else { return }
        try await kill(container, of: sandbox)
        // Nothing survives SIGKILL but a task that the kernel cannot interrupt: reported, not waited for.
        guard try await ended(container, within: .seconds(30)) else {
            throw ContainersError.supervisor(uid: uid, "container \(id) does not end although it was killed")
        }
    }

    /// Whether a container has ended with its supervisor, whose line broke: who heard of that kills what is left.
    /// False also when that cannot be known.
    /// - Throws: CancellationError at once when the task is cancelled, CgroupError when processes stay, SystemError
    ///   when they cannot be looked for.
    func wentDown(_ container: Container, with sandbox: Sandbox) async throws -> Bool {
        try Task.checkCancellation()
        let limit = Duration.seconds(30)
        let process = sandbox.process
        let hasGone: Void? = try await answer(within: limit) { try await process.ended() }
        guard hasGone != nil else { return false }
        if let group = group(of: sandbox.record)?.child(container.id) {
            try await group.waitUntilEmpty(within: limit)
            return true
        }
        switch container.state {
        case .exited: return true
        // Its program may run, and nobody has heard of its start.
        case .created: return false
        case .running(let pid, _):
            // Without cgroups the death signal ends its first process. What that one started is killed with its process
            // namespace, and lives on when that is the machine's.
            guard sandbox.record.ownsProcesses else { return false }
            let first: ProcessHandle
            do throws(SystemError) {
                first = try ProcessHandle(pid: pid)
            } catch {
                if error.errno == .ESRCH { return true }
                throw error
            }
            let hasEnded: Void? = try await answer(within: limit) { try await first.ended() }
            return hasEnded != nil
        }
    }

    private func kill(_ container: Container, of sandbox: Sandbox) async throws {
        let (connection, id) = (sandbox.connection, container.id)
        let heard: Void? = try await answer(within: killPatience) {
            try await connection.request(.kill, container: id)
        }
        guard heard == nil, !container.hasEnded else { return }
        let silence = silence(sandbox)
        guard let group = group(of: sandbox.record)?.child(id) else {
            throw ContainersError.supervisor(
                uid: sandbox.record.uid, silence + "container \(id) cannot be killed on a machine without cgroups")
        }
        try await Self.pool.run { try group.kill() }
        throw ContainersError.supervisor(
            uid: sandbox.record.uid, silence + "container \(id) was killed without it, which knows how that ended")
    }

    private func silence(_ sandbox: Sandbox) -> String {
        "it (process \(sandbox.process.pid)) has not answered for \(killPatience), it is stopped or hangs: "
    }

    /// The answer to a request, nil when it is late. Then it comes to nobody; what was asked is done.
    /// - Throws: CancellationError at once when the task is cancelled, and what the request throws.
    private func answer<Answer: Sendable>(
        within limit: Duration, _ request: @escaping @Sendable () async throws -> Answer
    ) async throws -> Answer? {
        let answer = try await withThrowingTaskGroup(of: Answer?.self) { group in
            group.addTask { try await request() }
            group.addTask {
                try await Task.sleep(for: limit)
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
        try Task.checkCancellation()
        return answer
    }

    /// - Throws: CancellationError at once when the task is cancelled.
    private func ended(_ container: Container, within limit: Duration) async throws -> Bool {
        if container.hasEnded { return true }
        let over = container.over
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await over.wait() }
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
        try Task.checkCancellation()
        return container.hasEnded
    }

    @discardableResult
    public func cancelStart(sandbox uid: String, id: String) async throws -> Bool {
        let (sandbox, container) = try container(uid, id)
        guard case .created = container.state else { return false }
        var fields = FieldWriter()
        fields.put(Tag.id, Array(id.utf8))
        let (connection, asked) = (sandbox.connection, fields)
        // The pod waits for this, whatever is to become of it.
        let answer = try await answer(within: killPatience) { try await connection.request(.cancelStart, asked).answer }
        guard let answer else {
            throw ContainersError.supervisor(
                uid: uid, silence(sandbox) + "whether container \(id) has begun to run is not known")
        }
        let report = ContainerReport(answer.fields)
        switch report.state {
        // Killed: its end is on its way.
        case .starting: return true
        case .running:
            // Its end may have come in the same breath.
            guard case .created = container.state else { return false }
            container.state = .running(
                pid: report.pid, startedAt: Timestamp(nanosecondsSince1970: report.startedAt))
            sink.yield(.containerStarted(uid: uid, id: id))
        case .exited: await exited(uid, report)
        }
        return false
    }
}

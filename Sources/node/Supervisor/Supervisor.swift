// The loop: one thread, one poll over the children's signal, the control socket, its connections, status sockets and
// output streams. Nothing here has a timer; an idle pod costs no wake-up.

import CSupervisor
import SupervisorProtocolE

final class Supervisor {
    private let signals: Int32
    private let listener: Int32
    private var connections: [Connection] = []
    var containers: [Container] = []
    var execs: [Exec] = []
    /// Children that failed before their program ran, and others that nobody waits for, need only be reaped.
    var plan: SandboxPlan?
    var createdAt: Int64 = 0
    /// PID 1 of a shared PID namespace; 0 without one.
    var reaper: Int32 = 0
    var execCounter = 0
    /// One buffer for all reading; only touched pages cost memory.
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    let ownPIDNamespace: Int32

    /// `listener` is bound by noded; `first` is noded's end of the first connection.
    init(listener: Int32, first: Int32) throws(Failure) {
        signals = try check(.none, [], sup_signal_descriptor())
        ownPIDNamespace = try check(.none, [], sup_own_pid_namespace())
        self.listener = listener
        try check(.none, [], sup_listen(listener))
        try check(.none, [], sup_set_nonblocking(listener))
        try check(.none, [], sup_set_nonblocking(first))
        connections.append(Connection(first))
    }

    private enum Source {
        case signals, listener
        case connection(Connection)
        case starting(Container)
        case execStarting(Exec)
        case output(Container)
        case error(Container)
        case attached(Container)
    }

    func run() -> Never {
        var fds: [pollfd] = []
        var sources: [Source] = []
        func watch(_ fd: Int32, _ events: Int32, _ source: Source) {
            if fd < 0 { return }
            fds.append(pollfd(fd: fd, events: Int16(events), revents: 0))
            sources.append(source)
        }
        while true {
            fds.removeAll(keepingCapacity: true)
            sources.removeAll(keepingCapacity: true)
            for connection in connections {
                watch(connection.fd, SUP_POLLIN | (connection.wantsToWrite ? SUP_POLLOUT : 0), .connection(connection))
            }
            watch(listener, SUP_POLLIN, .listener)
            for container in containers {
                watch(container.status, SUP_POLLIN, .starting(container))
                watch(container.output, SUP_POLLIN, .output(container))
                watch(container.error, SUP_POLLIN, .error(container))
                // Without events a write end only tells that its reader has gone.
                for session in container.attached {
                    watch(session.output, 0, .attached(container))
                    watch(session.error, 0, .attached(container))
                }
            }
            for exec in execs { watch(exec.status, SUP_POLLIN, .execStarting(exec)) }
            // Last: the end of a process is told after everything it said.
            watch(signals, SUP_POLLIN, .signals)
            _ = fds.withUnsafeMutableBufferPointer { sup_poll($0.baseAddress, $0.count) }
            for index in fds.indices where fds[index].revents != 0 { handle(sources[index]) }
            connections.removeAll { !$0.isOpen }
        }
    }

    private func handle(_ source: Source) {
        switch source {
        case .signals:
            sup_drain_signals(signals)
            reap(block: false)
        case .listener:
            let fd = sup_accept(listener)
            if fd >= 0 { connections.append(Connection(fd)) }
        case .connection(let connection): serve(connection)
        case .starting(let container): statusChanged(container)
        case .execStarting(let exec): statusChanged(exec)
        case .output(let container):
            if container.output >= 0, !container.pump(false, buffer) { container.closeStream(false) }
        case .error(let container):
            if container.error >= 0, !container.pump(true, buffer) { container.closeStream(true) }
        // Asked again end by end: a number may be another descriptor's since the poll.
        case .attached(let container): container.closeUnread()
        }
    }

    private func serve(_ connection: Connection) {
        guard connection.isOpen else { return }
        connection.flush()
        let alive = connection.receive(buffer)
        while let message = connection.next() { perform(message, connection) }
        if !alive { connection.close() }
        if connection.isOpen { return }
        // Commands without a listener are pointless: what they write nobody reads.
        for exec in execs where exec.connection === connection { exec.kill() }
    }

    func broadcast(_ kind: MessageKind, _ fields: FieldWriter, except: Connection? = nil) {
        for connection in connections where connection.wantsEvents && connection !== except {
            connection.send(kind, id: 0, fields)
        }
    }

    func container(_ id: [UInt8]) -> Container? {
        for container in containers where container.id == id { return container }
        return nil
    }

    var report: SandboxReport {
        var report = SandboxReport()
        report.version = supervisorProtocolVersion
        report.pid = sup_pid()
        report.createdAt = createdAt
        report.record = plan?.record ?? []
        for container in containers { report.containers.append(container.report) }
        return report
    }

    // MARK: Ends

    /// Takes every child that has ended. With `block`, until there is no child left.
    func reap(block: Bool) {
        while true {
            var (code, signal): (Int32, Int32) = (0, 0)
            let pid = sup_reap(block ? 1 : 0, &code, &signal)
            if pid <= 0 { return }
            if let container = containers.first(where: { $0.pid == pid && $0.state != .exited }) {
                ended(container, code, signal)
            } else if let exec = execs.first(where: { $0.pid == pid }) {
                ended(exec, code)
            }
        }
    }

    private func ended(_ container: Container, _ code: Int32, _ signal: Int32) {
        // Whether its program ever ran is in the status socket, perhaps not read yet.
        if container.state == .starting { statusChanged(container) }
        if container.state == .starting || container.failure != nil {
            container.code = code
            container.signal = signal
            container.state = .exited
            // Who asked for it has been answered; a noded that came meanwhile knows it from our greeting.
            let starter = container.starter?.connection
            broadcast(.exited, container.report.fields, except: starter)
            forget(container)
            return
        }
        container.finishedAt = sup_now()
        container.code = code
        container.signal = signal
        // With a PID namespace of its own everything in it is dead by now.
        if container.processes != .own { container.killGroup() }
        container.drain(buffer)
        container.closeStreams()
        container.closeHandles()
        container.state = .exited
        broadcast(.exited, container.report.fields)
    }

    func forget(_ container: Container) {
        container.closeStreams()
        container.closeHandles()
        closeDescriptor(&container.cgroup)
        containers.removeAll { $0 === container }
    }

    private func ended(_ exec: Exec, _ code: Int32) {
        if !exec.started && exec.failure == nil { statusChanged(exec) }
        // Told last: who hears of the end finds nothing of the command left.
        exec.close()
        if exec.started {
            var fields = FieldWriter()
            fields.put(Tag.code, Int64(code))
            exec.connection.send(.execExited, id: exec.id, fields)
        }
        execs.removeAll { $0 === exec }
    }

    // MARK: Status sockets

    private enum StatusEvent {
        case nothing, started
        case failed(Failure)
        case terminal(Int32)
    }

    private func readStatus(_ fd: Int32) -> StatusEvent {
        var (master, count): (Int32, Int) = (-1, 0)
        let size = sup_receive(fd, buffer.baseAddress, buffer.count, &master, 1, &count)
        if size == -Int(SUP_EAGAIN) { return .nothing }
        if size <= 0 { return .started }
        if buffer[0] == StatusMessage.terminal, count == 1 { return .terminal(master) }
        return .failed(Failure([UInt8](buffer[1..<size])))
    }

    func statusChanged(_ container: Container) {
        while container.status >= 0 {
            switch readStatus(container.status) {
            case .nothing: return
            case .terminal(let master):
                _ = sup_set_nonblocking(master)
                container.output = master
                container.input = sup_duplicate(master)
            case .failed(let failure):
                container.failure = failure
                closeDescriptor(&container.status)
                if let starter = container.starter {
                    starter.connection.send(.failed, id: starter.id, failure.fields)
                }
            case .started:
                closeDescriptor(&container.status)
                container.state = .running
                container.startedAt = sup_now()
                if let starter = container.starter {
                    var fields = FieldWriter()
                    fields.put(Tag.pid, Int64(container.pid))
                    fields.put(Tag.startedAt, container.startedAt)
                    starter.connection.send(.started, id: starter.id, fields)
                }
                container.starter = nil
            }
        }
    }

    private func statusChanged(_ exec: Exec) {
        while exec.status >= 0 {
            switch readStatus(exec.status) {
            case .nothing: return
            case .terminal(let master): exec.master = master
            case .failed(let failure):
                exec.failure = failure
                closeDescriptor(&exec.status)
                exec.connection.send(.failed, id: exec.id, failure.fields)
            case .started:
                closeDescriptor(&exec.status)
                exec.started = true
                var fields = FieldWriter()
                fields.put(Tag.pid, Int64(exec.pid))
                exec.connection.send(
                    .execStarted, id: exec.id, fields, descriptors: exec.master >= 0 ? [exec.master] : [])
                exec.master = -1
            }
        }
    }
}

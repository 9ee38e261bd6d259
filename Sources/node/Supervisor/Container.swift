// A container as its supervisor holds it: its process, its streams, its log.
//
//     starting ──(status socket closes)──> running ──(reaped)──> exited ──(remove)──> forgotten
//        └──(status socket reports a failure)──> forgotten once reaped
//
// One that is starting is in the greeting, too: a noded that comes back has to know of it, or it would start another.

import CSupervisor
import SupervisorProtocolE

/// Which PID namespace a container's processes are in.
enum ProcessNamespace {
    /// Its own: when its first process ends, the kernel ends the others.
    case own
    /// Another container's, which it goes with.
    case another
    /// The pod's or the machine's, in which the supervisor starts everything.
    case shared
}

final class Container {
    let id: [UInt8]
    let record: [UInt8]
    /// What exec copies.
    let process: ProcessPlan
    let processes: ProcessNamespace
    let stdinOnce: Bool
    var state = WireState.starting
    var pid: Int32 = 0
    var pidfd: Int32 = -1
    /// The cgroup's directory, -1 without cgroups.
    var cgroup: Int32
    var startedAt: Int64 = 0
    var finishedAt: Int64 = 0
    var code: Int32 = 0
    var signal: Int32 = 0

    /// While starting: our end of the status socket, what it reported, and who waits for the answer.
    var status: Int32 = -1
    var failure: Failure?
    var starter: (connection: Connection, id: UInt32)?

    /// Read ends, or the terminal's master in `output`.
    var output: Int32 = -1
    var error: Int32 = -1
    /// Kept for attachers: the write end of stdin, or the terminal's master.
    var input: Int32 = -1
    var log: LogFile
    private var outputLines = LineSplitter("stdout")
    private var errorLines = LineSplitter("stderr")
    /// Write ends of attached sessions, -1 when nobody reads there any more; never waited for.
    private(set) var attached: [(output: Int32, error: Int32)] = []

    init(_ plan: ContainerPlan, _ processes: ProcessNamespace, cgroup: Int32, log: LogFile) {
        id = plan.id
        record = plan.record
        process = plan.process
        self.processes = processes
        stdinOnce = plan.stdinOnce
        self.cgroup = cgroup
        self.log = log
    }

    var report: ContainerReport {
        var report = ContainerReport()
        report.id = id
        report.state = state
        report.pid = state == .exited ? 0 : pid
        report.startedAt = startedAt
        report.finishedAt = finishedAt
        report.code = code
        report.signal = signal
        report.record = record
        return report
    }

    func signal(_ number: Int32) -> Int32 { sup_pidfd_signal(pidfd, number) }

    /// Everything in it; without a cgroup, its process (whose PID namespace goes with it).
    func kill() {
        killGroup()
        if pidfd >= 0 { _ = sup_pidfd_signal(pidfd, 9) }
    }

    func killGroup() {
        guard cgroup >= 0 else { return }
        var file = sup_openat(cgroup, "cgroup.kill", SUP_O_WRONLY, 0)
        if file >= 0 { writeAll(file, bytes("1")) }
        closeDescriptor(&file)
    }

    // MARK: Streams

    /// Reads once. False at the stream's end.
    func pump(_ error: Bool, _ buffer: UnsafeMutableRawBufferPointer) -> Bool {
        let count = sup_read(error ? self.error : output, buffer.baseAddress, buffer.count)
        if count == -Int(SUP_EAGAIN) { return true }
        if count <= 0 { return false }
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        var lines: [UInt8] = []
        lines.reserveCapacity(count + 64)
        if error {
            errorLines.feed(bytes, at: Timestamp(), to: &lines)
        } else {
            outputLines.feed(bytes, at: Timestamp(), to: &lines)
        }
        log.write(lines)
        if !attached.isEmpty { tee(bytes, error) }
        return true
    }

    /// An attached session whose pipe is full is cut off: nobody outside may stop the container.
    private func tee(_ bytes: UnsafeRawBufferPointer, _ error: Bool) {
        var index = 0
        while index < attached.count {
            let fd = error ? attached[index].error : attached[index].output
            if fd < 0 || sup_write(fd, bytes.baseAddress, bytes.count) == bytes.count {
                index += 1
                continue
            }
            closeDescriptor(&attached[index].output)
            closeDescriptor(&attached[index].error)
            attached.remove(at: index)
        }
    }

    /// Takes over the write ends of a session.
    func attach(_ output: Int32, _ error: Int32) throws(Failure) {
        if attached.count >= mostAttachedSessions { closeUnread() }
        if attached.count >= mostAttachedSessions { throw Failure(.sessions, SUP_EMFILE, id) }
        attached.append((output, error))
    }

    /// Lets go of the ends that nobody reads: a container that writes nothing finds out about none of them.
    func closeUnread() {
        for index in attached.indices {
            closeUnread(&attached[index].output)
            closeUnread(&attached[index].error)
        }
        attached.removeAll { $0.output < 0 && $0.error < 0 }
    }

    private func closeUnread(_ fd: inout Int32) {
        if fd < 0 { return }
        var poll = pollfd(fd: fd, events: 0, revents: 0)
        if sup_poll_now(&poll) > 0 { closeDescriptor(&fd) }
    }

    func closeStream(_ error: Bool) {
        if error { closeDescriptor(&self.error) } else { closeDescriptor(&output) }
    }

    /// Reads what is left after the end. Somebody who inherited the pipe may still write: hence the bound.
    func drain(_ buffer: UnsafeMutableRawBufferPointer) {
        for error in [false, true] {
            var rounds = 0
            while rounds < 64, (error ? self.error : output) >= 0 {
                let fd = error ? self.error : output
                var poll = pollfd(fd: fd, events: Int16(SUP_POLLIN), revents: 0)
                if sup_poll_now(&poll) <= 0 || !pump(error, buffer) { break }
                rounds += 1
            }
        }
        var lines: [UInt8] = []
        let now = Timestamp()
        outputLines.finish(at: now, to: &lines)
        errorLines.finish(at: now, to: &lines)
        log.write(lines)
    }

    func closeStreams() {
        closeStream(false)
        closeStream(true)
        closeDescriptor(&input)
        for index in attached.indices {
            closeDescriptor(&attached[index].output)
            closeDescriptor(&attached[index].error)
        }
        attached = []
        log.close()
    }

    /// What only a living process needs.
    func closeHandles() {
        closeDescriptor(&pidfd)
        closeDescriptor(&status)
    }
}

/// A process that was started in a container by exec.
final class Exec {
    /// The request's id; with the connection, its name.
    let id: UInt32
    let connection: Connection
    let container: Container
    var pid: Int32 = 0
    var pidfd: Int32 = -1
    var status: Int32 = -1
    var failure: Failure?
    /// The terminal's master on its way to noded.
    var master: Int32 = -1
    var started = false
    /// Its own group below the container's, and the group's name there.
    var group: Int32 = -1
    let groupName: [UInt8]

    init(_ id: UInt32, _ connection: Connection, _ container: Container, groupName: [UInt8]) {
        self.id = id
        self.connection = connection
        self.container = container
        self.groupName = groupName
    }

    /// The command and all it started.
    func kill() {
        if group >= 0 {
            var file = sup_openat(group, "cgroup.kill", SUP_O_WRONLY, 0)
            if file >= 0 { writeAll(file, bytes("1")) }
            closeDescriptor(&file)
        }
        if pidfd >= 0 { _ = sup_pidfd_signal(pidfd, 9) }
    }

    func close() {
        closeDescriptor(&pidfd)
        closeDescriptor(&status)
        closeDescriptor(&master)
        if group >= 0 {
            closeDescriptor(&group)
            // Stays when the command left something running; it goes with the container's group.
            _ = groupName.withPath { sup_rmdirat(container.cgroup, $0) }
        }
    }
}

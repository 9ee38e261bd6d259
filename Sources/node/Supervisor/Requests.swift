// What noded asks, one function a verb.

import CSupervisor
import SupervisorProtocolE

extension Supervisor {
    func perform(_ message: Connection.Message, _ connection: Connection) {
        do throws(Failure) {
            guard let kind = MessageKind(rawValue: message.kind) else { throw Failure(.protocolError, SUP_EPROTO) }
            switch kind {
            case .hello:
                connection.wantsEvents = true
                connection.send(.sandbox, id: message.id, report.fields)
            case .createSandbox:
                guard let plan = SandboxPlan(message.fields) else { throw Failure(.protocolError, SUP_EPROTO) }
                try createSandbox(plan)
                connection.send(.sandbox, id: message.id, report.fields)
            case .startContainer: try start(message, connection)
            case .exec: try exec(message, connection)
            case .attach: try attach(message, connection)
            case .signal:
                let target = try running(message)
                let result = target.container.signal(Int32(clamping: target.number))
                // It may have ended while the request was on its way.
                if result != -SUP_ESRCH { try check(.none, target.container.id, result) }
                done(message, connection)
            case .kill:
                if let container = container(Request(message.fields).id), container.state != .exited {
                    container.kill()
                }
                done(message, connection)
            case .cancelStart:
                let id = Request(message.fields).id
                guard let container = container(id) else { throw Failure(.noContainer, SUP_ENOENT, id) }
                // Its program may run by now, and nobody has looked since.
                if container.state == .starting { statusChanged(container) }
                if container.state == .starting { container.kill() }
                connection.send(.container, id: message.id, container.report.fields)
            case .remove:
                if let container = container(Request(message.fields).id) {
                    if container.state != .exited { throw Failure(.notRunning, SUP_EBUSY, container.id) }
                    forget(container)
                }
                done(message, connection)
            case .reopenLog:
                container(Request(message.fields).id)?.log.reopen()
                done(message, connection)
            case .cancelExec:
                let number = Request(message.fields).number
                for exec in execs where exec.connection === connection && UInt64(exec.id) == number { exec.kill() }
                done(message, connection)
            case .shutdown: shutdown(message, connection)
            default: throw Failure(.protocolError, SUP_EPROTO)
            }
        } catch {
            for fd in message.descriptors { _ = sup_close(fd) }
            connection.send(.failed, id: message.id, error.fields)
        }
    }

    private struct Request {
        var id: [UInt8] = []
        var number: UInt64 = 0

        init(_ fields: [UInt8]) {
            var reader = FieldReader(fields)
            while let field = reader.next() {
                switch field.tag {
                case Tag.id: id = field.bytes
                case Tag.number: number = field.integer
                default: break
                }
            }
        }
    }

    private func done(_ message: Connection.Message, _ connection: Connection) {
        for fd in message.descriptors { _ = sup_close(fd) }
        connection.send(.done, id: message.id, FieldWriter())
    }

    private func running(_ message: Connection.Message) throws(Failure) -> (container: Container, number: UInt64) {
        let request = Request(message.fields)
        guard let container = container(request.id) else { throw Failure(.noContainer, SUP_ENOENT, request.id) }
        if container.state != .running { throw Failure(.notRunning, SUP_ESRCH, request.id) }
        return (container, request.number)
    }

    // MARK: Containers

    private func start(_ message: Connection.Message, _ connection: Connection) throws(Failure) {
        guard let sandbox = plan, let plan = ContainerPlan(message.fields), message.descriptors.count < 2 else {
            throw Failure(.protocolError, SUP_EPROTO)
        }
        if container(plan.id) != nil { throw Failure(.duplicate, SUP_EEXIST, plan.id) }
        let log = try LogFile(plan.log, maximumSize: plan.logMaximumSize, maximumFiles: plan.logMaximumFiles)
        var joined: Int32 = -1
        var processes = ProcessNamespace.own
        if sandbox.sharedPID || sandbox.hostPID {
            processes = .shared
        } else if !plan.processNamespace.isEmpty {
            guard let other = self.container(plan.processNamespace), other.state == .running else {
                throw Failure(.joinNamespaces, SUP_ESRCH, plan.processNamespace)
            }
            (processes, joined) = (.another, other.pidfd)
        }
        let container = Container(plan, processes, cgroup: -1, log: log)
        // The child's ends: closed here in any case.
        var child: [Int32] = []
        defer { for fd in child { _ = sup_close(fd) } }
        do throws(Failure) {
            var streams: (Int32, Int32, Int32) = (-1, -1, -1)
            if !plan.process.terminal {
                if plan.stdin { (streams.0, container.input) = try pipe(&child, childReads: true) }
                (streams.1, container.output) = try pipe(&child, childReads: false)
                (streams.2, container.error) = try pipe(&child, childReads: false)
            }
            let status: Int32
            (status, container.status) = try packetPair()
            child.append(status)
            var flags = UInt64(SUP_NEWNS)
            if processes == .own { flags |= UInt64(SUP_NEWPID) }
            let group = message.descriptors.first ?? -1
            // Children are born into that PID namespace; ourselves we stay where we are.
            if joined >= 0 { try check(.joinNamespaces, plan.processNamespace, sup_setns(joined, SUP_NEWPID)) }
            container.pid = sup_clone(flags, group, &container.pidfd)
            if container.pid == 0 { Child(status: status, streams: streams).start(plan) }
            if joined >= 0 { _ = sup_setns(ownPIDNamespace, SUP_NEWPID) }
            try check(.clone, plan.id, container.pid)
            container.cgroup = group
        } catch {
            container.closeStreams()
            container.closeHandles()
            throw error
        }
        container.starter = (connection, message.id)
        containers.append(container)
    }

    /// A pipe as (the child's end, ours); ours does not block.
    private func pipe(_ child: inout [Int32], childReads: Bool) throws(Failure) -> (Int32, Int32) {
        var fds: (Int32, Int32) = (-1, -1)
        let result = withUnsafeMutableBytes(of: &fds) {
            sup_pipe($0.baseAddress!.assumingMemoryBound(to: Int32.self))
        }
        try check(.pipe, [], result)
        let (theirs, ours) = childReads ? (fds.0, fds.1) : (fds.1, fds.0)
        child.append(theirs)
        _ = sup_set_nonblocking(ours)
        return (theirs, ours)
    }

    /// The status socket as (the child's end, ours).
    private func packetPair() throws(Failure) -> (Int32, Int32) {
        var fds: (Int32, Int32) = (-1, -1)
        let result = withUnsafeMutableBytes(of: &fds) {
            sup_packet_pair($0.baseAddress!.assumingMemoryBound(to: Int32.self))
        }
        try check(.pipe, [], result)
        _ = sup_set_nonblocking(fds.1)
        return fds
    }

    // MARK: Exec and attach

    private func exec(_ message: Connection.Message, _ connection: Connection) throws(Failure) {
        guard let plan = ExecPlan(message.fields), message.descriptors.count == (plan.terminal ? 0 : 3) else {
            throw Failure(.protocolError, SUP_EPROTO)
        }
        guard let container = container(plan.container) else { throw Failure(.noContainer, SUP_ENOENT, plan.container) }
        if container.state != .running { throw Failure(.notRunning, SUP_ESRCH, plan.container) }
        execCounter += 1
        var name = bytes("exec-")
        name.append(decimal: execCounter)
        let exec = Exec(message.id, connection, container, groupName: name)
        if container.cgroup >= 0 {
            // A group of its own below the container's, so that cancelling takes the command's children along.
            try check(.execCgroup, name, name.withPath { sup_mkdirat(container.cgroup, $0, 0o755) })
            exec.group = name.withPath { sup_openat(container.cgroup, $0, SUP_O_RDONLY, 0) }
        }
        var status: Int32 = -1
        do throws(Failure) {
            (status, exec.status) = try packetPair()
            if container.processes != .shared {
                try check(.joinNamespaces, container.id, sup_setns(container.pidfd, SUP_NEWPID))
            }
            exec.pid = sup_clone(0, exec.group, &exec.pidfd)
            if exec.pid == 0 {
                let streams =
                    plan.terminal
                    ? (Int32(-1), Int32(-1), Int32(-1))
                    : (message.descriptors[0], message.descriptors[1], message.descriptors[2])
                Child(status: status, streams: streams).join(process(plan, of: container), pidfd: container.pidfd)
            }
            if container.processes != .shared { _ = sup_setns(ownPIDNamespace, SUP_NEWPID) }
            try check(.clone, container.id, exec.pid)
        } catch {
            closeDescriptor(&status)
            exec.close()
            throw error
        }
        closeDescriptor(&status)
        for fd in message.descriptors { _ = sup_close(fd) }
        execs.append(exec)
    }

    private func process(_ plan: ExecPlan, of container: Container) -> ProcessPlan {
        var process = container.process
        process.arguments = plan.arguments
        process.environment = plan.environment + process.environment
        if !plan.workingDirectory.isEmpty { process.workingDirectory = plan.workingDirectory }
        if plan.hasUser {
            process.uid = plan.uid
            process.gid = plan.gid
            process.groups = plan.groups
        }
        process.terminal = plan.terminal
        return process
    }

    private func attach(_ message: Connection.Message, _ connection: Connection) throws(Failure) {
        let (container, withoutInput) = try running(message)
        guard message.descriptors.count == 2 else { throw Failure(.protocolError, SUP_EPROTO) }
        for fd in message.descriptors { _ = sup_set_nonblocking(fd) }
        try container.attach(message.descriptors[0], message.descriptors[1])
        var descriptors: [Int32] = []
        // A terminal's master sets its size, too.
        if container.input >= 0, withoutInput == 0 || container.process.terminal {
            let copy = sup_duplicate(container.input)
            if copy >= 0 { descriptors.append(copy) }
            // The session's copy is then the only writer: its end is the container's end of input.
            if container.stdinOnce && !container.process.terminal { closeDescriptor(&container.input) }
        }
        connection.send(.attached, id: message.id, FieldWriter(), descriptors: descriptors)
    }

    // MARK: Sandbox

    private func createSandbox(_ plan: SandboxPlan) throws(Failure) {
        if self.plan != nil { throw Failure(.duplicate, SUP_EEXIST) }
        if plan.newNetwork { try check(.unshareNetwork, [], sup_unshare(SUP_NEWNET)) }
        if plan.newIPC { try check(.unshareIPC, [], sup_unshare(SUP_NEWIPC)) }
        if plan.newUTS {
            try check(.unshareUTS, [], sup_unshare(SUP_NEWUTS))
            let result = plan.hostname.withUnsafeBytes { sup_set_hostname($0.baseAddress, $0.count) }
            try check(.hostname, plan.hostname, result)
        }
        if plan.newNetwork { try check(.loopback, [], sup_loopback_up()) }
        var index = 0
        while index + 1 < plan.sysctls.count {
            let path = bytes("/proc/sys/") + plan.sysctls[index]
            let file = try check(.sysctl, plan.sysctls[index], path.withPath { sup_open($0, SUP_O_WRONLY, 0) })
            let value = plan.sysctls[index + 1]
            let result = value.withUnsafeBytes { Int32(sup_write(file, $0.baseAddress, $0.count)) }
            _ = sup_close(file)
            try check(.sysctl, plan.sysctls[index], result)
            index += 2
        }
        if !plan.sharedMemory.isEmpty {
            let result = plan.sharedMemory.withPath { sup_mount_tmpfs($0, plan.sharedMemorySize) }
            try check(.sharedMemory, plan.sharedMemory, result)
        }
        if plan.sharedPID { try startReaper() }
        // Orphans of processes that have no PID namespace of their own come to us.
        if plan.hostPID { _ = sup_subreaper() }
        self.plan = plan
        createdAt = sup_now()
    }

    /// PID 1 of the pod: reaps, holds nothing, may nothing, and has an empty root of its own, because containers can
    /// look at it through /proc/1.
    private func startReaper() throws(Failure) {
        try check(.unsharePID, [], sup_unshare(SUP_NEWPID))
        let (status, ours) = try packetPair()
        var pidfd: Int32 = -1
        reaper = sup_clone(UInt64(SUP_NEWNS), -1, &pidfd)
        if reaper == 0 {
            do throws(Failure) {
                _ = sup_name("pod-init")
                try check(.reaper, [], sup_setsid())
                try check(.reaper, [], sup_make_private())
                let context = try check(.reaper, [], sup_fsopen("tmpfs"))
                try check(.reaper, [], sup_fsconfig_create(context))
                let root = try check(.reaper, [], sup_fsmount(context, 15))
                let place = try check(.reaper, [], sup_open_path("/proc", 1))
                try check(.reaper, [], sup_move_mount(root, place))
                try check(.reaper, [], sup_pivot(root))
                try check(.reaper, [], sup_die_with_parent())
                try check(.reaper, [], sup_drop_bounding(0))
                try check(.reaper, [], sup_set_capabilities(0))
            } catch {
                let bytes = error.fields.fields
                _ = bytes.withUnsafeBytes { sup_send(status, $0.baseAddress, $0.count, nil, 0) }
                sup_exit(127)
            }
            sup_close_all()
            sup_reap_forever()
        }
        _ = sup_close(status)
        closeDescriptor(&pidfd)
        defer { _ = sup_close(ours) }
        try check(.reaper, [], reaper)
        // Ready when it has closed its end.
        var wait = pollfd(fd: ours, events: Int16(SUP_POLLIN), revents: 0)
        _ = sup_poll(&wait, 1)
        let size = sup_receive(ours, buffer.baseAddress, buffer.count, nil, 0, &execCounter)
        execCounter = 0
        if size > 0 { throw Failure([UInt8](buffer[..<size])) }
    }

    private func shutdown(_ message: Connection.Message, _ connection: Connection) {
        for exec in execs { exec.kill() }
        for container in containers where container.state != .exited { container.kill() }
        if reaper > 0 { sup_kill(reaper) }
        reap(block: true)
        if let path = plan?.sharedMemory, !path.isEmpty { _ = path.withPath { sup_unmount($0) } }
        done(message, connection)
        sup_exit(0)
    }
}

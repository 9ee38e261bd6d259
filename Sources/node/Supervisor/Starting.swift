// From a fresh copy of the supervisor to somebody else's program: what the child does between clone and exec. The
// supervisor has one thread, so that the child may run Swift. It ends in execve or in a report of step and errno
// through the status socket, which closes by itself when execve succeeds.

import CSupervisor
import SupervisorProtocolE

/// What travels through the status socket: one byte of kind, then the content.
enum StatusMessage {
    /// Failure fields follow.
    static let failed: UInt8 = 1
    /// The terminal's master comes along.
    static let terminal: UInt8 = 2
}

enum Terminal {
    /// From an opened ptmx to both ends. The other end is taken from the master itself, never from a path.
    static func open(_ ptmx: Int32) throws(Failure) -> (master: Int32, peer: Int32) {
        let path = bytes("/dev/pts/ptmx")
        try check(.terminal, path, ptmx)
        if sup_is_terminal_fs(ptmx) != 1 { throw Failure(.terminal, SUP_ENODEV, path) }
        try check(.terminal, path, sup_terminal_unlock(ptmx))
        return (ptmx, try check(.terminal, path, sup_terminal_peer(ptmx)))
    }
}

/// The child's side.
struct Child {
    let status: Int32
    /// stdin, stdout, stderr; stdin -1 is a null device, all are unused with a terminal.
    var streams: (Int32, Int32, Int32)

    /// The container's first process.
    func start(_ plan: ContainerPlan) -> Never {
        do throws(Failure) {
            try check(.joinNamespaces, [], sup_setsid())
            try score(plan.process.oomScore)
            try check(.cgroupNamespace, [], sup_unshare(Int32(SUP_NEWCGROUP)))
            var tree = MountTree(plan)
            try tree.build()
            try tree.makeWorkingDirectory(plan.process.workingDirectory)
            let input = streams.0 >= 0 ? streams.0 : tree.standardInput
            try connect(plan.process, input, terminal: (tree.master, tree.peer))
            try become(plan.process)
        } catch {
            fail(error)
        }
    }

    /// A further process of a running container.
    func join(_ plan: ProcessPlan, pidfd: Int32) -> Never {
        do throws(Failure) {
            try check(.joinNamespaces, [], sup_setsid())
            try score(plan.oomScore)
            try check(.joinNamespaces, [], sup_setns(pidfd, Int32(SUP_NEWNS | SUP_NEWCGROUP)))
            sup_umask(0o022)
            var terminal: (Int32, Int32) = (-1, -1)
            if plan.terminal {
                let root = try check(.terminal, [], sup_open_path("/", 1))
                let how = Int32(SUP_IN_ROOT | SUP_NO_SYMLINKS)
                let folder = try check(.terminal, bytes("/dev/pts"), sup_resolve(root, "dev/pts", 1, how))
                terminal = try Terminal.open(sup_openat(folder, "ptmx", SUP_O_RDWR.int32, 0))
            }
            try connect(plan, streams.0, terminal: terminal)
            try become(plan)
        } catch {
            fail(error)
        }
    }

    private func fail(_ failure: Failure) -> Never {
        let message = [StatusMessage.failed] + failure.fields.fields
        _ = message.withUnsafeBytes { sup_send(status, $0.baseAddress, $0.count, nil, 0) }
        sup_exit(127)
    }

    /// Lowering it needs CAP_SYS_RESOURCE, which some machines withhold: then the inherited score stays, as noded's
    /// status says.
    private func score(_ value: Int32) throws(Failure) {
        if value == ProcessPlan.inheritOOMScore { return }
        let file = try check(.oomScore, [], sup_open("/proc/self/oom_score_adj", SUP_O_WRONLY.int32, 0))
        var text: [UInt8] = value < 0 ? [UInt8(ascii: "-")] : []
        text.append(decimal: Int(value.magnitude))
        let result = text.withUnsafeBytes { Int32(sup_write(file, $0.baseAddress, $0.count)) }
        _ = sup_close(file)
        if result != -SUP_EACCES && result != -SUP_EPERM { try check(.oomScore, text, result) }
    }

    /// Descriptors 0, 1 and 2. The process's user owns its pipes, so that it can open /dev/stdout.
    private func connect(_ plan: ProcessPlan, _ input: Int32, terminal: (master: Int32, peer: Int32)) throws(Failure) {
        var (input, output, error) = (input, streams.1, streams.2)
        if plan.terminal {
            try check(.terminal, [], sup_terminal_control(terminal.peer))
            try check(.terminal, [], sup_chown_descriptor(terminal.peer, plan.uid))
            (input, output, error) = (terminal.peer, terminal.peer, terminal.peer)
            var kind = StatusMessage.terminal
            var master = terminal.master
            try check(.terminal, [], Int32(sup_send(status, &kind, 1, &master, 1)))
        } else if plan.uid != 0 {
            try check(.standardStreams, [], sup_chown_descriptor(output, plan.uid))
            try check(.standardStreams, [], sup_chown_descriptor(error, plan.uid))
            // A null device may be read by anybody as it is.
            if streams.0 >= 0 { try check(.standardStreams, [], sup_chown_descriptor(input, plan.uid)) }
        }
        try check(.standardStreams, [], sup_duplicate_to(input, 0))
        try check(.standardStreams, [], sup_duplicate_to(output, 1))
        try check(.standardStreams, [], sup_duplicate_to(error, 2))
    }

    /// User, rights, program; the filter last. With no_new_privs it needs no right to be installed; without, it needs
    /// CAP_SYS_ADMIN, which is therefore given up right after.
    private func become(_ plan: ProcessPlan) throws(Failure) -> Never {
        sup_reset_signals()
        let directory = plan.workingDirectory.isEmpty ? bytes("/") : plan.workingDirectory
        try check(.workingDirectory, directory, directory.withPath { sup_chdir($0) })
        // CVE-2024-21626: a directory that cannot be reached from the root is somebody else's.
        try check(.workingDirectoryOutside, directory, sup_inside_root())
        try check(.bounding, [], sup_drop_bounding(plan.capabilities))
        try check(.capabilities, [], sup_keep_capabilities())
        try check(.groups, [], plan.groups.withUnsafeBufferPointer { sup_set_groups($0.baseAddress, $0.count) })
        try check(.gid, [], sup_set_gid(plan.gid))
        try check(.uid, [], sup_set_uid(plan.uid))
        let early = !plan.seccomp.isEmpty && !plan.noNewPrivileges
        let administrator: UInt64 = 1 << 21
        try check(
            .capabilities, [], sup_set_capabilities(early ? plan.capabilities | administrator : plan.capabilities))
        try check(.capabilities, [], sup_clear_ambient())
        if plan.noNewPrivileges { try check(.noNewPrivileges, [], sup_no_new_privileges()) }
        // After the last change of user: such a change forgets it.
        try check(.parentDeath, [], sup_die_with_parent())
        try check(.closeDescriptors, [], sup_close_on_exec_from(3))
        let program = Program(plan)
        if !plan.seccomp.isEmpty {
            try check(.seccomp, [], plan.seccomp.withUnsafeBytes { sup_seccomp($0.baseAddress, $0.count) })
            if early { try check(.capabilities, [], sup_set_capabilities(plan.capabilities)) }
        }
        throw Failure(.execute, program.execute(), plan.arguments[0])
    }
}

/// A program's name and arguments, laid out for execve beforehand.
struct Program {
    private let candidates: [[UInt8]]
    private let arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let environment: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

    init(_ plan: ProcessPlan) {
        candidates = Program.candidates(plan.arguments[0], plan.environment)
        arguments = Program.vector(plan.arguments)
        environment = Program.vector(plan.environment)
    }

    /// Returns only with the errno of the failure that tells most.
    func execute() -> Int32 {
        var result = SUP_ENOENT.int32
        for path in candidates {
            let errno = -path.withPath { sup_execute($0, arguments, environment) }
            switch errno {
            case SUP_ENOENT.int32, SUP_ENOTDIR.int32: break
            // Another folder may have one that can be executed.
            case SUP_EACCES.int32: result = errno
            default: return errno
            }
        }
        return result
    }

    private static func candidates(_ name: [UInt8], _ environment: [[UInt8]]) -> [[UInt8]] {
        if name.isEmpty || name.contains(UInt8(ascii: "/")) { return [name] }
        var paths: [[UInt8]] = []
        for variable in environment where variable.has(prefix: "PATH=") {
            var folder: [UInt8] = []
            for byte in variable[5...] + [UInt8(ascii: ":")] {
                if byte != UInt8(ascii: ":") {
                    folder.append(byte)
                    continue
                }
                // An empty entry means the working directory to shells; here it means nothing.
                if !folder.isEmpty { paths.append(folder + [UInt8(ascii: "/")] + name) }
                folder = []
            }
            break
        }
        return paths
    }

    /// Never freed: execve or exit follows.
    private static func vector(_ strings: [[UInt8]]) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> {
        let vector = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: strings.count + 1)
        for (index, string) in strings.enumerated() { (vector + index).initialize(to: string.withPath { strdup($0) }) }
        (vector + strings.count).initialize(to: nil)
        return vector
    }
}

extension FixedWidthInteger {
    /// C enumerators come in as unsigned numbers or as Int; calls want int.
    var int32: Int32 { Int32(truncatingIfNeeded: self) }
}

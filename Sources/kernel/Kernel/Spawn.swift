// Starting a program from an open descriptor without copying this process (clone3 with CLONE_VM | CLONE_VFORK: 0.55 ms
// whatever our size; a plain clone costs 25 ms at 600 MB). The work between clone and exec is C (CKernel/spawn.c): no
// Swift may run there, other threads may hold any lock.
//
// The new process has exactly the descriptors it is given, default signal handling, a session of its own, "/" as its
// directory. Fails with SystemError; the call's name says which step it was.

internal import CKernel
internal import Glibc
public import System

public enum Spawn {
    private static let steps = ["clone3", "dup3", "setsid", "chdir", "sigprocmask", "execveat"]

    /// Returns when the program runs (its image has replaced ours).
    /// - Parameters:
    ///   - executable: the program's file; a sealed memfd keeps a container from ever writing to it (CVE-2019-5736).
    ///   - name: for errors.
    ///   - descriptors: what becomes 0, 1, 2, …; at most 16; borrowed.
    ///   - cgroup: directory of the cgroup to be born in, or nil for ours; borrowed.
    /// - Returns: the child; it must be reaped (ProcessHandle.reap).
    public static func start(
        executable: Int32, name: String, arguments: [String], environment: [String], descriptors: [Int32],
        cgroup: Int32?
    ) throws(SystemError) -> ProcessHandle {
        var argv = arguments.map { strdup($0) }
        var envp = environment.map { strdup($0) }
        defer { (argv + envp).forEach { free($0) } }
        argv.append(nil)
        envp.append(nil)
        var pidfd: Int32 = -1
        var failure: (step: Int, errno: Errno)?
        let pid: pid_t = argv.withUnsafeMutableBufferPointer { argv in
            envp.withUnsafeMutableBufferPointer { envp in
                descriptors.withUnsafeBufferPointer { descriptors in
                    var spawn = kernel_spawn_request()
                    spawn.executable = executable
                    spawn.arguments = UnsafePointer(argv.baseAddress!)
                    spawn.environment = UnsafePointer(envp.baseAddress!)
                    spawn.descriptors = descriptors.baseAddress
                    spawn.descriptor_count = descriptors.count
                    spawn.cgroup = cgroup ?? -1
                    let pid = kernel_spawn(&spawn, &pidfd)
                    if pid < 0 { failure = (Int(spawn.failed_step), .current) }
                    return pid
                }
            }
        }
        if let failure { throw SystemError(steps[failure.step], name, failure.errno) }
        return ProcessHandle(owning: FileDescriptor(owning: pidfd), pid: pid)
    }
}

/// Device access of a cgroup.
public enum DeviceFilter {
    /// From now on processes in the cgroup (and below) use only the devices every container may: null, zero, full,
    /// random, urandom, tty, console, ptmx, ptys. Making device nodes stays allowed, using others fails with EPERM.
    /// Throws SystemError where the kernel has no BPF for cgroups.
    public static func allowDefaults(cgroup directory: Int32, name: String) throws(SystemError) {
        try systemCall("bpf BPF_CGROUP_DEVICE", name) { kernel_allow_default_devices(directory) }
    }
}

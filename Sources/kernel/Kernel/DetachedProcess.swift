// Starts a process that outlives its starter (a data plane in a role of its own): a session of its own, "/dev/null" as
// standard input, a file for what it says, the given descriptors from 3 on, every other one closed (Spawn.swift).
//
// The new process is our child while we live, and must be reaped (ProcessHandle.reap); init gets it when we die.

public import System

public enum DetachedProcess {
    /// - Parameters:
    ///   - executable: path of the program.
    ///   - arguments: without the program's own name.
    ///   - descriptors: become 3, 4, 5, … there, at most 13; borrowed.
    ///   - log: file to which standard output and error are appended (made with mode 0600).
    public static func start(
        executable: String, arguments: [String], environment: [String] = [], descriptors: [Int32], log: String
    ) throws(SystemError) -> ProcessHandle {
        let program = try FileDescriptor.open(executable, .path)
        let null = try FileDescriptor.open("/dev/null", .readWrite)
        let output = try FileDescriptor.open(log, [.write, .create, .append])
        // The real name for ps, also when /proc/self/exe was asked for.
        let name = Files.symlinkTarget("/proc/self/fd/\(program.raw)") ?? executable
        return try Spawn.start(
            executable: program.raw, name: executable, arguments: [name] + arguments, environment: environment,
            descriptors: [null.raw, output.raw, output.raw] + descriptors, cgroup: nil)
    }
}

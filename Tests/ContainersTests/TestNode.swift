// A node for one test: directories and a cgroup subtree of its own, a root made of busybox. `withNode` removes all of
// it again, whatever the test did, and fails when something stays.

import Cgroups
import Containers
import Kernel
import Logging
import System
import Testing

final class TestNode: Sendable {
    let base: String
    let runtime: PodRuntime
    let tree: CgroupTree?
    let cgroup: String

    var run: String { "\(base)/run" }
    var data: String { "\(base)/data" }
    var logs: String { "\(base)/logs" }
    var root: String { "\(base)/root" }

    /// For tests of what only a cgroup does: without a tree they say that they were left out, instead of passing.
    static let hasCgroups = (try? CgroupTree.find()) != nil
    static let noCgroups: Comment = "this machine has no cgroup v2 tree that noded may use"

    init() throws {
        // Short: a socket's path holds 107 bytes.
        let name = Random.nameSuffix(8)
        base = "/tmp/noded-test-\(name)"
        cgroup = "/noded-test-\(name)"
        try Files.makeDirectory("\(base)/run", mode: 0o700)
        try Files.makeDirectory("\(base)/logs", mode: 0o755)
        try Self.makeRoot("\(base)/root")
        tree = try? CgroupTree.find()
        var logger = Logger(label: "test")
        logger.logLevel = .warning
        runtime = try PodRuntime(runDirectory: "\(base)/run", dataDirectory: "\(base)/data", logger: logger)
    }

    /// A new runtime over the same directories: noded after a restart.
    func secondRuntime() throws -> PodRuntime {
        try PodRuntime(runDirectory: run, dataDirectory: data, logger: Logger(label: "test-second"))
    }

    static let applets = [
        "sh", "ls", "cat", "echo", "sleep", "id", "mount", "grep", "head", "hostname", "ps", "kill", "touch", "mknod",
        "dd", "readlink", "pwd", "env", "true", "false", "tty", "stty", "wc", "ip", "seq", "yes", "mkdir", "ln", "stat",
        "find", "tail", "test", "cut", "umount", "chmod", "nice", "tr",
    ]

    static func makeRoot(_ root: String) throws {
        guard Files.exists("/bin/busybox") else {
            throw SystemError("find busybox (package busybox-static)", "/bin/busybox", .ENOENT)
        }
        for folder in ["bin", "etc", "tmp", "home/user"] { try Files.makeDirectory("\(root)/\(folder)", mode: 0o755) }
        let busybox = try Files.read("/bin/busybox")
        try Files.writeAtomically("\(root)/bin/busybox", busybox, mode: 0o755)
        for applet in applets { try Files.symlink("\(root)/bin/\(applet)", to: "busybox") }
        try Files.writeAtomically(
            "\(root)/etc/passwd", "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n", mode: 0o644)
        try Files.setMode("\(root)/tmp", 0o777)
    }

    // MARK: Shorthand

    func sandbox(_ change: (inout SandboxConfig) -> Void = { _ in }) async throws -> SandboxStatus {
        let uid = Random.uuid()
        var config = SandboxConfig(
            uid: uid, name: "pod", namespace: "default", hostname: "a-pod",
            cgroup: tree == nil ? nil : "\(cgroup)/pod\(uid)", logDirectory: "\(logs)/\(uid)")
        change(&config)
        return try await runtime.createSandbox(config)
    }

    func config(_ command: String, _ change: (inout ContainerConfig) -> Void = { _ in }) -> ContainerConfig {
        let id = Hex.encode(Random.bytes(32))
        var config = ContainerConfig(
            id: id, name: "main", rootLayers: [root], arguments: ["/bin/sh", "-c", command],
            capabilities: Capabilities.default, logPath: "\(logs)/\(id)/0.log")
        change(&config)
        return config
    }

    /// Runs a command to its end and returns how it ended and what it said, as log lines without time and stream.
    func output(
        _ command: String, in sandbox: SandboxStatus, _ change: (inout ContainerConfig) -> Void = { _ in }
    ) async throws -> (status: Containers.ExitStatus, text: String) {
        let config = config(command, change)
        _ = try await runtime.startContainer(sandbox: sandbox.uid, config)
        let status = try await end(of: config.id, in: sandbox.uid)
        return (status, try log(config))
    }

    func log(_ config: ContainerConfig) throws -> String { try logLines(config).map(\.text).joined(separator: "\n") }

    struct LogLine: Equatable {
        var time: String
        var stream: String
        var tag: String
        var text: String
    }

    func logLines(_ config: ContainerConfig) throws -> [LogLine] { try Self.lines(config.logPath!) }

    static func lines(_ path: String) throws -> [LogLine] {
        // By bytes: "\r\n" is one Character.
        try Files.read(path).split(separator: 10, omittingEmptySubsequences: false).dropLast().map { bytes in
            let line = String(decoding: bytes, as: UTF8.self)
            let parts = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
            try #require(parts.count == 4, "not a CRI line: \(line)")
            return LogLine(time: parts[0], stream: parts[1], tag: parts[2], text: parts[3])
        }
    }

    /// Waits for a container's end by asking; generous.
    func end(of id: String, in uid: String, runtime: PodRuntime? = nil) async throws -> Containers.ExitStatus {
        let runtime = runtime ?? self.runtime
        for _ in 0..<9000 {
            if let status = await runtime.status(uid)?.containers.first(where: { $0.id == id }),
                case .exited(let exit) = status.state
            {
                return exit
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw ContainersError.invalid("container \(id) did not end within 90 s")
    }
}

/// Runs `body` with a node of its own and checks that nothing of it is left.
func withNode(_ body: (TestNode) async throws -> Void) async throws {
    let node = try TestNode()
    var failure: (any Error)?
    do { try await body(node) } catch { failure = error }
    for uid in try Files.list(node.run) { try await node.runtime.removeSandbox(uid) }
    #expect(try Files.list(node.run).isEmpty)
    if Files.exists(node.data) { #expect(try Files.list(node.data).isEmpty, "containers left files") }
    if let group = node.tree?.cgroup(node.cgroup), group.exists {
        let left = try group.children()
        #expect(left.isEmpty, "cgroups left: \(left)")
        try await group.remove()
    }
    #expect(try MountTable.read().allSatisfy { !$0.point.hasPrefix(node.base) }, "mounts left")
    try Files.removeTree(node.base)
    if let failure { throw failure }
}

func text(_ stream: AsyncStream<[UInt8]>) async -> String {
    var bytes: [UInt8] = []
    for await piece in stream { bytes += piece }
    return String(decoding: bytes, as: UTF8.self)
}

/// Waits until something holds; generous.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
    for _ in 0..<9000 {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("not within 90 s: \(what)")
}

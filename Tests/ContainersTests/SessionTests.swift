// Exec and attach: streams, terminals, exit codes, cancelling.

import Cgroups
import Containers
import Kernel
import System
import Testing

@Suite(.serialized) struct SessionTests {
    func withSleeper(
        _ change: (inout ContainerConfig) -> Void = { _ in },
        _ body: (TestNode, SandboxStatus, ContainerConfig) async throws -> Void
    ) async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config("trap 'exit 0' TERM; while true; do sleep 0.05; done", change)
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            try await body(node, sandbox, config)
        }
    }

    @Test func streamsAndExitCode() async throws {
        try await withSleeper({ $0.environment = [("COLOR", "red")] }) { node, sandbox, config in
            let session = try await node.runtime.exec(
                sandbox: sandbox.uid, container: config.id,
                ExecConfig(
                    arguments: [
                        "sh", "-c", "echo $COLOR $EXTRA $HOME; echo error >&2; pwd; echo $$ > /dev/null; exit 42",
                    ],
                    environment: [("EXTRA", "blue")]))
            async let error = text(session.stderr)
            #expect(await text(session.stdout) == "red blue /root\n/\n")
            #expect(await error == "error\n")
            #expect(try await session.wait() == 42)
        }
    }

    @Test func inputIsWrittenAndEnds() async throws {
        try await withSleeper { node, sandbox, config in
            let session = try await node.runtime.exec(
                sandbox: sandbox.uid, container: config.id, ExecConfig(arguments: ["wc", "-c"], stdin: true))
            let big = [UInt8](repeating: 120, count: 300_000)
            try await session.write(big)
            await session.closeStdin()
            #expect(await text(session.stdout) == "300000\n")
            #expect(try await session.wait() == 0)
            // Without stdin it reads as empty at once.
            let empty = try await node.runtime.exec(
                sandbox: sandbox.uid, container: config.id, ExecConfig(arguments: ["cat"]))
            #expect(try await empty.wait() == 0)
        }
    }

    @Test func muchOutputIsNotLostAndNotBuffered() async throws {
        try await withSleeper { node, sandbox, config in
            let session = try await node.runtime.exec(
                sandbox: sandbox.uid, container: config.id, ExecConfig(arguments: ["seq", "1", "200000"]))
            let output = await text(session.stdout)
            #expect(output.hasSuffix("199999\n200000\n"))
            #expect(output.utf8.count == 1_288_895)
            #expect(try await session.wait() == 0)
        }
    }

    @Test func terminals() async throws {
        try await withSleeper { node, sandbox, config in
            let session = try await node.runtime.exec(
                sandbox: sandbox.uid, container: config.id,
                ExecConfig(
                    arguments: ["sh", "-c", "tty; read x; stty size; echo got $x; exit 9"], terminal: true, stdin: true)
            )
            session.resize(columns: 133, rows: 44)
            try await session.write(Array("typed\n".utf8))
            let output = await text(session.stdout)
            #expect(output.contains("/dev/pts/"))
            #expect(output.contains("44 133"))
            #expect(output.contains("got typed"))
            #expect(try await session.wait() == 9)
        }
    }

    @Test func usersAndDirectories() async throws {
        try await withSleeper { node, sandbox, config in
            let session = try await node.runtime.exec(
                sandbox: sandbox.uid, container: config.id,
                ExecConfig(
                    arguments: ["sh", "-c", "id -u; id -g; pwd; echo again > /dev/stdout"],
                    user: ContainerUser(uid: 1000, gid: 1000), workingDirectory: "/home/user"))
            #expect(await text(session.stdout) == "1000\n1000\n/home/user\nagain\n")
        }
    }

    @Test func failuresAreTold() async throws {
        try await withSleeper { node, sandbox, config in
            func failure(_ id: String, _ command: String) async -> String {
                do {
                    _ = try await node.runtime.exec(
                        sandbox: sandbox.uid, container: id, ExecConfig(arguments: [command]))
                    return "none"
                } catch {
                    return "\(error)"
                }
            }
            #expect(await failure(config.id, "nosuch") == "exec: \"nosuch\": executable file not found in $PATH")
            #expect(await failure("0", "true").contains("no container"))
            try await node.runtime.stopContainer(sandbox: sandbox.uid, id: config.id, signal: nil, grace: .zero)
            #expect(await failure(config.id, "true").contains("not running"))
        }
    }

    @Test(
        "CVE-2022-23471, k8s 81042: cancelling takes what the command started along",
        .enabled(if: TestNode.hasCgroups, TestNode.noCgroups))
    func cancelling() async throws {
        try await withSleeper { node, sandbox, config in
            let session = try await node.runtime.exec(
                sandbox: sandbox.uid, container: config.id,
                ExecConfig(arguments: ["sh", "-c", "sleep 777 & echo up; sleep 778"]))
            for await piece in session.stdout where String(decoding: piece, as: UTF8.self).contains("up") { break }
            session.cancel()
            #expect(try await session.wait() == 137)
            try await eventually("nothing of the command is left") {
                let list = try await node.runtime.exec(
                    sandbox: sandbox.uid, container: config.id, ExecConfig(arguments: ["ps", "-o", "args"]))
                return !(await text(list.stdout)).contains("sleep 77")
            }
        }
    }

    @Test func aCommandThatLeavesSomethingBehindStillEnds() async throws {
        try await withSleeper { node, sandbox, config in
            let session = try await node.runtime.exec(
                sandbox: sandbox.uid, container: config.id,
                ExecConfig(arguments: ["sh", "-c", "echo said; sleep 600 & exit 0"]))
            #expect(await text(session.stdout) == "said\n")
            #expect(try await session.wait() == 0)
        }
    }

    @Test func aCommandThatLeavesAWriterBehindStillEnds() async throws {
        try await withSleeper { node, sandbox, config in
            for terminal in [false, true] {
                let session = try await node.runtime.exec(
                    sandbox: sandbox.uid, container: config.id,
                    ExecConfig(
                        arguments: ["sh", "-c", "trap '' HUP; echo said; yes left & exit 3"], terminal: terminal))
                #expect(await text(session.stdout).hasPrefix("said"))
                #expect(try await session.wait() == 3)
            }
        }
    }

    @Test func manyCommandsLeaveNothing() async throws {
        try await withSleeper { node, sandbox, config in
            func descriptors() throws -> Int { try Files.list("/proc/\(sandbox.supervisorPID)/fd").count }
            func run() async throws {
                let session = try await node.runtime.exec(
                    sandbox: sandbox.uid, container: config.id, ExecConfig(arguments: ["true"]))
                #expect(try await session.wait() == 0)
            }
            let before = try descriptors()
            for _ in 0..<30 { try await run() }
            // What a command had is let go of behind its answer.
            try await eventually("the supervisor has let go of them") { try descriptors() == before }
            if let tree = node.tree {
                let group = tree.cgroup("\(node.cgroup)/pod\(sandbox.uid)/\(config.id)")
                try await eventually("their groups are gone") { try group.children().isEmpty }
            }
        }
    }

    /// A container that writes nothing never finds out by itself that somebody has stopped listening.
    @Test("CVE-2025-64329: sessions attached to a silent container leave nothing")
    func manyAttachedSessionsLeaveNothing() async throws {
        try await withSleeper { node, sandbox, config in
            func descriptors() throws -> Int { try Files.list("/proc/\(sandbox.supervisorPID)/fd").count }
            func attach() async throws -> ExecSession {
                try await node.runtime.attach(sandbox: sandbox.uid, container: config.id, stdin: false)
            }
            let before = try descriptors()
            for _ in 0..<2000 { _ = try await attach() }
            try await eventually("the supervisor has let go of them") { try descriptors() == before }
            var held: [ExecSession] = []
            for _ in 0..<64 { held.append(try await attach()) }
            #expect(try descriptors() == before + 128)
            do {
                _ = try await attach()
                Issue.record("a 65th session")
            } catch {
                let refusal = "attach one more session (64 are) to container \"\(config.id)\""
                #expect("\(error)".hasPrefix(refusal), "\(error)")
            }
            held.removeLast(8)
            // A child on its way to exec may hold copies for a moment.
            try await eventually("eight are let go") { try descriptors() == before + 112 }
            for _ in 0..<8 { held.append(try await attach()) }
            held = []
            try await eventually("the supervisor has let go of these, too") { try descriptors() == before }
        }
    }

    @Test func aContainerJoinsTheProcessesOfAnother() async throws {
        try await withSleeper { node, sandbox, config in
            let debugger = node.config("read -r line; exit 3") {
                $0.stdin = true
                $0.processNamespace = config.id
            }
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, debugger)
            func processes(_ id: String) async throws -> String {
                let list = try await node.runtime.exec(
                    sandbox: sandbox.uid, container: id, ExecConfig(arguments: ["ps", "-o", "pid,args"]))
                return await text(list.stdout)
            }
            let seen = try await processes(debugger.id)
            #expect(seen.contains("sleep") && seen.contains("read -r line"))
            #expect(
                seen.split(separator: "\n").contains { $0.split(separator: " ").first == "1" && $0.contains("sleep") })
            // Its end is its own; the other's end is its, too.
            let session = try await node.runtime.attach(sandbox: sandbox.uid, container: debugger.id, stdin: true)
            try await session.write(Array("x\n".utf8))
            #expect(try await session.wait() == 3)
            #expect(!(try await processes(config.id)).contains("read -r line"))
            var second = node.config("sleep 1000") { $0.processNamespace = config.id }
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, second)
            let watching = try await node.runtime.attach(sandbox: sandbox.uid, container: second.id, stdin: false)
            try await node.runtime.stopContainer(sandbox: sandbox.uid, id: config.id, signal: nil, grace: .zero)
            #expect(try await watching.wait() == 137)
            second = node.config("true") { $0.processNamespace = config.id }
            await #expect(throws: (any Error).self) {
                _ = try await node.runtime.startContainer(sandbox: sandbox.uid, second)
            }
        }
    }

    @Test func attachJoinsTheStreams() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config("while read line; do echo got $line; done; echo over") {
                $0.stdin = true
                $0.stdinOnce = true
            }
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            // One that only looks on leaves the input to the next.
            let onlooker = try await node.runtime.attach(sandbox: sandbox.uid, container: config.id, stdin: false)
            let session = try await node.runtime.attach(sandbox: sandbox.uid, container: config.id, stdin: true)
            try await session.write(Array("one\n".utf8))
            try await session.write(Array("two\n".utf8))
            await session.closeStdin()
            #expect(await text(session.stdout) == "got one\ngot two\nover\n")
            #expect(await text(onlooker.stdout) == "got one\ngot two\nover\n")
            #expect(try await session.wait() == 0)
            #expect(try node.log(config) == "got one\ngot two\nover")
        }
    }
}

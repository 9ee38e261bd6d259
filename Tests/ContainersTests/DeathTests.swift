// Stops that meet the death of a supervisor, without cgroups, which would say by themselves that nothing is left.

import Kernel
import System
import Testing

@testable import Containers

@Suite(.timeLimit(.minutes(5))) struct DeathTests {
    private static let stop: Int32 = 19, go: Int32 = 18

    /// A process namespace ends when the last of its processes is reaped. One that came in from outside is not, as long
    /// as its parent is stopped: so long the container's first process has not ended, although it was killed.
    @Test func aStopAfterTheDeathWaitsForWhatIsGoingDown() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox { $0.cgroup = nil }
            let config = node.config("while true; do sleep 0.05; done")
            let started = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            guard case .running(let pid, _) = started.state else {
                Issue.record("\(started.state)")
                return
            }
            let first = try ProcessHandle(pid: pid)
            let null = try FileDescriptor.open("/dev/null", .readWrite)
            let program = try FileDescriptor.open("/usr/bin/nsenter", .path)
            let parent = try Spawn.start(
                executable: program.raw, name: "nsenter",
                arguments: ["nsenter", "--target", "\(pid)", "--pid", "sleep", "600"],
                environment: ["PATH=/usr/bin:/bin"], descriptors: [null.raw, null.raw, null.raw], cgroup: nil)
            do {
                try await eventually("its child") {
                    try !Files.readText("/proc/\(parent.pid)/task/\(parent.pid)/children").isEmpty
                }
                try parent.signal(Self.stop)
                try await eventually("it is stopped") {
                    try Files.readText("/proc/\(parent.pid)/stat").contains(") T ")
                }
                try ProcessHandle(pid: sandbox.supervisorPID).signal(Signal.kill)
                try await eventually("its death is heard") { await node.runtime.status(sandbox.uid) == nil }
                let stop = Task {
                    try await node.runtime.stopContainer(
                        sandbox: sandbox.uid, id: config.id, signal: nil, grace: .zero)
                    return first.isRunning
                }
                try await Task.sleep(for: .milliseconds(100))
                #expect(first.isRunning)
                try parent.signal(Self.go)
                #expect(try await stop.value == false)
            } catch {
                try? parent.signal(Signal.kill)
                throw error
            }
            _ = try await parent.exit()
        }
    }

    /// What the first process started is in nobody's namespace but the machine's, and nothing ends it.
    @Test func aStopInTheMachinesProcessNamespaceDoesNotSucceedByTheDeath() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox {
                $0.cgroup = nil
                $0.hostPID = true
            }
            let config = node.config("trap 'echo heard' TERM; echo up; while true; do sleep 0.05; done")
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            try await eventually("its log") { try node.logLines(config).count > 0 }
            let stop = Task {
                try await node.runtime.stopContainer(
                    sandbox: sandbox.uid, id: config.id, signal: nil, grace: .seconds(3600))
            }
            try await eventually("it hears the signal") { try node.logLines(config).count > 1 }
            try ProcessHandle(pid: sandbox.supervisorPID).signal(Signal.kill)
            await #expect(throws: ContainersError.self) { try await stop.value }
        }
    }

    /// What is known of a container of a dead supervisor, and whether it has ended.
    private enum Known: CaseIterable {
        case created, gone, goneFromTheMachines, exited
    }

    @Test(arguments: Known.allCases) private func onlyWhatIsKnownToBeGoneIs(_ known: Known) async throws {
        try await withNode { node in
            let null = try FileDescriptor.open("/dev/null", .readWrite)
            let program = try FileDescriptor.open("/bin/busybox", .path)
            let process = try Spawn.start(
                executable: program.raw, name: "busybox", arguments: ["true"], environment: [],
                descriptors: [null.raw, null.raw, null.raw], cgroup: nil)
            _ = try await process.exit()
            var record = SandboxRecord()
            record.uid = "u1"
            record.ownsProcesses = known != .goneFromTheMachines
            let (ours, _) = try UnixSocket.pair()
            let line = try SupervisorConnection(uid: "u1", socket: ours, exited: { _ in }, closed: {})
            let sandbox = Sandbox(record: record, connection: line, process: process, createdAt: .now())
            let state: ContainerState =
                switch known {
                case .created: .created(at: .now())
                case .gone, .goneFromTheMachines: .running(pid: process.pid, startedAt: .now())
                case .exited: .exited(ExitStatus(code: 0, startedAt: .now(), finishedAt: .now()))
                }
            let container = Container(id: "c1", record: ContainerRecord(), state: state)
            let hasEnded = try await node.runtime.wentDown(container, with: sandbox)
            #expect(hasEnded == (known == .gone || known == .exited))
        }
    }
}

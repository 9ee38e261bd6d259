// Containers under their supervisors outlive whoever started them.

import Cgroups
import Containers
import Kernel
import Logging
import System
import Testing

@Suite(.serialized) struct AdoptionTests {
    /// The controller is built beside the test bundle.
    static var controller: String? {
        guard let own = Files.symlinkTarget("/proc/self/exe") else { return nil }
        for folder in [Files.parent(of: own), Files.parent(of: Files.parent(of: own))] {
            if Files.exists("\(folder)/containers-controller") { return "\(folder)/containers-controller" }
        }
        for argument in CommandLine.arguments where argument.contains("/debug/") || argument.contains("/release/") {
            let path = "\(Files.parent(of: argument))/containers-controller"
            if Files.exists(path) { return path }
        }
        return nil
    }

    @Test func aSandboxThatWasCutOffBeforeItsRecordLeavesNothing() async throws {
        try await withNode { node in
            try Files.makeDirectory("\(node.run)/early/shm", mode: 0o700)
            try Files.makeDirectory("\(node.run)/torn", mode: 0o700)
            try Files.writeAtomically("\(node.run)/torn/sandbox", [1, 2, 3], mode: 0o600)
            #expect(await node.runtime.recover().isEmpty)
            // A record that cannot be read may stand for something that runs: somebody has to look.
            #expect(try Files.list(node.run) == ["quarantined-torn"])
        }
    }

    @Test func containersSurviveKillingTheirController() async throws {
        try await withNode { node in
            let controller = try #require(Self.controller, "containers-controller is not beside the tests")
            let uid = Random.uuid()
            let id = Hex.encode(Random.bytes(32))
            let cgroup = node.tree == nil ? "" : "\(node.cgroup)/pod\(uid)"
            let null = try FileDescriptor.open("/dev/null", .readWrite)
            let output = try FileDescriptor.open("\(node.base)/said", [.write, .create])
            let program = try FileDescriptor.open(controller, .path)
            let process = try Spawn.start(
                executable: program.raw, name: controller,
                arguments: [controller, node.run, node.data, node.logs, node.root, cgroup, uid, id],
                environment: ["PATH=/usr/bin:/bin"], descriptors: [null.raw, output.raw, output.raw], cgroup: nil)
            let log = "\(node.logs)/main/0.log"
            try await eventually("the container counts") {
                try Files.exists("\(node.logs)/pids") && Files.exists(log)
                    && Files.readText(log).split(separator: "\n").count > 3
            }
            try process.signal(Signal.kill)
            _ = try await process.exit()

            let said = try Files.readText("\(node.logs)/pids").split(whereSeparator: { $0 == " " || $0 == "\n" })
            let found = await node.runtime.recover()
            #expect(found.map(\.uid) == [uid])
            #expect(found.first?.name == "survivor")
            #expect(found.first?.supervisorPID == said.first.flatMap { Int32($0) })
            guard case .running(let pid, _) = found.first?.containers.first?.state else {
                Issue.record("\(found)")
                return
            }
            #expect(pid == said.last.flatMap { Int32($0) })
            let count = try Files.readText(log).split(separator: "\n").count
            try await eventually("it goes on counting") {
                try Files.readText(log).split(separator: "\n").count > count + 3
            }
            let numbers = try TestNode.lines(log).map { Int($0.text)! }
            #expect(numbers == Array(0..<numbers.count), "a line is missing")
            try await node.runtime.stopContainer(sandbox: uid, id: id, signal: 9, grace: .seconds(5))
            #expect(try await node.end(of: id, in: uid).code == 137)
        }
    }

    @Test func whatEndedMeanwhileIsKnown() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox { $0.labels = ["a": "b"] }
            let config = node.config("exit 6") { $0.labels = ["c": "d"] }
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            _ = try await node.end(of: config.id, in: sandbox.uid)
            let second = try node.secondRuntime()
            let found = try #require(await second.recover().first)
            #expect(found.labels == ["a": "b"])
            #expect(found.createdAt == sandbox.createdAt)
            let container = try #require(found.containers.first)
            #expect(container.labels == ["c": "d"])
            #expect(container.logPath == config.logPath)
            guard case .exited(let exit) = container.state else {
                Issue.record("\(container.state)")
                return
            }
            #expect(exit.code == 6)
        }
    }

    /// A container whose start takes longer than noded's way back: frozen by its cgroup before its first instruction.
    private func frozen(
        _ config: ContainerConfig, in sandbox: SandboxStatus, of node: TestNode
    ) async throws -> (group: Cgroup, start: Task<ContainerStatus, any Error>) {
        let group = try #require(node.tree).cgroup("\(node.cgroup)/pod\(sandbox.uid)/\(config.id)")
        try group.create()
        try group.write("cgroup.freeze", "1")
        let start = Task { try await node.runtime.startContainer(sandbox: sandbox.uid, config) }
        try await eventually("its process") { try !group.processes().isEmpty }
        return (group, start)
    }

    @Test(.timeLimit(.minutes(5)), .enabled(if: TestNode.hasCgroups, TestNode.noCgroups))
    func aContainerThatIsBeingStartedIsFoundAndCanBeRemoved() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config("echo ran")
            let (group, start) = try await frozen(config, in: sandbox, of: node)

            let second = try node.secondRuntime()
            let container = try #require(await second.recover().first?.containers.first)
            #expect(container.id == config.id)
            #expect(container.name == "main")
            guard case .created = container.state else {
                Issue.record("\(container.state)")
                return
            }
            try await second.removeContainer(sandbox: sandbox.uid, id: config.id)
            #expect(await second.status(sandbox.uid)?.containers.isEmpty == true)
            #expect(!group.exists)
            #expect(try Files.readText(config.logPath!).isEmpty, "it ran all the same")
            _ = try? await start.value
        }
    }

    /// Its program begins after it was found and before its start is given up: it runs on, and ends as others do.
    @Test(.timeLimit(.minutes(5)), .enabled(if: TestNode.hasCgroups, TestNode.noCgroups))
    func aStartThatFinishesMeanwhileIsNotGivenUp() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config("trap 'exit 7' TERM; echo up; while true; do sleep 0.05; done")
            let (group, start) = try await frozen(config, in: sandbox, of: node)
            let second = try node.secondRuntime()
            guard case .created = await second.recover().first?.containers.first?.state else {
                Issue.record("it is not being started")
                return
            }
            try group.write("cgroup.freeze", "0")
            // The trap is set by then.
            try await eventually("its log") { try node.logLines(config).count > 0 }
            try await second.cancelStart(sandbox: sandbox.uid, id: config.id)
            guard case .running(let pid, _) = await second.status(sandbox.uid)?.containers.first?.state else {
                Issue.record("it was given up, or nobody knows that it runs")
                return
            }
            #expect(try group.processes().contains(pid))
            try await second.stopContainer(
                sandbox: sandbox.uid, id: config.id, signal: nil, grace: .seconds(3600))
            #expect(try await node.end(of: config.id, in: sandbox.uid, runtime: second).code == 7)
            _ = try await start.value
        }
    }

    @Test(.timeLimit(.minutes(5)), .enabled(if: TestNode.hasCgroups, TestNode.noCgroups))
    func aStartThatIsGivenUpNeverRuns() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config("echo ran")
            let (_, start) = try await frozen(config, in: sandbox, of: node)
            let second = try node.secondRuntime()
            _ = await second.recover()
            try await second.cancelStart(sandbox: sandbox.uid, id: config.id)
            // Killed, as far as it got: whoever asks once more hears nothing else.
            _ = try? await second.cancelStart(sandbox: sandbox.uid, id: config.id)
            try await second.removeContainer(sandbox: sandbox.uid, id: config.id)
            #expect(await second.status(sandbox.uid)?.containers.isEmpty == true)
            #expect(try Files.readText(config.logPath!).isEmpty, "it ran all the same")
            _ = try? await start.value
            await #expect(throws: ContainersError.self) {
                try await second.cancelStart(sandbox: sandbox.uid, id: config.id)
            }
        }
    }

    /// One that fails by itself meanwhile is told to the noded that found it.
    @Test(.timeLimit(.minutes(5)), .enabled(if: TestNode.hasCgroups, TestNode.noCgroups))
    func aFailedStartIsToldToWhoFoundIt() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config("") { $0.arguments = ["/no/such/program"] }
            let (group, start) = try await frozen(config, in: sandbox, of: node)
            let second = try node.secondRuntime()
            _ = await second.recover()
            try group.write("cgroup.freeze", "0")
            // 127, or 137 when the one that asked for it was quicker to clear it away.
            #expect([127, 137].contains(try await node.end(of: config.id, in: sandbox.uid, runtime: second).code))
            try await second.removeContainer(sandbox: sandbox.uid, id: config.id)
            await #expect(throws: ContainersError.self) { _ = try await start.value }
        }
    }

    @Test func aTornRecordCostsNothingWhileTheSupervisorLives() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            try Files.writeAtomically("\(node.run)/\(sandbox.uid)/sandbox", [1, 2, 3])
            let second = try node.secondRuntime()
            #expect(await second.recover().map(\.uid) == [sandbox.uid])
        }
    }

    @Test func aDeadSupervisorIsReportedAndGarbageIsNotFatal() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let good = try await node.sandbox()
            try ProcessHandle(pid: sandbox.supervisorPID).signal(Signal.kill)
            try await eventually("its end") { await node.runtime.status(sandbox.uid) == nil }
            try Files.makeDirectory("\(node.run)/garbage")
            try Files.writeAtomically("\(node.run)/garbage/sandbox", [9, 9])
            try Files.writeAtomically("\(node.run)/a-file", [9, 9])
            let second = try node.secondRuntime()
            #expect(await second.recover().map(\.uid) == [good.uid])
            var died: [String] = []
            for await event in second.events {
                if case .supervisorDied(let uid) = event { died.append(uid) }
                if died.contains(sandbox.uid) { break }
            }
            try await second.removeSandbox("garbage")
            try await second.removeSandbox("a-file")
        }
    }

    @Test func supervisorsAreSmallAndIdle() async throws {
        try await withNode { node in
            // All supervisors map one program (the memfd); with a single one its 0.7 MB would count as that one's own.
            _ = try await node.sandbox()
            let sandbox = try await node.sandbox()
            for _ in 0..<5 { _ = try await node.output("seq 1 1000", in: sandbox) }
            func field(_ file: String, _ name: String) throws -> Int {
                let line = try Files.readText("/proc/\(sandbox.supervisorPID)/\(file)").split(separator: "\n")
                    .first { $0.hasPrefix(name) }
                return try #require(line?.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) })
            }
            let memory = try field("smaps_rollup", "Private_Dirty") + field("smaps_rollup", "Private_Clean")
            print("private memory of a supervisor after five containers: \(memory) kB")
            #expect(memory < 512)
            // The end of the last container may be under way still; then three seconds without waking up.
            try await eventually("it does not wake up while idle") {
                let before = try field("status", "voluntary_ctxt_switches")
                try await Task.sleep(for: .seconds(3))
                return try field("status", "voluntary_ctxt_switches") == before
            }
        }
    }
}

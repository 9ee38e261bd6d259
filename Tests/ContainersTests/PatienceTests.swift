// Slow supervisors, cancelled waits, and ends that come in the middle of an adoption.

import Containers
import Kernel
import Logging
import System
import Testing

@Suite(.serialized) struct PatienceTests {
    private static let stop: Int32 = 19, go: Int32 = 18

    private func secondRuntime(_ node: TestNode) throws -> PodRuntime {
        try PodRuntime(
            runDirectory: node.run, dataDirectory: node.data, patience: .milliseconds(50),
            logger: Logger(label: "test-second"))
    }

    @Test(.timeLimit(.minutes(5))) func aCancelledStopReturnsAndKillsNothing() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config("trap '' TERM; echo up; while true; do sleep 0.05; done")
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            try await eventually("its log") { try node.logLines(config).count > 0 }
            let stop = Task {
                try await node.runtime.stopContainer(
                    sandbox: sandbox.uid, id: config.id, signal: nil, grace: .seconds(3600))
            }
            try await Task.sleep(for: .milliseconds(100))
            stop.cancel()
            await #expect(throws: CancellationError.self) { try await stop.value }
            guard case .running = await node.runtime.status(sandbox.uid)?.containers.first?.state else {
                Issue.record("a cancelled stop has killed")
                return
            }
        }
    }

    /// The container is killed all the same, and who asked is told what hangs.
    @Test(.timeLimit(.minutes(5)), .enabled(if: TestNode.hasCgroups, TestNode.noCgroups))
    func aStoppedSupervisorHoldsUpNoKill() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let runtime = try PodRuntime(
                runDirectory: node.run, dataDirectory: node.data, killPatience: .milliseconds(50),
                logger: Logger(label: "test-second"))
            let config = node.config("trap '' TERM; echo up; while true; do sleep 0.05; done")
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            _ = await runtime.recover()
            guard case .running(let pid, _) = await runtime.status(sandbox.uid)?.containers.first?.state else {
                Issue.record("it does not run")
                return
            }
            let process = try ProcessHandle(pid: pid)
            let supervisor = try ProcessHandle(pid: sandbox.supervisorPID)
            try supervisor.signal(Self.stop)
            for grace in [Duration.milliseconds(50), .zero] {
                do {
                    try await runtime.stopContainer(sandbox: sandbox.uid, id: config.id, signal: nil, grace: grace)
                    Issue.record("nobody can know that it has ended")
                } catch ContainersError.supervisor(let uid, let text) {
                    #expect(uid == sandbox.uid)
                    #expect(text.contains("process \(sandbox.supervisorPID)") && text.contains("has not answered"))
                }
                try await process.ended()
            }
            let starting = node.config("echo ran")
            let start = Task { try await runtime.startContainer(sandbox: sandbox.uid, starting) }
            try await eventually("its entry") { await runtime.status(sandbox.uid)?.containers.count == 2 }
            await #expect(throws: ContainersError.self) {
                try await runtime.cancelStart(sandbox: sandbox.uid, id: starting.id)
            }
            // It goes on, and says how it ended.
            try supervisor.signal(Self.go)
            #expect(try await node.end(of: config.id, in: sandbox.uid, runtime: runtime).code == 137)
            try await runtime.stopContainer(sandbox: sandbox.uid, id: config.id, signal: nil, grace: .zero)
            _ = try? await start.value
        }
    }

    /// Asked while it hangs, and while the container takes its grace: what was to end has ended.
    @Test(.timeLimit(.minutes(5))) func aStopSucceedsWhenTheSupervisorDies() async throws {
        for hangs in [true, false] {
            try await withNode { node in
                let sandbox = try await node.sandbox()
                let config = node.config("trap 'echo heard' TERM; echo up; while true; do sleep 0.05; done")
                let started = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
                guard case .running(let pid, _) = started.state else {
                    Issue.record("\(started.state)")
                    return
                }
                let process = try ProcessHandle(pid: pid)
                try await eventually("its log") { try node.logLines(config).count > 0 }
                let supervisor = try ProcessHandle(pid: sandbox.supervisorPID)
                if hangs { try supervisor.signal(Self.stop) }
                let stop = Task {
                    try await node.runtime.stopContainer(
                        sandbox: sandbox.uid, id: config.id, signal: nil, grace: .seconds(3600))
                }
                if hangs {
                    try await Task.sleep(for: .milliseconds(100))
                } else {
                    try await eventually("it hears the signal") { try node.logLines(config).count > 1 }
                }
                try supervisor.signal(Signal.kill)
                try await stop.value
                // The kernel takes a process out of its cgroup a moment before it tells of its end.
                try await process.ended()
            }
        }
    }

    @Test(.timeLimit(.minutes(5))) func aRequestToAStoppedSupervisorIsCancelled() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config("while true; do sleep 0.05; done")
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            let supervisor = try ProcessHandle(pid: sandbox.supervisorPID)
            try supervisor.signal(Self.stop)
            let other = node.config("exit 7")
            let start = Task { try await node.runtime.startContainer(sandbox: sandbox.uid, other) }
            let command = Task {
                try await node.runtime.exec(
                    sandbox: sandbox.uid, container: config.id, ExecConfig(arguments: ["sleep", "600"]))
            }
            try await Task.sleep(for: .milliseconds(100))
            start.cancel()
            command.cancel()
            await #expect(throws: CancellationError.self) { _ = try await start.value }
            await #expect(throws: CancellationError.self) { _ = try await command.value }
            try supervisor.signal(Self.go)
            // What was asked for is done all the same, but a command without anybody to hear it is not left running.
            #expect(try await node.end(of: other.id, in: sandbox.uid).code == 7)
            try await eventually("the command is gone") {
                let list = try await node.runtime.exec(
                    sandbox: sandbox.uid, container: config.id, ExecConfig(arguments: ["ps", "-o", "args"]))
                return !(await text(list.stdout)).contains("sleep 600")
            }
        }
    }

    @Test(.timeLimit(.minutes(5))) func aSlowSupervisorKeepsItsPodAndHoldsUpNobody() async throws {
        try await withNode { node in
            let slow = try await node.sandbox { $0.name = "slow" }
            let config = node.config("while true; do sleep 0.05; done")
            _ = try await node.runtime.startContainer(sandbox: slow.uid, config)
            let quick = try await node.sandbox()
            let supervisor = try ProcessHandle(pid: slow.supervisorPID)
            try supervisor.signal(Self.stop)
            let second = try secondRuntime(node)
            let found = await second.recover()
            #expect(Set(found.map(\.uid)) == [slow.uid, quick.uid])
            #expect(found.first { $0.uid == slow.uid }?.name == "slow")
            #expect(found.first { $0.uid == slow.uid }?.supervisorPID == slow.supervisorPID)
            // Who asks for it waits, and may give up waiting.
            let asked = Task { await second.status(slow.uid) }
            try await Task.sleep(for: .milliseconds(100))
            try supervisor.signal(Self.go)
            let status = try #require(await asked.value)
            guard case .running = status.containers.first?.state else {
                Issue.record("\(status)")
                return
            }
            try await second.stopContainer(sandbox: slow.uid, id: config.id, signal: 9, grace: .seconds(5))
        }
    }

    /// A file system whose server never answers, as a network disk or a dying card: until its line is cut.
    @Test(.timeLimit(.minutes(5))) func aDiskThatHangsHoldsUpWhatNeedsItAndNobodyElse() async throws {
        try await withNode { node in
            guard Files.exists("/dev/fuse") else {
                print("skipped: no /dev/fuse")
                return
            }
            let place = "\(node.base)/hung"
            try Files.makeDirectory(place)
            var server: SharedDescriptor? = SharedDescriptor(try FileDescriptor.open("/dev/fuse", .readWrite))
            let options = [("source", "hung"), ("fd", "\(server!.raw)"), ("rootmode", "40000")]
                + [("user_id", "0"), ("group_id", "0")]
            try Mounts.attach(try Mounts.create("fuse", options.map { (key: $0.0, value: $0.1) }), to: place)
            defer { _ = try? Mounts.unmount(place) }

            let slow = try await node.sandbox()
            let quick = try await node.sandbox()
            let config = node.config("echo ran") { $0.logPath = "\(place)/logs/0.log" }
            let start = Task { try await node.runtime.startContainer(sandbox: slow.uid, config) }
            // The last thing that is made before the log's folder.
            try await eventually("it hangs") { Files.exists("\(node.data)/\(slow.uid)/\(config.id)/root") }

            #expect(try await node.output("echo well", in: quick).text == "well")
            #expect(await node.runtime.status(slow.uid)?.containers.isEmpty == true)
            try await node.runtime.removeSandbox(quick.uid)

            // Who removes the pod waits, and leaves nothing behind.
            let removal = Task { try await node.runtime.removeSandbox(slow.uid) }
            try await eventually("its supervisor goes") { await node.runtime.status(slow.uid) == nil }
            server = nil
            await #expect(throws: (any Error).self) { _ = try await start.value }
            try await removal.value
            #expect(!Files.exists("\(node.data)/\(slow.uid)"))
            #expect(!Files.exists("\(node.run)/\(slow.uid)"))
        }
    }

    @Test(.timeLimit(.minutes(5))) func aSupervisorThatDiesWhileItIsWaitedForIsTold() async throws {
        try await withNode { node in
            let slow = try await node.sandbox()
            let supervisor = try ProcessHandle(pid: slow.supervisorPID)
            try supervisor.signal(Self.stop)
            let second = try secondRuntime(node)
            let asked = Task {
                _ = await second.recover()
                return await second.status(slow.uid)
            }
            try await Task.sleep(for: .milliseconds(200))
            try supervisor.signal(Signal.kill)
            #expect(await asked.value == nil)
            for await event in second.events {
                if case .supervisorDied(let uid) = event {
                    #expect(uid == slow.uid)
                    break
                }
            }
        }
    }

    @Test(.timeLimit(.minutes(5))) func endsDuringAnAdoptionAreNotLost() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            for _ in 0..<5 {
                var ids: [String] = []
                for _ in 0..<8 {
                    let config = node.config("exec sleep 600")
                    _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
                    ids.append(config.id)
                }
                let pids = await node.runtime.status(sandbox.uid)?.containers.compactMap { container -> Int32? in
                    if case .running(let pid, _) = container.state { pid } else { nil }
                } ?? []
                #expect(pids.count == ids.count)
                let supervisor = try ProcessHandle(pid: sandbox.supervisorPID)
                try supervisor.signal(Self.stop)
                let second = try secondRuntime(node)
                async let found = second.recover()
                try await Task.sleep(for: .milliseconds(20))
                for pid in pids { try ProcessHandle(pid: pid).signal(Signal.kill) }
                try supervisor.signal(Self.go)
                _ = await found
                for id in ids {
                    #expect(try await node.end(of: id, in: sandbox.uid, runtime: second).code == 137)
                    try await node.runtime.removeContainer(sandbox: sandbox.uid, id: id)
                }
            }
        }
    }
}

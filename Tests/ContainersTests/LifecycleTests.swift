// Sandboxes and containers from the first to the last verb, on the real kernel.

import Cgroups
import Containers
import Kernel
import System
import Testing

@Suite(.serialized) struct LifecycleTests {
    /// Neither is sent: a message that the supervisor does not take breaks the line, and with it the whole pod.
    @Test(.timeLimit(.minutes(5))) func whatIsTooBigIsRefusedAndHarmsNobody() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let healthy = node.config("while true; do sleep 0.05; done")
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, healthy)
            let big = String(repeating: "x", count: 1 << 20)
            let greedy = node.config("true") { $0.environment = (0..<17).map { ("CONFIG_\($0)", big) } }
            await #expect {
                _ = try await node.runtime.startContainer(sandbox: sandbox.uid, greedy)
            } throws: {
                "\($0)".contains("environment have 178")
            }
            await #expect {
                _ = try await node.runtime.exec(
                    sandbox: sandbox.uid, container: healthy.id,
                    ExecConfig(arguments: [String](repeating: big, count: 17)))
            } throws: {
                "\($0)".contains("request has 178")
            }
            let status = try #require(await node.runtime.status(sandbox.uid))
            #expect(status.supervisorPID == sandbox.supervisorPID)
            #expect(status.containers.map(\.id) == [healthy.id])
            #expect(try await node.output("echo well", in: sandbox).text == "well")
        }
    }

    @Test func aContainerRunsAndItsOutputIsLogged() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config("echo hello; echo oops >&2; exit 3")
            let started = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            guard case .running(let pid, _) = started.state else {
                // It may have been quicker than the answer.
                guard case .exited = started.state else {
                    Issue.record("\(started.state)")
                    return
                }
                return
            }
            #expect(pid > 0)
            let exit = try await node.end(of: config.id, in: sandbox.uid)
            #expect(exit.code == 3)
            #expect(exit.signal == nil)
            #expect(exit.startedAt <= exit.finishedAt)
            let lines = try node.logLines(config)
            #expect(lines.map(\.text).sorted() == ["hello", "oops"])
            #expect(lines.first { $0.text == "oops" }?.stream == "stderr")
            #expect(
                lines.allSatisfy { $0.tag == "F" && Timestamp(rfc3339: $0.time) != nil && $0.time.utf8.count == 30 })
        }
    }

    @Test func theSandboxSharesWhatAPodShares() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let first = try await node.output("hostname; ip link show lo | head -1; echo x > /dev/shm/a", in: sandbox)
            #expect(first.text.hasPrefix("a-pod\n"))
            #expect(first.text.contains("UP"))
            let second = try await node.output("cat /dev/shm/a; echo $$; readlink /proc/self/ns/net", in: sandbox)
            let lines = second.text.split(separator: "\n").map(String.init)
            #expect(lines.first == "x")
            #expect(lines[1] == "1", "a PID namespace of its own")
            #expect(lines[2] == Namespace.identity(.network, pid: sandbox.supervisorPID))
            let supervisor = try #require(await node.runtime.supervisor(of: sandbox.uid))
            let inside = try await NetworkNamespace.run(in: supervisor) { Files.symlinkTarget("/proc/thread-self/ns/net") }
            #expect(lines[2] == inside)
            #expect(lines[2] != Files.symlinkTarget("/proc/self/ns/net"))
        }
    }

    @Test func stopSendsTheSignalAndKillsAfterTheGrace() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let polite = node.config("trap 'echo bye; exit 7' TERM; echo ready; while true; do sleep 0.02; done")
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, polite)
            try await eventually("ready") { try node.log(polite).contains("ready") }
            try await node.runtime.stopContainer(sandbox: sandbox.uid, id: polite.id, signal: nil, grace: .seconds(20))
            #expect(try await node.end(of: polite.id, in: sandbox.uid).code == 7)
            #expect(try node.log(polite).contains("bye"))

            let stubborn = node.config("trap '' TERM; echo ready; while true; do sleep 0.02; done")
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, stubborn)
            try await eventually("ready") { try node.log(stubborn).contains("ready") }
            try await node.runtime.stopContainer(
                sandbox: sandbox.uid, id: stubborn.id, signal: nil, grace: .milliseconds(100))
            let exit = try await node.end(of: stubborn.id, in: sandbox.uid)
            #expect(exit.code == 137)
            #expect(exit.signal == 9)
            // Again is fine, and so is one that never was.
            try await node.runtime.stopContainer(sandbox: sandbox.uid, id: stubborn.id, signal: nil, grace: .zero)
            try await node.runtime.stopContainer(sandbox: sandbox.uid, id: "none", signal: nil, grace: .zero)
            try await node.runtime.removeContainer(sandbox: sandbox.uid, id: stubborn.id)
            try await node.runtime.removeContainer(sandbox: sandbox.uid, id: stubborn.id)
            #expect(await node.runtime.status(sandbox.uid)?.containers.map(\.id) == [polite.id])
        }
    }

    @Test func failuresSayWhatOnWhat() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            func failure(_ change: (inout ContainerConfig) -> Void) async -> String {
                do {
                    _ = try await node.runtime.startContainer(sandbox: sandbox.uid, node.config("true", change))
                    return "no failure"
                } catch {
                    return "\(error)"
                }
            }
            #expect(
                await failure { $0.arguments = ["nosuch"] } == "exec: \"nosuch\": executable file not found in $PATH")
            #expect(await failure { $0.arguments = ["/nosuch"] } == "exec: \"/nosuch\": No such file or directory")
            #expect(await failure { $0.arguments = ["/etc/passwd"] } == "exec: \"/etc/passwd\": Permission denied")
            let mount = await failure { $0.mounts = [Mount(source: "/nosuch/dir", destination: "/data")] }
            #expect(mount.contains("/nosuch/dir") && mount.contains("No such file or directory"))
            #expect(await failure { $0.arguments = [] }.contains("no command"))
            #expect(await failure { $0.user.uid = .max }.contains("4294967295"))
            #expect(await failure { $0.workingDirectory = "/etc/passwd" }.contains("Not a directory"))
            // None of them is left behind.
            #expect(await node.runtime.status(sandbox.uid)?.containers.isEmpty == true)
        }
    }

    @Test func eventsTellOfStartsAndEnds() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config("exit 5")
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            for await event in node.runtime.events {
                if case .containerExited(sandbox.uid, config.id, let exit) = event {
                    #expect(exit.code == 5)
                    break
                }
            }
        }
    }

    @Test func theTerminationMessageIsRead() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let file = "\(node.base)/message"
            try Files.writeAtomically(file, "", mode: 0o666)
            let result = try await node.output("yes x | head -c 9000 > /dev/termination-log; exit 1", in: sandbox) {
                $0.terminationMessagePath = file
                $0.mounts = [Mount(source: file, destination: "/dev/termination-log")]
            }
            #expect(result.status.message?.utf8.count == 4096)
        }
    }

    @Test func aDeadSupervisorTakesItsPodAlong() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config("while true; do sleep 0.02; done")
            let started = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            guard case .running(let pid, _) = started.state else { return }
            let process = try ProcessHandle(pid: pid)
            let supervisor = try #require(await node.runtime.supervisor(of: sandbox.uid))
            try ProcessHandle(pid: sandbox.supervisorPID).signal(Signal.kill)
            for await event in node.runtime.events where event == .supervisorDied(uid: sandbox.uid) { break }
            try await eventually("the container's end") { !process.isRunning }
            #expect(await node.runtime.status(sandbox.uid) == nil)
            // Who kept the handle gets into nobody's network with it.
            #expect(await node.runtime.supervisor(of: sandbox.uid) == nil)
            await #expect(throws: SystemError.self) { try await NetworkNamespace.run(in: supervisor) {} }
        }
    }

    @Test func sharedProcessNamespace() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox { $0.shareProcessNamespace = true }
            let sleeper = node.config("sleep 600 & sleep 601 & wait")
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, sleeper)
            let result = try await node.output(
                "sleep 0.1; ps -o pid,args; ls /proc/1/root 2>&1; cat /proc/1/comm", in: sandbox)
            #expect(result.text.contains("sleep 600"), "containers see each other")
            #expect(result.text.contains("pod-init"))
            try await node.runtime.stopContainer(sandbox: sandbox.uid, id: sleeper.id, signal: nil, grace: .zero)
            // Also what the first process left behind is gone.
            if node.tree != nil {
                let after = try await node.output("ps -o args", in: sandbox)
                #expect(!after.text.contains("sleep 60"))
            }
        }
    }

    @Test func hostNamespaces() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox {
                $0.hostNetwork = true
                $0.hostPID = true
                $0.hostIPC = true
            }
            let result = try await node.output(
                "for n in net pid ipc uts; do readlink /proc/self/ns/$n; done", in: sandbox)
            let own = ["net", "pid", "ipc", "uts"].map { Files.symlinkTarget("/proc/self/ns/\($0)")! }
            #expect(result.text.split(separator: "\n").map(String.init) == own)
        }
    }

    @Test func removalWorksWithoutMemory() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let config = node.config("while true; do sleep 0.02; done")
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            let other = try node.secondRuntime()
            try await other.removeSandbox(sandbox.uid)
            try await other.removeSandbox(sandbox.uid)
            try await other.removeSandbox("never-was")
            #expect(!Files.exists("\(node.run)/\(sandbox.uid)"))
            #expect(!Files.exists("\(node.data)/\(sandbox.uid)"))
        }
    }
}

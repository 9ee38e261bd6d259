// `noded bench-container`: how long `/bin/true` takes in a container of one sandbox, from the request to its exit
// seen. For Benchmarks/, which runs crun and runc beside it on the same root; not for users.

import ArgumentParser
import Cgroups
import Containers
import Kernel
import Logging
import Seccomp
import System

struct BenchContainerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench-container", abstract: "Time /bin/true in containers; used by Benchmarks/.",
        shouldDisplay: false)

    @Option(help: "A root with /bin/true.")
    var root: String

    @Option(help: "How many containers, one after another.")
    var runs = 10

    func run() async throws {
        do {
            try Preflight.require()
            let folder = "/var/tmp/noded-bench-container-\(Random.nameSuffix(8))"
            defer { try? Files.removeTree(folder) }
            let runtime = try PodRuntime(
                runDirectory: "\(folder)/run", dataDirectory: "\(folder)/data",
                logger: LogFactory(format: .text, level: .warning)("bench"))
            do {
                try await measure(runtime, folder)
            } catch {
                try? await runtime.teardown()
                throw error
            }
            try await runtime.teardown()
        } catch {
            fail(error)
        }
    }

    private func measure(_ runtime: PodRuntime, _ folder: String) async throws {
        let uid = "bench"
        let events = runtime.events
        let tree = try CgroupTree.find()
        let group = tree.cgroup("noded-bench-\(Random.nameSuffix(8))")
        _ = try await runtime.createSandbox(
            SandboxConfig(
                uid: uid, name: uid, namespace: uid, hostname: uid, cgroup: group.child("pod").path,
                logDirectory: "\(folder)/logs"))
        let capabilities = Capabilities.default
        let seccomp = try SeccompProfile.runtimeDefault(capabilities: capabilities)
        var iterator = events.makeAsyncIterator()
        for run in 0..<runs {
            let id = Hex.encode(Random.bytes(32))
            let config = ContainerConfig(
                id: id, name: "true", attempt: run, rootLayers: [root], arguments: ["/bin/true"],
                capabilities: capabilities, seccomp: seccomp, logPath: "\(folder)/logs/\(run).log")
            let begun = ContinuousClock.now
            _ = try await runtime.startContainer(sandbox: uid, config)
            var status: ExitStatus?
            while status == nil, let event = await iterator.next() {
                if case .containerExited(_, let ended, let exit) = event, ended == id { status = exit }
            }
            let took = begun.duration(to: .now)
            guard status?.code == 0 else { throw StartFailure("/bin/true ended with \(status?.code ?? -1)") }
            print(took.components.seconds * 1_000_000_000 + took.components.attoseconds / 1_000_000_000)
            try await runtime.removeContainer(sandbox: uid, id: id)
        }
        try await runtime.removeSandbox(uid)
        try await group.remove()
    }
}

// Small implementations of what a worker acts through: containers that are entries in a dictionary, a network that
// counts addresses, a sink that remembers.

import Cgroups
import Client
import Containers
import Glibc
import HTTP
import Kernel
import Logging
import Objects
import PodNetwork
import Synchronization
import System

@testable import Kubelet

extension Logger {
    static let quiet: Logger = {
        var logger = Logger(label: "kubelet")
        logger.logLevel = .critical
        return logger
    }()
}

extension KubeletConfig {
    /// Node n1, with everything in one folder.
    static func node(_ folder: String) -> KubeletConfig {
        KubeletConfig(
            nodeName: "n1", dataDirectory: "\(folder)/data", logRoot: "\(folder)/logs", addresses: [.v4(0xc000_0201)])
    }
}

extension Kubelet {
    /// One that acts through the fakes.
    init(
        _ config: KubeletConfig, client: (any APIClient)? = nil, runtime: FakeRuntime = FakeRuntime(),
        network: FakeNetwork = FakeNetwork(), prober: FakeProber = FakeProber(),
        drain: @escaping EndpointDrain = { _ in }
    ) {
        self.init(
            config: config, client: client, runtime: runtime, images: FakeImages(), network: network, prober: prober,
            seccomp: { _ in [1] }, drain: drain, logger: .quiet)
    }
}

final class FakeRuntime: ContainerRuntime {
    struct State {
        var sandboxes: [String: SandboxStatus] = [:]
        var configs: [String: ContainerConfig] = [:]
        var calls: [String] = []
        /// What happens right after somebody has asked for a status.
        var afterStatus: (@Sendable () -> Void)?
        /// Containers do not end before this is taken away.
        var stopsHang = false
        /// How often a stop still fails.
        var stopFailures = 0
        /// Containers that are being started turn out to run when their start is to be given up.
        var startsFinish = false
        /// Neither are they removed.
        var removalsHang = false
        /// How often a removal still fails.
        var removalFailures = 0
        var exec: (@Sendable () async throws -> ExecSession)?
    }

    let state = Mutex(State())
    private let reader = Mutex<AsyncStream<RuntimeEvent>.Continuation?>(nil)

    /// The latest caller is the reader: a cancelled one ends its own stream only.
    var events: AsyncStream<RuntimeEvent> {
        let (stream, continuation) = AsyncStream<RuntimeEvent>.makeStream()
        reader.withLock { $0 = continuation }
        return stream
    }

    private func emit(_ event: RuntimeEvent) { _ = reader.withLock { $0?.yield(event) } }

    var calls: [String] { state.withLock { $0.calls } }
    func config(_ name: String) -> ContainerConfig? { state.withLock { $0.configs.values.first { $0.name == name } } }

    func recover() async -> [SandboxStatus] { state.withLock { Array($0.sandboxes.values) } }

    func createSandbox(_ config: SandboxConfig) async throws -> SandboxStatus {
        state.withLock { state in
            state.calls.append("sandbox")
            let status = SandboxStatus(
                uid: config.uid, name: config.name, namespace: config.namespace, supervisorPID: 4242,
                createdAt: .now(), annotations: config.annotations, logDirectory: config.logDirectory)
            state.sandboxes[config.uid] = status
            return status
        }
    }

    func startContainer(sandbox uid: String, _ config: ContainerConfig) async throws -> Containers.ContainerStatus {
        try state.withLock { state in
            guard state.sandboxes[uid] != nil else { throw ContainersError.noSandbox(uid: uid) }
            state.calls.append("start \(config.name) \(config.attempt)")
            state.configs[config.id] = config
            let status = Containers.ContainerStatus(
                id: config.id, name: config.name, attempt: config.attempt, state: .running(pid: 4243, startedAt: .now())
            )
            state.sandboxes[uid]?.containers.append(status)
            return status
        }
    }

    func exit(_ uid: String, _ name: String, _ code: Int32) {
        let end = ExitStatus(code: code, startedAt: .now(), finishedAt: .now())
        let id = state.withLock { state -> String? in
            guard let index = state.sandboxes[uid]?.containers.lastIndex(where: { $0.name == name }) else { return nil }
            guard case .running = state.sandboxes[uid]!.containers[index].state else { return nil }
            state.sandboxes[uid]!.containers[index].state = .exited(end)
            return state.sandboxes[uid]!.containers[index].id
        }
        if let id { emit(.containerExited(uid: uid, id: id, end)) }
    }

    func cancelStart(sandbox uid: String, id: String) async throws -> Bool {
        state.withLock { state in
            guard let index = state.sandboxes[uid]?.containers.firstIndex(where: { $0.id == id }) else { return false }
            guard state.startsFinish else {
                // Its end is told at once, as by a machine that is quick.
                let end = ExitStatus(code: 137, startedAt: .now(), finishedAt: .now())
                state.sandboxes[uid]?.containers[index].state = .exited(end)
                return true
            }
            state.sandboxes[uid]?.containers[index].state = .running(pid: 4243, startedAt: .now())
            return false
        }
    }

    func stopContainer(sandbox uid: String, id: String, signal: Int32?, grace: Duration) async throws {
        let name = state.withLock { state -> String? in
            let name = state.sandboxes[uid]?.containers.first { $0.id == id }?.name
            state.calls.append("stop \(name ?? "?")")
            return name
        }
        let failed = state.withLock { state in
            defer { state.stopFailures = max(0, state.stopFailures - 1) }
            return state.stopFailures > 0
        }
        if failed { throw ContainersError.supervisor(uid: uid, "it has not answered") }
        while state.withLock({ $0.stopsHang }) { try await Task.sleep(for: .milliseconds(5)) }
        if let name { exit(uid, name, 143) }
    }

    func removeContainer(sandbox uid: String, id: String) async throws {
        while state.withLock({ $0.removalsHang }) { try await Task.sleep(for: .milliseconds(5)) }
        let failed = state.withLock { state in
            guard state.removalFailures == 0 else {
                state.removalFailures -= 1
                return true
            }
            state.sandboxes[uid]?.containers.removeAll { $0.id == id }
            return false
        }
        if failed { throw ContainersError.invalid("it still holds its mounts") }
    }

    func removeSandbox(_ uid: String) async throws {
        state.withLock { state in
            state.calls.append("remove")
            state.sandboxes[uid] = nil
        }
    }

    func resize(sandbox uid: String, container id: String?, _ resources: CgroupResources) async throws -> [String] {
        state.withLock { state in
            let name = id.map { id in state.sandboxes[uid]?.containers.first { $0.id == id }?.name ?? "?" } ?? "pod"
            let memory = resources.memoryMax.map(String.init) ?? "-"
            state.calls.append("resize \(name) cpu \(resources.cpuMax?.quota ?? 0) memory \(memory)")
        }
        return []
    }

    func exec(sandbox uid: String, container id: String, _ config: ExecConfig) async throws -> ExecSession {
        guard let exec = state.withLock({ $0.exec }) else {
            throw ContainersError.invalid("the fake does not exec")
        }
        return try await exec()
    }
    func attach(sandbox uid: String, container id: String, stdin: Bool) async throws -> ExecSession {
        throw ContainersError.invalid("the fake does not attach")
    }
    func reopenLog(sandbox uid: String, id: String) async throws {}
    /// There are no processes here: the test stands for all of them.
    func supervisor(of uid: String) async -> ProcessHandle? {
        guard state.withLock({ $0.sandboxes[uid] != nil }) else { return nil }
        return try? ProcessHandle(pid: getpid())
    }

    func status(_ uid: String) async -> SandboxStatus? {
        let (status, after) = state.withLock { state in
            defer { state.afterStatus = nil }
            return (state.sandboxes[uid], state.afterStatus)
        }
        after?()
        return status
    }
}

final class FakeNetwork: PodNetworking {
    struct State {
        var pods: [String: PodAddresses] = [:]
        /// How often recovery still fails; as the real one, it gives out no address before.
        var failures = 0
        var isRecovered = true
        var refused = 0
        /// How many links still go, and nobody hears of it, before whoever attached the pod has his answer.
        var losses = 0
    }

    let state = Mutex(State())

    /// - Parameter failures: how often the first start cannot read what the kernel has.
    init(failures: Int = 0) {
        state.withLock { ($0.failures, $0.isRecovered) = (failures, failures == 0) }
    }

    func prepareNode() async throws {}
    func attach(podUID: String, process: ProcessHandle) async throws -> PodAddresses {
        let given: PodAddresses? = state.withLock { state in
            guard state.isRecovered else {
                state.refused += 1
                return nil
            }
            if let known = state.pods[podUID] { return known }
            let count = state.pods.count
            let fresh = PodAddresses(ips: [.v4(0x0a2a_0002 + UInt32(count))], hostInterface: "nd\(count)")
            if state.losses > 0 { state.losses -= 1 } else { state.pods[podUID] = fresh }
            return fresh
        }
        guard let given else { throw PodNetworkError.notRecovered(podUID: podUID) }
        return given
    }
    func detach(podUID: String) async { state.withLock { $0.pods[podUID] = nil } }
    func recover(live: [String]) async throws {
        let failed = state.withLock { state in
            state.isRecovered = state.failures == 0
            state.failures = max(0, state.failures - 1)
            return !state.isRecovered
        }
        if failed { throw PodNetworkError.config("the kernel cannot be asked now") }
    }
    var isRecovered: Bool { state.withLock { $0.isRecovered } }
    func addresses(of podUID: String) -> PodAddresses? {
        state.withLock { $0.isRecovered ? $0.pods[podUID] : nil }
    }
    let (lostLinks, loseLink) = AsyncStream<String>.makeStream()
    func teardown() async throws {}
}

struct FakeImages: ImageProvider {
    func find(_ reference: String) async throws -> ResolvedImage? {
        guard reference.hasPrefix("web") else { return nil }
        return ResolvedImage(
            id: "sha256:1", rootLayers: ["/tmp"], entrypoint: ["/bin/web"], command: ["--serve"],
            environment: ["PATH=/bin"], workingDirectory: "/srv", user: "1000:1000")
    }
}

/// Every HTTP probe is answered with the status of the moment.
final class FakeProber: Prober {
    let code = Mutex(200)
    func httpGet(
        scheme: String, host: String, port: Int, path: String, headers: HTTPHeaders, timeout: Duration
    ) async -> ProbeResult { .response(status: code.withLock { $0 }, body: []) }
    func tcp(host: String, port: Int, timeout: Duration) async -> String? { nil }
}

// The container runtime: sandboxes and their containers, through one supervisor process a pod.
//
//     RUN/<uid>/supervisor.sock   the supervisor's control socket, 0600; its presence is how a pod is found again
//     RUN/<uid>/sandbox           what the sandbox is (its cgroup above all), for tidying up when nobody answers
//     RUN/<uid>/shm               the pod's /dev/shm
//     DATA/<uid>/<id>/…           upper, work and root of a container's overlay
//
// The supervisors are the truth: what they answer is what runs. Files only help to find them; a torn one costs a
// pod's tidying, never the start of noded. Everything may be called twice.

public import Cgroups
public import Kernel
public import Logging
import SupervisorProtocol
import System

public actor PodRuntime: ContainerRuntime {
    let runDirectory: String
    let dataDirectory: String
    let logger: Logger
    let executable: SharedDescriptor
    let tree: CgroupTree?
    var sandboxes: [String: Sandbox] = [:]
    /// Those whose supervisors died, until what they held is gone: for who stops one of their containers.
    var goingDown: [Sandbox] = []
    /// Sandboxes being made or removed: the second caller waits for the first.
    private var busy: [String: Outcome<Void>] = [:]
    /// Containers being prepared, by pod and id: the pod's tidying waits for them.
    var preparing: [String: [String: Outcome<Void>]] = [:]
    /// For whatever may wait for a disk or the kernel: never on the actor, which all pods share.
    static let pool = BlockingPool(name: "noded-containers", maximumThreads: 32)
    /// Supervisors that were found and have not answered yet.
    var finding: [String: Outcome<Void>] = [:]
    /// How long `recover` waits for supervisors before it goes on without the late ones.
    let patience: Duration
    /// How long a supervisor that is to kill may take to answer before noded kills past it.
    let killPatience: Duration
    public nonisolated let events: AsyncStream<RuntimeEvent>
    nonisolated let sink: AsyncStream<RuntimeEvent>.Continuation

    /// - Parameters:
    ///   - runDirectory: for sockets; at most 50 bytes, made when missing (0700).
    ///   - dataDirectory: for roots of containers, on a file system that overlay accepts as upper (0700).
    ///   - patience: how long `recover` holds up its caller for supervisors that do not answer.
    ///   - killPatience: how long `stopContainer` waits for a supervisor that does not answer, after the grace.
    /// - Throws: SystemError when a directory or the supervisor's memfd cannot be made.
    public init(
        runDirectory: String, dataDirectory: String, patience: Duration = .seconds(5),
        killPatience: Duration = .seconds(10), logger: Logger
    ) throws {
        self.runDirectory = runDirectory
        self.dataDirectory = dataDirectory
        self.patience = patience
        self.killPatience = killPatience
        self.logger = logger
        try Files.makeDirectory(runDirectory, mode: 0o700)
        // Nobody but root gets near what containers leave on disk: setuid files above all (CVE-2024-25621).
        try Files.makeDirectory(dataDirectory, mode: 0o700)
        executable = try SupervisorProgram.descriptor()
        tree = try? CgroupTree.find()
        (events, sink) = AsyncStream.makeStream()
    }

    // MARK: One at a time

    /// Runs `body` with nobody else making or removing the sandbox meanwhile.
    /// - Throws: CancellationError instead of waiting for the others, and what `body` throws.
    func alone<R: Sendable>(_ uid: String, _ body: () async throws -> R) async throws -> R {
        while let other = busy[uid] { try await other.wait() }
        let done = Outcome<Void>()
        busy[uid] = done
        defer {
            busy[uid] = nil
            done.set(.success(()))
        }
        return try await body()
    }

    func sandbox(_ uid: String) throws(ContainersError) -> Sandbox {
        guard let sandbox = sandboxes[uid] else { throw .noSandbox(uid: uid) }
        return sandbox
    }

    func container(_ uid: String, _ id: String) throws(ContainersError) -> (Sandbox, Container) {
        let sandbox = try sandbox(uid)
        guard let container = sandbox.container(id) else { throw .noContainer(id: id) }
        return (sandbox, container)
    }

    func directory(_ uid: String) -> String { "\(runDirectory)/\(uid)" }

    public func status(_ uid: String) async -> SandboxStatus? {
        try? await finding[uid]?.wait()
        return sandboxes[uid]?.status
    }

    public func supervisor(of uid: String) async -> ProcessHandle? {
        try? await finding[uid]?.wait()
        return sandboxes[uid]?.process
    }

    // MARK: Containers

    public func startContainer(sandbox uid: String, _ config: ContainerConfig) async throws -> ContainerStatus {
        // Somebody else may be at it.
        while let other = preparing[uid]?[config.id] { try await other.wait() }
        let sandbox = try sandbox(uid)
        if let known = sandbox.container(config.id) { return known.status }
        let (container, ready) = try await prepare(config, sandbox)
        do {
            let begun = Outcome<Void>()
            // Unstructured: what was asked of the supervisor is seen to its end; only waiting for it is cancelled.
            Task { await self.start(container, ready.plan, ready.descriptors, sandbox, begun) }
            try await begun.wait()
            return container.status
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            await removeRemains(of: config.id, sandbox)
            throw error
        }
    }

    /// Makes what a container needs outside its supervisor, and its entry here. Whoever tidies the pod waits for it.
    private func prepare(
        _ config: ContainerConfig, _ sandbox: Sandbox
    ) async throws -> (Container, ContainerPreparation.Result) {
        let uid = sandbox.record.uid
        let work = ContainerPreparation(
            config: config, folder: "\(dataDirectory)/\(uid)/\(config.id)",
            sharedMemory: sandbox.record.ownsIPC ? "\(directory(uid))/shm" : "/dev/shm",
            hostname: sandbox.record.hostname, group: group(of: sandbox.record)?.child(config.id),
            hasCgroups: tree != nil, logger: logger)
        let done = Outcome<Void>()
        preparing[uid, default: [:]][config.id] = done
        defer {
            preparing[uid]?[config.id] = nil
            if preparing[uid]?.isEmpty == true { preparing[uid] = nil }
            done.set(.success(()))
        }
        do {
            let ready = try await Self.pool.run { try work.run() }
            // Its supervisor may have died meanwhile, or been asked to go.
            guard sandboxes[uid] === sandbox, !sandbox.leaving else { throw ContainersError.noSandbox(uid: uid) }
            let container = Container(id: config.id, record: ready.record, state: .created(at: .now()))
            sandbox.containers.append(container)
            return (container, ready)
        } catch {
            await removeRemains(of: config.id, sandbox)
            throw error
        }
    }

    private func start(
        _ container: Container, _ plan: ContainerPlan, _ descriptors: [SharedDescriptor], _ sandbox: Sandbox,
        _ begun: Outcome<Void>
    ) async {
        do {
            let answer = try await sandbox.connection.request(
                .startContainer, plan.fields, descriptors: descriptors
            ).answer
            // Its end may have come in the same breath.
            if case .created = container.state {
                container.state = Self.started(answer)
                sink.yield(.containerStarted(uid: sandbox.record.uid, id: container.id))
            }
            begun.set(.success(()))
        } catch {
            sandbox.containers.removeAll { $0 === container }
            begun.set(.failure(error))
        }
    }

    private static func started(_ answer: SupervisorAnswer) -> ContainerState {
        var reader = FieldReader(answer.fields)
        var pid: Int32 = 0
        var time: Int64 = 0
        while let field = reader.next() {
            if field.tag == Tag.pid { pid = field.int32 }
            if field.tag == Tag.startedAt { time = field.signed }
        }
        return .running(pid: pid, startedAt: Timestamp(nanosecondsSince1970: time))
    }

    /// The pod's cgroup; nil without a tree.
    nonisolated func group(of record: SandboxRecord) -> Cgroup? {
        record.cgroup.isEmpty ? nil : tree?.cgroup(record.cgroup)
    }

    /// What a container leaves outside its supervisor.
    private func removeRemains(of id: String, _ sandbox: Sandbox) async {
        if let group = group(of: sandbox.record)?.child(id), group.exists {
            do {
                try group.kill()
                try await group.remove()
            } catch {
                logger.warning("cgroup stays", metadata: ["cgroup": "\(group)", "error": "\(error)"])
            }
        }
        let folder = "\(dataDirectory)/\(sandbox.record.uid)/\(id)"
        do {
            try await Self.pool.run { try Files.removeTree(folder) }
        } catch {
            logger.warning("container's root stays", metadata: ["folder": "\(folder)", "error": "\(error)"])
        }
    }

    public func removeContainer(sandbox uid: String, id: String) async throws {
        guard let sandbox = sandboxes[uid], let container = sandbox.container(id) else { return }
        if !container.hasEnded { try await stopContainer(sandbox: uid, id: id, signal: nil, grace: .zero) }
        try await sandbox.connection.request(.remove, container: id)
        sandbox.containers.removeAll { $0 === container }
        await removeRemains(of: id, sandbox)
    }

    public func resize(
        sandbox uid: String, container id: String?, _ resources: CgroupResources
    ) async throws -> [String] {
        let sandbox = try sandbox(uid)
        if let id { _ = try container(uid, id) }
        guard let pod = group(of: sandbox.record) else { return ["this machine has no cgroup v2 tree"] }
        let group = id.map { pod.child($0) } ?? pod
        // A lower limit waits for the kernel to reclaim what is above it.
        return try await Self.pool.run {
            if let limit = resources.memoryMax, let used = try group.stats().memoryWorkingSet, used > limit {
                throw ContainersError.invalid("memory limit \(limit) of \(group) is below its current usage \(used)")
            }
            return try group.apply(resources).map(\.description)
        }
    }

    public func reopenLog(sandbox uid: String, id: String) async throws {
        let (sandbox, _) = try container(uid, id)
        try await sandbox.connection.request(.reopenLog, container: id)
    }

    public func exec(sandbox uid: String, container id: String, _ config: ExecConfig) async throws -> ExecSession {
        let (sandbox, container) = try container(uid, id)
        guard case .running = container.state else { throw ContainersError.notRunning(id: id) }
        return try await Sessions.exec(sandbox.connection, container: id, config)
    }

    public func attach(sandbox uid: String, container id: String, stdin: Bool) async throws -> ExecSession {
        let (sandbox, container) = try container(uid, id)
        guard case .running = container.state else { throw ContainersError.notRunning(id: id) }
        return try await Sessions.attach(
            sandbox.connection, container: id, terminal: container.record.terminal, stdin: stdin
        ) { [self] in
            try await exitCode(uid, id)
        }
    }

    /// Waits for the container's end.
    private func exitCode(_ uid: String, _ id: String) async throws -> Int32 {
        guard let container = sandboxes[uid]?.container(id) else { throw ContainersError.noContainer(id: id) }
        try await container.over.wait()
        if case .exited(let status) = container.state { return status.code }
        throw ContainersError.noContainer(id: id)
    }

    // MARK: Ends

    func exited(_ uid: String, _ report: ContainerReport) async {
        let id = String(decoding: report.id, as: UTF8.self)
        guard let sandbox = sandboxes[uid] else { return }
        guard let container = sandbox.container(id) else {
            sandbox.early?[id] = report
            return
        }
        guard !container.hasEnded else { return }
        let status = await exitStatus(report, container.record, sandbox.record)
        // Told twice, or gone meanwhile.
        guard !container.hasEnded else { return }
        container.state = .exited(status)
        container.over.set(.success(()))
        guard sandboxes[uid] === sandbox, sandbox.container(id) === container else { return }
        sink.yield(.containerExited(uid: uid, id: id, status))
    }

    func exitStatus(
        _ report: ContainerReport, _ record: ContainerRecord, _ sandbox: SandboxRecord
    ) async -> ExitStatus {
        let group = group(of: sandbox)?.child(String(decoding: report.id, as: UTF8.self))
        // The message is in a file of the pod, on a disk that may be slow. One that cannot be read is none.
        let (outOfMemory, message) =
            (try? await Self.pool.run {
                ((group?.memoryEvents()?.killed ?? 0) > 0, Self.message(record.terminationMessagePath))
            }) ?? (false, nil)
        let killed = report.signal != 0
        return ExitStatus(
            code: killed ? 128 + report.signal : report.code, signal: killed ? report.signal : nil,
            oomKilled: outOfMemory, startedAt: Timestamp(nanosecondsSince1970: report.startedAt),
            finishedAt: Timestamp(nanosecondsSince1970: report.finishedAt), message: message)
    }

    private static func message(_ path: String?) -> String? {
        guard let path,
            let bytes = try? FileDescriptor.open(path, [.read, .nonBlocking, .noFollow]).read(upTo: 4096),
            !bytes.isEmpty
        else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }
}

// The node's agent: watches the pods bound to this node and gives each a worker of its own; takes over what outlived
// the last noded; registers the node; answers logs, exec and attach.
//
//     informer(pods of this node) ─┐
//     runtime events, lost links ──┼─► mailbox ─► one PodWorker a pod ─► runtime, network, volumes, status
//     changed ConfigMaps, Secrets ─┘
//
// Stopping it (cancelling `run`) leaves every container running. What it finds at start that no pod wants is
// stopped, but only after the first complete list of pods: a server that is away costs nothing.

internal import Cgroups
public import Client
public import Containers
public import HTTP
public import Logging
public import Objects
public import PodNetwork
import System

public actor Kubelet {
    enum Message: Sendable {
        case pod(old: JSON?, new: JSON?)
        case pods([String: JSON])
        case runtime(RuntimeEvent)
        case linkLost(uid: String)
        case objectsChanged(uid: String)
        case synced
        case nodeDeleted
        case audit
        case ended(uid: String)
    }

    let config: KubeletConfig
    private let client: (any APIClient)?
    private let runtime: any ContainerRuntime
    private let images: any ImageProvider
    private let network: any PodNetworking
    private let prober: any Prober
    private let seccomp: SeccompFilter
    private let drain: EndpointDrain
    private let logger: Logger
    private let recorder: EventRecorder?
    private let agent: NodeAgent?
    private nonisolated let mailbox: AsyncStream<Message>
    private nonisolated let inlet: AsyncStream<Message>.Continuation

    private(set) var workers: [String: PodWorker] = [:]
    var nodeRoom = NodeRoom()
    private var names: [ObjectKey: String] = [:]
    /// Standalone: the manifests' pods of the last reading. One that was taken away and put back before it had ended
    /// begins anew from here.
    private var manifests: [String: JSON] = [:]
    /// Standalone: pods that end because their manifest went.
    private var leaving: Set<String> = []
    /// Sandboxes that outlived the last noded and have no worker yet.
    private var orphans: [String: SandboxStatus] = [:]
    /// Pods whose supervisor died before they had a worker.
    private var dead: Set<String> = []
    /// Pods with a network of their own that outlived the last noded, and whether the network knows them again.
    private var livePods: [String] = []
    private var networkRecovered = false

    /// - Parameters:
    ///   - client: nil for standalone mode (`run(manifests:)`).
    ///   - drain: returns once no endpoint leads to the pod any more; the kubelet waits 2 s for it at most.
    public init(
        config: KubeletConfig, client: (any APIClient)?, runtime: any ContainerRuntime, images: any ImageProvider,
        network: any PodNetworking, prober: any Prober, seccomp: @escaping SeccompFilter,
        drain: @escaping EndpointDrain = { _ in }, logger: Logger
    ) {
        self.config = config
        self.client = client
        self.runtime = runtime
        self.images = images
        self.network = network
        self.prober = prober
        self.seccomp = seccomp
        self.drain = drain
        self.logger = logger
        recorder = client.map {
            EventRecorder(client: $0, component: "kubelet", host: config.nodeName, logger: logger)
        }
        agent = client.map {
            NodeAgent(
                config: config, client: $0, runtimeVersion: "noded://\(config.version.drop { $0 == "v" })",
                logger: logger)
        }
        (mailbox, inlet) = AsyncStream.makeStream()
    }

    // MARK: - Running

    /// Serves the pods that the API binds to this node, until the task is cancelled.
    public func run() async {
        guard let client, let recorder, let agent else {
            preconditionFailure("run() needs a client; run(manifests:) does not")
        }
        let cache = ObjectCache(client: client, logger: logger) { [inlet] uid in inlet.yield(.objectsChanged(uid: uid))
        }
        let node = services(cache, APISink(client: client, recorder: recorder))
        let events = runtime.events
        announce(recorder)
        let pods = Informer(
            client, .pods, fields: FieldSelector("spec.nodeName", equals: config.nodeName), logger: logger)
        await recover()
        pods.onChange { [inlet] _, old, new in inlet.yield(.pod(old: old, new: new)) }
        let own = Informer(
            client, .nodes, fields: FieldSelector("metadata.name", equals: config.nodeName), logger: logger)
        own.onChange { [inlet] _, _, new in if new == nil { inlet.yield(.nodeDeleted) } }
        await withDiscardingTaskGroup { group in
            group.addTask { await own.run() }
            group.addTask { await recorder.run() }
            group.addTask { await agent.run() }
            group.addTask { await cache.run() }
            group.addTask { await self.prepareNetwork() }
            group.addTask { await pods.run() }
            group.addTask { [inlet] in
                if await pods.waitForSync() { inlet.yield(.synced) }
            }
            await serve(node, events, &group)
        }
    }

    /// Standalone: serves the pods of a folder of manifests, until the task is cancelled.
    /// - Throws: `SystemError` when the folder cannot be watched.
    public func run(manifests source: StaticPodSource) async throws {
        let node = services(ManifestObjects(source: source), LogSink(logger: logger))
        let events = runtime.events
        await recover()
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { [inlet] in
                try await source.watch { inlet.yield(.pods($0)) }
            }
            group.addTask { await self.prepareNetwork() }
            group.addTask {
                await withDiscardingTaskGroup { group in await self.serve(node, events, &group) }
            }
        }
    }

    private func announce(_ recorder: EventRecorder) {
        // As Kubernetes does it, events about a node carry its name as uid: the object may not exist yet.
        let node: JSON = ["metadata": ["name": .string(config.nodeName), "uid": .string(config.nodeName)]]
        recorder.record(.normal, "Starting", "Starting kubelet.", about: node, kind: "Node")
        guard let text = Unenforced.summary(config.unenforced) else { return }
        recorder.record(.warning, "CgroupLimitsUnenforced", text, about: node, kind: "Node")
        logger.warning("resource limits are not enforced", metadata: ["why": "\(text)"])
    }

    private func services(_ objects: any ObjectLookup, _ sink: any PodSink) -> NodeServices {
        let facts = NodeFacts.read(dataDirectory: config.dataDirectory)
        return NodeServices(
            config: config, runtime: runtime, images: images, network: network, prober: prober, objects: objects,
            sink: sink, drain: drain, seccomp: seccomp,
            allocatable: Allocatable(
                milliCPU: max(0, Int64(facts.cpus) * 1000 - config.reservedMilliCPU),
                memory: max(0, facts.memory - config.reservedMemory), ephemeralStorage: facts.storage,
                pods: config.maximumPods),
            room: { [weak self] uid, wanted in
                await self?.room(uid, wanted)
                    ?? .refused(ResizeRefusal(isFinal: false, message: "the kubelet is stopping"))
            },
            releaseRoom: { [weak self] reservation in await self?.releaseRoom(reservation) }, logger: logger)
    }

    private func recover() async {
        for sandbox in await runtime.recover() { orphans[sandbox.uid] = sandbox }
        livePods = orphans.values.filter(\.ownsNetwork).map(\.uid)
        do {
            try await network.prepareNode()
            try await network.recover(live: livePods)
            networkRecovered = true
        } catch {
            // Tried again by prepareNetwork; until then attaching a pod is refused and tried again with a back-off, and
            // pods that are found keep the addresses that the API shows.
            logger.error("pod network is not ready", metadata: ["error": "\(error)"])
            await agent?.setProblem("container runtime network not ready: \(error)")
        }
        if !orphans.isEmpty { logger.info("sandboxes found", metadata: ["count": "\(orphans.count)"]) }
    }

    /// Repeats what failed at start until it succeeds.
    private func prepareNetwork() async {
        var delay = Duration.seconds(1)
        while !Task.isCancelled {
            do {
                try await network.prepareNode()
                // Before this the network gives out no address: a live pod may have it.
                if !networkRecovered { try await network.recover(live: livePods) }
                networkRecovered = true
                for worker in workers.values { await worker.networkRecovered() }
                await agent?.setProblem(nil)
                return
            } catch {
                await agent?.setProblem("container runtime network not ready: \(error)")
                try? await Task.sleep(for: delay)
                delay = min(delay * 2, .seconds(30))
            }
        }
    }

    private func serve(
        _ node: NodeServices, _ events: AsyncStream<RuntimeEvent>, _ group: inout DiscardingTaskGroup
    ) async {
        group.addTask { [inlet] in
            for await event in events { inlet.yield(.runtime(event)) }
        }
        group.addTask { [inlet, network] in
            for await uid in network.lostLinks { inlet.yield(.linkLost(uid: uid)) }
        }
        group.addTask { [inlet] in
            // Events drive everything; this only finds what a lost event would hide.
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(300))
                inlet.yield(.audit)
            }
        }
        for await message in mailbox {
            if Task.isCancelled { break }
            await handle(message, node, &group)
        }
        group.cancelAll()
    }

    private func handle(_ message: Message, _ node: NodeServices, _ group: inout DiscardingTaskGroup) async {
        switch message {
        case .pod(let old, let new): await apply(old, new, node, &group)
        case .pods(let desired):
            manifests = desired
            for (uid, worker) in workers where desired[uid] == nil && leaving.insert(uid).inserted {
                worker.deliver(.vanished)
            }
            for (uid, pod) in desired where !leaving.contains(uid) { await apply(nil, pod, node, &group) }
            removeOrphans(&group)
        case .runtime(let event): await route(event)
        // On its own: it waits for the pod's supervisor, which may not answer.
        case .linkLost(let uid): if let worker = workers[uid] { group.addTask { await worker.linkLost() } }
        case .objectsChanged(let uid): await workers[uid]?.objectsChanged()
        case .synced: removeOrphans(&group)
        case .nodeDeleted: await agent?.nodeDeleted()
        case .audit:
            for worker in workers.values { group.addTask { await worker.audit() } }
        case .ended(let uid):
            workers[uid] = nil
            names = names.filter { $0.value != uid }
            if leaving.remove(uid) != nil, let pod = manifests[uid] { await apply(nil, pod, node, &group) }
        }
    }

    private func apply(_ old: JSON?, _ new: JSON?, _ node: NodeServices, _ group: inout DiscardingTaskGroup) async {
        let oldUID = old?.child("metadata").text("uid")
        let newUID = new?.child("metadata").text("uid")
        if let oldUID, oldUID != newUID { workers[oldUID]?.deliver(.vanished) }
        guard let new, let uid = newUID else { return }
        names[ObjectKey(new)] = uid
        if let worker = workers[uid] { return await worker.update(new) }
        let worker = PodWorker(new, node: node)
        workers[uid] = worker
        nodeRoom.podsChanged()
        let found = orphans.removeValue(forKey: uid)
        let died = dead.remove(uid) != nil
        group.addTask { [inlet, runtime] in
            // What the runtime knows now, not what it knew at the start.
            let sandbox = found == nil ? nil : await runtime.status(uid)
            guard !Task.isCancelled else { return }
            await worker.run(adopting: sandbox, stale: died || (found != nil && sandbox == nil))
            inlet.yield(.ended(uid: uid))
        }
    }

    private func route(_ event: RuntimeEvent) async {
        switch event {
        case .containerExited(let uid, let id, let status): await workers[uid]?.exited(id, status)
        case .containerStarted: break
        case .supervisorDied(let uid):
            guard let worker = workers[uid] else {
                dead.insert(uid)
                return
            }
            worker.deliver(.sandboxLost("the pod's supervisor died"))
        }
    }

    private func removeOrphans(_ group: inout DiscardingTaskGroup) {
        for (uid, sandbox) in orphans {
            logger.warning(
                "stopping a sandbox without a pod",
                metadata: ["uid": "\(uid)", "pod": "\(sandbox.namespace)/\(sandbox.name)"])
            group.addTask { await self.remove(sandbox) }
        }
        orphans = [:]
    }

    private func remove(_ found: SandboxStatus) async {
        // Its supervisor may answer only now.
        let now = await runtime.status(found.uid) ?? found
        let unfinished = UnfinishedContainers(runtime: runtime, sandbox: found.uid, logger: logger)
        let sandbox = await unfinished.settle(now) ?? now
        guard !Task.isCancelled else { return }
        let grace = PodPlan.grace(sandbox.annotations["noded.dev/grace"].flatMap { Int($0) })
        let uid = sandbox.uid
        await withDiscardingTaskGroup { group in
            for container in sandbox.containers {
                guard case .running = container.state else { continue }
                group.addTask { [runtime, logger] in
                    do {
                        try await runtime.stopContainer(sandbox: uid, id: container.id, signal: nil, grace: grace)
                    } catch is CancellationError {
                        return
                    } catch {
                        logger.warning(
                            "cannot stop container", metadata: ["id": "\(container.id)", "error": "\(error)"])
                    }
                }
            }
        }
        // Cancelled: noded stops, and the next one finds what still ends.
        guard !Task.isCancelled else { return }
        do {
            await network.detach(podUID: uid)
            try await runtime.removeSandbox(uid)
            let directory = config.podDirectory(uid)
            try await BlockingPool.shared.run { try VolumeManager.remove(directory) }
        } catch {
            logger.error("cannot remove sandbox", metadata: ["uid": "\(uid)", "error": "\(error)"])
        }
    }

    // MARK: - Questions

    func worker(_ pod: ObjectKey) throws -> PodWorker {
        guard let uid = names[pod], let worker = workers[uid] else {
            throw APIStatus.notFound(.pods, pod.name)
        }
        return worker
    }

    /// Every pod here with its status as the node sees it: for `noded` commands and tests.
    public func pods() async -> [(pod: JSON, status: JSON, trouble: String?)] {
        var out: [(pod: JSON, status: JSON, trouble: String?)] = []
        for worker in workers.values {
            out.append((await worker.object, await worker.summary, await worker.trouble))
        }
        return out
    }

    /// Of the pods here.
    var uids: [String] { Array(workers.keys) }

    var dependencies: (runtime: any ContainerRuntime, config: KubeletConfig) { (runtime, config) }
}

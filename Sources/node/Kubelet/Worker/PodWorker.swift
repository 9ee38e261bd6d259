// One pod's worker: feeds events to its machine and carries out what the machine asks for.
//
// Everything that waits runs in a child task and ends in an event, so the worker itself never waits and no pod can
// hold up another. Operations on the pod as a whole (volumes, sandbox, network, teardown) go one after the other
// through a queue; containers are started and stopped side by side.
//
// Here are the loop and the news from outside. What the machine asks for is carried out in PodWorker+Operations,
// +Containers and +Handlers; +Status publishes, +Questions answers. The state is the actor's: what several of these
// files need is not private, and nobody but the worker writes it.

import Cgroups
import Containers
import Kernel
import Logging
import Objects
import PodNetwork
import System

actor PodWorker {
    nonisolated let uid: String
    let node: NodeServices
    let logger: Logger
    private(set) var pod: JSON
    private(set) var machine: PodMachine
    let qosClass: String

    let logs: PodLogs
    let unfinished: UnfinishedContainers

    private nonisolated let changed = ChangeSignal()
    private nonisolated let mailbox: AsyncStream<PodEvent>
    private nonisolated let inlet: AsyncStream<PodEvent>.Continuation
    private let operations: AsyncStream<PodAction>
    private let operate: AsyncStream<PodAction>.Continuation
    private let dirty: AsyncStream<Void>
    private let markDirty: AsyncStream<Void>.Continuation

    var volumes: [String: VolumeSource] = [:]
    var addresses: [String] = []
    var images: [String: ResolvedImage] = [:]
    private(set) var probes: Set<Probe> = []
    var exits: [String: ExitStatus] = [:]
    var published: JSON?
    private var forgotten = false
    /// Of a resize whose answer the machine has not got yet. There is no second one before.
    var reservation: NodeRoom.Reservation?

    init(_ pod: JSON, node: NodeServices) {
        self.pod = pod
        self.node = node
        let plan = PodPlan(pod)
        uid = plan.uid
        var logger = node.logger
        logger[metadataKey: "pod"] = "\(plan.namespace)/\(plan.name)"
        self.logger = logger
        machine = PodMachine(plan)
        machine.restore(pod.child("status"))
        machine.openGates = Self.gates(pod)
        logs = node.config.podLogs(namespace: plan.namespace, name: plan.name, uid: uid)
        unfinished = UnfinishedContainers(runtime: node.runtime, sandbox: uid, logger: logger)
        qosClass = QOSClass(pod.child("spec")).rawValue
        (mailbox, inlet) = AsyncStream.makeStream()
        (operations, operate) = AsyncStream.makeStream()
        (dirty, markDirty) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    // MARK: - What others tell

    nonisolated func deliver(_ event: PodEvent) { inlet.yield(event) }

    /// Wakes after everything that changes the pod; ends with the worker.
    nonisolated func changes() -> AsyncStream<Void> { changed.changes() }

    func update(_ pod: JSON) {
        let isShown = PodReflection.differs(self.pod, pod)
        self.pod = pod
        if isShown { objectsChanged() }
        machine.openGates = Self.gates(pod)
        deliver(.desired(PodPlan(pod)))
    }

    /// A ConfigMap or Secret that the pod uses has changed, or is there at last, or a token is due, or the pod itself
    /// is shown in a volume.
    func objectsChanged() {
        switch machine.stage {
        case .active, .preparing(.volumes): operate.yield(.mountVolumes)
        default: break
        }
    }

    /// The kernel was read at last: whether a pod that was adopted before has the addresses that the API shows.
    func networkRecovered() {
        guard machine.networkUnread, let found = linkAddresses else { return }
        addresses = found
        deliver(.networkFound(found))
    }

    /// Somebody has removed the pod's link. To be asked once more after each attach: a link that goes before the
    /// machine has heard that it is there is told when the machine cannot take the news.
    func linkLost() async {
        guard isLinkMissing else { return }
        // One that went with the sandbox is the runtime's to tell: a namespace lives as long as its supervisor.
        guard let process = await node.runtime.supervisor(of: uid), process.isRunning, isLinkMissing else { return }
        deliver(.linkLost)
    }

    private var isLinkMissing: Bool {
        machine.networkReady && !machine.networkUnread && !machine.linkLost && !machine.plan.hostNetwork
            && linkAddresses?.isEmpty == true
    }

    /// nil while the kernel was not read.
    private var linkAddresses: [String]? {
        guard node.network.isRecovered else { return nil }
        return (node.network.addresses(of: uid)?.ips ?? []).map(\.description)
    }

    func exited(_ id: String, _ status: ExitStatus) async {
        guard let slot = machine.slots.first(where: { $0.running?.id == id }) else {
            // It ended before its start, or its adoption, was heard of: see `catchUp`.
            exits[id] = status
            return
        }
        var end = Termination(status, id: id)
        let policy = containerJSON(slot.plan.name).text("terminationMessagePolicy")
        if end.message.isEmpty, end.exitCode != 0, policy == "FallbackToLogsOnError" {
            end.message = await logs.lastWords(of: slot.plan.name, attempt: slot.attempt, changes: changes)
        }
        deliver(.exited(container: slot.plan.name, id: id, end))
    }

    /// Compares with the runtime, for events that were lost.
    func audit() async {
        guard machine.sandboxExists, case .active = machine.stage else { return }
        await linkLost()
        guard let status = await node.runtime.status(uid) else {
            if machine.sandboxExists, case .active = machine.stage {
                deliver(.sandboxLost("the pod's sandbox is gone"))
            }
            return
        }
        for container in status.containers {
            if case .exited(let end) = container.state,
                machine.slots.contains(where: { $0.running?.id == container.id })
            {
                await exited(container.id, end)
            }
        }
    }

    // MARK: - The loop

    /// Runs until the pod is gone, or the task is cancelled: then everything stays as it is for the next noded.
    /// - Parameter sandbox: what outlived the last noded.
    /// - Parameter stale: there may be remains of a sandbox that did not.
    func run(adopting found: SandboxStatus?, stale: Bool) async {
        let sandbox = if let found { await unfinished.settle(found) } else { nil as SandboxStatus? }
        guard !Task.isCancelled else { return changed.end() }
        if let sandbox {
            deliver(.adopt(RecoveredPod(sandbox, addresses: linkAddresses)))
            await unfinished.remove(from: sandbox)
        } else {
            if stale || found != nil || machine.slots.contains(where: { $0.attempt >= 0 }) { await clearRemains() }
            deliver(.begin)
        }
        await withDiscardingTaskGroup { group in
            group.addTask { await self.publishStatus(after: self.dirty) }
            group.addTask { await self.run(self.operations) }
            for await event in mailbox {
                let actions = machine.handle(event, at: .now)
                for action in actions { perform(action, &group) }
                switch event {
                case .started: await catchUp()
                case .adopt:
                    addresses = machine.addresses
                    // It may have been read since this pod was looked at, when its machine could not take the news.
                    networkRecovered()
                    await catchUp()
                case .networkReady: await linkLost()
                case .resized, .resizeRefused, .resizeFailed: await releaseRoom()
                default: break
                }
                markDirty.yield()
                changed.signal()
                if forgotten { break }
            }
            group.cancelAll()
            await unfinished.cancel()
        }
        // An answer that nobody reads any more.
        await releaseRoom()
        changed.end()
        if forgotten { await leaveNothing() }
    }

    /// What was granted is in `requests` by now, or the pod does not want it any more.
    private func releaseRoom() async {
        guard let kept = reservation else { return }
        reservation = nil
        await node.releaseRoom(kept)
    }

    /// Ends that were told before the machine knew of the container.
    private func catchUp() async {
        guard !exits.isEmpty else { return }
        for id in machine.slots.compactMap({ $0.running?.id }) {
            if let status = exits.removeValue(forKey: id) { await exited(id, status) }
        }
    }

    /// The logs stay as long as the object does, no longer.
    private func leaveNothing() async {
        await node.objects.release(podUID: uid)
        do {
            try await logs.remove()
        } catch {
            logger.warning("cannot remove logs", metadata: ["error": "\(error)"])
        }
    }

    private func clearRemains() async {
        await node.network.detach(podUID: uid)
        do {
            try await node.runtime.removeSandbox(uid)
        } catch {
            logger.warning("cannot remove what is left of an earlier sandbox", metadata: ["error": "\(error)"])
        }
    }

    private func perform(_ action: PodAction, _ group: inout DiscardingTaskGroup) {
        switch action {
        case .mountVolumes, .createSandbox, .attachNetwork, .resize, .teardown, .deleteObject: operate.yield(action)
        case .resolveImage(let container): group.addTask { await self.resolveImage(container) }
        case .start(let container, let attempt): group.addTask { await self.start(container, attempt) }
        case .runHook(let container, let id, let kind, let limit):
            group.addTask { await self.runHook(container, id, kind, limit) }
        case .stop(let container, let id, let grace): group.addTask { await self.stop(container, id, grace) }
        case .startProbe(let container, let id, let kind, let since):
            probes.insert(Probe(id: id, kind: kind))
            guard let loop = probeLoop(container, id, kind, since) else { return }
            group.addTask { await loop.run() }
        case .stopProbe(_, let id, let kind): probes.remove(Probe(id: id, kind: kind))
        case .drainEndpoints(let limit): group.addTask { await self.drainEndpoints(limit) }
        case .arm(let timer, let delay):
            group.addTask {
                do { try await Task.sleep(for: delay) } catch { return }
                self.deliver(.timer(timer))
            }
        case .report(let report):
            logger.log(
                level: report.warning ? .warning : .info, "\(report.message)",
                metadata: ["reason": "\(report.reason)", "container": "\(report.container ?? "-")"])
            node.sink.report(report, about: pod)
        case .forget: forgotten = true
        }
    }

    private static func gates(_ pod: JSON) -> Set<String> {
        Set(
            pod.child("status").list("conditions").filter { $0.text("status") == "True" }.compactMap { $0.text("type") }
        )
    }
}

// One pod's worker: feeds events to its machine and carries out what the machine asks for.
//
// Everything that waits runs in a child task and ends in an event, so the worker itself never waits and no pod can
// hold up another. Operations on the pod as a whole (volumes, sandbox, network, teardown) go one after the other
// through a queue; containers are started and stopped side by side.

import Cgroups
import Containers
import Kernel
import Logging
import Objects
import PodNetwork
import System

actor PodWorker {
    nonisolated let uid: String
    private let node: NodeServices
    private let logger: Logger
    private var pod: JSON
    private var machine: PodMachine
    private let qosClass: String

    private nonisolated let changed = ChangeSignal()
    private nonisolated let mailbox: AsyncStream<PodEvent>
    private nonisolated let inlet: AsyncStream<PodEvent>.Continuation
    private let operations: AsyncStream<PodAction>
    private let operate: AsyncStream<PodAction>.Continuation
    private let dirty: AsyncStream<Void>
    private let markDirty: AsyncStream<Void>.Continuation

    private var supervisorPID: Int32?
    private var volumes: [String: VolumeSource] = [:]
    private var addresses: [String] = []
    private var images: [String: ResolvedImage] = [:]
    private var probes: Set<Probe> = []
    private var exits: [String: ExitStatus] = [:]
    /// By container name: what is to be gone before another one of that name starts.
    private var removals: [String: (ids: [String], task: Task<Void, any Error>)] = [:]
    private var published: JSON?
    private var forgotten = false
    /// Of a resize whose answer the machine has not got yet. There is no second one before.
    private var reservation: NodeRoom.Reservation?

    private struct Probe: Hashable {
        var id: String
        var kind: ProbeKind
    }

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

    /// A ConfigMap or Secret that the pod uses has changed, or is there at last, or a token is due, or the pod itself is
    /// shown in a volume.
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
        if end.message.isEmpty, end.exitCode != 0 { end.message = await lastWords(slot.plan.name, slot.attempt) }
        deliver(.exited(container: slot.plan.name, id: id, end))
    }

    /// terminationMessagePolicy FallbackToLogsOnError: the last 80 lines of the log, at most 2048 bytes.
    private func lastWords(_ name: String, _ attempt: Int) async -> String {
        guard containerJSON(name).text("terminationMessagePolicy") == "FallbackToLogsOnError" else { return "" }
        let plan = machine.plan
        let root = node.config.podLogDirectory(namespace: plan.namespace, name: plan.name, uid: uid)
        var options = ContainerLogOptions()
        options.tailLines = 80
        let text = LogText()
        let reader = LogReader(directory: "\(root)/\(name)", options: options, pod: changes) { _ in .over }
        try? await reader.run(attempt: attempt) { await text.add($0) }
        return String(decoding: await text.bytes.suffix(2048), as: UTF8.self)
    }

    private actor LogText {
        private(set) var bytes: [UInt8] = []
        func add(_ piece: [UInt8]) { bytes = (bytes + piece).suffix(4096) }
    }

    /// Compares with the runtime, for events that were lost.
    func audit() async {
        guard machine.sandboxExists, case .active = machine.stage else { return }
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

    // MARK: - What others ask

    struct ContainerFacts: Sendable {
        var id: String
        var attempt: Int
        var running: Bool
        /// It has not run for the last time.
        var willRun: Bool
    }

    func facts(_ container: String) -> ContainerFacts? {
        guard let slot = machine.slots.first(where: { $0.plan.name == container }) else { return nil }
        return ContainerFacts(
            id: slot.containerID, attempt: slot.attempt, running: slot.running != nil,
            willRun: !slot.hasEnded && !machine.isStopping && !machine.isTerminal)
    }

    /// The network namespace with the pod's sockets.
    enum NetworkPlace: Sendable { case node, sandbox }

    /// nil while the pod has no network.
    var networkPlace: NetworkPlace? {
        guard machine.sandboxExists, machine.networkReady else { return nil }
        return machine.plan.hostNetwork ? .node : .sandbox
    }

    /// What the pod holds of the node; nil once it is over.
    var requests: ContainerResources? {
        machine.isTerminal ? nil : ContainerResources.pod(PodResizer.spec(pod.child("spec"), machine.granted))
    }

    var object: JSON { pod }
    var trouble: String? { machine.trouble }
    var summary: JSON { machine.status(host: node.host, qosClass: qosClass) }

    // MARK: - The loop

    /// Runs until the pod is gone, or the task is cancelled: then everything stays as it is for the next noded.
    /// - Parameter sandbox: what outlived the last noded.
    /// - Parameter stale: there may be remains of a sandbox that did not.
    func run(adopting sandbox: SandboxStatus?, stale: Bool) async {
        if let sandbox {
            supervisorPID = sandbox.supervisorPID
            removeUnfinished(sandbox)
            deliver(.adopt(recovered(sandbox)))
        } else {
            if stale || machine.slots.contains(where: { $0.attempt >= 0 }) { await clearRemains() }
            deliver(.begin)
        }
        await withDiscardingTaskGroup { group in
            group.addTask { await self.publishStatus() }
            group.addTask { await self.runOperations() }
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
                case .resized, .resizeRefused, .resizeFailed: await releaseRoom()
                default: break
                }
                markDirty.yield()
                changed.signal()
                if forgotten { break }
            }
            group.cancelAll()
            for removal in removals.values { removal.task.cancel() }
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
        let plan = machine.plan
        let logs = node.config.podLogDirectory(namespace: plan.namespace, name: plan.name, uid: uid)
        do {
            try await BlockingPool.shared.run { try Files.removeTree(logs) }
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

    /// noded went away while these were set up. What holds one of them up in the kernel may take long, or for ever:
    /// the pod goes on meanwhile, only the next container of that name waits.
    private func removeUnfinished(_ sandbox: SandboxStatus) {
        let unfinished = sandbox.containers.filter { if case .created = $0.state { true } else { false } }
        for (name, items) in Dictionary(grouping: unfinished, by: \.name) { remove(items.map(\.id), of: name) }
    }

    private func remove(_ ids: [String], of name: String) {
        let task = Task {
            for id in ids { try await node.runtime.removeContainer(sandbox: uid, id: id) }
        }
        removals[name] = (ids, task)
    }

    /// - Throws: KubeletError when they cannot be removed; it has been begun again then, for the next start.
    ///   CancellationError when the sandbox goes, and they with it, or noded.
    private func finishRemoval(of name: String) async throws {
        guard let removal = removals[name] else { return }
        do {
            try await removal.task.value
            removals[name] = nil
        } catch {
            guard !removal.task.isCancelled else { throw CancellationError() }
            remove(removal.ids, of: name)
            throw KubeletError.container(
                // No run was tried: RunContainerError would count as one.
                reason: "CreateContainerError",
                "the container that was being started when noded ended cannot be removed, which comes first: \(error)")
        }
    }

    private func recovered(_ sandbox: SandboxStatus) -> RecoveredPod {
        let whole = sandbox.containers.filter { if case .created = $0.state { false } else { true } }
        let latest = Dictionary(grouping: whole, by: \.name).values.compactMap { items in
            items.max { $0.attempt < $1.attempt }
        }
        return RecoveredPod(
            addresses: linkAddresses,
            containers: latest.compactMap { item in
                switch item.state {
                case .created: nil
                case .running(_, let at):
                    RecoveredContainer(
                        name: item.name, id: item.id, attempt: item.attempt, image: item.image, startedAt: at,
                        termination: nil)
                case .exited(let end):
                    RecoveredContainer(
                        name: item.name, id: item.id, attempt: item.attempt, image: item.image,
                        startedAt: end.startedAt, termination: Termination(end, id: item.id))
                }
            })
    }

    private func perform(_ action: PodAction, _ group: inout DiscardingTaskGroup) {
        switch action {
        case .mountVolumes, .createSandbox, .attachNetwork, .resize, .teardown, .deleteObject: operate.yield(action)
        case .resolveImage(let container): group.addTask { await self.resolveImage(container) }
        case .start(let container, let attempt): group.addTask { await self.start(container, attempt) }
        case .runHook(let container, let id, let kind, let limit):
            group.addTask { await self.runHook(container, id, kind, limit) }
        case .stop(_, let id, let grace): group.addTask { await self.stop(id, grace) }
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

    // MARK: - The pod as a whole

    private func runOperations() async {
        for await action in operations {
            if Task.isCancelled { return }
            switch action {
            case .mountVolumes: await mountVolumes()
            case .createSandbox: await createSandbox()
            case .attachNetwork: await attachNetwork()
            case .resize: await resize()
            case .teardown(let volumes): await teardown(volumes: volumes)
            case .deleteObject: await deleteObject()
            default: break
            }
        }
    }

    private func mountVolumes() async {
        do {
            let manager = VolumeManager(podDirectory: node.config.podDirectory(uid))
            volumes = try await manager.setUp(pod, view: view, lookups: lookups(services: []))
            deliver(.volumesReady)
        } catch {
            deliver(.volumesFailed("\(error)"))
        }
    }

    private func createSandbox() async {
        do {
            let config = try SandboxPlanner(node: node, pod: pod, uid: uid).config()
            let status = try await node.runtime.createSandbox(config)
            supervisorPID = status.supervisorPID
            for limit in status.unenforced { logger.debug("limit not enforced", metadata: ["limit": "\(limit)"]) }
            deliver(.sandboxReady)
        } catch {
            deliver(.sandboxFailed("\(error)"))
        }
    }

    private func attachNetwork() async {
        guard let pid = supervisorPID else { return deliver(.networkFailed("the pod has no sandbox")) }
        do {
            addresses = try await node.network.attach(podUID: uid, pid: pid).ips.map(\.description)
            deliver(.networkReady(addresses))
        } catch {
            deliver(.networkFailed("setup network for pod: \(error)"))
        }
    }

    private func teardown(volumes: Bool) async {
        // They go with the sandbox.
        for removal in removals.values { removal.task.cancel() }
        removals = [:]
        do {
            await node.network.detach(podUID: uid)
            try await node.runtime.removeSandbox(uid)
            supervisorPID = nil
            if volumes {
                self.volumes = [:]
                let directory = node.config.podDirectory(uid)
                try await BlockingPool.shared.run { try VolumeManager.remove(directory) }
            }
            deliver(.tornDown)
        } catch {
            deliver(.teardownFailed("\(error)"))
        }
    }

    private func deleteObject() async {
        do {
            let status = machine.status(host: node.host, qosClass: qosClass)
            if status != published { _ = try await node.sink.publish(status, of: pod, after: published) }
            published = status
            try await node.sink.remove(pod)
            deliver(.objectDeleted)
        } catch {
            deliver(.objectDeletionFailed("\(error)"))
        }
    }

    private func resize() async {
        await PodResizer(node: node, uid: uid, pod: pod).resize(
            machine.resizes, granted: { machine.granted($0) },
            done: { answer, kept in
                reservation = kept
                deliver(answer)
            })
    }

    private func drainEndpoints(_ limit: Duration) async {
        let (drain, pod) = (node.drain, pod)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await drain(pod) }
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
        deliver(.drained)
    }

    // MARK: - Status

    private func publishStatus() async {
        for await _ in dirty {
            var delay = Duration.milliseconds(100)
            while !Task.isCancelled {
                let status = machine.status(host: node.host, qosClass: qosClass)
                if status == published || machine.objectGone || machine.isGone { break }
                do {
                    // Gone: its deletion arrives as an event of its own.
                    _ = try await node.sink.publish(status, of: pod, after: published)
                    published = status
                } catch {
                    logger.warning("cannot publish status, trying again", metadata: ["error": "\(error)"])
                    try? await Task.sleep(for: delay)
                    delay = min(delay * 2, .seconds(10))
                }
            }
        }
    }

    private static func gates(_ pod: JSON) -> Set<String> {
        Set(
            pod.child("status").list("conditions").filter { $0.text("status") == "True" }.compactMap { $0.text("type") }
        )
    }

    // MARK: - Containers

    private func containerJSON(_ name: String) -> JSON {
        let spec = pod.child("spec")
        let lists = ["containers", "initContainers", "ephemeralContainers"]
        return lists.flatMap { spec.list($0) }.first { $0.text("name") == name } ?? .null
    }

    private var view: PodView {
        let host = node.host.addresses
        return PodView(
            pod: pod, podIPs: machine.plan.hostNetwork ? host : addresses, hostIPs: host, allocatable: node.allocatable)
    }

    private func lookups(services: [JSON]) -> Lookups {
        let (objects, uid, namespace) = (node.objects, uid, machine.plan.namespace)
        let identity = PodIdentity(namespace: namespace, name: machine.plan.name, uid: uid)
        return Lookups(
            object: { resource, name in
                try await objects.object(resource, namespace: namespace, name: name, for: uid)
            }, services: services, token: { try await objects.token($0, for: identity) })
    }

    private func resolveImage(_ name: String) async {
        let container = containerJSON(name)
        let reference = container.text("image") ?? ""
        let policy = PullPolicy(rawValue: container.text("imagePullPolicy") ?? "") ?? .ifNotPresent
        do {
            if let image = try await node.images.find(reference) {
                images[name] = image
                return deliver(
                    .imageReady(
                        container: name, imageID: image.id,
                        found:
                            "Container image \"\(reference)\" already present on machine and can be accessed by the pod"
                    ))
            }
            if policy == .never {
                deliver(
                    .imageFailed(
                        container: name, reason: "ErrImageNeverPull",
                        message: "Container image \"\(reference)\" is not present with pull policy of Never"))
            } else {
                deliver(
                    .imageFailed(
                        container: name, reason: "ErrImagePull",
                        message:
                            "image \"\(reference)\" is not on this node, and this version of noded cannot pull from "
                            + "registries: make it available with `noded image import FILE` (OCI archive)"))
            }
        } catch {
            deliver(.imageFailed(container: name, reason: "ImageInspectError", message: "\(error)"))
        }
    }

    private func start(_ name: String, _ attempt: Int) async {
        var container = containerJSON(name)
        // Not what the spec asks for while the node has no room for that.
        if let granted = machine.granted(name) { container["resources"] = granted }
        do {
            guard let image = images[name] else { throw KubeletError.notFound("the image of \(name) is not resolved") }
            let services = await node.objects.services(namespace: machine.plan.namespace)
            let planner = ContainerPlanner(
                node: node, view: view, container: container, image: image, volumes: volumes,
                lookups: lookups(services: services), podDirectory: node.config.podDirectory(uid))
            var config = try await planner.config(attempt: attempt)
            if let target = container.text("targetContainerName"), !target.isEmpty {
                guard let running = machine.runningID(target) else {
                    throw KubeletError.container(
                        reason: "CreateContainerConfigError", "unable to find target container \(target)")
                }
                config.processNamespace = running
            }
            do { try await finishRemoval(of: name) } catch is CancellationError { return }
            let before = machine.latest(name)?.id
            let status: Containers.ContainerStatus
            do {
                status = try await node.runtime.startContainer(sandbox: uid, config)
            } catch is CancellationError {
                return
            } catch {
                try? await node.runtime.removeContainer(sandbox: uid, id: config.id)
                throw KubeletError.container(reason: "RunContainerError", "\(error)")
            }
            for limit in status.unenforced { logger.debug("limit not enforced", metadata: ["limit": "\(limit)"]) }
            var startedAt = Timestamp.now()
            if case .running(_, let at) = status.state { startedAt = at }
            if case .exited(let end) = status.state {
                startedAt = end.startedAt
                exits[config.id] = end
            }
            deliver(.started(container: name, id: config.id, at: startedAt))
            if let before, !before.isEmpty, before != config.id {
                try? await node.runtime.removeContainer(sandbox: uid, id: before)
            }
            await removeOldLogs(name, attempt)
        } catch KubeletError.container(let reason, let text) {
            deliver(.startFailed(container: name, reason: reason, message: text))
        } catch {
            deliver(.startFailed(container: name, reason: "CreateContainerError", message: "\(error)"))
        }
    }

    /// The logs of the last five attempts stay.
    private func removeOldLogs(_ name: String, _ attempt: Int) async {
        guard attempt >= 5 else { return }
        let plan = machine.plan
        let root = node.config.podLogDirectory(namespace: plan.namespace, name: plan.name, uid: uid)
        // What cannot be removed now is tried again after the next start.
        try? await BlockingPool.shared.run {
            for entry in try Files.list("\(root)/\(name)") {
                guard let number = entry.split(separator: ".").first.flatMap({ Int($0) }), number <= attempt - 5 else {
                    continue
                }
                try Files.remove("\(root)/\(name)/\(entry)")
            }
        }
    }

    private func stop(_ id: String, _ grace: Duration) async {
        do {
            try await node.runtime.stopContainer(sandbox: uid, id: id, signal: nil, grace: grace)
        } catch is CancellationError {
            // noded stops; the pod goes on ending, and the next noded sees it through.
        } catch {
            // The exit event, or the `overdue` timer, decides what comes next.
            logger.warning("cannot stop container", metadata: ["id": "\(id)", "error": "\(error)"])
        }
    }

    // MARK: - Hooks and probes

    private var handlers: HandlerRunner {
        HandlerRunner(runtime: node.runtime, prober: node.prober, podUID: uid, address: view.podIPs.first)
    }

    private func runHook(_ name: String, _ id: String, _ kind: HookKind, _ limit: Duration) async {
        guard let plan = machine.plan.containers.first(where: { $0.name == name }),
            let handler = kind == .postStart ? plan.postStart : plan.preStop
        else { return deliver(.hookFinished(container: name, id: id, kind, failure: nil)) }
        let failure = await handlers.run(handler, container: containerJSON(name), id: id, timeout: limit)
        deliver(
            .hookFinished(
                container: name, id: id, kind, failure: failure.map { "\(kind.rawValue) failed: \($0.text)" }))
    }

    private func probeLoop(_ name: String, _ id: String, _ kind: ProbeKind, _ since: Timestamp) -> ProbeLoop? {
        guard let plan = machine.plan.containers.first(where: { $0.name == name })?.probes[kind] else { return nil }
        let (container, key) = (containerJSON(name), Probe(id: id, kind: kind))
        return ProbeLoop(
            plan: plan, kind: kind, since: since, isWanted: { await self.isWanted(key) },
            // Asked for each time: a pod that was found without its network has its address later.
            probe: { await self.handlers.run(plan.handler, container: container, id: id, timeout: plan.timeout) },
            deliver: { self.deliver(.probed(container: name, id: id, kind, $0)) })
    }

    private func isWanted(_ probe: Probe) -> Bool { probes.contains(probe) }
}

extension Termination {
    init(_ status: ExitStatus, id: String) {
        self.init(
            exitCode: Int(status.code), signal: Int(status.signal ?? 0), reason: status.oomKilled ? "OOMKilled" : nil,
            message: status.message ?? "", startedAt: status.startedAt, finishedAt: status.finishedAt, containerID: id)
    }
}

// The life of one pod on its node, as a plain value: an event and a moment in, actions out. No I/O, no clock.
//
//     idle ─► preparing(volumes ─► sandbox ─► network) ─► active ─► draining ─► stopping ─► removing ─► …
//                                                          │  ▲                              │
//                                                          │  └──── sandbox lost ◄───────────┤
//                                                          └─ all ended ─► stopping ─► removing ─► completed
//                                                    deletion: … removing ─► deleting ─► gone
//
// Stops follow one order whatever their cause: endpoints out (deletion only, at most 2 s and inside the grace),
// app containers (preStop, signal, grace, SIGKILL) together, then sidecars one by one from the last, then network,
// sandbox and volumes, then the API object. A container that survives SIGKILL holds nothing up: the `overdue` timer
// goes on without it and says so. Nothing is ever relisted: each fact arrives once, as an event.
//
// The transitions of containers are in PodMachine+Containers, those of stopping in PodMachine+Stopping, what follows a
// lost link in PodMachine+Link, the status that the API shows in PodMachine+Status.

import System

public struct PodMachine: Sendable {
    enum Preparation: Sendable { case volumes, sandbox, network }

    enum Outcome: Sendable, Hashable {
        case delete
        case complete
        /// The sandbox was lost: make another one.
        case recreate
    }

    enum Stage: Sendable {
        case idle
        case preparing(Preparation)
        case active
        case draining
        case stopping(Outcome)
        case removing(Outcome)
        case completed
        case deleting
        case gone
    }

    /// How long a process may take to die after SIGKILL before the pod goes on without it.
    static let deathAllowance = Duration.seconds(10)
    /// How long the data path has to forget the pod (design.md, "Isolation first").
    static let drainLimit = Duration.seconds(2)
    /// preStop may use the whole grace; this much is left for the signal all the same.
    static let leastGrace = Duration.seconds(2)

    var plan: PodPlan
    var stage = Stage.idle
    var slots: [ContainerSlot]
    var addresses: [String] = []
    var sandboxAttempt = 0
    var sandboxExists = false
    var networkReady = false
    /// Adopted before the kernel could be asked: the addresses are those that the API shows, until `networkFound`.
    var networkUnread = false
    /// The link that the pod had is gone, and another one is on its way.
    var linkLost = false
    /// Uptime at which it was lost for the last time, and how long it was waited then.
    var linkLoss: (at: Duration, wait: Duration)?
    /// Every init container has done its part in this sandbox.
    var initialized = false
    var objectGone = false
    /// A resize is with the worker.
    var resizing = false
    var refusal: ResizeRefusal?
    var resizeFailure: String?
    /// Uptime at which everything has to be dead.
    var deadline: Duration?
    /// Set when the pod is over for a reason of its own: DeadlineExceeded.
    var failure: (reason: String, message: String)?
    var startTime: Timestamp?
    /// Readiness gates whose condition is True (others set them).
    public var openGates: Set<String> = []
    var conditions: [String: PodCondition] = [:]
    var phase = PodPhase.pending
    /// Why the pod is not further, in words, for the log and `noded why`.
    public internal(set) var trouble: String?
    var retryDelay = Duration.zero
    var serials: [PodTimer.Purpose: Int] = [:]
    var actions: [PodAction] = []

    public init(_ plan: PodPlan) {
        self.plan = plan
        slots = plan.containers.map(ContainerSlot.init)
    }

    public var isGone: Bool { if case .gone = stage { true } else { false } }

    /// Over for good: no container runs and none will.
    public var isTerminal: Bool { phase == .succeeded || phase == .failed }

    public var isStopping: Bool {
        switch stage {
        case .draining, .stopping, .removing, .deleting, .gone: true
        case .idle, .preparing, .active, .completed: false
        }
    }

    /// The latest container of that name, if one was created: its id and its attempt.
    public func latest(_ container: String) -> (id: String, attempt: Int)? {
        guard let slot = slots.first(where: { $0.plan.name == container }), slot.attempt >= 0 else { return nil }
        return (slot.containerID, slot.attempt)
    }

    public func isRunning(_ container: String) -> Bool { runningID(container) != nil }

    /// nil while no container of that name runs.
    public func runningID(_ container: String) -> String? {
        slots.first { $0.plan.name == container }?.running?.id
    }

    public mutating func handle(_ event: PodEvent, at now: Moment) -> [PodAction] {
        actions = []
        switch event {
        case .begin: begin(now)
        case .adopt(let found): adopt(found, now)
        case .desired(let plan): update(plan, now)
        case .vanished: vanish(now)
        case .volumesReady, .volumesFailed, .sandboxReady, .sandboxFailed, .networkReady, .networkFailed:
            prepared(event, now)
        case .networkFound(let found): networkFound(found)
        case .linkLost: loseLink(now)
        case .sandboxLost(let why): loseSandbox(why, now)
        case .imageReady, .imageFailed, .started, .startFailed: containerProgress(event, now)
        case .hookFinished(let container, let id, let kind, let failure):
            hookFinished(container, id, kind, failure, now)
        case .stopFailed(let container, let id, let why): stopFailed(container, id, why)
        case .exited(let container, let id, let end): exited(container, id, end, now)
        case .probed(let container, let id, let kind, let outcome): probed(container, id, kind, outcome, now)
        case .drained: if case .draining = stage { enterStopping(.delete, now) }
        case .tornDown, .teardownFailed: removed(event, now)
        case .objectDeleted: if case .deleting = stage { finish() }
        case .objectDeletionFailed(let why):
            trouble = why
            armRetry()
        case .resized, .resizeRefused, .resizeFailed: resized(event, now)
        case .timer(let timer): if serials[timer.purpose] == timer.serial { fired(timer.purpose, now) }
        }
        refresh(now)
        return actions
    }

    // MARK: - Start

    private mutating func begin(_ now: Moment) {
        guard case .idle = stage else { return }
        if startTime == nil { startTime = now.wall }
        if plan.deletionGrace != nil || isTerminal {
            // Nothing runs; the idempotent teardown clears whatever an earlier life left.
            stage = .removing(plan.deletionGrace != nil ? .delete : .complete)
            actions.append(.teardown(volumes: true))
            return
        }
        // An address that the API still shows went with its sandbox, and may be another pod's by now.
        addresses = []
        // What ran here before is gone with its sandbox (a reboot): only what wants another run gets one.
        for index in slots.indices where !slots[index].plan.role.isInitial {
            guard let end = slots[index].current, !slots[index].restarts(after: end) else { continue }
            slots[index].phase = .ended
        }
        armActiveDeadline(now)
        stage = .preparing(.volumes)
        actions.append(.mountVolumes)
    }

    private mutating func adopt(_ found: RecoveredPod, _ now: Moment) {
        guard case .idle = stage else { return }
        if startTime == nil { startTime = now.wall }
        sandboxExists = true
        for container in found.containers {
            guard let index = slots.firstIndex(where: { $0.plan.name == container.name }) else { continue }
            guard container.attempt >= slots[index].attempt else { continue }
            adopt(container, at: index, now)
        }
        if isTerminal {
            enterStopping(.complete, now)
            return
        }
        let seen = Set(found.containers.map(\.name))
        for index in slots.indices where !seen.contains(slots[index].plan.name) {
            // Its record was cleared away; the API still knows how it ended.
            slots[index].started = false
            slots[index].ready = false
            guard let end = slots[index].current, !slots[index].restarts(after: end) else { continue }
            slots[index].phase = .ended
        }
        initialized = found.containers.contains { item in
            slots.contains { $0.plan.role == .app && $0.plan.name == item.name }
        }
        if let known = found.addresses {
            // The kernel's word, not the API's: without a link there is no address, whatever was published of it.
            addresses = known
        } else {
            // Links and routes outlive noded, and containers begin after them: taking the address back because of a
            // question that failed would take a pod that works out of its Services.
            networkUnread = !plan.hostNetwork && !addresses.isEmpty && !found.containers.isEmpty
            if !networkUnread { addresses = [] }
        }
        networkReady = plan.hostNetwork || !addresses.isEmpty
        armActiveDeadline(now)
        stage = networkReady ? .active : .preparing(.network)
        // The mounts are there; this makes the volume manager know them, and updates their contents.
        actions.append(.mountVolumes)
        if !networkReady { actions.append(.attachNetwork) }
        if plan.deletionGrace != nil {
            startDeletion(now)
        } else {
            for container in found.containers { replaceIfChanged(container, now) }
            advance(now)
        }
        resizeWhereNeeded()
    }

    private mutating func networkFound(_ found: [String]) {
        guard networkUnread else { return }
        networkUnread = false
        switch stage {
        case .active:
            addresses = found
            guard found.isEmpty else { return }
            networkReady = false
            stage = .preparing(.network)
            actions.append(.attachNetwork)
        case .draining: addresses = found
        default: break
        }
    }

    /// An image that was changed after the container's start, and before noded could act on it.
    private mutating func replaceIfChanged(_ found: RecoveredContainer, _ now: Moment) {
        guard let index = index(found.name), slots[index].running?.id == found.id, !found.image.isEmpty,
            found.image != slots[index].plan.image
        else { return }
        replace(index, now)
    }

    private mutating func replace(_ index: Int, _ now: Moment) {
        slots[index].replaced = true
        kill(
            index, grace: plan.grace, "Container \(slots[index].plan.name) definition changed, will be restarted", now)
    }

    private mutating func armActiveDeadline(_ now: Moment) {
        guard let limit = plan.activeDeadline, let startTime else { return }
        let ran = Duration.seconds(now.wall.seconds - startTime.seconds)
        arm(.activeDeadline, max(.zero, limit - ran))
    }

    private mutating func prepared(_ event: PodEvent, _ now: Moment) {
        if linkLost, relinked(event, now) { return }
        switch event {
        case .volumesReady:
            guard case .preparing(.volumes) = stage else { return }
            progressed()
            stage = .preparing(.sandbox)
            actions.append(.createSandbox(attempt: sandboxAttempt))
        case .volumesFailed(let why):
            report(true, "FailedMount", why)
            failedToPrepare(why)
        case .sandboxReady:
            guard case .preparing(.sandbox) = stage else { return }
            progressed()
            sandboxExists = true
            stage = .preparing(.network)
            if plan.hostNetwork {
                prepared(.networkReady([]), now)
            } else {
                actions.append(.attachNetwork)
            }
        case .sandboxFailed(let why), .networkFailed(let why):
            report(true, "FailedCreatePodSandBox", "Failed to create pod sandbox: \(why)")
            failedToPrepare(why)
        case .networkReady(let found):
            guard case .preparing(.network) = stage else { return }
            progressed()
            if !plan.hostNetwork { addresses = found }
            networkReady = true
            stage = .active
            advance(now)
            resizeWhereNeeded()
        default: break
        }
    }

    private mutating func failedToPrepare(_ why: String) {
        trouble = why
        switch stage {
        case .preparing, .active: armRetry()
        default: break
        }
    }

    private mutating func progressed() {
        retryDelay = .zero
        // A retry that is still armed is for what has been done meanwhile.
        serials[.retry, default: 0] += 1
        trouble = nil
    }

    // MARK: - Desired state

    private mutating func update(_ new: PodPlan, _ now: Moment) {
        let old = plan
        plan = new
        for container in new.containers {
            guard let index = slots.firstIndex(where: { $0.plan.name == container.name }) else {
                // Only ephemeral ones come later.
                slots.append(ContainerSlot(container))
                continue
            }
            let changed = slots[index].plan.image != container.image
            slots[index].plan = container
            guard changed, slots[index].running != nil else { continue }
            switch stage {
            // Containers of a pod that was found without its network run on while it gets another.
            case .active, .preparing: replace(index, now)
            default: break
            }
        }
        if new.activeDeadline != old.activeDeadline { armActiveDeadline(now) }
        if new.containers.count > old.containers.count { advance(now) }
        resizeWhereNeeded()
        guard let grace = new.deletionGrace else { return }
        if old.deletionGrace == nil {
            startDeletion(now)
        } else if let old = old.deletionGrace, grace < old {
            tighten(now.uptime + grace, now)
        }
    }

    private mutating func vanish(_ now: Moment) {
        objectGone = true
        switch stage {
        case .deleting, .completed: finish()
        // The first event, which is on its way, finds out what there is to stop.
        case .idle: plan.deletionGrace = plan.deletionGrace ?? plan.grace
        case .gone: actions.append(.forget)
        case .draining, .stopping(.delete), .removing(.delete): break
        default:
            if plan.deletionGrace == nil { plan.deletionGrace = plan.grace }
            startDeletion(now)
        }
    }

    mutating func finish() {
        stage = .gone
        if objectGone { actions.append(.forget) }
    }

    // MARK: - Timers

    private mutating func fired(_ purpose: PodTimer.Purpose, _ now: Moment) {
        switch (purpose, stage) {
        case (.retry, .preparing(.volumes)), (.retry, .active): actions.append(.mountVolumes)
        case (.retry, .preparing(.sandbox)):
            sandboxAttempt += 1
            actions.append(.createSandbox(attempt: sandboxAttempt))
        case (.retry, .preparing(.network)): actions.append(.attachNetwork)
        case (.retry, .removing(let outcome)): actions.append(.teardown(volumes: outcome != .recreate))
        case (.retry, .deleting): actions.append(.deleteObject)
        case (.container(let name), .active):
            guard let index = slots.firstIndex(where: { $0.plan.name == name }) else { return }
            slots[index].notBefore = nil
            advance(now)
        case (.activeDeadline, .active), (.activeDeadline, .preparing):
            failure = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
            report(true, "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
            stopEverything(.complete, grace: plan.grace, now)
        case (.stop(let name, let id), _):
            // Not its successor, which is to be asked once.
            guard let index = index(name), let running = slots[index].running, running.id == id else { return }
            if running.stop?.signalled == true { signal(index, now) }
        case (.link, .active), (.link, .draining), (.link, .stopping): if linkLost { actions.append(.attachNetwork) }
        case (.resize, .active): resizeWhereNeeded()
        case (.overdue, .stopping(let outcome)): abandonTheUndead(outcome, now)
        default: break
        }
    }

    mutating func arm(_ purpose: PodTimer.Purpose, _ delay: Duration) {
        let serial = (serials[purpose] ?? 0) + 1
        serials[purpose] = serial
        actions.append(.arm(PodTimer(purpose: purpose, serial: serial), after: delay))
    }

    /// 1 s, 2 s … 30 s.
    mutating func armRetry() {
        retryDelay = retryDelay == .zero ? .seconds(1) : min(retryDelay * 2, .seconds(30))
        arm(.retry, retryDelay)
    }

    mutating func report(_ warning: Bool, _ reason: String, _ message: String, _ container: String? = nil) {
        actions.append(.report(PodReport(warning: warning, reason, message, container: container)))
    }
}

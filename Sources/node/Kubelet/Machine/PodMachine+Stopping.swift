// Stopping: one container (a probe or a hook decided it) or all of them (deletion, completion, a lost sandbox).

import System

extension PodMachine {
    // MARK: - The whole pod

    mutating func startDeletion(_ now: Moment) {
        let grace = plan.deletionGrace ?? plan.grace
        switch stage {
        case .idle: break
        case .preparing:
            // An operation may be under way; teardown is idempotent and ordered behind it by the worker.
            stopEverything(.delete, grace: grace, now)
        case .active:
            deadline = now.uptime + grace
            arm(.overdue, grace + PodMachine.deathAllowance)
            guard grace > .zero, !plan.hostNetwork, slots.contains(where: { $0.plan.role == .app && $0.isAlive }) else {
                return enterStopping(.delete, now)
            }
            stage = .draining
            actions.append(.drainEndpoints(limit: min(PodMachine.drainLimit, grace)))
        case .draining, .stopping(.delete), .removing(.delete), .deleting, .gone: break
        case .stopping:
            stage = .stopping(.delete)
            tighten(now.uptime + grace, now)
        case .removing(let outcome):
            stage = .removing(.delete)
            // The teardown under way keeps the volumes; another one, behind it, does not.
            if outcome == .recreate { actions.append(.teardown(volumes: true)) }
        case .completed:
            stage = .removing(.delete)
            actions.append(.teardown(volumes: true))
        }
    }

    mutating func stopEverything(_ outcome: Outcome, grace: Duration, _ now: Moment) {
        deadline = now.uptime + grace
        arm(.overdue, grace + PodMachine.deathAllowance)
        enterStopping(outcome, now)
    }

    mutating func enterStopping(_ outcome: Outcome, _ now: Moment) {
        if deadline == nil {
            deadline = now.uptime + plan.grace
            arm(.overdue, plan.grace + PodMachine.deathAllowance)
        }
        stage = .stopping(outcome)
        for index in slots.indices {
            switch slots[index].phase {
            case .waiting, .resolving: slots[index].notBefore = nil
            case .starting, .running, .ended: break
            }
        }
        advanceStopping(now)
    }

    /// Stops what may be stopped now: everything but sidecars at once, then sidecars from the last to the first.
    mutating func advanceStopping(_ now: Moment) {
        guard case .stopping(let outcome) = stage, let deadline else { return }
        let others = slots.indices.filter { slots[$0].plan.role != .sidecar && slots[$0].isAlive }
        if !others.isEmpty {
            for index in others { stop(index, by: deadline, "Stopping container \(slots[index].plan.name)", now) }
            return
        }
        if let index = slots.indices.last(where: { slots[$0].plan.role == .sidecar && slots[$0].isAlive }) {
            return stop(index, by: deadline, "Stopping container \(slots[index].plan.name)", now)
        }
        stage = .removing(outcome)
        actions.append(.teardown(volumes: outcome != .recreate))
    }

    /// A later, stricter wish: everything has to be dead by `new`.
    mutating func tighten(_ new: Duration, _ now: Moment) {
        guard new < (deadline ?? .seconds(Int64.max / 2)) else { return }
        deadline = new
        arm(.overdue, max(.zero, new - now.uptime) + PodMachine.deathAllowance)
        if case .draining = stage { return enterStopping(.delete, now) }
        guard case .stopping = stage else { return }
        for index in slots.indices {
            guard let stop = slots[index].running?.stop, new < stop.deadline else { continue }
            modify(index) { $0.stop?.deadline = new }
            if stop.signalled || new <= now.uptime { signal(index, now) }
        }
        advanceStopping(now)
    }

    mutating func abandonTheUndead(_ outcome: Outcome, _ now: Moment) {
        let names = slots.filter(\.isAlive).map(\.plan.name)
        guard !names.isEmpty else { return }
        report(
            true, "FailedKillPod",
            "error killing pod: \(names.joined(separator: ", ")) still there "
                + "\(PodMachine.deathAllowance.components.seconds) s after SIGKILL, going on without waiting")
        for index in slots.indices where slots[index].isAlive {
            if let running = slots[index].running { stopProbes(index, running) }
            slots[index].current = Termination(
                exitCode: 137, reason: "ContainerStatusUnknown",
                message: "The container could not be located when the pod was terminated",
                startedAt: slots[index].running?.startedAt, finishedAt: now.wall, containerID: slots[index].containerID)
            slots[index].phase = .ended
        }
        stage = .removing(outcome)
        actions.append(.teardown(volumes: outcome != .recreate))
    }

    mutating func removed(_ event: PodEvent, _ now: Moment) {
        guard case .removing(let outcome) = stage else { return }
        if case .teardownFailed(let why) = event {
            trouble = why
            report(true, "FailedKillPod", "error killing pod: \(why)")
            return armRetry()
        }
        retryDelay = .zero
        trouble = nil
        sandboxExists = false
        networkReady = false
        networkUnread = false
        linkLost = false
        deadline = nil
        switch outcome {
        case .complete: stage = .completed
        case .recreate: recreate(now)
        case .delete where objectGone: finish()
        case .delete:
            stage = .deleting
            actions.append(.deleteObject)
        }
    }

    // MARK: - A lost sandbox

    mutating func loseSandbox(_ why: String, _ now: Moment) {
        guard sandboxExists else { return }
        networkUnread = false
        linkLost = false
        for index in slots.indices where slots[index].running != nil {
            let running = slots[index].running!
            stopProbes(index, running)
            slots[index].current = Termination(
                exitCode: 137, signal: 9, message: why, startedAt: running.startedAt, finishedAt: now.wall,
                containerID: running.id)
            slots[index].started = false
            slots[index].ready = false
            slots[index].phase = .ended
        }
        switch stage {
        case .active, .preparing:
            report(false, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
            addresses = []
            stopEverything(.recreate, grace: .zero, now)
        case .draining: enterStopping(.delete, now)
        case .stopping: advanceStopping(now)
        default: break
        }
    }

    private mutating func recreate(_ now: Moment) {
        // A container whose policy does not want another run stays as it ended; when that is all, the pod is over.
        for index in slots.indices {
            let slot = slots[index]
            guard !slot.plan.role.isInitial, let end = slot.current, slot.hasEnded, !slot.restarts(after: end) else {
                slots[index].phase = .waiting
                continue
            }
        }
        if slots.allSatisfy({ $0.plan.role != .app || $0.hasEnded }) {
            stage = .completed
            return
        }
        initialized = false
        sandboxAttempt += 1
        stage = .preparing(.volumes)
        actions.append(.mountVolumes)
    }

    // MARK: - One container

    /// Stops a running container of an active pod; what follows its exit is its restart policy's affair.
    mutating func kill(_ index: Int, grace: Duration, _ message: String, _ now: Moment) {
        guard slots[index].running != nil else { return }
        stop(index, by: now.uptime + grace, message, now)
    }

    private mutating func stop(_ index: Int, by deadline: Duration, _ message: String, _ now: Moment) {
        guard let running = slots[index].running else { return }
        if let stop = running.stop {
            guard deadline < stop.deadline else { return }
            modify(index) { $0.stop?.deadline = deadline }
            if stop.signalled { signal(index, now) }
            return
        }
        report(false, "Killing", message, slots[index].plan.name)
        for kind in [ProbeKind.liveness, .startup] where slots[index].counts.removeValue(forKey: kind) != nil {
            actions.append(.stopProbe(container: slots[index].plan.name, id: running.id, kind))
        }
        modify(index) { $0.stop = .init(deadline: deadline, signalled: false) }
        let left = deadline - now.uptime
        if slots[index].plan.preStop != nil, left > .zero {
            actions.append(.runHook(container: slots[index].plan.name, id: running.id, .preStop, limit: left))
        } else {
            signal(index, now)
        }
    }

    /// The stop signal, with whatever is left of the grace.
    mutating func signal(_ index: Int, _ now: Moment) {
        guard let running = slots[index].running, let stop = running.stop else { return }
        var left = max(.zero, stop.deadline - now.uptime)
        // After a preStop hook that used it all up, the process still gets a moment to hear the signal.
        if slots[index].plan.preStop != nil, !stop.signalled, (plan.deletionGrace ?? plan.grace) > .zero {
            left = max(left, PodMachine.leastGrace)
        }
        modify(index) { $0.stop?.signalled = true }
        actions.append(.stop(container: slots[index].plan.name, id: running.id, grace: left))
    }

    /// 1 s, 2 s … 60 s, until it has ended or `overdue` goes on without it.
    mutating func stopFailed(_ name: String, _ id: String, _ why: String) {
        guard let index = index(name), let running = slots[index].running, running.id == id, let stop = running.stop
        else { return }
        report(true, "FailedKillPod", "error killing container: \(why)", name)
        let wait = stop.retryDelay == .zero ? .seconds(1) : min(stop.retryDelay * 2, .seconds(60))
        modify(index) { $0.stop?.retryDelay = wait }
        arm(.stop(name, id: id), wait)
    }
}

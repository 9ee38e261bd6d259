// Containers inside an active pod: who may start now, what an exit means, what probes and hooks decide.

import System

extension PodMachine {
    // MARK: - Who may start

    /// Drives every container as far as it may go now. Level-triggered: calling twice does nothing the second time.
    mutating func advance(_ now: Moment) {
        guard case .active = stage else { return }
        // Before the others, which may be what somebody wants to look into.
        for index in slots.indices where slots[index].plan.role == .ephemeral { drive(index, now) }
        if !initialized {
            for index in slots.indices where slots[index].plan.role.isInitial {
                if slots[index].plan.role == .initialize {
                    if slots[index].succeeded { continue }
                    if slots[index].hasEnded { return stopEverything(.complete, grace: plan.grace, now) }
                    drive(index, now)
                    return driveSidecars(before: index, now)
                }
                drive(index, now)
                guard slots[index].running != nil, slots[index].started else {
                    return driveSidecars(before: index, now)
                }
            }
            initialized = true
        }
        driveSidecars(before: slots.endIndex, now)
        for index in slots.indices where slots[index].plan.role == .app { drive(index, now) }
        if slots.allSatisfy({ $0.plan.role != .app || $0.hasEnded }) {
            stopEverything(.complete, grace: plan.grace, now)
        }
    }

    private mutating func driveSidecars(before end: Int, _ now: Moment) {
        for index in slots.indices where index < end && slots[index].plan.role == .sidecar { drive(index, now) }
    }

    private mutating func drive(_ index: Int, _ now: Moment) {
        guard case .waiting = slots[index].phase else { return }
        if let notBefore = slots[index].notBefore, notBefore > now.uptime { return }
        slots[index].notBefore = nil
        slots[index].phase = .resolving
        actions.append(.resolveImage(container: slots[index].plan.name))
    }

    // MARK: - Starting

    mutating func containerProgress(_ event: PodEvent, _ now: Moment) {
        switch event {
        case .imageReady(let name, let imageID, let found):
            guard let index = index(name), case .resolving = slots[index].phase else { return }
            slots[index].imageID = imageID
            guard case .active = stage else {
                slots[index].phase = .waiting
                return
            }
            slots[index].phase = .starting
            // Each try of a start looks for the image again; there is news only at the first.
            if slots[index].imageReport != found { report(false, "Pulled", found, name) }
            slots[index].imageReport = found
            actions.append(.start(container: name, attempt: slots[index].attempt + 1))
        case .imageFailed(let name, let reason, let message):
            guard let index = index(name), case .resolving = slots[index].phase else { return }
            imageFailed(index, reason, message, now)
        case .started(let name, let id, let at):
            guard let index = index(name), case .starting = slots[index].phase else { return }
            started(index, id, at, now)
        case .startFailed(let name, let reason, let message):
            guard let index = index(name), case .starting = slots[index].phase else { return }
            startFailed(index, reason, message, now)
        default: break
        }
    }

    private mutating func imageFailed(_ index: Int, _ reason: String, _ message: String, _ now: Moment) {
        let name = slots[index].plan.name
        let image = slots[index].plan.image
        slots[index].phase = .waiting
        slots[index].imageReport = nil
        guard case .active = stage else { return }
        if slots[index].wait?.reason == "ErrImagePull" || slots[index].wait?.reason == "ImagePullBackOff" {
            report(false, "BackOff", "Back-off pulling image \"\(image)\": \(message)", name)
            slots[index].wait = .init(
                reason: "ImagePullBackOff", message: "Back-off pulling image \"\(image)\": \(reason): \(message)")
        } else if slots[index].wait?.reason != reason {
            report(
                true, "Failed", reason == "ErrImagePull" ? "Failed to pull image \"\(image)\": \(message)" : message,
                name)
            report(true, "Failed", "Error: \(reason)", name)
            slots[index].wait = .init(reason: reason, message: message)
        }
        delay(index, slots[index].nextRetry(), now)
    }

    private mutating func delay(_ index: Int, _ wait: Duration, _ now: Moment) {
        slots[index].notBefore = now.uptime + wait
        arm(.container(slots[index].plan.name), wait)
    }

    private mutating func started(_ index: Int, _ id: String, _ at: Timestamp, _ now: Moment) {
        let name = slots[index].plan.name
        slots[index].attempt += 1
        slots[index].containerID = id
        if let end = slots[index].current { slots[index].previous = end }
        slots[index].current = nil
        slots[index].wait = nil
        slots[index].imageReport = nil
        slots[index].retryDelay = .zero
        slots[index].replaced = false
        slots[index].restartsForResize = false
        slots[index].counts = [:]
        slots[index].started = false
        slots[index].ready = false
        slots[index].phase = .running(.init(id: id, startedAt: at, since: now.uptime))
        report(false, "Created", "Container created", name)
        report(false, "Started", "Container started", name)
        guard case .active = stage else { return advanceStopping(now) }
        if slots[index].plan.postStart != nil {
            modify(index) { $0.hookPending = true }
            actions.append(.runHook(container: name, id: id, .postStart, limit: .seconds(24 * 3600)))
        } else {
            settled(index, now)
        }
        advance(now)
    }

    /// The container runs and its postStart hook is over: probes begin, those that have none pass at once.
    private mutating func settled(_ index: Int, _ now: Moment) {
        guard let running = slots[index].running else { return }
        if slots[index].plan.probes[.startup] != nil {
            probe(index, running, .startup)
        } else {
            becomeStarted(index, running, now)
        }
    }

    private mutating func becomeStarted(_ index: Int, _ running: ContainerSlot.Running, _ now: Moment) {
        slots[index].started = true
        if slots[index].plan.probes[.readiness] == nil { slots[index].ready = true }
        for kind in [ProbeKind.liveness, .readiness] where slots[index].plan.probes[kind] != nil {
            probe(index, running, kind)
        }
        advance(now)
    }

    private mutating func probe(_ index: Int, _ running: ContainerSlot.Running, _ kind: ProbeKind) {
        slots[index].counts[kind] = .init()
        actions.append(
            .startProbe(container: slots[index].plan.name, id: running.id, kind, since: running.startedAt))
    }

    private mutating func startFailed(_ index: Int, _ reason: String, _ message: String, _ now: Moment) {
        let name = slots[index].plan.name
        if slots[index].wait?.reason != reason || slots[index].wait?.message != message {
            report(true, "Failed", "Error: \(message)", name)
        }
        slots[index].wait = .init(reason: reason, message: message)
        slots[index].phase = .waiting
        guard case .active = stage else { return advanceStopping(now) }
        if reason != "RunContainerError" {
            return delay(index, slots[index].nextRetry(), now)
        }
        // The container existed for a moment: Kubernetes counts it as a run that ended with 128.
        slots[index].attempt += 1
        slots[index].imageReport = nil
        let end = Termination(
            exitCode: 128, reason: "StartError", message: message, startedAt: now.wall, finishedAt: now.wall)
        slots[index].phase = .running(.init(id: "", startedAt: now.wall, since: now.uptime))
        ended(index, end, now)
        if case .waiting = slots[index].phase { slots[index].wait = .init(reason: reason, message: message) }
    }

    // MARK: - Ends

    mutating func exited(_ name: String, _ id: String, _ end: Termination, _ now: Moment) {
        guard let index = index(name), let running = slots[index].running, running.id == id else { return }
        ended(index, end, now)
    }

    private mutating func ended(_ index: Int, _ end: Termination, _ now: Moment) {
        guard let running = slots[index].running else { return }
        stopProbes(index, running)
        if slots[index].current != nil { slots[index].previous = slots[index].current }
        slots[index].current = end
        slots[index].started = false
        slots[index].ready = false
        if end.reason == "OOMKilled" {
            let name = slots[index].plan.name
            report(
                true, "OOMKilled", "Container \(name) ran out of memory and was killed (exit code \(end.exitCode))",
                name)
        }
        switch stage {
        case .active, .preparing: settle(index, end, ran: now.uptime - running.since, now)
        default: slots[index].phase = .ended
        }
        switch stage {
        case .active: advance(now)
        case .stopping: advanceStopping(now)
        case .draining where !slots.contains(where: \.isAlive): enterStopping(.delete, now)
        default: break
        }
    }

    /// Decides between the end and another run.
    private mutating func settle(_ index: Int, _ end: Termination, ran: Duration, _ now: Moment) {
        guard slots[index].restarts(after: end) else {
            slots[index].phase = .ended
            return
        }
        slots[index].phase = .waiting
        let wait = slots[index].replaced ? .zero : slots[index].backoff.wait(exitCode: end.exitCode, ran: ran)
        guard wait > .zero else { return }
        backOff(index, wait, now)
    }

    private mutating func backOff(_ index: Int, _ wait: Duration, _ now: Moment) {
        let name = slots[index].plan.name
        let seconds = wait.components.seconds
        let text = seconds < 60 ? "\(seconds)s" : "\(seconds / 60)m\(seconds % 60)s"
        slots[index].wait = .init(
            reason: "CrashLoopBackOff",
            message: "back-off \(text) restarting failed container=\(name) pod=\(plan.key)")
        report(true, "BackOff", "Back-off restarting failed container \(name) in pod \(plan.key)", name)
        delay(index, wait, now)
    }

    mutating func stopProbes(_ index: Int, _ running: ContainerSlot.Running) {
        for kind in ProbeKind.allCases where slots[index].counts.removeValue(forKey: kind) != nil {
            actions.append(.stopProbe(container: slots[index].plan.name, id: running.id, kind))
        }
    }

    // MARK: - Adoption

    mutating func adopt(_ found: RecoveredContainer, at index: Int, _ now: Moment) {
        let known = slots[index]
        let sameRun = known.containerID == found.id
        slots[index].attempt = found.attempt
        slots[index].containerID = found.id
        slots[index].backoff = Backoff(attempt: found.attempt)
        slots[index].wait = nil
        let start = found.startedAt ?? now.wall
        let age = Duration.seconds(max(0, now.wall.seconds - start.seconds))
        guard let end = found.termination else {
            if !sameRun, let end = known.current { slots[index].previous = end }
            slots[index].current = nil
            slots[index].started = known.started && sameRun
            slots[index].ready = known.ready && sameRun
            let running = ContainerSlot.Running(id: found.id, startedAt: start, since: now.uptime - age)
            slots[index].phase = .running(running)
            let wasReady = slots[index].ready
            if slots[index].started {
                becomeStarted(index, running, now)
            } else {
                settled(index, now)
            }
            if wasReady { slots[index].ready = true }
            return
        }
        if !sameRun, let end = known.current { slots[index].previous = end }
        slots[index].current = end
        slots[index].started = false
        slots[index].ready = false
        guard slots[index].restarts(after: end), !isTerminal, plan.deletionGrace == nil else {
            slots[index].phase = .ended
            return
        }
        slots[index].phase = .waiting
        let since = Duration.seconds(max(0, now.wall.seconds - end.finishedAt.seconds))
        let full = slots[index].backoff.wait(exitCode: end.exitCode, ran: .zero)
        if full > since { backOff(index, full - since, now) }
    }

    // MARK: - Probes

    mutating func probed(_ name: String, _ id: String, _ kind: ProbeKind, _ outcome: ProbeOutcome, _ now: Moment) {
        guard let index = index(name), let running = slots[index].running, running.id == id,
            let probe = slots[index].plan.probes[kind], var count = slots[index].counts[kind]
        else { return }
        defer { if slots[index].counts[kind] != nil { slots[index].counts[kind] = count } }
        switch outcome {
        case .success:
            count.failures = 0
            count.unknowns = 0
            count.successes += 1
            if count.successes >= probe.successThreshold { passed(index, running, kind, now) }
        case .notYet: break
        case .unknown(let why):
            // A prober that is late says nothing about the container, but must not hide a dead one for ever.
            count.unknowns += 1
            guard count.unknowns > 3 else { return }
            count.failures += 1
            report(true, "Unhealthy", "\(kind.rawValue) probe failed: \(why)", name)
            if count.failures >= probe.failureThreshold { failed(index, kind, probe, now) }
        case .failure(let why):
            count.successes = 0
            count.unknowns = 0
            count.failures += 1
            report(true, "Unhealthy", "\(kind.rawValue) probe failed: \(why)", name)
            if count.failures >= probe.failureThreshold { failed(index, kind, probe, now) }
        }
    }

    private mutating func passed(_ index: Int, _ running: ContainerSlot.Running, _ kind: ProbeKind, _ now: Moment) {
        switch kind {
        case .readiness: slots[index].ready = true
        case .liveness: break
        case .startup:
            slots[index].counts[.startup] = nil
            actions.append(.stopProbe(container: slots[index].plan.name, id: running.id, .startup))
            becomeStarted(index, running, now)
        }
    }

    private mutating func failed(_ index: Int, _ kind: ProbeKind, _ probe: ProbePlan, _ now: Moment) {
        let name = slots[index].plan.name
        guard kind != .readiness else {
            slots[index].ready = false
            return
        }
        guard case .active = stage else { return }
        let word = kind == .startup ? "startup" : "liveness"
        let restarts = slots[index].plan.restartPolicy != .never
        kill(
            index, grace: probe.grace ?? plan.grace,
            "Container \(name) failed \(word) probe, will be \(restarts ? "restarted" : "killed")", now)
    }

    // MARK: - Hooks

    mutating func hookFinished(_ name: String, _ id: String, _ kind: HookKind, _ failure: String?, _ now: Moment) {
        guard let index = index(name), let running = slots[index].running, running.id == id else { return }
        switch kind {
        case .postStart:
            guard running.hookPending else { return }
            modify(index) { $0.hookPending = false }
            if let failure {
                report(true, "FailedPostStartHook", failure, name)
                guard case .active = stage else { return }
                kill(index, grace: plan.grace, "FailedPostStartHook", now)
            } else if running.stop == nil {
                settled(index, now)
            }
        case .preStop:
            guard let stop = running.stop, !stop.signalled else { return }
            if let failure { report(true, "FailedPreStopHook", failure, name) }
            signal(index, now)
        }
    }

    // MARK: - Small things

    func index(_ name: String) -> Int? { slots.firstIndex { $0.plan.name == name } }

    mutating func modify(_ index: Int, _ change: (inout ContainerSlot.Running) -> Void) {
        guard case .running(var running) = slots[index].phase else { return }
        change(&running)
        slots[index].phase = .running(running)
    }
}

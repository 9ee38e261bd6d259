// What the API shows of a pod: phase, conditions, container statuses (PodStatus v1), computed from the machine.
//
// `status` is a pure function of the state, so the worker publishes by comparing two values; conditions keep the
// moment of their last change. Conditions that others own (readiness gates, PodScheduled, DisruptionTarget) are
// not in it: the patch merges by type and leaves them alone. Wording and reasons are the kubelet's, because tools
// read them.

public import Objects
import System

/// PodStatus.phase.
public enum PodPhase: String, Sendable {
    case pending = "Pending", running = "Running", succeeded = "Succeeded", failed = "Failed"
}

struct PodCondition: Sendable, Hashable {
    var status: Bool
    var reason: String?
    var message: String?
    var since: Timestamp

    func says(_ other: PodCondition) -> Bool {
        status == other.status && reason == other.reason && message == other.message
    }
}

/// What of the status is the node's rather than the pod's.
public struct HostFacts: Sendable, Hashable {
    public var addresses: [String]
    public init(addresses: [String]) { self.addresses = addresses }
}

extension PodMachine {
    static let ownConditions = [
        "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady",
    ]

    /// Called at the end of each event: recomputes the phase and the conditions.
    mutating func refresh(_ now: Moment) {
        phase = computedPhase
        for (type, fresh) in computedConditions(now) {
            var fresh = fresh
            if let old = conditions[type], old.status == fresh.status { fresh.since = old.since }
            if let old = conditions[type], old.says(fresh) { continue }
            conditions[type] = fresh
        }
        let passing = resizeConditions(now)
        for type in PodMachine.passingConditions {
            guard var fresh = passing.first(where: { $0.0 == type })?.1 else {
                conditions[type] = nil
                continue
            }
            if let old = conditions[type] { fresh.since = old.since }
            conditions[type] = fresh
        }
    }

    private var computedPhase: PodPhase {
        if isTerminal { return phase }
        if failure != nil, !slots.contains(where: \.isAlive), isOver { return .failed }
        let apps = slots.filter { $0.plan.role == .app }
        if isOver { return apps.allSatisfy(\.succeeded) && slots.allSatisfy(initialSucceeded) ? .succeeded : .failed }
        // Once every app container has run the pod does not go back to Pending, not even while another sandbox is made
        // and its init containers run again.
        return apps.contains { $0.attempt < 0 && !$0.hasEnded } ? .pending : .running
    }

    private func initialSucceeded(_ slot: ContainerSlot) -> Bool {
        slot.plan.role != .initialize || slot.succeeded || initialized
    }

    /// Nothing runs any more and nothing will.
    private var isOver: Bool {
        switch stage {
        case .completed: true
        case .removing(.complete): true
        case .removing(.delete), .deleting, .gone: slots.contains { $0.attempt >= 0 }
        default: false
        }
    }

    // MARK: - Conditions

    private func computedConditions(_ now: Moment) -> [(String, PodCondition)] {
        let over: String? = phase == .succeeded ? "PodCompleted" : phase == .failed ? "PodFailed" : nil
        let initial = slots.filter(\.plan.role.isInitial)
        let incomplete = initialized
            ? [] : initial.filter { $0.plan.role == .initialize ? !$0.succeeded : !$0.started }.map(\.plan.name)
        let initializedCondition = incomplete.isEmpty || phase == .succeeded
            ? PodCondition(status: true, reason: phase == .succeeded ? "PodCompleted" : nil, since: now.wall)
            : PodCondition(
                status: false, reason: "ContainersNotInitialized",
                message: "containers with incomplete status: [\(incomplete.joined(separator: " "))]", since: now.wall)
        // Sidecars count for readiness as app containers do.
        let unready = slots.filter { $0.plan.role != .initialize && $0.plan.role != .ephemeral && !$0.ready }
            .map(\.plan.name)
        var containers = PodCondition(status: true, since: now.wall)
        if let over {
            containers = PodCondition(status: false, reason: over, since: now.wall)
        } else if !unready.isEmpty || slots.isEmpty {
            containers = PodCondition(
                status: false, reason: "ContainersNotReady",
                message: "containers with unready status: [\(unready.joined(separator: " "))]", since: now.wall)
        }
        var ready = containers
        let gates = plan.readinessGates.filter { !openGates.contains($0) }
        if ready.status, !gates.isEmpty {
            let text = gates.map { "corresponding condition of pod readiness gate \"\($0)\" does not exist." }
            ready = PodCondition(
                status: false, reason: "ReadinessGatesNotReady", message: text.joined(separator: ", "), since: now.wall)
        }
        let sandbox = PodCondition(status: sandboxExists && networkReady, since: now.wall)
        return [
            ("PodReadyToStartContainers", sandbox), ("Initialized", initializedCondition), ("Ready", ready),
            ("ContainersReady", containers),
        ]
    }

    // MARK: - JSON

    /// The whole status as this node sees it. `qosClass` is the API's word for the pod's resources.
    public func status(host: HostFacts, qosClass: String) -> JSON {
        var status: JSON = ["phase": .string(phase.rawValue), "qosClass": .string(qosClass)]
        if plan.generation > 0 { status["observedGeneration"] = .int(Int64(plan.generation)) }
        if let startTime { status["startTime"] = .string(startTime.rfc3339) }
        if let failure {
            status["reason"] = .string(failure.reason)
            status["message"] = .string(failure.message)
        }
        if let first = host.addresses.first {
            status["hostIP"] = .string(first)
            status["hostIPs"] = .array(host.addresses.map { ["ip": .string($0)] })
        }
        let ips = plan.hostNetwork ? host.addresses : addresses
        if let first = ips.first {
            status["podIP"] = .string(first)
            status["podIPs"] = .array(ips.map { ["ip": .string($0)] })
        }
        let types = PodMachine.ownConditions + PodMachine.passingConditions
        status["conditions"] = .array(types.compactMap(conditionJSON))
        let initial = slots.filter(\.plan.role.isInitial)
        if !initial.isEmpty { status["initContainerStatuses"] = .array(initial.map(containerStatus)) }
        status["containerStatuses"] = .array(slots.filter { $0.plan.role == .app }.map(containerStatus))
        let ephemeral = slots.filter { $0.plan.role == .ephemeral }
        if !ephemeral.isEmpty { status["ephemeralContainerStatuses"] = .array(ephemeral.map(containerStatus)) }
        return status
    }

    private func conditionJSON(_ type: String) -> JSON? {
        guard let condition = conditions[type] else { return nil }
        var json: JSON = [
            "type": .string(type), "status": .string(condition.status ? "True" : "False"), "lastProbeTime": .null,
            "lastTransitionTime": .string(condition.since.rfc3339),
        ]
        if let reason = condition.reason { json["reason"] = .string(reason) }
        if let message = condition.message { json["message"] = .string(message) }
        if plan.generation > 0 { json["observedGeneration"] = .int(Int64(plan.generation)) }
        return json
    }

    private func containerStatus(_ slot: ContainerSlot) -> JSON {
        var state: JSON
        var last = slot.previous
        if let running = slot.running {
            state = ["running": ["startedAt": .string(running.startedAt.rfc3339)]]
        } else if slot.wait == nil || slot.hasEnded, let end = slot.current {
            state = ["terminated": terminated(end)]
        } else {
            last = slot.current ?? slot.previous
            let wait = slot.wait ?? defaultWait(slot)
            var waiting: JSON = ["reason": .string(wait.reason)]
            if !wait.message.isEmpty { waiting["message"] = .string(wait.message) }
            state = ["waiting": waiting]
        }
        // An ephemeral container has no probes, and nobody waits for it.
        let isEphemeral = slot.plan.role == .ephemeral
        let ready = slot.plan.role == .initialize ? slot.succeeded : slot.ready && !isEphemeral
        var json: JSON = [
            "name": .string(slot.plan.name), "image": .string(slot.plan.image), "imageID": .string(slot.imageID),
            "ready": .bool(ready), "restartCount": .int(Int64(max(0, slot.attempt))), "state": state,
            "lastState": last.map { ["terminated": terminated($0)] } ?? [:],
        ]
        if slot.attempt >= 0, !isEphemeral {
            json["resources"] = slot.granted
            if let requests = slot.granted["requests"] { json["allocatedResources"] = requests }
        }
        if !isEphemeral { json["started"] = .bool(slot.running != nil && slot.started) }
        if !slot.containerID.isEmpty { json["containerID"] = .string("noded://" + slot.containerID) }
        return json
    }

    private func defaultWait(_ slot: ContainerSlot) -> ContainerSlot.Wait {
        let hasInit = slots.contains(where: \.plan.role.isInitial)
        let reason = hasInit && !initialized && slot.plan.role != .ephemeral ? "PodInitializing" : "ContainerCreating"
        return .init(reason: reason, message: "")
    }

    private func terminated(_ end: Termination) -> JSON {
        var json: JSON = [
            "exitCode": .int(Int64(end.exitCode)), "reason": .string(end.reason),
            "finishedAt": .string(end.finishedAt.rfc3339),
            "startedAt": .string((end.startedAt ?? end.finishedAt).rfc3339),
        ]
        if end.signal != 0 { json["signal"] = .int(Int64(end.signal)) }
        if !end.message.isEmpty { json["message"] = .string(end.message) }
        if !end.containerID.isEmpty { json["containerID"] = .string("noded://" + end.containerID) }
        return json
    }

    // MARK: - What an earlier life of this node wrote

    /// Takes over what the API knows of a pod that this node ran before: restart counts, last states, readiness
    /// and the moments of the conditions. To be called before the first event.
    public mutating func restore(_ status: JSON) {
        if let text = status.text("startTime") { startTime = Timestamp(rfc3339: text) }
        if let phase = PodPhase(rawValue: status.text("phase") ?? "") { self.phase = phase }
        addresses = status.list("podIPs").compactMap { $0.text("ip") }
        if let reason = status.text("reason") { failure = (reason, status.text("message") ?? "") }
        for item in status.list("conditions") {
            guard let type = item.text("type"), PodMachine.ownConditions.contains(type),
                let since = item.text("lastTransitionTime").flatMap({ Timestamp(rfc3339: $0) })
            else { continue }
            conditions[type] = PodCondition(
                status: item.text("status") == "True", reason: item.text("reason"), message: item.text("message"),
                since: since)
        }
        let lists = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"]
        for item in lists.flatMap({ status.list($0) }) {
            guard let index = slots.firstIndex(where: { $0.plan.name == item.text("name") }) else { continue }
            restore(item, at: index)
        }
    }

    private mutating func restore(_ item: JSON, at index: Int) {
        if let resources = item["resources"] { slots[index].granted = resources }
        slots[index].imageID = item.text("imageID") ?? ""
        let prefix = "noded://"
        let id = item.text("containerID") ?? ""
        slots[index].containerID = id.hasPrefix(prefix) ? String(id.dropFirst(prefix.count)) : ""
        slots[index].previous = termination(item.child("lastState").child("terminated"))
        let state = item.child("state")
        let restarts = item.integer("restartCount") ?? 0
        slots[index].attempt = id.isEmpty && restarts == 0 ? -1 : restarts
        if let running = state["running"] {
            slots[index].started = item.flag("started")
            slots[index].ready = item.flag("ready")
            // Unless the runtime says it still runs, it ended while nobody looked.
            slots[index].current = Termination(
                exitCode: 137, reason: "ContainerStatusUnknown",
                message: "The container could not be located when noded started again",
                startedAt: running.text("startedAt").flatMap { Timestamp(rfc3339: $0) },
                finishedAt: running.text("startedAt").flatMap { Timestamp(rfc3339: $0) } ?? .now(),
                containerID: slots[index].containerID)
        } else if let end = termination(state.child("terminated")) {
            slots[index].current = end
        } else if let end = slots[index].previous {
            slots[index].current = end
            slots[index].previous = nil
        }
        // A pod that is over stays as it was.
        if isTerminal { slots[index].phase = .ended }
    }

    private func termination(_ json: JSON) -> Termination? {
        guard let code = json.integer("exitCode") else { return nil }
        let id = json.text("containerID") ?? ""
        return Termination(
            exitCode: code, signal: json.integer("signal") ?? 0, reason: json.text("reason"),
            message: json.text("message") ?? "",
            startedAt: json.text("startedAt").flatMap { Timestamp(rfc3339: $0) },
            finishedAt: json.text("finishedAt").flatMap { Timestamp(rfc3339: $0) } ?? .now(),
            containerID: id.hasPrefix("noded://") ? String(id.dropFirst(8)) : id)
    }
}

// The cells of a pod, above all its STATUS column: not the phase, but the one word that says what holds the pod up.
//
// Init containers come first: the first of them that is not done decides (`Init:1/2`, `Init:CrashLoopBackOff`). Then
// the containers, from the last to the first, so that the first one's trouble wins. Deletion covers all of it, but
// not the end of a pod that has already ended.

internal import System

enum PodTable {
    static func cells(_ pod: Pod, now: Timestamp) -> [JSON] {
        var summary = PodSummary(pod)
        summary.look()
        let status = pod.status
        let gates = pod.spec.readinessGates
        let open = gates.filter { status.condition($0.conditionType)?.isTrue ?? false }.count
        var restarts = "\(summary.restarts)"
        if summary.restarts != 0, let last = summary.lastRestart {
            restarts += " (\(HumanDuration.text(since: last, now: now)) ago)"
        }
        return [
            TableRow.name(pod.json), "\(summary.ready)/\(summary.total)", .string(summary.reason), .string(restarts),
            TableRow.age(pod.json, now), TableRow.orNone(status.podIPs.first?.ip ?? status.podIP),
            TableRow.orNone(pod.spec.nodeName), TableRow.orNone(status.nominatedNodeName),
            gates.isEmpty ? "<none>" : "\(open)/\(gates.count)",
        ]
    }
}

/// What the containers' states add up to.
private struct PodSummary {
    let pod: Pod
    let status: PodStatus
    var reason: String
    var ready = 0
    var total = 0
    var restarts = 0
    var lastRestart: Timestamp?

    init(_ pod: Pod) {
        self.pod = pod
        status = pod.status
        reason = status.reason.isEmpty ? status.phase : status.reason
        if let scheduled = status.condition("PodScheduled"), scheduled.reason == "SchedulingGated" {
            reason = "SchedulingGated"
        }
        total = pod.spec.containers.count + pod.spec.initContainers.filter(\.isSidecar).count
    }

    mutating func look() {
        let initializing = lookAtInitContainers()
        if !initializing || status.condition("Initialized")?.isTrue == true { lookAtContainers() }
        guard pod.metadata.isDeleted else { return }
        if status.reason == "NodeLost" {
            reason = "Unknown"
        } else if !pod.isTerminal {
            reason = "Terminating"
        }
    }

    private mutating func count(_ container: ContainerStatus) {
        restarts += container.restartCount ?? 0
        guard let finished = container.lastState.terminated?.finishedAt else { return }
        lastRestart = max(lastRestart ?? finished, finished)
    }

    /// Returns whether one of them is not done.
    private mutating func lookAtInitContainers() -> Bool {
        let sidecars = Set(pod.spec.initContainers.filter(\.isSidecar).map(\.name))
        for (index, container) in status.initContainerStatuses.enumerated() {
            count(container)
            let ended = container.state.terminated
            if ended?.exitCode == 0 { continue }
            if sidecars.contains(container.name), container.started == true {
                if container.ready { ready += 1 }
                continue
            }
            if let ended {
                reason = "Init:" + Self.reason(of: ended)
            } else if let waiting = container.state.waiting, !["", "PodInitializing"].contains(waiting.reason) {
                reason = "Init:" + waiting.reason
            } else {
                reason = "Init:\(index)/\(pod.spec.initContainers.count)"
            }
            return true
        }
        return false
    }

    private mutating func lookAtContainers() {
        // From here only containers that go on running count: the apps and the sidecars.
        restarts = 0
        lastRestart = nil
        let sidecars = Set(pod.spec.initContainers.filter(\.isSidecar).map(\.name))
        for container in status.initContainerStatuses where sidecars.contains(container.name) { count(container) }
        var running = false
        for container in status.containerStatuses.reversed() {
            count(container)
            if let waiting = container.state.waiting, !waiting.reason.isEmpty {
                reason = waiting.reason
            } else if let ended = container.state.terminated {
                reason = Self.reason(of: ended)
            } else if container.ready, container.state.running != nil {
                running = true
                ready += 1
            }
        }
        if reason == "Completed", running {
            reason = status.condition("Ready")?.isTrue == true ? "Running" : "NotReady"
        }
    }

    private static func reason(of ended: ContainerStateTerminated) -> String {
        if !ended.reason.isEmpty { return ended.reason }
        if let signal = ended.signal, signal != 0 { return "Signal:\(signal)" }
        return "ExitCode:\(ended.exitCode ?? 0)"
    }
}

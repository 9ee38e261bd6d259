// One container of a pod as the state machine sees it, across its restarts, and the back-off between them.
//
//     waiting ─► resolving ─► starting ─► running ─► (waiting again, after the back-off | ended)
//
// The back-off is Kubernetes' (none, 10 s, 20 s … 5 min, forgotten after a run of 10 min), except that an exit with
// code 0 never makes it grow: a job-like container that is restarted by policy waits 10 s, whatever came before.

import Objects
import System

struct ContainerSlot: Sendable {
    enum Phase: Sendable {
        case waiting
        case resolving
        case starting
        case running(Running)
        /// Over, and not to be restarted in this sandbox.
        case ended
    }

    struct Running: Sendable {
        var id: String
        var startedAt: Timestamp
        /// Uptime of the start, as far as this process knows.
        var since: Duration
        var hookPending = false
        var stop: Stop?
    }

    struct Stop: Sendable {
        /// Uptime at which SIGKILL is due.
        var deadline: Duration
        var signalled: Bool
        /// How long it was waited after the last failure.
        var retryDelay = Duration.zero
    }

    struct Wait: Sendable, Hashable {
        var reason: String
        var message: String
    }

    struct Count: Sendable {
        var successes = 0
        var failures = 0
        var unknowns = 0
    }

    var plan: ContainerPlan
    var phase = Phase.waiting
    var wait: Wait?
    /// Attempt number of the latest container that was created, -1 before the first. It is the restart count.
    var attempt = -1
    var started = false
    var ready = false
    /// How the latest container ended; nil while it runs or before the first.
    var current: Termination?
    var previous: Termination?
    var containerID = ""
    var imageID = ""
    /// What was reported of the image for the start that is being tried; nil once that start is over.
    var imageReport: String?
    var backoff = Backoff()
    /// Uptime before which it must not be started; nil when there is no back-off.
    var notBefore: Duration?
    /// Grows with each failed look for the image or failed creation.
    var retryDelay = Duration.zero
    var counts: [ProbeKind: Count] = [:]
    /// Restart whatever the policy says: the definition changed.
    var replaced = false
    /// Container.resources that it has, or will be started with; behind the plan's while a resize waits.
    var granted: JSON
    /// Ends, to run again with what it was granted.
    var restartsForResize = false

    init(_ plan: ContainerPlan) {
        self.plan = plan
        granted = plan.resources
    }

    var running: Running? {
        if case .running(let running) = phase { running } else { nil }
    }

    /// Something exists, or is about to, that has to be stopped.
    var isAlive: Bool {
        switch phase {
        case .starting, .running: true
        case .waiting, .resolving, .ended: false
        }
    }

    var hasEnded: Bool {
        if case .ended = phase { true } else { false }
    }

    var succeeded: Bool { hasEnded && current?.exitCode == 0 }

    func restarts(after termination: Termination) -> Bool {
        if replaced { return true }
        return switch plan.restartPolicy {
        case .always: true
        case .onFailure: termination.exitCode != 0
        case .never: false
        }
    }

    /// 1 s, 2 s, 4 s … 10 s: looking again for an image or a ConfigMap that is missing is cheap.
    mutating func nextRetry() -> Duration {
        retryDelay = retryDelay == .zero ? .seconds(1) : min(retryDelay * 2, .seconds(10))
        return retryDelay
    }
}

/// CrashLoopBackOff as a value.
public struct Backoff: Sendable, Hashable {
    public static let first = Duration.seconds(10)
    public static let most = Duration.seconds(300)
    /// A run this long wipes the slate clean.
    public static let reset = Duration.seconds(600)

    /// What the next restart waits.
    public private(set) var delay = Duration.zero

    public init() {}

    /// The state after `attempt` restarts in a row, for a container found dead after noded's own restart.
    public init(attempt: Int) {
        for _ in 0..<max(0, min(attempt, 6)) { grow() }
    }

    /// A container has ended: how long to wait before it is started again.
    public mutating func wait(exitCode: Int, ran: Duration) -> Duration {
        if ran >= Backoff.reset { delay = .zero }
        if exitCode == 0 {
            let wait = min(delay, Backoff.first)
            delay = Backoff.first
            return wait
        }
        let wait = delay
        grow()
        return wait
    }

    private mutating func grow() { delay = delay == .zero ? Backoff.first : min(delay * 2, Backoff.most) }
}

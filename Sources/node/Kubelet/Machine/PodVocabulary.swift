// The words that the pod's state machine and its worker speak: events in, actions out.
//
// Everything the machine learns arrives as a `PodEvent` with a `Moment`; everything it wants is a `PodAction`. An
// action that takes time ends in an event of its own, so that the machine never waits and a hung operation can only
// hold up its own pod.

public import Objects
public import System

/// When an event happened: the wall clock for what is shown, a clock that never jumps for every delay.
public struct Moment: Sendable, Hashable {
    public var wall: Timestamp
    /// Time since some fixed start (CLOCK_BOOTTIME in the daemon, any count in tests).
    public var uptime: Duration

    public init(wall: Timestamp, uptime: Duration) {
        self.wall = wall
        self.uptime = uptime
    }
}

/// The end of a container (ContainerStateTerminated).
public struct Termination: Sendable, Hashable {
    public var exitCode: Int
    /// The signal's number when the process died of one, else 0.
    public var signal: Int
    /// Completed, Error, OOMKilled, StartError, ContainerStatusUnknown.
    public var reason: String
    public var message: String
    public var startedAt: Timestamp?
    public var finishedAt: Timestamp
    public var containerID: String

    public init(
        exitCode: Int, signal: Int = 0, reason: String? = nil, message: String = "", startedAt: Timestamp? = nil,
        finishedAt: Timestamp, containerID: String = ""
    ) {
        self.exitCode = exitCode
        self.signal = signal
        self.reason = reason ?? (exitCode == 0 ? "Completed" : "Error")
        self.message = message
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.containerID = containerID
    }
}

public enum ProbeOutcome: Sendable, Hashable {
    case success
    case failure(String)
    /// A readiness probe failed in the first period of the container's life: its program may not be up yet, and it was
    /// not ready before either. Nothing to tell.
    case notYet
    /// The prober itself was too late or could not ask: says nothing about the container.
    case unknown(String)
}

public enum HookKind: String, Sendable, Hashable { case postStart = "PostStartHook", preStop = "PreStopHook" }

/// A timer of one pod. A timer armed again replaces the earlier one: only the latest `serial` counts.
public struct PodTimer: Sendable, Hashable {
    public enum Purpose: Sendable, Hashable {
        /// Try again what failed: volumes, sandbox, network, teardown, deletion of the object.
        case retry
        /// A container's back-off is over, for a restart or for another look for its image.
        case container(String)
        /// spec.activeDeadlineSeconds.
        case activeDeadline
        /// Ask again for the end of a container that could not be stopped.
        case stop(String, id: String)
        /// Make a lost link again.
        case link
        /// Try a refused resize again.
        case resize
        /// The grace period and the time to die after SIGKILL are over.
        case overdue
    }

    public let purpose: Purpose
    public let serial: Int
}

/// An Event for the API (Kubernetes' reasons and wording).
public struct PodReport: Sendable, Hashable {
    public var warning: Bool
    public var reason: String
    public var message: String
    /// The container it is about, for involvedObject.fieldPath.
    public var container: String?

    public init(warning: Bool = false, _ reason: String, _ message: String, container: String? = nil) {
        self.warning = warning
        self.reason = reason
        self.message = message
        self.container = container
    }
}

public enum PodEvent: Sendable, Hashable {
    /// The worker has started; nothing was running before.
    case begin
    /// The worker has started and found the pod's sandbox alive.
    case adopt(RecoveredPod)
    case desired(PodPlan)
    /// The object is gone from its source: stop everything, and there is nothing left to report to.
    case vanished
    case volumesReady
    case volumesFailed(String)
    case sandboxReady
    case sandboxFailed(String)
    case networkReady([String])
    case networkFailed(String)
    /// What the kernel has of a pod that was adopted before it could be asked; empty: no link.
    case networkFound([String])
    /// Somebody has removed the pod's link; its sandbox lives.
    case linkLost
    /// The supervisor died, and every container with it.
    case sandboxLost(String)
    case imageReady(container: String, imageID: String, found: String)
    case imageFailed(container: String, reason: String, message: String)
    case started(container: String, id: String, at: Timestamp)
    /// `reason` is CreateContainerConfigError, CreateContainerError or RunContainerError.
    case startFailed(container: String, reason: String, message: String)
    /// The runtime could not end it, or does not know whether it has: it is asked again.
    case stopFailed(container: String, id: String, message: String)
    case hookFinished(container: String, id: String, HookKind, failure: String?)
    case exited(container: String, id: String, Termination)
    case probed(container: String, id: String, ProbeKind, ProbeOutcome)
    /// Containers have what they are granted (Container.resources by name); `unenforced`: what the node cannot limit.
    case resized([String: JSON], unenforced: [String])
    case resizeRefused(ResizeRefusal)
    case resizeFailed(String)
    case drained
    case tornDown
    case teardownFailed(String)
    case objectDeleted
    case objectDeletionFailed(String)
    case timer(PodTimer)
}

public enum PodAction: Sendable, Hashable {
    case mountVolumes
    case createSandbox(attempt: Int)
    case attachNetwork
    case resolveImage(container: String)
    case start(container: String, attempt: Int)
    case runHook(container: String, id: String, HookKind, limit: Duration)
    /// Stop signal, then SIGKILL after `grace`. Asked again with a shorter grace, the shorter one counts.
    case stop(container: String, id: String, grace: Duration)
    case startProbe(container: String, id: String, ProbeKind, since: Timestamp)
    case stopProbe(container: String, id: String, ProbeKind)
    /// Wait until no endpoint leads to the pod any more, `limit` at most; `drained` follows.
    case drainEndpoints(limit: Duration)
    /// Detach the network, remove the sandbox and, when asked, the volumes. Idempotent, works without memory.
    case teardown(volumes: Bool)
    case deleteObject
    /// Give the containers what the plan asks for: `resized`, `resizeRefused` or `resizeFailed` follows.
    case resize
    case arm(PodTimer, after: Duration)
    case report(PodReport)
    /// The worker's life is over.
    case forget
}

/// What was found of a pod after noded's restart.
public struct RecoveredPod: Sendable, Hashable {
    /// Empty: the pod has no link. nil: the kernel could not be asked yet, `networkFound` follows.
    public var addresses: [String]?
    public var containers: [RecoveredContainer]

    public init(addresses: [String]?, containers: [RecoveredContainer]) {
        self.addresses = addresses
        self.containers = containers
    }
}

public struct RecoveredContainer: Sendable, Hashable {
    public var name: String
    public var id: String
    public var attempt: Int
    /// The image it was started with, as the pod's spec named it then; empty when that is not known.
    public var image: String
    public var startedAt: Timestamp?
    /// nil while it runs.
    public var termination: Termination?

    public init(
        name: String, id: String, attempt: Int, image: String = "", startedAt: Timestamp?, termination: Termination?
    ) {
        self.name = name
        self.id = id
        self.attempt = attempt
        self.image = image
        self.startedAt = startedAt
        self.termination = termination
    }
}

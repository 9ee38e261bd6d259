// What is known about sandboxes and containers: the supervisors' answers, as values.

public import System

/// How a container ended.
public struct ExitStatus: Sendable, Hashable {
    /// Exit code as the kubelet shows it: 0 to 255, 128 + signal when a signal ended it.
    public var code: Int32
    /// The signal that ended it, nil when it exited by itself.
    public var signal: Int32?
    /// The kernel killed a process of its cgroup for want of memory.
    public var oomKilled: Bool
    public var startedAt: Timestamp
    public var finishedAt: Timestamp
    /// The termination message file's first 4096 bytes; nil when there is none or it is empty.
    public var message: String?

    public init(
        code: Int32, signal: Int32? = nil, oomKilled: Bool = false, startedAt: Timestamp, finishedAt: Timestamp,
        message: String? = nil
    ) {
        self.code = code
        self.signal = signal
        self.oomKilled = oomKilled
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.message = message
    }
}

public enum ContainerState: Sendable, Hashable {
    /// Being set up; its first instruction has not run.
    case created(at: Timestamp)
    /// `pid` in the machine's PID namespace.
    case running(pid: Int32, startedAt: Timestamp)
    case exited(ExitStatus)
}

public struct ContainerStatus: Sendable, Hashable {
    public var id: String
    public var name: String
    public var attempt: Int
    public var state: ContainerState
    public var image: String
    public var logPath: String?
    public var labels: [String: String]
    public var annotations: [String: String]
    /// Limits that were asked for and are not enforced here, each with its reason; empty when all hold.
    public var unenforced: [String]

    public init(
        id: String, name: String, attempt: Int, state: ContainerState, image: String = "", logPath: String? = nil,
        labels: [String: String] = [:], annotations: [String: String] = [:], unenforced: [String] = []
    ) {
        self.id = id
        self.name = name
        self.attempt = attempt
        self.state = state
        self.image = image
        self.logPath = logPath
        self.labels = labels
        self.annotations = annotations
        self.unenforced = unenforced
    }
}

public struct SandboxStatus: Sendable, Hashable {
    public var uid: String
    public var name: String
    public var namespace: String
    /// The supervisor; its namespaces are the pod's: `/proc/<pid>/ns/net`. Valid until `supervisorDied` or removal.
    public var supervisorPID: Int32
    /// Whether the pod has a network namespace of its own (not hostNetwork).
    public var ownsNetwork: Bool
    public var createdAt: Timestamp
    public var labels: [String: String]
    public var annotations: [String: String]
    public var logDirectory: String
    /// In the order of their start.
    public var containers: [ContainerStatus]
    /// What was asked for and is not enforced here, each with its reason.
    public var unenforced: [String]

    public init(
        uid: String, name: String, namespace: String, supervisorPID: Int32, ownsNetwork: Bool = true,
        createdAt: Timestamp, labels: [String: String] = [:], annotations: [String: String] = [:],
        logDirectory: String = "", containers: [ContainerStatus] = [], unenforced: [String] = []
    ) {
        self.uid = uid
        self.name = name
        self.namespace = namespace
        self.supervisorPID = supervisorPID
        self.ownsNetwork = ownsNetwork
        self.createdAt = createdAt
        self.labels = labels
        self.annotations = annotations
        self.logDirectory = logDirectory
        self.containers = containers
        self.unenforced = unenforced
    }
}

public enum RuntimeEvent: Sendable, Hashable {
    case containerStarted(uid: String, id: String)
    case containerExited(uid: String, id: String, ExitStatus)
    /// The pod's supervisor is gone without having been asked to go; every process of the pod was killed.
    /// The sandbox's remains are still there until `removeSandbox`.
    case supervisorDied(uid: String)
}

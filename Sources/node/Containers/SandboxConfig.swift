// What a pod sandbox is made from, and what a container in it is made from: plain values, decided by the caller (the
// kubelet), carried out by PodRuntime and the pod's supervisor. Nothing here touches the kernel or can fail.
//
// Names of users are resolved before (UserResolver), host paths are absolute, destinations are paths inside the
// container's root and are resolved there without ever leaving it.

public import Cgroups

/// One pod: the namespaces that its containers share.
public struct SandboxConfig: Sendable {
    /// The pod's UID (metadata.uid): 1 to 64 characters of [0-9A-Za-z-.]; names the sandbox everywhere.
    public var uid: String
    public var name: String
    public var namespace: String
    /// Host name inside the pod, at most 63 bytes. Ignored with `hostNetwork`, which keeps the machine's.
    public var hostname: String
    public var hostNetwork: Bool
    public var hostPID: Bool
    public var hostIPC: Bool
    /// One PID namespace for all containers; its PID 1 is a reaper of noded's.
    public var shareProcessNamespace: Bool
    /// Namespaced sysctls, dotted names (`net.core.somaxconn`). Others are refused.
    public var sysctls: [(String, String)]
    /// The pod's cgroup as a path in the v2 tree (`kubepods/burstable/pod<uid>`); nil runs without cgroups.
    public var cgroup: String?
    /// Limits of the whole pod.
    public var resources: CgroupResources
    /// Folder below which containers' log paths lie (`/var/log/pods/<ns>_<name>_<uid>`); made when missing.
    public var logDirectory: String
    public var labels: [String: String]
    public var annotations: [String: String]

    public init(
        uid: String, name: String, namespace: String, hostname: String, hostNetwork: Bool = false,
        hostPID: Bool = false, hostIPC: Bool = false, shareProcessNamespace: Bool = false,
        sysctls: [(String, String)] = [], cgroup: String? = nil, resources: CgroupResources = CgroupResources(),
        logDirectory: String, labels: [String: String] = [:], annotations: [String: String] = [:]
    ) {
        self.uid = uid
        self.name = name
        self.namespace = namespace
        self.hostname = hostname
        self.hostNetwork = hostNetwork
        self.hostPID = hostPID
        self.hostIPC = hostIPC
        self.shareProcessNamespace = shareProcessNamespace
        self.sysctls = sysctls
        self.cgroup = cgroup
        self.resources = resources
        self.logDirectory = logDirectory
        self.labels = labels
        self.annotations = annotations
    }
}

/// Who a container's process runs as; all numbers, 0 to 4294967294.
public struct ContainerUser: Sendable, Hashable {
    public var uid: UInt32
    public var gid: UInt32
    public var supplementalGroups: [UInt32]

    public init(uid: UInt32 = 0, gid: UInt32 = 0, supplementalGroups: [UInt32] = []) {
        self.uid = uid
        self.gid = gid
        self.supplementalGroups = supplementalGroups
    }
}

/// One mount of a container.
public struct Mount: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// `source` (a host path) appears at the destination; `recursive` with the mounts below it.
        case bind(recursive: Bool)
        /// A fresh tmpfs, at most `size` bytes (nil: the kernel's default, half of the memory).
        case tmpfs(size: UInt64?)
    }
    /// Kubernetes' mountPropagation.
    public enum Propagation: Sendable, Hashable { case none, hostToContainer, bidirectional }

    public var kind: Kind
    /// Absolute host path of a file or directory; for tmpfs ignored.
    public var source: String
    /// Relative path below `source`, resolved without leaving it; a missing directory is made.
    public var subPath: String?
    /// Absolute path inside the container; made when missing.
    public var destination: String
    public var readOnly: Bool
    /// Whether `readOnly` holds for the mounts below, too (recursiveReadOnly).
    public var recursiveReadOnly: Bool
    public var propagation: Propagation

    public init(
        kind: Kind = .bind(recursive: true), source: String = "", subPath: String? = nil, destination: String,
        readOnly: Bool = false, recursiveReadOnly: Bool = false, propagation: Propagation = .none
    ) {
        self.kind = kind
        self.source = source
        self.subPath = subPath
        self.destination = destination
        self.readOnly = readOnly
        self.recursiveReadOnly = recursiveReadOnly
        self.propagation = propagation
    }
}

/// One container of a sandbox.
public struct ContainerConfig: Sendable {
    /// 64 hexadecimal digits, new for every attempt.
    public var id: String
    public var name: String
    /// 0 for the first start, counted up by restarts.
    public var attempt: Int

    /// Overlay lower directories, top first; 1 to 500.
    public var rootLayers: [String]
    /// Overlay upper and work directories; nil: PodRuntime makes them below its data directory and removes them with
    /// the container.
    public var upperDirectory: String?
    public var workDirectory: String?
    public var readOnlyRoot: Bool

    /// argv; the first is looked up in PATH of `environment` when it has no slash.
    public var arguments: [String]
    /// In order; PATH, HOME, HOSTNAME and (with a terminal) TERM are added when missing.
    public var environment: [(String, String)]
    /// Absolute path inside the container; made when missing. "" is "/".
    public var workingDirectory: String
    public var user: ContainerUser

    public var mounts: [Mount]
    /// Names such as `CAP_NET_RAW`; unknown ones are refused. `privileged` means all that the machine has.
    public var capabilities: [String]
    /// A seccomp filter (array of struct sock_filter, Seccomp makes it); nil is unconfined.
    public var seccomp: [UInt8]?
    /// All capabilities, all devices, nothing masked, /sys and /proc/sys writable.
    public var privileged: Bool
    public var noNewPrivileges: Bool
    /// Paths hidden, respectively write-protected, in the container; ignored when privileged.
    public var maskedPaths: [String]
    public var readOnlyPaths: [String]

    public var resources: CgroupResources
    /// -1000 to 1000; nil inherits noded's.
    public var oomScoreAdjustment: Int?

    /// The running container whose PID namespace it joins, by id; nil for one of its own. Without meaning where the pod
    /// shares one (shareProcessNamespace, hostPID).
    public var processNamespace: String?

    public var terminal: Bool
    public var stdin: Bool
    /// stdin ends with the first attach session that leaves.
    public var stdinOnce: Bool
    /// What stopContainer sends first; number of the signal.
    public var stopSignal: Int32

    /// Host file whose first 4096 bytes become ExitStatus.message; the caller also lists it in `mounts`.
    public var terminationMessagePath: String?
    /// Host file for the CRI-format log; nil throws the output away.
    public var logPath: String?
    /// Rotation: a log is renamed when it would grow past this many bytes, and so many files are kept in all.
    public var logMaximumSize: UInt64
    public var logMaximumFiles: Int

    /// For the record only, handed back in ContainerStatus.
    public var image: String
    public var labels: [String: String]
    public var annotations: [String: String]

    public init(
        id: String, name: String, attempt: Int = 0, rootLayers: [String], upperDirectory: String? = nil,
        workDirectory: String? = nil, readOnlyRoot: Bool = false, arguments: [String],
        environment: [(String, String)] = [], workingDirectory: String = "/", user: ContainerUser = ContainerUser(),
        mounts: [Mount] = [], capabilities: [String] = [], seccomp: [UInt8]? = nil, privileged: Bool = false,
        noNewPrivileges: Bool = false, maskedPaths: [String] = ContainerConfig.defaultMaskedPaths,
        readOnlyPaths: [String] = ContainerConfig.defaultReadOnlyPaths,
        resources: CgroupResources = CgroupResources(), oomScoreAdjustment: Int? = nil, terminal: Bool = false,
        stdin: Bool = false, stdinOnce: Bool = false, stopSignal: Int32 = 15, terminationMessagePath: String? = nil,
        logPath: String? = nil, logMaximumSize: UInt64 = 10 << 20, logMaximumFiles: Int = 5, image: String = "",
        labels: [String: String] = [:], annotations: [String: String] = [:]
    ) {
        self.id = id
        self.name = name
        self.attempt = attempt
        self.rootLayers = rootLayers
        self.upperDirectory = upperDirectory
        self.workDirectory = workDirectory
        self.readOnlyRoot = readOnlyRoot
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.user = user
        self.mounts = mounts
        self.capabilities = capabilities
        self.seccomp = seccomp
        self.privileged = privileged
        self.noNewPrivileges = noNewPrivileges
        self.maskedPaths = maskedPaths
        self.readOnlyPaths = readOnlyPaths
        self.resources = resources
        self.oomScoreAdjustment = oomScoreAdjustment
        self.terminal = terminal
        self.stdin = stdin
        self.stdinOnce = stdinOnce
        self.stopSignal = stopSignal
        self.terminationMessagePath = terminationMessagePath
        self.logPath = logPath
        self.logMaximumSize = logMaximumSize
        self.logMaximumFiles = logMaximumFiles
        self.image = image
        self.labels = labels
        self.annotations = annotations
    }

    /// What containerd masks (and Docker, with the two newest entries).
    public static let defaultMaskedPaths = [
        "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
        "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
        "/sys/devices/virtual/powercap", "/sys/firmware",
    ]
    /// What containerd and Docker write-protect.
    public static let defaultReadOnlyPaths = [
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
    ]
}

/// A command to run inside a running container.
public struct ExecConfig: Sendable {
    public var arguments: [String]
    /// Added to the container's own environment, later ones win.
    public var environment: [(String, String)]
    public var terminal: Bool
    /// Whether the caller will write to stdin; otherwise it reads as empty.
    public var stdin: Bool
    /// nil: the container's user.
    public var user: ContainerUser?
    /// nil: the container's working directory.
    public var workingDirectory: String?
    /// For who asks again and again: not asked for while an earlier command in this container that nobody waits for any
    /// more has neither started nor failed.
    public var waitsForAbandoned: Bool

    public init(
        arguments: [String], environment: [(String, String)] = [], terminal: Bool = false, stdin: Bool = false,
        user: ContainerUser? = nil, workingDirectory: String? = nil, waitsForAbandoned: Bool = false
    ) {
        self.arguments = arguments
        self.environment = environment
        self.terminal = terminal
        self.stdin = stdin
        self.user = user
        self.workingDirectory = workingDirectory
        self.waitsForAbandoned = waitsForAbandoned
    }
}

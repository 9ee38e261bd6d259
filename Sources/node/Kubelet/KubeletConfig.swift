// What a kubelet is told about its node, and the seams through which it reaches what other modules or the daemon
// own: images, ConfigMaps and Secrets, the data path's acknowledgement. Plain values and small protocols, so that
// tests run a kubelet without a kernel.

public import Cgroups
public import Objects
public import System

public struct KubeletConfig: Sendable {
    /// metadata.name of the Node.
    public var nodeName: String
    /// Pods' folders are DATA/pods/<uid>.
    public var dataDirectory: String
    /// Container logs: <logRoot>/<namespace>_<name>_<uid>/<container>/<attempt>.log.
    public var logRoot: String
    /// The node's addresses, first the one that clients of hostNetwork pods should use.
    public var addresses: [IPAddress]
    public var clusterDNS: [IPAddress]
    public var clusterDomain: String
    /// The machine's resolver configuration, for dnsPolicy Default and for upstream search domains.
    public var resolvConf: String
    public var maximumPods: Int
    /// The pods' tree in the v2 hierarchy, nil when there is none.
    public var kubepods: Kubepods?
    /// Controllers that are not there: shown as a condition of the Node.
    public var unenforced: [Unenforced]
    /// Kept free for the machine: subtracted from capacity to get allocatable.
    public var reservedMilliCPU: Int64
    public var reservedMemory: Int64
    public var labels: [String: String]
    public var podCIDRs: [CIDR]
    /// v1.36.1+noded.1
    public var version: String
    /// Bytes after which a container's log is rotated, and the number of files kept.
    public var logMaximumSize: UInt64
    public var logMaximumFiles: Int

    public init(
        nodeName: String, dataDirectory: String, logRoot: String, addresses: [IPAddress], clusterDNS: [IPAddress] = [],
        clusterDomain: String = "cluster.local", resolvConf: String = "/etc/resolv.conf", maximumPods: Int = 110,
        kubepods: Kubepods? = nil, unenforced: [Unenforced] = [], reservedMilliCPU: Int64 = 0,
        reservedMemory: Int64 = 0,
        labels: [String: String] = [:], podCIDRs: [CIDR] = [], version: String = "v1.36.1+noded.1",
        logMaximumSize: UInt64 = 10 << 20, logMaximumFiles: Int = 5
    ) {
        self.nodeName = nodeName
        self.dataDirectory = dataDirectory
        self.logRoot = logRoot
        self.addresses = addresses
        self.clusterDNS = clusterDNS
        self.clusterDomain = clusterDomain
        self.resolvConf = resolvConf
        self.maximumPods = maximumPods
        self.kubepods = kubepods
        self.unenforced = unenforced
        self.reservedMilliCPU = reservedMilliCPU
        self.reservedMemory = reservedMemory
        self.labels = labels
        self.podCIDRs = podCIDRs
        self.version = version
        self.logMaximumSize = logMaximumSize
        self.logMaximumFiles = logMaximumFiles
    }

    public func podDirectory(_ uid: String) -> String { "\(dataDirectory)/pods/\(uid)" }

    func podLogs(namespace: String, name: String, uid: String) -> PodLogs {
        PodLogs(directory: "\(logRoot)/\(namespace)_\(name)_\(uid)")
    }
}

/// An image as a container needs it: where its layers are unpacked, and its defaults (OCI image config).
public struct ResolvedImage: Sendable, Hashable {
    /// Shown as imageID: `docker.io/library/web@sha256:…` or the digest.
    public var id: String
    /// Overlay lower directories, top first.
    public var rootLayers: [String]
    public var entrypoint: [String]
    public var command: [String]
    /// KEY=VALUE.
    public var environment: [String]
    public var workingDirectory: String
    /// "", "uid", "uid:gid", "name", "name:group".
    public var user: String
    /// Name (SIGTERM, TERM) or number; empty for SIGTERM.
    public var stopSignal: String

    public init(
        id: String, rootLayers: [String], entrypoint: [String] = [], command: [String] = [], environment: [String] = [],
        workingDirectory: String = "", user: String = "", stopSignal: String = ""
    ) {
        self.id = id
        self.rootLayers = rootLayers
        self.entrypoint = entrypoint
        self.command = command
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.user = user
        self.stopSignal = stopSignal
    }
}

/// Where images come from. An adapter over Images in the daemon, a dictionary in tests.
public protocol ImageProvider: Sendable {
    /// nil when the image is not on this node. Throws when it is there and cannot be used.
    func find(_ reference: String) async throws -> ResolvedImage?
}

/// A projected serviceAccountToken source, and whose token it is.
public struct TokenQuestion: Sendable, Hashable {
    public var account: String
    /// Empty for the API server's own.
    public var audience: String
    /// Seconds of life that are asked for, 600 and more; the server may give others.
    public var seconds: Int

    public init(account: String, audience: String, seconds: Int) {
        (self.account, self.audience, self.seconds) = (account, audience, seconds)
    }
}

/// The pod that a token is bound to: the token dies with it.
public struct PodIdentity: Sendable, Hashable {
    public var namespace: String
    public var name: String
    public var uid: String

    public init(namespace: String, name: String, uid: String) {
        (self.namespace, self.name, self.uid) = (namespace, name, uid)
    }
}

/// ConfigMaps, Secrets, Services and tokens for the pods of this node.
public protocol ObjectLookup: Sendable {
    /// nil when there is no such object. `pod` is who asks: it hears of later changes through `changes`.
    func object(_ resource: ResourceID, namespace: String, name: String, for podUID: String) async throws -> JSON?
    /// Services whose addresses a container of `namespace` finds in its environment.
    func services(namespace: String) async -> [JSON]
    /// A token for the pod's service account that has at least a fifth of its life before it: kept until then, then
    /// another one. The pod hears through `changes` when it is time to ask again.
    func token(_ question: TokenQuestion, for pod: PodIdentity) async throws -> [UInt8]
    /// The pod is gone, or never asked.
    func release(podUID: String) async
}

/// Waits until traffic no longer reaches the pod; returns at the latest when its task is cancelled.
public typealias EndpointDrain = @Sendable (_ pod: JSON) async -> Void

/// The runtime's default seccomp filter (an array of struct sock_filter) for a process with these capabilities.
public typealias SeccompFilter = @Sendable (_ capabilities: [String]) throws -> [UInt8]

/// Where the status of pods goes, and their objects' end: the API server, or the log in standalone mode.
public protocol PodSink: Sendable {
    /// Publishes `status`; `last` is what this worker published before, if anything: then the pod's own status, a copy
    /// that lags, says nothing any more about what the API shows. Returns false when the object is gone.
    func publish(_ status: JSON, of pod: JSON, after last: JSON?) async throws -> Bool
    /// The last act of a pod's life: removes the object with grace 0.
    func remove(_ pod: JSON) async throws
    /// Does not wait: events are sent in the background.
    func report(_ report: PodReport, about pod: JSON)
}

// What the rest of the node may ask of the pod network: prepare the machine, attach and detach a pod, find again
// what the kernel still has after a restart, and take everything away.
//
// A protocol so that the kubelet's pod workers are tested without a kernel. The real one is `PodNetwork`; a fake
// must pass the same expectations: every verb may be repeated, detach and teardown need no memory, and an address
// is never given out while a live pod has it.

public import Kernel
public import System

/// How this node's pods reach each other and the world.
public struct PodNetworkConfig: Sendable {
    /// This node's slices of the cluster's pod ranges, at most one per family (Node `spec.podCIDRs`).
    public var podCIDRs: [CIDR]
    /// The whole cluster's pod ranges: traffic between pods keeps its source address.
    public var clusterCIDRs: [CIDR]
    /// Service ranges, at most one per family.
    public var serviceCIDRs: [CIDR]
    /// Addresses the cluster DNS listens on, one per family; held by `lo`. Empty: none.
    public var clusterDNS: [IPAddress]
    /// MTU of the pods' links in bytes; nil: that of the default route's link, else 1500.
    public var mtu: Int?
    /// Folder for the address cursor and for what kernel parameters were before noded changed them (created, 0700).
    public var stateDirectory: String

    public init(
        podCIDRs: [CIDR], clusterCIDRs: [CIDR]? = nil, serviceCIDRs: [CIDR], clusterDNS: [IPAddress] = [],
        mtu: Int? = nil, stateDirectory: String
    ) {
        self.podCIDRs = podCIDRs
        self.clusterCIDRs = clusterCIDRs ?? podCIDRs
        self.serviceCIDRs = serviceCIDRs
        self.clusterDNS = clusterDNS
        self.mtu = mtu
        self.stateDirectory = stateDirectory
    }
}

/// What a pod got: Pod `status.podIPs`, and the host's end of its link.
public struct PodAddresses: Hashable, Sendable {
    /// One per family, in the order of `PodNetworkConfig.podCIDRs`; the first is `status.podIP`.
    public var ips: [IPAddress]
    /// Name of the host's end, at most 15 bytes, with prefix `nd`.
    public var hostInterface: String

    public init(ips: [IPAddress], hostInterface: String) {
        self.ips = ips
        self.hostInterface = hostInterface
    }
}

public protocol PodNetworking: Sendable {
    /// Sysctls, the node's own address in the pod range, Service routes, DNS address, nft table. Idempotent.
    func prepareNode() async throws
    /// Gives the pod a link, addresses and routes. Repeated for an attached pod it returns what that pod has.
    /// Refused until `recover` has succeeded, for the address given out might be a live pod's.
    /// A pod whose link went (`lostLinks`) gets another one with the addresses that it had.
    /// - Parameter process: one in the pod's network namespace (the supervisor). A handle and no number: by now a number
    ///   may be a stranger, whose namespace would get the link. Throws ESRCH when it has ended.
    func attach(podUID: String, process: ProcessHandle) async throws -> PodAddresses
    /// Takes the pod's link away and frees its addresses once the kernel has let go. Needs no memory of the pod;
    /// returns when the pod is unreachable (link down), the deletion itself goes on in the background.
    func detach(podUID: String) async
    /// Rebuilds the address book from the kernel's links after a restart and removes links of pods that are gone.
    /// To be called after `prepareNode` and before the first `attach`, and again when it failed; pods attached or
    /// detached since `live` was made are known without it.
    /// - Parameter live: uids of the pods that live although noded was away.
    func recover(live: [String]) async throws
    /// Whether `recover` has read what the kernel has; until then `addresses(of:)` knows nothing of live pods.
    var isRecovered: Bool { get }
    /// The addresses of an attached pod; nil when it is not attached.
    func addresses(of podUID: String) -> PodAddresses?
    /// Uids of attached pods whose link somebody else has removed, or the kernel because their namespace is gone. Such a
    /// pod has no addresses (`addresses(of:)`) until it is attached again; nobody else gets them before it is detached.
    /// For one reader.
    var lostLinks: AsyncStream<String> { get }
    /// Removes everything noded put into this network namespace: links, addresses, routes, nft table; and puts back the
    /// kernel parameters that it changed. Idempotent.
    func teardown() async throws
}

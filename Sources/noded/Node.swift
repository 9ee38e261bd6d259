// The node of this process: runtime, images, network, proxy, resolver, kubelet, wired together.
//
// Everything here may be cancelled at any time and leaves the node working: containers run under their supervisors,
// packets pass by the rules in the kernel, names are answered by the resolver process.

import Cgroups
import Client
import ClusterDNS
import Containers
import HTTP
import Images
import Kubelet
import Logging
import Objects
import PodNetwork
import Seccomp
import ServiceProxy
import System
import Transport

struct Node: Sendable {
    let kubelet: Kubelet
    private let name: String
    private let proxy: ServiceProxy?
    private let dns: ClusterDNS?
    private let logs: LogFactory

    /// A node of the cluster that `client` leads to.
    static func member(
        _ settings: DaemonSettings, client: any APIClient, informers: InformerSet, logs: LogFactory
    ) async throws -> Node {
        let proxy = ServiceProxy(
            informers: informers,
            config: ServiceProxyConfig(
                nodeName: settings.nodeName, serviceCIDRs: [settings.ranges.services],
                clusterDNS: [settings.ranges.dns]),
            logger: logs("service-proxy"))
        let dns = try NodeParts.dns(settings, informers: informers, logs: logs)
        let kubelet = try NodeParts.kubelet(settings, client: client, logs: logs) { pod in
            let addresses = pod.at("status", "podIPs")?.array ?? []
            for address in addresses.compactMap({ $0["ip"]?.string.flatMap { IPAddress($0) } }) {
                _ = await proxy.waitUntilRemoved(address: address, timeout: .seconds(2))
            }
        }
        return Node(kubelet: kubelet, name: settings.nodeName, proxy: proxy, dns: dns, logs: logs)
    }

    /// A node without a cluster: no Services, no names, just pods.
    static func standalone(_ settings: DaemonSettings, logs: LogFactory) async throws -> Node {
        let kubelet = try NodeParts.kubelet(settings, client: nil, logs: logs) { _ in }
        return Node(kubelet: kubelet, name: settings.nodeName, proxy: nil, dns: nil, logs: logs)
    }

    /// Serves the pods that the API binds to this node, until the task is cancelled.
    func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { await kubelet.run() }
            if let proxy { group.addTask { try await proxy.run() } }
            if let dns { group.addTask { try await dns.run() } }
        }
    }

    /// Serves the pods of a folder, until the task is cancelled.
    func runManifests(_ directory: String) async throws {
        try await kubelet.run(
            manifests: StaticPodSource(directory: directory, nodeName: name, logger: logs("manifests")))
    }

    /// Returns when the API says that this node is Ready.
    func waitUntilReady(_ informers: InformerSet) async {
        let (changes, signal) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let key = ObjectKey(name: name)
        let nodes = informers.informer(.nodes)
        nodes.onChange { changed, _, _ in if changed == key { signal.yield() } }
        for await _ in changes {
            guard let node = nodes.object(key) else { continue }
            if Conditions.find("Ready", in: node)?["status"] == "True" { return }
        }
    }
}

/// How the parts of a node are made from the settings.
enum NodeParts {
    static func network(_ settings: DaemonSettings, logs: LogFactory) throws -> PodNetwork {
        try PodNetwork(
            config: PodNetworkConfig(
                podCIDRs: [settings.ranges.nodePods], clusterCIDRs: [settings.ranges.pods],
                serviceCIDRs: [settings.ranges.services], clusterDNS: [settings.ranges.dns],
                stateDirectory: "\(settings.dataDirectory)/network"),
            logger: logs("pod-network"))
    }

    static func kubelet(
        _ settings: DaemonSettings, client: (any APIClient)?, logs: LogFactory, drain: @escaping EndpointDrain
    ) throws -> Kubelet {
        let tree = try CgroupTree.find()
        var config = KubeletConfig(
            nodeName: settings.nodeName, dataDirectory: settings.dataDirectory,
            logRoot: "\(settings.dataDirectory)/logs/pods", addresses: [settings.nodeAddress],
            clusterDNS: client == nil ? [] : [settings.ranges.dns], clusterDomain: settings.clusterDomain,
            resolvConf: settings.resolvConf, kubepods: Kubepods(below: tree.cgroup(settings.cgroup)),
            unenforced: tree.missing(), podCIDRs: [settings.ranges.nodePods])
        config.version = Noded.version
        return Kubelet(
            config: config, client: client, runtime: try runtime(settings, logs: logs),
            images: LocalImages(
                store: try ImageStore(root: "\(settings.dataDirectory)/images", logger: logs("images"))),
            network: try network(settings, logs: logs), prober: try NIOProber(),
            seccomp: { try SeccompProfile.runtimeDefault(capabilities: $0) }, drain: drain, logger: logs("kubelet"))
    }

    static func runtime(_ settings: DaemonSettings, logs: LogFactory) throws -> PodRuntime {
        try PodRuntime(
            runDirectory: "\(settings.runDirectory)/pods", dataDirectory: "\(settings.dataDirectory)/containers",
            logger: logs("containers"))
    }
}

/// The kubelet's images: those imported into this node.
struct LocalImages: ImageProvider {
    let store: ImageStore

    func find(_ reference: String) async throws -> ResolvedImage? {
        // Index and configuration are on a disk that may be slow.
        guard let image = try await BlockingPool.shared.run({ [store] in try store.find(reference) }) else {
            return nil
        }
        let config = image.config
        return ResolvedImage(
            id: image.id, rootLayers: image.rootLayers, entrypoint: config.entrypoint, command: config.command,
            environment: config.environment, workingDirectory: config.workingDirectory, user: config.user,
            stopSignal: config.stopSignal)
    }
}

extension NodeParts {
    /// The cluster's DNS, answered by a process of its own.
    static func dns(_ settings: DaemonSettings, informers: InformerSet, logs: LogFactory) throws -> ClusterDNS {
        let directory = dnsDirectory(settings)
        try Files.makeDirectory(directory, mode: 0o700)
        return ClusterDNS(
            ClusterDNSConfig(
                addresses: [settings.ranges.dns], port: 53, domain: settings.clusterDomain, runDirectory: directory,
                executable: "/proc/self/exe", arguments: [ResolverProcess.subcommand],
                resolvConfPath: settings.resolvConf, clusterCIDRs: [settings.ranges.pods],
                serviceCIDRs: [settings.ranges.services]),
            informers: informers, logger: logs("dns"))
    }

    static func dnsDirectory(_ settings: DaemonSettings) -> String { "\(settings.runDirectory)/dns" }
}

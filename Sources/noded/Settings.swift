// What every subcommand agrees on: where things are and what the cluster's ranges are. Parsed once, checked at once,
// before anything is changed.

import ArgumentParser
import Kernel
import System

/// Where noded keeps its things.
struct PathOptions: ParsableArguments {
    @Option(name: .customLong("data-dir"), help: "State that lasts: store, keys, images, volumes, logs.")
    var dataDirectory = "/var/lib/noded"

    @Option(
        name: .customLong("run-dir"),
        help: "Sockets of running pods. Default: /run/noded, or DATA-DIR/run when the data directory is another one.")
    var runDirectoryOption: String?

    @Option(name: .customLong("cgroup"), help: "Name of noded's subtree in the cgroup v2 hierarchy.")
    var cgroup = "noded"

    var runDirectory: String {
        runDirectoryOption ?? (dataDirectory == "/var/lib/noded" ? "/run/noded" : "\(dataDirectory)/run")
    }

    func validate() throws {
        for (flag, path) in [("--data-dir", dataDirectory), ("--run-dir", runDirectory)] where !path.hasPrefix("/") {
            throw ValidationError("\(flag) \(path): must be an absolute path, such as /var/lib/noded")
        }
        // A supervisor's socket must fit into sockaddr_un (unix(7): 108 bytes).
        guard runDirectory.utf8.count <= 50 else {
            throw ValidationError(
                "--run-dir \(runDirectory): longer than 50 bytes, sockets below it would have no room")
        }
        guard !cgroup.isEmpty, !cgroup.contains("/"), !cgroup.hasPrefix(".") else {
            throw ValidationError("--cgroup \(cgroup): must be a plain name, such as noded")
        }
    }
}

/// The cluster's ranges and names.
struct ClusterOptions: ParsableArguments {
    @Option(
        name: .customLong("pod-cidr"),
        help: """
            Addresses of all pods of the cluster. This node takes the first /24 of it (all of it when it is smaller).
            """)
    var podCIDR = "10.42.0.0/16"

    @Option(name: .customLong("service-cidr"), help: "Addresses of Services.")
    var serviceCIDR = "10.43.0.0/16"

    @Option(name: .customLong("cluster-dns"), help: "Address of the cluster DNS; must lie in the Service range.")
    var clusterDNS = "10.43.0.10"

    @Option(help: "Domain of the names of Services.")
    var clusterDomain = "cluster.local"

    struct Ranges: Sendable {
        let pods: CIDR
        /// This node's part of `pods`.
        let nodePods: CIDR
        let services: CIDR
        let dns: IPAddress
    }

    func ranges() throws -> Ranges {
        let pods = try range(podCIDR, "--pod-cidr")
        let services = try range(serviceCIDR, "--service-cidr")
        for (flag, range) in [("--pod-cidr", pods), ("--service-cidr", services)] where range.address.isV6 {
            throw ValidationError("\(flag) \(range): IPv6 ranges are not supported yet, give an IPv4 range")
        }
        guard let dns = IPAddress(clusterDNS), services.contains(dns) else {
            throw ValidationError("--cluster-dns \(clusterDNS): must be an address in --service-cidr \(serviceCIDR)")
        }
        guard pods.prefixLength <= 28 else {
            throw ValidationError("--pod-cidr \(podCIDR): too small, a node needs at least a /28")
        }
        guard !pods.contains(services.address), !services.contains(pods.address) else {
            throw ValidationError("--service-cidr \(serviceCIDR) and --pod-cidr \(podCIDR) overlap")
        }
        let node = pods.prefixLength >= 24 ? pods : CIDR("\(pods.address)/24") ?? pods
        return Ranges(pods: pods, nodePods: node, services: services, dns: dns)
    }

    private func range(_ text: String, _ flag: String) throws -> CIDR {
        guard let range = CIDR(text) else {
            throw ValidationError("\(flag) \(text): must be an address range, such as 10.42.0.0/16")
        }
        return range
    }

    func validate() throws {
        _ = try ranges()
        guard DomainName.isValid(clusterDomain) else {
            throw ValidationError(
                "--cluster-domain '\(clusterDomain)': must be a domain name in lower case, such as cluster.local")
        }
    }
}

enum DomainName {
    /// A lower-case subdomain as RFC 1123 has it: what nodes and clusters may be called.
    static func isValid(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 253
            && name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { part in
                !part.isEmpty && part.utf8.count <= 63 && part.first != "-" && part.last != "-"
                    && part.utf8.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d }
            }
    }
}

enum NodeName {
    /// The machine's host name in lower case, as nodes are named.
    static func ofThisMachine() -> String {
        let name = (try? Sysctl.read("kernel.hostname")) ?? "node"
        return name.lowercased()
    }
}

// `noded reset`: removes everything noded made on this machine, and says what. It works without memory: what is
// there is found in the kernel and on disk by noded's own names.

import ArgumentParser
import Cgroups
import ClusterDNS
import Containers
import Glibc
import Kernel
import Logging
import PodNetwork
import ServiceProxy
import System

struct ResetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reset",
        abstract: "Remove everything noded made here: pods, network, rules, cgroups, mounts, files.",
        discussion: """
            noded itself must not be running. Without --yes it only says what it would remove. Kernel parameters that \
            noded changed (net.ipv4.ip_forward) get the value back that they had, unless somebody else changed them \
            since.
            """)

    @OptionGroup var paths: PathOptions
    @OptionGroup var cluster: ClusterOptions

    @Flag(help: "Really remove.")
    var yes = false

    @Flag(help: "Only say what would be removed.")
    var dryRun = false

    func run() async throws {
        do {
            try await reset()
        } catch {
            fail(error)
        }
    }

    private func reset() async throws {
        guard getuid() == 0 else { throw StartFailure("noded reset needs root (try: sudo noded reset)") }
        let logs = LogFactory(format: .text, level: .warning)
        // Held for an instant only: the lock's own file is among what goes. Without the file nobody holds it, and
        // looking must not make one.
        try InstanceLocks.check(paths)
        let settings = DaemonSettings(
            dataDirectory: paths.dataDirectory, runDirectory: paths.runDirectory, cgroup: paths.cgroup,
            ranges: try cluster.ranges(), clusterDomain: cluster.clusterDomain, listen: "", port: 0, nodeName: "",
            nodeAddress: .v4(0), resolvConf: "", manifests: nil)
        if dryRun || !yes {
            print("would remove: all pods below \(paths.runDirectory), their links (nd*) and addresses, the nft tables")
            print(
                "noded_pods and noded_services, the cgroup \(paths.cgroup), \(paths.dataDirectory), "
                    + "\(paths.runDirectory);")
            print("and put back the kernel parameters that noded changed (net.ipv4.ip_forward)")
            if !yes { print("run again with --yes to do it") }
            return
        }
        try await NodeParts.runtime(settings, logs: logs).teardown()
        print("pods       removed")
        ClusterDNS.teardown(runDirectory: NodeParts.dnsDirectory(settings))
        print("resolver   removed")
        try ServiceProxy.removeRules()
        try await NodeParts.network(settings, logs: logs).teardown()
        print("network    removed, kernel parameters as before")
        if let tree = try? CgroupTree.find() {
            let cgroup = tree.cgroup(paths.cgroup)
            if cgroup.exists {
                try cgroup.kill()
                try await cgroup.remove()
            }
        }
        print("cgroup     removed")
        for directory in [paths.runDirectory, paths.dataDirectory] where Files.isDirectory(directory) {
            try Mounts.unmountAll(below: directory)
            try Files.removeTree(directory)
        }
        try InstanceLocks.removeFiles(paths)
        print("files      removed")
    }
}

// PodSpec -> SandboxConfig: names, namespaces, sysctls, the pod's cgroup. Pure.

import Cgroups
import Containers
import Objects
import System

struct SandboxPlanner {
    /// The namespaced sysctls that are safe for every pod (tasks/administer-cluster/sysctl-cluster of the docs).
    static let safeSysctls: Set<String> = [
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
    ]

    let node: NodeServices
    let pod: JSON
    let uid: String

    func config() throws -> SandboxConfig {
        let metadata = pod.child("metadata")
        let spec = pod.child("spec")
        let name = metadata.text("name") ?? ""
        let namespace = metadata.text("namespace") ?? ""
        var sysctls: [(String, String)] = []
        for item in spec.child("securityContext").list("sysctls") {
            let key = item.text("name") ?? ""
            guard Self.safeSysctls.contains(key) else {
                throw KubeletError.unsupported("sysctl \"\(key)\" is not on the list of safe sysctls")
            }
            sysctls.append((key, item.text("value") ?? ""))
        }
        for container in spec.list("containers") {
            for port in container.list("ports") where (port.integer("hostPort") ?? 0) != 0 && !spec.flag("hostNetwork")
            {
                throw KubeletError.unsupported(
                    "hostPort \(port.integer("hostPort") ?? 0) of container \(container.text("name") ?? ""): "
                        + "host ports are not supported yet by this node")
            }
        }
        let qos = QOSClass(spec)
        return SandboxConfig(
            uid: uid, name: name, namespace: namespace, hostname: PodFiles.hostname(pod),
            hostNetwork: spec.flag("hostNetwork"), hostPID: spec.flag("hostPID"), hostIPC: spec.flag("hostIPC"),
            shareProcessNamespace: spec.flag("shareProcessNamespace"), sysctls: sysctls,
            cgroup: node.config.kubepods?.pod(uid: uid, qos).path,
            resources: {
                let total = ContainerResources.pod(spec)
                return .kubernetes(
                    cpuRequest: total.cpuRequest, cpuLimit: total.cpuLimit, memoryLimit: total.memoryLimit,
                    oomGroup: false)
            }(),
            logDirectory: node.config.podLogs(namespace: namespace, name: name, uid: uid).directory,
            annotations: ["noded.dev/grace": String(spec.integer("terminationGracePeriodSeconds") ?? 30)])
    }
}

// Sysctls of a pod: only those that belong to one of its own namespaces. Anything else would change the machine
// (CVE-2022-0811 began with a value that did).

enum SysctlPlan {
    /// What containers may expect without asking: ping without rights, ports below 1024 without rights (as containerd).
    static let defaults = [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")]

    private static let ipc = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."]

    /// File below /proc/sys and value, alternating.
    static func plan(_ config: SandboxConfig) throws(ContainersError) -> [[UInt8]] {
        var settings = config.hostNetwork ? [] : defaults
        settings.removeAll { name, _ in config.sysctls.contains { $0.0 == name } }
        for (name, value) in config.sysctls {
            let parts = name.split(separator: ".", omittingEmptySubsequences: false)
            let plain = parts.allSatisfy { part in !part.isEmpty && part.utf8.allSatisfy(isPlain) }
            let network = name.hasPrefix("net.")
            guard plain, parts.count > 1, network || ipc.contains(where: { name.hasPrefix($0) }) else {
                throw .invalid("sysctl \"\(name)\" does not belong to a namespace of the pod")
            }
            if network && config.hostNetwork {
                throw .invalid("sysctl \"\(name)\" with hostNetwork would change the machine's")
            }
            if !network && config.hostIPC {
                throw .invalid("sysctl \"\(name)\" with hostIPC would change the machine's")
            }
            guard !value.utf8.contains(where: { $0 == 0 || $0 == 10 }), value.utf8.count < 4096 else {
                throw .invalid("value of sysctl \"\(name)\"")
            }
            settings.append((name, value))
        }
        return settings.flatMap { name, value in
            [Array(name.utf8).map { $0 == UInt8(ascii: ".") ? UInt8(ascii: "/") : $0 }, Array(value.utf8)]
        }
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}

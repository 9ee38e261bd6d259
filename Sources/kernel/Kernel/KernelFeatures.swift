// What this machine offers, found out before anything is changed, so that what is missing gives one clear line each.
// Probing never fails: what cannot be found out counts as absent. All it changes is that the kernel loads modules which
// it loads by itself at first use, too.

internal import CKernel
internal import Glibc
public import System

public struct KernelFeatures: Sendable {
    /// Something noded cannot do without, and what to do about it.
    public struct Problem: Hashable, Sendable, CustomStringConvertible {
        public let what: String
        public let fix: String
        public var description: String { "\(what): \(fix)" }
    }

    /// uname -r, for example "6.1.0-18-amd64".
    public let release: String
    /// "x86_64" or "aarch64".
    public let machine: String
    public let hasPidfd: Bool
    public let hasOpenat2: Bool
    public let hasMountAPI: Bool
    public let hasOverlay: Bool
    public let hasSeccomp: Bool
    public let hasUserNamespaces: Bool
    public let hasIPv6: Bool
    /// Where the cgroup v2 tree is mounted; nil when it is not.
    public let cgroup2: String?
    /// Whether netfilter's netlink can be opened (nf_tables itself is tried by the module that uses it).
    public let hasNetfilter: Bool
    /// Of the capabilities noded uses, those this process lacks.
    public let missingCapabilities: [String]

    /// What the node role uses. CAP_SYS_RESOURCE is not in it: without it some limits cannot be raised, which is said
    /// where they are asked for.
    static let neededCapabilities = [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_MKNOD", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE",
        "CAP_NET_RAW", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
    ]

    public static func probe() -> KernelFeatures {
        var name = utsname()
        uname(&name)
        func text<T>(_ field: T) -> String {
            withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        func opens(_ fd: Int32) -> Bool {
            if fd >= 0 { close(fd) }
            return fd >= 0
        }
        // Asked for by name, the kernel loads the module where it is one (Debian); /proc/filesystems has only what is
        // loaded. Without rights nothing can be asked.
        func hasFileSystem(_ name: String) -> Bool {
            if opens(kernel_fsopen(name)) { return true }
            let loaded = ((try? Files.readText("/proc/filesystems")) ?? "").split(whereSeparator: \.isWhitespace)
            return loaded.contains(Substring(name))
        }
        let effective = (try? Capabilities.own().effective) ?? 0
        return KernelFeatures(
            release: text(name.release), machine: text(name.machine),
            hasPidfd: opens(kernel_pidfd_open(getpid())),
            hasOpenat2: opens(kernel_openat2(AT_FDCWD, "/", UInt64(O_RDONLY), 0, KERNEL_RESOLVE_IN_ROOT)),
            hasMountAPI: opens(kernel_open_tree(AT_FDCWD, "/", 0)),
            hasOverlay: hasFileSystem("overlay"),
            hasSeccomp: Files.exists("/proc/sys/kernel/seccomp/actions_avail"),
            hasUserNamespaces: Files.exists("/proc/self/ns/user"),
            hasIPv6: Files.exists("/proc/sys/net/ipv6"),
            cgroup2: (try? MountTable.read())?.first { $0.fileSystem == "cgroup2" }?.point,
            hasNetfilter: opens(socket(AF_NETLINK, Int32(SOCK_RAW.rawValue), 12 /* NETLINK_NETFILTER */)),
            missingCapabilities: neededCapabilities.filter { name in
                Capabilities.number(name).map { effective >> UInt64($0) & 1 == 0 } ?? true
            })
    }

    /// What stands in the way of the node role; empty when nothing does.
    public var problems: [Problem] {
        var problems: [Problem] = []
        func need(_ present: Bool, _ what: String, _ fix: String) {
            if !present { problems.append(Problem(what: what, fix: fix)) }
        }
        let newer = "noded needs Linux 5.14 or newer, this is \(release)"
        need(
            missingCapabilities.isEmpty, "missing rights (\(missingCapabilities.joined(separator: ", ")))",
            "run as root")
        need(hasPidfd, "no pidfd_open(2)", newer)
        need(hasOpenat2, "no openat2(2)", newer)
        need(hasMountAPI, "no open_tree(2)", newer)
        need(hasOverlay, "no overlay file system", "modprobe overlay, or a kernel with CONFIG_OVERLAY_FS")
        need(hasSeccomp, "no seccomp filters", "a kernel with CONFIG_SECCOMP_FILTER")
        need(cgroup2 != nil, "no cgroup v2 tree is mounted", "mount -t cgroup2 none /sys/fs/cgroup")
        need(hasNetfilter, "no netfilter netlink", "modprobe nfnetlink nf_tables, or a kernel with CONFIG_NF_TABLES")
        return problems
    }
}

// crun and runc, given what noded's containers have: a plain root of busybox, PID, mount and cgroup namespaces of their
// own, network, IPC and UTS namespaces that exist already (a pod's sandbox), the 14 default capabilities, a seccomp
// allow-list, masked and read-only paths.

internal import CBench
import Glibc

struct Peer {
    let name: String
    /// Program and options; "run" and its arguments follow.
    let command: [String]

    /// The first is the one that the mark speaks of. On a hybrid machine it makes a cgroup in each v1 hierarchy; the
    /// second makes none, which is less than noded does.
    static let all = [
        Peer(name: "crun run", command: ["crun"]),
        Peer(name: "crun run, no cgroups", command: ["crun", "--cgroup-manager=disabled"]),
        Peer(name: "runc run", command: ["runc"]),
    ]

    /// Nanoseconds from before the spawn to the end of the program.
    func time(_ bundle: Bundle, _ id: String) throws -> UInt64 {
        let log = "\(bundle.directory)/log"
        let start = now()
        let child = try Child(command + ["run", "--bundle", bundle.directory, id], errors: .file(log))
        let code = try child.wait()
        let time = now() - start
        guard code == 0 else {
            throw BenchError("\(name): exit \(code): \((try? readText(log)) ?? "")")
        }
        return time
    }
}

/// A process that only holds the namespaces of a pod, as the process of a sandbox does.
final class Sandbox {
    private let holder: Child

    init() throws {
        holder = try Child(["unshare", "--net", "--ipc", "--uts", "sleep", "3600"])
        let ours = linkTarget("/proc/self/ns/uts")
        while linkTarget("/proc/\(holder.pid)/ns/uts") == ours || ProcessFacts(pid: holder.pid).name != "sleep" {
            guard !holder.hasEnded else { throw BenchError("unshare ended: no namespaces for the peers") }
            try sleep(milliseconds: 1)
        }
    }

    func path(_ namespace: String) -> String { "/proc/\(holder.pid)/ns/\(namespace)" }
}

/// An OCI bundle: root and config.json.
struct Bundle {
    let directory: String
    var root: String { "\(directory)/rootfs" }

    init(directory: String) throws {
        self.directory = directory
        let busybox = ["/usr/bin/busybox", "/bin/busybox"].first(where: exists)
        guard let busybox else { throw BenchError("busybox is not there: apt-get install busybox-static") }
        for name in ["bin", "proc", "dev", "sys", "tmp", "etc"] { try succeed(["mkdir", "-p", "\(root)/\(name)"]) }
        try succeed(["cp", busybox, "\(root)/bin/busybox"])
        try succeed(["ln", "-sf", "busybox", "\(root)/bin/true"])
    }

    func write(_ sandbox: Sandbox) throws {
        try writeBytes("\(directory)/config.json", Array(config(sandbox).utf8))
    }

    private func list(_ values: [String]) -> String { "[" + values.map { "\"\($0)\"" }.joined(separator: ",") + "]" }

    private static let capabilities = [
        "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
        "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
    ].map { "CAP_\($0)" }

    private func config(_ sandbox: Sandbox) -> String {
        let capabilities = list(Self.capabilities)
        let joined = [("network", "net"), ("ipc", "ipc"), ("uts", "uts")].map {
            "{\"type\":\"\($0)\",\"path\":\"\(sandbox.path($1))\"}"
        }
        let own = ["pid", "mount", "cgroup"].map { "{\"type\":\"\($0)\"}" }
        let masked = list([
            "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
            "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
        ])
        let readOnly = list(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"])
        let safe = "\"nosuid\",\"noexec\",\"nodev\""
        return """
            {"ociVersion":"1.0.2",
             "process":{"terminal":false,"user":{"uid":0,"gid":0},"args":["/bin/true"],"env":["PATH=/bin"],"cwd":"/",
              "capabilities":{"bounding":\(capabilities),"effective":\(capabilities),"permitted":\(capabilities)}},
             "root":{"path":"rootfs","readonly":false},
             "mounts":[
              {"destination":"/proc","type":"proc","source":"proc","options":[\(safe)]},
              {"destination":"/dev","type":"tmpfs","source":"tmpfs",
               "options":["nosuid","strictatime","mode=755","size=65536k"]},
              {"destination":"/dev/pts","type":"devpts","source":"devpts",
               "options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5"]},
              {"destination":"/dev/mqueue","type":"mqueue","source":"mqueue","options":[\(safe)]},
              {"destination":"/dev/shm","type":"tmpfs","source":"shm","options":[\(safe),"mode=1777","size=65536k"]},
              {"destination":"/sys","type":"sysfs","source":"sysfs","options":[\(safe),"ro"]}],
             "linux":{"namespaces":[\((own + joined).joined(separator: ","))],
              "resources":{"devices":[{"allow":false,"access":"rwm"}]},
              "maskedPaths":\(masked),"readonlyPaths":\(readOnly),
              "seccomp":\(PeerSeccomp.profile)}}
            """
    }
}

/// Debian's crun refuses hybrid cgroups unless hugetlb is a v1 hierarchy at its usual place. It is mounted there in a
/// mount namespace of ours alone. It must be unmounted by name, and when no removed cgroup of it lives on in the kernel
/// (they go a moment later): else the hierarchy stays without a mount, and hugetlb is lost to cgroup v2 for everybody.
enum PeerNamespace {
    private static let place = "/sys/fs/cgroup/hugetlb"

    static func run(_ body: () throws -> Void) throws {
        guard exists("/sys/fs/cgroup/unified"), !exists(place) else { return try body() }
        let home = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC)
        guard home >= 0, bench_own_mounts() == 0 else { throw BenchError.call("unshare", "a mount namespace") }
        defer {
            _ = bench_enter_mounts(home)
            close(home)
            rmdir(place)
        }
        try succeed(["mount", "--make-rprivate", "/"])
        guard mkdir(place, 0o755) == 0 else { throw BenchError.call("mkdir", place) }
        guard mountHugetlb() else { return try body() }
        let outcome = Result { try body() }
        try release()
        try outcome.get()
    }

    /// Refused while a cgroup of v2 uses the controller, also a removed one that the kernel still tears down.
    private static func mountHugetlb() -> Bool {
        var complaint = ""
        for _ in 0..<40 {
            // Whoever last had cgroups with limits has left the controller enabled for children of the root; refused
            // while there are such children.
            _ = try? writeBytes("/sys/fs/cgroup/unified/cgroup.subtree_control", Array("-hugetlb".utf8))
            guard let result = try? runToEnd(["mount", "-t", "cgroup", "-o", "hugetlb", "cgroup", place]) else { break }
            if result.code == 0 { return true }
            complaint = result.errors
            usleep(250_000)
        }
        say("crun will refuse this machine's hybrid cgroups: hugetlb is in use in cgroup v2: \(complaint)")
        return false
    }

    private static func release() throws {
        // A cgroup that a killed peer left would hold the hierarchy.
        _ = try? runToEnd(["find", place, "-mindepth", "1", "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"])
        for attempt in 0..<5 {
            if attempt > 0 { try succeed(["mount", "-t", "cgroup", "-o", "hugetlb", "cgroup", place]) }
            usleep(200_000)
            try succeed(["umount", place])
            // The kernel gives the controller back after a grace period of its own.
            for _ in 0..<20 {
                usleep(50_000)
                // Lines of /proc/cgroups: name, hierarchy (0: cgroup v2), …
                let line = try readText("/proc/cgroups").split(separator: "\n").first { $0.hasPrefix("hugetlb") }
                if line?.split(separator: "\t").dropFirst().first == "0" { return }
            }
        }
        throw BenchError("hugetlb did not return to cgroup v2: something uses its v1 hierarchy")
    }
}

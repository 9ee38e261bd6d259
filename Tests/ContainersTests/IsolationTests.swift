// What a container must not reach: one test for each known way in or out (docs: runtime-security).

import Cgroups
import Containers
import Glibc
import Kernel
import Seccomp
import System
import Testing

@Suite(.serialized) struct IsolationTests {
    /// The failure of a start, as text.
    func refusal(
        _ node: TestNode, _ sandbox: SandboxStatus, _ change: (inout ContainerConfig) -> Void
    ) async -> String {
        do {
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, node.config("true", change))
            return "no refusal"
        } catch {
            return "\(error)"
        }
    }

    /// F_GET_SEALS, and F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_WRITE (fcntl(2)), which Swift does not import.
    private static let getSeals: Int32 = 1034
    private static let allSeals: Int32 = 0b1111

    @Test("CVE-2019-5736: the supervisor's program cannot be written")
    func supervisorIsSealed() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let path = "/proc/\(sandbox.supervisorPID)/exe"
            #expect(Files.symlinkTarget(path)?.contains("memfd:noded-supervisor") == true)
            // Asked of what it is executed from: a try to write fails for any running program (ETXTBSY), sealed or not,
            // and the attack is to write once it has ended.
            let program = try FileDescriptor.open(path)
            let seals = fcntl(program.raw, Self.getSeals)
            #expect(seals > 0 && seals & Self.allSeals == Self.allSeals, "\(path) has the seals \(seals)")
        }
    }

    @Test(
        "CVE-2023-27561, CVE-2026-41579: /proc, /sys and /dev of an image may not be links",
        arguments: ["proc", "sys", "dev"])
    func linkedMountpoints(name: String) async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let layer = "\(node.base)/layer"
            try Files.makeDirectory("\(layer)/elsewhere", mode: 0o755)
            try Files.symlink("\(layer)/\(name)", to: "elsewhere")
            let refusal = await refusal(node, sandbox) { $0.rootLayers.insert(layer, at: 0) }
            #expect(refusal.contains("/\(name)") && refusal.contains("symbolic links"), "\(refusal)")
        }
    }

    @Test("CVE-2025-31133: masks are our own null device and empty directories")
    func masks() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let result = try await node.output(
                """
                for f in /proc/kcore /proc/keys /proc/timer_list; do [ -e $f ] && stat -c '%F %t:%T' $f; done
                ls -A /sys/firmware | wc -l
                for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/profiling /sys/kernel/uevent_seqnum; do
                    [ -e $f ] && ( : >> $f ) 2> /dev/null && echo writable $f
                done
                touch /sys/firmware/x /proc/acpi/x 2> /dev/null && echo made
                true
                """, in: sandbox)
            let lines = result.text.split(separator: "\n")
            #expect(lines.filter { $0.contains(":") }.allSatisfy { $0 == "character special file 1:3" })
            #expect(lines.contains("0"))
            #expect(!result.text.contains("writable") && !result.text.contains("made"), "\(result.text)")
        }
    }

    @Test("CVE-2025-52565: the terminal comes from our own devpts, /dev/console is it")
    func console() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let result = try await node.output("tty; stat -c '%t' /dev/console; ls /dev/pts", in: sandbox) {
                $0.terminal = true
            }
            let lines = result.text.split(whereSeparator: { $0 == "\n" || $0 == "\r" || $0 == "\r\n" }).map(String.init)
            #expect(lines.prefix(2) == ["/dev/pts/0", "88"], "\(lines)")
        }
    }

    @Test("CVE-2021-30465, CVE-2024-45310: mount points and the directories above them stay inside the root")
    func mountpoints() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let layer = "\(node.base)/layer"
            let outside = "\(node.base)/outside"
            let volume = "\(node.base)/volume"
            for folder in [layer, outside, volume] { try Files.makeDirectory(folder, mode: 0o755) }
            try Files.writeAtomically("\(volume)/file", "volume", mode: 0o644)
            try Files.symlink("\(layer)/absolute", to: outside)
            try Files.symlink("\(layer)/climbing", to: "../../../../../../../../..\(outside)")
            let result = try await node.output("cat \(outside)/a/b/file \(outside)/c/file", in: sandbox) {
                $0.rootLayers.insert(layer, at: 0)
                $0.mounts = [
                    Mount(source: volume, destination: "/absolute/a/b"),
                    Mount(source: volume, destination: "/climbing/c"),
                ]
            }
            // Links lead to places inside the root, which are made there.
            #expect(result.text == "volumevolume", "\(result.text)")
            #expect(try Files.list(outside).isEmpty, "something was made on the host")
        }
    }

    @Test("CVE-2021-25741: a subPath stays in its volume")
    func subPaths() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let volume = "\(node.base)/volume"
            try Files.makeDirectory("\(volume)/real", mode: 0o755)
            try Files.writeAtomically("\(volume)/real/file", "inside", mode: 0o644)
            try Files.symlink("\(volume)/etc", to: "/etc")
            try Files.symlink("\(volume)/up", to: "../..")
            try Files.symlink("\(volume)/link", to: "real")
            for path in ["etc", "up", "up/etc", "../outside", "real/../../x"] {
                let refusal = await refusal(node, sandbox) {
                    $0.mounts = [Mount(source: volume, subPath: path, destination: "/data")]
                }
                #expect(refusal.contains("subPath"), "\(path): \(refusal)")
            }
            let good = try await node.output("cat /data/file; ls /made", in: sandbox) {
                $0.mounts = [
                    Mount(source: volume, subPath: "link", destination: "/data"),
                    Mount(source: volume, subPath: "new/deep", destination: "/made"),
                ]
            }
            #expect(good.text == "inside")
            #expect(Files.isDirectory("\(volume)/new/deep"))
        }
    }

    @Test("CVE-2024-21626: no descriptor leaks in, and a working directory outside the root is refused")
    func descriptorsAndWorkingDirectory() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            // ls holds the fourth itself.
            let result = try await node.output("ls /proc/self/fd | wc -l", in: sandbox)
            #expect(result.text == "4")
            for number in 3..<12 {
                let refusal = await refusal(node, sandbox) { $0.workingDirectory = "/proc/self/fd/\(number)" }
                #expect(refusal != "no refusal", "/proc/self/fd/\(number)")
            }
            let config = node.config("while true; do sleep 0.05; done")
            _ = try await node.runtime.startContainer(sandbox: sandbox.uid, config)
            let exec = try await node.runtime.exec(
                sandbox: sandbox.uid, container: config.id,
                ExecConfig(arguments: ["sh", "-c", "ls /proc/self/fd | wc -l"]))
            #expect(await text(exec.stdout) == "4\n")
            for number in 3..<12 {
                await #expect(throws: (any Error).self) {
                    _ = try await node.runtime.exec(
                        sandbox: sandbox.uid, container: config.id,
                        ExecConfig(arguments: ["true"], workingDirectory: "/proc/self/fd/\(number)"))
                }
            }
        }
    }

    @Test("CVE-2022-29162: capabilities are those asked for, inheritable and ambient are empty")
    func capabilities() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            func sets(_ text: String) -> [Substring: Substring] {
                var sets: [Substring: Substring] = [:]
                for line in text.split(separator: "\n") {
                    let parts = line.split(separator: "\t")
                    if parts.count == 2 { sets[parts[0].dropLast()] = parts[1] }
                }
                return sets
            }
            let command = "grep -E '^(Cap|NoNew|Seccomp:|Uid|Groups)' /proc/self/status"
            let mask = try Capabilities.mask(["CAP_CHOWN", "CAP_NET_RAW"])
            let root = sets(
                try await node.output(command, in: sandbox) {
                    $0.capabilities = ["CAP_CHOWN", "CAP_NET_RAW"]
                    $0.noNewPrivileges = true
                }.text)
            for set in ["CapPrm", "CapEff", "CapBnd"] {
                #expect(UInt64(root[set[...]] ?? "", radix: 16) == mask, "\(set)")
            }
            for set in ["CapInh", "CapAmb"] { #expect(UInt64(root[set[...]] ?? "", radix: 16) == 0, "\(set)") }
            #expect(root["NoNewPrivs"] == "1")
            let user = try await node.output("\(command); id", in: sandbox) {
                $0.user = ContainerUser(uid: 1000, gid: 1001, supplementalGroups: [1002, 1003])
                $0.seccomp = try? SeccompProfile.runtimeDefault(capabilities: Capabilities.default)
            }
            let userSets = sets(user.text)
            for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
                #expect(UInt64(userSets[set[...]] ?? "", radix: 16) == 0, "\(set)")
            }
            #expect(userSets["Seccomp"] == "2")
            #expect(user.text.contains("uid=1000(user) gid=1001 groups=1001,1002,1003"), "\(user.text)")
        }
    }

    @Test(
        "CVE-2023-25809: the cgroup tree is read-only and begins at the container",
        .enabled(if: TestNode.hasCgroups, TestNode.noCgroups))
    func cgroups() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let result = try await node.output(
                "grep ^0: /proc/self/cgroup; mkdir /sys/fs/cgroup/x 2>/dev/null || echo refused; ls /sys/fs/cgroup",
                in: sandbox)
            #expect(result.text.hasPrefix("0::/\nrefused\n"), "\(result.text)")
            #expect(result.text.contains("cgroup.procs"))
        }
    }

    @Test("CVE-2020-15257: the control socket is a path that only root opens")
    func socket() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let path = "\(node.run)/\(sandbox.uid)/supervisor.sock"
            #expect(try Files.attributes(path).mode & 0o777 == 0o600)
            #expect(try Files.attributes(node.run).mode & 0o077 == 0)
            let abstract = try Files.readText("/proc/\(sandbox.supervisorPID)/net/unix").split(separator: "\n")
            #expect(!abstract.contains { $0.contains("@") && $0.contains("noded") })
        }
    }

    @Test("CVE-2024-25621: nobody but root gets near the state directories")
    func stateDirectories() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            _ = try await node.output("true", in: sandbox)
            #expect(try Files.attributes(node.data).mode & 0o077 == 0)
            #expect(try Files.attributes("\(node.data)/\(sandbox.uid)").mode & 0o077 == 0)
        }
    }

    @Test("device nodes made inside are no way to the machine's devices")
    func devices() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            // 1:2 is /dev/mem, 1:11 /dev/kmsg: reading kmsg is harmless should it succeed.
            let result = try await node.output(
                """
                mknod /tmp/kmsg c 1 11 2>/dev/null
                head -c 1 /tmp/kmsg >/dev/null 2>&1 && echo opened
                head -c 4 /dev/zero | wc -c
                echo x > /dev/null && echo null
                ls /dev
                """, in: sandbox)
            #expect(!result.text.contains("opened"), "\(result.text)")
            #expect(result.text.hasPrefix("4\nnull\n"))
            for name in ["full", "mqueue", "pts", "ptmx", "random", "shm", "stdout", "tty", "urandom"] {
                #expect(result.text.split(separator: "\n").contains(name[...]), "\(name)")
            }
            #expect(!result.text.contains("kmsg") && !result.text.contains("sda"))
        }
    }

    @Test("CVE-2022-0811: only sysctls of the pod's own namespaces")
    func sysctls() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox { $0.sysctls = [("net.core.somaxconn", "321")] }
            let result = try await node.output(
                "cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_unprivileged_port_start", in: sandbox)
            #expect(result.text == "321\n0")
            for name in ["kernel.core_pattern", "vm.swappiness", "net/../kernel/core_pattern", "net..x", "kernel"] {
                await #expect(throws: (any Error).self, "\(name)") {
                    _ = try await node.sandbox { $0.sysctls = [(name, "1")] }
                }
            }
            await #expect(throws: (any Error).self) {
                _ = try await node.sandbox {
                    $0.hostNetwork = true
                    $0.sysctls = [("net.core.somaxconn", "1")]
                }
            }
        }
    }

    @Test func rootsAreReadOnlyWhenAskedAndFreshEachTime() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let first = try await node.output("echo x > /etc/new && cat /etc/new", in: sandbox)
            #expect(first.text == "x")
            let second = try await node.output(
                "ls /etc/new 2>&1; touch /y 2>/dev/null || echo refused; touch /vol/y && echo made", in: sandbox
            ) {
                $0.readOnlyRoot = true
                $0.mounts = [Mount(kind: .tmpfs(size: 1 << 20), destination: "/vol")]
            }
            #expect(
                second.text.contains("No such file") && second.text.contains("refused") && second.text.hasSuffix("made")
            )
            #expect(!Files.exists("\(node.root)/etc/new"), "the image changed")
        }
    }

    @Test func readOnlyMountsAndOrder() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let volume = "\(node.base)/volume"
            try Files.makeDirectory("\(volume)/inner", mode: 0o777)
            let file = "\(node.base)/single"
            try Files.writeAtomically(file, "one file", mode: 0o644)
            let result = try await node.output(
                "touch /data/x 2>/dev/null || echo refused; touch /data/inner/y && echo inner; cat /etc/deep/single",
                in: sandbox
            ) {
                // The inner one is written first and must still be mounted last.
                $0.mounts = [
                    Mount(kind: .tmpfs(size: nil), destination: "/data/inner"),
                    Mount(source: file, destination: "/etc/deep/single", readOnly: true),
                    Mount(source: volume, destination: "/data", readOnly: true),
                ]
            }
            #expect(result.text.hasSuffix("refused\ninner\none file"), "\(result.text)")
        }
    }

    @Test func privilegedMeansPrivileged() async throws {
        try await withNode { node in
            let sandbox = try await node.sandbox()
            let result = try await node.output(
                "grep CapEff /proc/self/status; [ -w /proc/sys/kernel ] && echo writable; ls /dev | wc -l", in: sandbox
            ) { $0.privileged = true }
            let own = try Capabilities.own().effective
            let lines = result.text.split(separator: "\n")
            #expect(UInt64(lines[0].split(separator: "\t").last ?? "", radix: 16) == own)
            #expect(lines.contains("writable"))
        }
    }
}

// From a container's configuration to the supervisor's plan: pure, checked, complete. What a container sees besides
// what it asked for (proc, sys, dev, shm, cgroup, masks) is decided here and nowhere else.

import Cgroups
import Kernel
import SupervisorProtocol
import System

struct PlanBuilder {
    /// What the container's plan needs to know of its sandbox.
    struct Place {
        let sharedMemory: String
        let hostname: String
        /// The user's home directory, for HOME.
        let home: String
        /// DATA/<uid>/<container id>; holds upper, work and root.
        let directory: String
        /// Whether a cgroup v2 tree is there to be shown.
        let hasCgroups: Bool
        /// Whether the container's cgroup lets it use only harmless devices. Where it does not, the root holds no
        /// devices and the right to make them is withheld.
        let devicesFiltered: Bool
        /// Capabilities that can be given here at all.
        let available: UInt64
    }

    let config: ContainerConfig
    let place: Place

    func plan(record: ContainerRecord) throws(ContainersError) -> ContainerPlan {
        try check()
        var plan = ContainerPlan()
        plan.id = Array(config.id.utf8)
        plan.lower = config.rootLayers.map { Array($0.utf8) }
        plan.upper = Array((config.upperDirectory ?? "\(place.directory)/upper").utf8)
        plan.work = Array((config.workDirectory ?? "\(place.directory)/work").utf8)
        plan.rootMount = Array("\(place.directory)/root".utf8)
        plan.rootAttributes = place.devicesFiltered || config.privileged ? 0 : MountPlan.noDevices
        plan.rootReadOnly = config.readOnlyRoot
        plan.mounts = standardMounts() + (try mounts())
        plan.devices = config.privileged ? try Self.allDevices() : Self.devices
        if !config.privileged {
            plan.masked = config.maskedPaths.map { Array($0.utf8) }
            plan.readOnlyPaths = config.readOnlyPaths.map { Array($0.utf8) }
        }
        plan.process = try process()
        plan.log = Array((config.logPath ?? "").utf8)
        plan.logMaximumSize = config.logMaximumSize
        plan.logMaximumFiles = UInt64(max(1, config.logMaximumFiles))
        plan.stdin = config.stdin
        plan.stdinOnce = config.stdinOnce
        plan.processNamespace = Array((config.processNamespace ?? "").utf8)
        plan.record = record.fields
        return plan
    }

    private func check() throws(ContainersError) {
        guard config.id.utf8.count == 64, config.id.utf8.allSatisfy({ Self.hexadecimal.contains($0) }) else {
            throw .invalid("container id \"\(config.id)\" is not 64 hexadecimal digits")
        }
        guard (1...500).contains(config.rootLayers.count) else {
            throw .invalid("a root has 1 to 500 layers, not \(config.rootLayers.count)")
        }
        guard let program = config.arguments.first, !program.isEmpty else {
            throw .invalid("no command: neither the pod nor the image names one")
        }
        let texts =
            config.arguments + config.environment.flatMap { [$0.0, $0.1] } + [config.workingDirectory]
            + config.mounts.flatMap { [$0.source, $0.destination, $0.subPath ?? ""] } + config.rootLayers
        for text in texts where text.utf8.contains(0) {
            throw .invalid("\"\(text.prefix(40))\" holds a NUL character")
        }
        let strings = config.arguments.map(\.utf8.count) + config.environment.map { $0.utf8.count + 1 + $1.utf8.count }
        let size = strings.reduce(0) { $0 + $1 + 1 + MemoryLayout<Int>.size }
        guard size <= Self.argumentLimit else {
            throw .invalid(
                "arguments and environment have \(size) bytes, the kernel takes at most \(Self.argumentLimit)")
        }
        for (name, _) in config.environment where name.isEmpty || name.contains("=") {
            throw .invalid("environment variable name \"\(name)\"")
        }
        for mount in config.mounts {
            guard mount.destination.hasPrefix("/") else {
                throw .invalid("mount destination \"\(mount.destination)\" is not absolute")
            }
            let parts = mount.destination.split(separator: "/").filter { $0 != "." }
            guard let first = parts.first, !parts.contains("..") else {
                throw .invalid("mount destination \"\(mount.destination)\" is the root itself or climbs with \"..\"")
            }
            // What covers parts of /proc would let the container choose what its runtime reads there (CVE-2019-19921).
            if first == "proc", !config.privileged {
                throw .invalid("mount destination \"\(mount.destination)\" is in /proc")
            }
        }
        // uid_t and gid_t -1 mean "unchanged" to the kernel (CVE-2024-40635).
        for number in [config.user.uid, config.user.gid] + config.user.supplementalGroups where number == .max {
            throw .invalid("user or group id 4294967295 is none")
        }
    }

    /// What execve(2) takes of argv, envp and their pointers, whatever the stack's limit (three quarters of 8 MiB).
    private static let argumentLimit = 6 << 20
    private static let hexadecimal = Set("0123456789abcdef".utf8)

    // MARK: Mounts

    private func standardMounts() -> [MountPlan] {
        let hardened = MountPlan.noSetUID | MountPlan.noDevices | MountPlan.noExecute
        let sysAttributes = hardened | (config.privileged ? 0 : MountPlan.readOnly)
        var mounts = [
            Self.fileSystem("proc", "/proc", hardened),
            Self.fileSystem("sysfs", "/sys", sysAttributes),
        ]
        if place.hasCgroups { mounts.append(Self.fileSystem("cgroup2", "/sys/fs/cgroup", sysAttributes)) }
        var devices = Self.fileSystem("tmpfs", "/dev", MountPlan.noSetUID | MountPlan.noExecute)
        devices.kind = .devices
        devices.options = [Array("mode".utf8), Array("0755".utf8), Array("size".utf8), Array("65536k".utf8)]
        var terminals = Self.fileSystem("devpts", "/dev/pts", MountPlan.noSetUID | MountPlan.noExecute)
        terminals.kind = .terminals
        terminals.options = ["newinstance", "", "ptmxmode", "0666", "mode", "0620", "gid", "5"].map { Array($0.utf8) }
        mounts += [devices, terminals, Self.fileSystem("mqueue", "/dev/mqueue", hardened)]
        var shared = MountPlan()
        shared.source = Array(place.sharedMemory.utf8)
        shared.destination = Array("/dev/shm".utf8)
        shared.attributes = hardened
        mounts.append(shared)
        return mounts
    }

    private static func fileSystem(_ type: String, _ destination: String, _ attributes: UInt64) -> MountPlan {
        var mount = MountPlan()
        mount.kind = .fileSystem
        mount.source = Array(type.utf8)
        mount.destination = Array(destination.utf8)
        mount.attributes = attributes
        // A link in the image must not move these elsewhere (CVE-2023-27561, CVE-2026-41579).
        mount.strict = true
        return mount
    }

    /// Outer places before those inside them, whatever the order they were written in.
    private func mounts() throws(ContainersError) -> [MountPlan] {
        func depth(_ mount: Mount) -> Int { mount.destination.split(separator: "/").count }
        let ordered = config.mounts.enumerated().sorted { a, b in
            (depth(a.element), a.offset) < (depth(b.element), b.offset)
        }
        var plans: [MountPlan] = []
        for (_, mount) in ordered { plans.append(try self.mount(mount)) }
        return plans
    }

    private func mount(_ mount: Mount) throws(ContainersError) -> MountPlan {
        var plan = MountPlan()
        plan.destination = Array(mount.destination.utf8)
        if mount.readOnly { plan.attributes |= MountPlan.readOnly }
        switch mount.kind {
        case .tmpfs(let size):
            plan.kind = .fileSystem
            plan.source = Array("tmpfs".utf8)
            plan.attributes |= MountPlan.noSetUID | MountPlan.noDevices
            if let size { plan.options = [Array("size".utf8), Array(String(size).utf8)] }
        case .bind(let recursive):
            guard mount.source.hasPrefix("/") else {
                throw .invalid("mount source \"\(mount.source)\" is not absolute")
            }
            plan.source = Array(mount.source.utf8)
            plan.subPath = Array((mount.subPath ?? "").utf8)
            plan.recursive = recursive
            plan.recursiveAttributes = mount.recursiveReadOnly
            switch mount.propagation {
            case .none: plan.propagation = .private
            case .hostToContainer: plan.propagation = .slave
            case .bidirectional: plan.propagation = .shared
            }
        }
        return plan
    }

    /// The devices every container may use.
    private static let devices: [DevicePlan] = [
        ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0),
    ].map { name, major, minor in
        var device = DevicePlan()
        device.path = Array(name.utf8)
        device.mode = 0o020666
        (device.major, device.minor) = (UInt32(major), UInt32(minor))
        return device
    }

    /// For privileged containers: every device node of the machine's /dev, links and other mounts left out.
    private static func allDevices() throws(ContainersError) -> [DevicePlan] {
        do throws(SystemError) {
            return try devices(in: RootedDirectory("/dev"), below: "")
        } catch {
            throw .system(error)
        }
    }

    private static func devices(in root: RootedDirectory, below folder: String) throws(SystemError) -> [DevicePlan] {
        var all: [DevicePlan] = []
        for name in try root.list(folder.isEmpty ? "." : folder) {
            let path = folder.isEmpty ? name : "\(folder)/\(name)"
            if ["pts", "shm", "mqueue", "console", "ptmx"].contains(path) { continue }
            // A device may go while we look.
            guard let found = try? root.attributes(path) else { continue }
            switch found.kind {
            case .directory: all += try devices(in: root, below: path)
            case .characterDevice, .blockDevice:
                var device = DevicePlan()
                device.path = Array(path.utf8)
                device.mode = (found.kind == .blockDevice ? 0o060000 : 0o020000) | found.mode
                (device.major, device.minor) = (found.deviceMajor, found.deviceMinor)
                (device.uid, device.gid) = (found.uid, found.gid)
                all.append(device)
            default: break
            }
        }
        return all
    }

    // MARK: Process

    private func process() throws(ContainersError) -> ProcessPlan {
        var plan = ProcessPlan()
        plan.arguments = config.arguments.map { Array($0.utf8) }
        plan.environment = environment.map { Array("\($0.0)=\($0.1)".utf8) }
        plan.workingDirectory = Array((config.workingDirectory.isEmpty ? "/" : config.workingDirectory).utf8)
        plan.uid = config.user.uid
        plan.gid = config.user.gid
        // The primary group counts as a supplementary one, too: else files that deny it could be read (CVE-2022-36109).
        plan.groups = [config.user.gid] + config.user.supplementalGroups.filter { $0 != config.user.gid }
        do {
            plan.capabilities =
                config.privileged
                ? place.available : try Capabilities.mask(config.capabilities) & place.available
            if !place.devicesFiltered, !config.privileged { plan.capabilities &= ~(1 << 27) }  // CAP_MKNOD
        } catch {
            throw .invalid("\(error)")
        }
        plan.noNewPrivileges = config.noNewPrivileges
        plan.seccomp = config.seccomp ?? []
        plan.terminal = config.terminal
        plan.oomScore = config.oomScoreAdjustment.map { Int32(clamping: $0) } ?? ProcessPlan.inheritOOMScore
        return plan
    }

    /// The container's own, with what every program expects put in front when it is missing.
    private var environment: [(String, String)] {
        var all = config.environment
        var defaults = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", place.home), ("HOSTNAME", place.hostname),
        ]
        if config.terminal { defaults.append(("TERM", "xterm")) }
        let names = Set(all.map(\.0))
        all.insert(contentsOf: defaults.filter { !names.contains($0.0) }, at: 0)
        return all
    }
}

extension ContainersError {
    /// A supervisor's refusal in noded's words.
    init(_ failure: Failure, uid: String) {
        let target = String(decoding: failure.target, as: UTF8.self)
        let errno = Errno(failure.errno)
        switch failure.step {
        case .execute: self = .cannotExecute(program: target, errno)
        case .noContainer: self = .noContainer(id: target)
        case .notRunning: self = .notRunning(id: target)
        case .protocolError: self = .supervisor(uid: uid, "it does not understand the request (\(errno))")
        default: self = .setup(step: failure.step.words, target: target, errno)
        }
    }
}

extension Step {
    /// What was being done, for people.
    var words: String {
        switch self {
        case .none, .protocolError, .noContainer, .notRunning: "request"
        case .duplicate: "start a second time"
        case .unshareNetwork: "make the network namespace"
        case .unshareIPC: "make the IPC namespace"
        case .unshareUTS: "make the UTS namespace"
        case .unsharePID: "make the PID namespace"
        case .reaper: "start the pod's init"
        case .loopback: "set up the loopback interface"
        case .hostname: "set the host name"
        case .sysctl: "set the sysctl"
        case .sharedMemory: "mount /dev/shm at"
        case .openLog: "open the log"
        case .pipe: "make a pipe"
        case .clone: "clone a process"
        case .execCgroup: "make the command's cgroup"
        case .sessions: "attach one more session (\(mostAttachedSessions) are) to container"
        case .oomScore: "set the OOM score"
        case .bindSource: "open the mount's source"
        case .subPath: "open the subPath"
        case .propagation: "set mount propagation of"
        case .overlay: "mount the root of"
        case .pivot: "enter the root"
        case .mountpoint: "make the mount point"
        case .fileSystem: "mount"
        case .move: "place the mount at"
        case .attributes: "set the attributes of the mount at"
        case .device: "make the device"
        case .terminal: "open the terminal"
        case .maskedPath: "mask"
        case .readOnlyPath, .readOnlyRoot: "write-protect"
        case .cgroupNamespace: "make the cgroup namespace"
        case .joinNamespaces: "enter the container's namespaces"
        case .standardStreams: "connect the standard streams"
        case .workingDirectory: "change to the working directory"
        case .workingDirectoryOutside: "stay inside the root with the working directory"
        case .bounding, .capabilities: "set capabilities"
        case .groups: "set supplementary groups"
        case .gid: "set the group"
        case .uid: "set the user"
        case .noNewPrivileges: "set no_new_privs"
        case .seccomp: "install the seccomp filter"
        case .parentDeath: "bind the process to its supervisor"
        case .closeDescriptors: "close descriptors"
        case .execute: "execute"
        }
    }
}

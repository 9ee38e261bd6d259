// The cgroup v2 tree (cgroups(7), kernel Documentation/admin-guide/cgroup-v2): where it is mounted and which controllers
// it has. On hybrid machines the tree lies beside v1 hierarchies that own some or all controllers: groups, kill and
// freeze then still work, and each limit that cannot be enforced is reported as a value with its reason and a fix.

internal import Kernel
public import System

/// A limit that was asked for and is not in force.
public struct Unenforced: Hashable, Sendable, CustomStringConvertible {
    /// "cpu", "memory", "pids", …
    public let controller: String
    /// Why, for example "the memory controller belongs to cgroup v1 (/sys/fs/cgroup/memory)".
    public let reason: String
    /// What would enforce it.
    public let fix: String

    public init(controller: String, reason: String, fix: String) {
        (self.controller, self.reason, self.fix) = (controller, reason, fix)
    }

    public var description: String { "\(controller) limits are not enforced: \(reason); \(fix)" }

    /// One sentence for several: those with one cure are named together. nil when there is nothing to say.
    public static func summary(_ missing: [Unenforced]) -> String? {
        guard !missing.isEmpty else { return nil }
        var fixes: [String] = []
        for item in missing where !fixes.contains(item.fix) { fixes.append(item.fix) }
        return fixes.map { fix in
            let items = missing.filter { $0.fix == fix }
            let names = items.map(\.controller).joined(separator: ", ")
            let why = items.count == 1 ? ": \(items[0].reason)" : ""
            return "\(names) limits are not enforced\(why); \(fix)"
        }.joined(separator: "; ")
    }
}

/// What could not be done to which group.
public struct CgroupError: Error, CustomStringConvertible, Sendable {
    /// `write "5000 100000" to cpu.max of`, `create`
    public let action: String
    /// The group's path in the tree.
    public let cgroup: String
    public let errno: Errno

    public var description: String { "\(action) cgroup \(cgroup): \(errno)" }
}

/// The mounted v2 tree.
public struct CgroupTree: Sendable {
    /// For example "/sys/fs/cgroup" or "/sys/fs/cgroup/unified".
    public let mountPoint: String
    /// What the tree's root offers, for example ["cpu", "memory", "pids"]; on hybrid machines maybe nothing.
    public let controllers: Set<String>

    public var root: Cgroup { Cgroup(mountPoint: mountPoint, path: "/") }

    /// Finds the tree through mountinfo. Throws ENODEV when there is none.
    public static func find() throws -> CgroupTree {
        guard
            let mount = try MountTable.read().last(where: { $0.fileSystem == "cgroup2" && $0.root == "/" })
                ?? MountTable.read().last(where: { $0.fileSystem == "cgroup2" })
        else { throw CgroupError(action: "find the v2 mount of", cgroup: "/", errno: .ENODEV) }
        let names = try Files.readText(mount.point + "/cgroup.controllers")
        return CgroupTree(
            mountPoint: mount.point, controllers: Set(names.split(whereSeparator: \.isWhitespace).map(String.init)))
    }

    /// A group by its path from the tree's root: "kubepods/burstable".
    public func cgroup(_ path: String) -> Cgroup { root.child(path) }

    /// The group this process is in.
    public func own() throws -> Cgroup {
        let lines = try Files.readText("/proc/self/cgroup").split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("0::") }) else {
            throw CgroupError(action: "find this process's", cgroup: "/", errno: .ENODEV)
        }
        return cgroup(String(line.dropFirst(3)))
    }

    /// The controllers noded wants that this tree lacks; empty on a machine with cgroup v2 alone. For the node
    /// condition, the event and the doctor.
    public func missing() -> [Unenforced] {
        ControllerInventory.wanted.filter { !controllers.contains($0) }.map(unenforced)
    }

    /// Why a controller is not in the tree, from /proc/cgroups and the v1 mounts.
    public func unenforced(_ controller: String) -> Unenforced {
        let v1Name = controller == "io" ? "blkio" : controller
        let mounts = (try? MountTable.read()) ?? []
        if let v1 = mounts.first(where: { $0.fileSystem == "cgroup" && $0.superOptions.contains(v1Name) }) {
            return Unenforced(
                controller: controller, reason: "the \(v1Name) controller belongs to cgroup v1 (\(v1.point))",
                fix: "boot with systemd.unified_cgroup_hierarchy=1 (or cgroup_no_v1=all) for cgroup v2 alone")
        }
        let lines = ((try? Files.readText("/proc/cgroups")) ?? "").split(separator: "\n")
        let line = lines.map { $0.split(separator: "\t") }.first { $0.count == 4 && $0[0] == v1Name }
        switch line.map({ (hierarchy: $0[1], enabled: $0[3]) }) {
        case (_, "0")?:
            return Unenforced(
                controller: controller, reason: "the \(v1Name) controller is switched off at boot",
                fix: "boot with cgroup_enable=\(v1Name)" + (controller == "memory" ? " cgroup_memory=1" : ""))
        case (let hierarchy, _)? where hierarchy != "0":
            return Unenforced(
                controller: controller, reason: "the \(v1Name) controller is bound to a cgroup v1 hierarchy",
                fix: "boot with cgroup_no_v1=all for cgroup v2 alone")
        case nil:
            return Unenforced(
                controller: controller, reason: "this kernel has no \(controller) controller",
                fix: "a kernel with the controller built in (CONFIG_CGROUPS and its option)")
        default:
            return Unenforced(
                controller: controller, reason: "\(mountPoint) is not given the \(controller) controller",
                fix: "delegate it to this part of the tree (systemd: Delegate=yes)")
        }
    }
}

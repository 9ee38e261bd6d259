// What a group may use, as one value, and how it becomes writes. To add a knob: a property here and a line in its
// controller's file. A value that is nil is left as it is; what cannot be enforced comes back as Unenforced.

internal import System

/// Limits and shares of one group. Nil leaves the kernel's setting alone.
public struct CgroupResources: Hashable, Sendable {
    /// Time a group may use in each period, both in µs (cpu.max).
    public struct CPUMax: Hashable, Sendable {
        /// Nil is unlimited; at least 1000.
        public var quota: UInt64?
        /// 1000 to 1,000,000.
        public var period: UInt64
        public init(quota: UInt64?, period: UInt64 = 100_000) { (self.quota, self.period) = (quota, period) }
    }

    /// cpu.weight: 1 to 10,000; the kernel's default is 100.
    public var cpuWeight: UInt64?
    public var cpuMax: CPUMax?
    /// cpuset.cpus and cpuset.mems, as lists: "0-3,7".
    public var cpus: String?
    public var memoryNodes: String?
    /// memory.max, bytes; UInt64.max is unlimited.
    public var memoryMax: UInt64?
    /// memory.high, bytes.
    public var memoryHigh: UInt64?
    /// memory.low, bytes: protected as long as others have unprotected memory.
    public var memoryLow: UInt64?
    /// memory.min, bytes: never reclaimed.
    public var memoryMin: UInt64?
    /// memory.swap.max, bytes.
    public var memorySwapMax: UInt64?
    /// memory.oom.group: an out-of-memory kill takes the whole group.
    public var memoryOOMGroup: Bool?
    /// pids.max; UInt64.max is unlimited.
    public var pidsMax: UInt64?
    /// hugetlb.SIZE.max, bytes by page size ("2MB", "1GB").
    public var hugepageMax: [String: UInt64] = [:]

    public init() {}

    public init(
        cpuWeight: UInt64? = nil, cpuMax: CPUMax? = nil, memoryMax: UInt64? = nil, memoryLow: UInt64? = nil,
        memoryMin: UInt64? = nil, memoryOOMGroup: Bool? = nil, pidsMax: UInt64? = nil
    ) {
        (self.cpuWeight, self.cpuMax, self.memoryMax) = (cpuWeight, cpuMax, memoryMax)
        (self.memoryLow, self.memoryMin) = (memoryLow, memoryMin)
        (self.memoryOOMGroup, self.pidsMax) = (memoryOOMGroup, pidsMax)
    }

    /// The writes that bring it about, in order.
    public var settings: [CgroupSetting] { ControllerInventory.all.flatMap { $0.settings(self) } }
}

/// One write to one file of a controller.
public struct CgroupSetting: Hashable, Sendable, CustomStringConvertible {
    public let controller: String
    public let file: String
    public let value: String
    /// Absent on some kernels that have the controller (swap, hugepage sizes): then not a fault of the group.
    public let optional: Bool

    init(_ controller: String, _ file: String, _ value: String, optional: Bool = false) {
        (self.controller, self.file, self.value, self.optional) = (controller, file, value, optional)
    }

    public var description: String { "\(file) = \(value)" }

    static func limit(_ value: UInt64) -> String { value == .max ? "max" : "\(value)" }
}

/// Of a resource controller: how its part of CgroupResources becomes writes, and its part of the statistics is read.
protocol CgroupController {
    static var name: String { get }
    static func settings(_ resources: CgroupResources) -> [CgroupSetting]
    static func read(_ cgroup: Cgroup, into stats: inout CgroupStats)
}

public enum ControllerInventory {
    /// In the order of their writes.
    static let all: [any CgroupController.Type] = [
        CPUController.self,
        CPUSetController.self,
        MemoryController.self,
        PidsController.self,
        HugepageController.self,
    ]

    /// What groups are given where the tree has it. Enabling io costs nothing and makes io.stat appear.
    public static let wanted = ["cpu", "memory", "pids", "cpuset", "io", "hugetlb"]
}

extension Cgroup {
    /// Writes every setting. Stops at the first one the kernel refuses as wrong.
    /// - Returns: for each controller that is asked for something and is not there, why.
    @discardableResult
    public func apply(_ resources: CgroupResources) throws(CgroupError) -> [Unenforced] {
        var missing: [Unenforced] = []
        let present = try words("cgroup.controllers")
        for setting in resources.settings {
            if !present.contains(setting.controller) {
                guard !missing.contains(where: { $0.controller == setting.controller }) else { continue }
                missing.append(CgroupTree(mountPoint: mountPoint, controllers: []).unenforced(setting.controller))
            } else if setting.optional, !has(setting.file) {
                missing.append(
                    Unenforced(
                        controller: setting.controller, reason: "this kernel has no \(setting.file)",
                        fix: setting.file.contains("swap") ? "CONFIG_SWAP, and swapaccount=1" : "another page size"))
            } else {
                try write(setting.file, setting.value)
            }
        }
        return missing
    }

    /// What the group uses. Parts whose controller is not there are nil.
    public func stats() throws(CgroupError) -> CgroupStats {
        guard exists else { throw CgroupError(action: "read statistics of", cgroup: path, errno: .ENOENT) }
        var stats = CgroupStats()
        for controller in ControllerInventory.all { controller.read(self, into: &stats) }
        return stats
    }
}

/// What a group and those below it use.
public struct CgroupStats: Hashable, Sendable {
    /// CPU time since the group was made, µs: all, in user mode, in the kernel.
    public var cpuUsage: UInt64?
    public var cpuUser: UInt64?
    public var cpuSystem: UInt64?
    /// Periods in which cpu.max made the group wait, and for how long in all, µs.
    public var throttledPeriods: UInt64?
    public var throttledTime: UInt64?
    /// Bytes in use, page cache included.
    public var memoryCurrent: UInt64?
    /// memoryCurrent less inactive page cache: what the kubelet calls working set and evicts by.
    public var memoryWorkingSet: UInt64?
    /// Anonymous memory, bytes.
    public var memoryRSS: UInt64?
    public var pageFaults: UInt64?
    public var majorPageFaults: UInt64?
    /// Tasks (threads count).
    public var pids: UInt64?
}

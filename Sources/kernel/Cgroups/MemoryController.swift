// memory: protections first, ceilings after them, so that a shrinking limit finds the protection in place.

enum MemoryController: CgroupController {
    static let name = "memory"

    static func settings(_ resources: CgroupResources) -> [CgroupSetting] {
        let limits: [(String, UInt64?)] = [
            ("memory.min", resources.memoryMin),
            ("memory.low", resources.memoryLow),
            ("memory.high", resources.memoryHigh),
            ("memory.max", resources.memoryMax),
        ]
        var settings = limits.compactMap { file, value in
            value.map { CgroupSetting(name, file, CgroupSetting.limit($0)) }
        }
        if let swap = resources.memorySwapMax {
            settings.append(CgroupSetting(name, "memory.swap.max", CgroupSetting.limit(swap), optional: true))
        }
        if let whole = resources.memoryOOMGroup {
            settings.append(CgroupSetting(name, "memory.oom.group", whole ? "1" : "0"))
        }
        return settings
    }

    static func read(_ cgroup: Cgroup, into stats: inout CgroupStats) {
        guard let current = cgroup.number("memory.current"), let values = try? cgroup.keyed("memory.stat") else {
            return
        }
        let inactive = values["inactive_file"] ?? 0
        stats.memoryCurrent = current
        stats.memoryWorkingSet = current > inactive ? current - inactive : 0
        stats.memoryRSS = values["anon"]
        stats.pageFaults = values["pgfault"]
        stats.majorPageFaults = values["pgmajfault"]
    }
}

extension Cgroup {
    /// memory.events: how often limits had consequences in the group and below, since it was made.
    public struct MemoryEvents: Hashable, Sendable {
        /// Times the limit was reached and nothing could be reclaimed.
        public let outOfMemory: UInt64
        /// Processes the kernel killed for it.
        public let killed: UInt64
        /// Times the whole group was killed (memory.oom.group).
        public let groupKilled: UInt64
    }

    /// Nil when the group has no memory controller (its kills then cannot be told from others).
    public func memoryEvents() -> MemoryEvents? {
        guard let values = try? keyed("memory.events") else { return nil }
        return MemoryEvents(
            outOfMemory: values["oom"] ?? 0, killed: values["oom_kill"] ?? 0, groupKilled: values["oom_group_kill"] ?? 0
        )
    }
}

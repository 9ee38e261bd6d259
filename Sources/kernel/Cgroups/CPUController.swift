// cpu: a share (cpu.weight) and a ceiling (cpu.max). cpu.stat is part of the tree's core: usage is known without it.

enum CPUController: CgroupController {
    static let name = "cpu"

    static func settings(_ resources: CgroupResources) -> [CgroupSetting] {
        var settings: [CgroupSetting] = []
        if let weight = resources.cpuWeight { settings.append(CgroupSetting(name, "cpu.weight", "\(weight)")) }
        if let max = resources.cpuMax {
            let quota = max.quota.map(String.init) ?? "max"
            settings.append(CgroupSetting(name, "cpu.max", "\(quota) \(max.period)"))
        }
        return settings
    }

    static func read(_ cgroup: Cgroup, into stats: inout CgroupStats) {
        guard let values = try? cgroup.keyed("cpu.stat") else { return }
        stats.cpuUsage = values["usage_usec"]
        stats.cpuUser = values["user_usec"]
        stats.cpuSystem = values["system_usec"]
        stats.throttledPeriods = values["nr_throttled"]
        stats.throttledTime = values["throttled_usec"]
    }
}

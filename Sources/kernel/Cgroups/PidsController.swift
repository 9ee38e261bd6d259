// pids: how many tasks a group may have; against fork bombs.

enum PidsController: CgroupController {
    static let name = "pids"

    static func settings(_ resources: CgroupResources) -> [CgroupSetting] {
        resources.pidsMax.map { [CgroupSetting(name, "pids.max", CgroupSetting.limit($0))] } ?? []
    }

    static func read(_ cgroup: Cgroup, into stats: inout CgroupStats) { stats.pids = cgroup.number("pids.current") }
}

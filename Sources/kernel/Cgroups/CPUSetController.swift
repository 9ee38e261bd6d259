// cpuset: on which processors and memory nodes a group may run.

enum CPUSetController: CgroupController {
    static let name = "cpuset"

    static func settings(_ resources: CgroupResources) -> [CgroupSetting] {
        [("cpuset.cpus", resources.cpus), ("cpuset.mems", resources.memoryNodes)].compactMap { file, value in
            value.map { CgroupSetting(name, file, $0) }
        }
    }

    static func read(_ cgroup: Cgroup, into stats: inout CgroupStats) {}
}

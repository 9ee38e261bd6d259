// hugetlb: bytes of huge pages, a limit for each page size. Both the use and its reservation are limited, else a
// container could reserve what it may not use.

enum HugepageController: CgroupController {
    static let name = "hugetlb"

    static func settings(_ resources: CgroupResources) -> [CgroupSetting] {
        resources.hugepageMax.sorted { $0.key < $1.key }.flatMap { size, bytes in
            [
                CgroupSetting(name, "hugetlb.\(size).max", CgroupSetting.limit(bytes), optional: true),
                CgroupSetting(name, "hugetlb.\(size).rsvd.max", CgroupSetting.limit(bytes), optional: true),
            ]
        }
    }

    static func read(_ cgroup: Cgroup, into stats: inout CgroupStats) {}
}

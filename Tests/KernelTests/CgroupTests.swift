// Groups in the machine's real v2 tree, below a group of the test's own that goes with it. Limits are tried with every
// controller the machine's tree has; those it lacks must be reported.

import Cgroups
import Glibc
import Kernel
import System
import TestSupport
import Testing

/// A group that is removed with everything below it after the body, also when it fails.
private func withGroup(_ body: (CgroupTree, Cgroup) async throws -> Void) async throws {
    let tree = try CgroupTree.find()
    let group = tree.cgroup("noded-test-\(Random.nameSuffix(10))")
    do {
        try await body(tree, group)
    } catch {
        try? await group.remove()
        throw error
    }
    try await group.remove()
    #expect(!group.exists)
}

@Suite(.serialized) struct CgroupTests {
    @Test func freezesKillsAndRemoves() async throws {
        try await withGroup { tree, group in
            let pods = Kubepods(below: group)
            let pod = pods.pod(uid: "1234-5678", .burstable)
            let leaf = Kubepods.container("abcd", in: pod)
            try leaf.create()
            try Kubepods.supervisor(in: pod).create()
            try leaf.create()
            #expect(try leaf.events() == Cgroup.Events(populated: false, frozen: false))
            #expect(try pods.pods().map(\.uid) == ["1234-5678"])
            #expect(try Set(pod.children().map(\.name)) == ["abcd", "supervisor"])

            let child = try Child(["/bin/sleep", "1000"])
            try leaf.add(pid: child.process.pid)
            #expect(try leaf.processes().contains(child.process.pid))
            #expect(try group.processes(recursive: true).contains(child.process.pid))
            #expect(try pod.events().populated)
            try await pod.freeze()
            #expect(try leaf.events().frozen)
            try await pod.freeze(false)
            // The group above may hear of it first.
            try await bounded { while try leaf.events().frozen { try await Task.sleep(for: .milliseconds(5)) } }
            #expect(try leaf.stats().cpuUsage != nil)

            let error = #expect(throws: CgroupError.self) { try group.removeEmpty() }
            #expect(error?.errno == .EBUSY)
            await #expect(throws: CgroupError.self) { try await pod.waitUntilEmpty(within: .milliseconds(50)) }
            try await pod.remove()
            try await pod.remove()
            #expect(!pod.exists && pods.root.exists)
            #expect(try child.process.waitBlocking() == .killed(signal: 9))
            try leaf.kill()
        }
    }

    @Test func waitsForTheLastProcess() async throws {
        try await withGroup { _, group in
            try group.create()
            let child = try Child(["/bin/sleep", "1000"])
            try group.add(pid: child.process.pid)
            async let end: Void = group.waitUntilEmpty(within: .seconds(90))
            try await Task.sleep(for: .milliseconds(100))
            try child.process.signal(Signal.kill)
            try await end
            #expect(try !group.events().populated)
        }
    }

    @Test func appliesWhatItCanAndReportsTheRest() async throws {
        try await withGroup { tree, group in
            let leaf = group.child("leaf")
            let missing = try leaf.create()
            #expect(Set(missing.map(\.controller)) == Set(ControllerInventory.wanted).subtracting(tree.controllers))
            #expect(Set(tree.missing().map(\.controller)) == Set(missing.map(\.controller)))
            for report in missing { print("machine: \(report)") }

            var resources = CgroupResources.kubernetes(
                cpuRequest: 250, cpuLimit: 500, memoryLimit: 64 << 20, pidsLimit: 100)
            resources.hugepageMax = ["2MB": 4 << 20, "3KB": 1]
            let unenforced = try leaf.apply(resources)
            for (controller, file, value) in [
                ("cpu", "cpu.max", "50000 100000"), ("memory", "memory.max", "\(64 << 20)"),
                ("pids", "pids.max", "100"),
                ("hugetlb", "hugetlb.2MB.max", "\(4 << 20)"),
            ] {
                if tree.controllers.contains(controller) {
                    #expect(try leaf.read(file) == "\(value)\n")
                } else {
                    let report = try #require(unenforced.first { $0.controller == controller })
                    #expect(!report.reason.isEmpty && !report.fix.isEmpty)
                    #expect(!leaf.has(file))
                }
            }
            // A page size the machine does not have is a report, not a failure.
            if tree.controllers.contains("hugetlb") {
                #expect(unenforced.contains { $0.reason.contains("hugetlb.3KB.max") })
            }
        }
    }

    @Test func errorsNameTheWrite() async throws {
        try await withGroup { tree, group in
            try group.create()
            let error = #expect(throws: CgroupError.self) { try group.write("cgroup.freeze", "maybe") }
            #expect(error?.description == "write \"maybe\" to cgroup.freeze of cgroup \(group.path): Invalid argument")
            #expect(throws: CgroupError.self) { try group.child("absent").stats() }
            #expect(throws: CgroupError.self) { try group.add(pid: 2_000_000_000) }
        }
    }

    @Test func convertsAsTheKubeletDoes() {
        for (milli, weight) in [
            (0, 1), (2, 1), (100, 17), (1000, 100), (2000, 174), (256_000, 10_000), (1_000_000, 10_000),
        ] {
            #expect(CgroupResources.weight(milliCPU: Int64(milli)) == UInt64(weight), "\(milli)m")
        }
        #expect(CgroupResources.quota(milliCPU: 1500) == .init(quota: 150_000))
        #expect(CgroupResources.quota(milliCPU: 5) == .init(quota: 1000))
        #expect(CgroupResources.quota(milliCPU: 0) == .init(quota: nil))
        // A quantity may be anything.
        #expect(CgroupResources.quota(milliCPU: .max) == .init(quota: (1 << 44) - 1))
        #expect(CgroupResources.weight(milliCPU: .max) == 10_000)
        #expect(CgroupResources.weight(milliCPU: .min) == 1)
        let text = CgroupResources.kubernetes(cpuRequest: 500, cpuLimit: 1000, memoryLimit: 1 << 20).settings.map(
            \.description)
        #expect(text == ["cpu.weight = 59", "cpu.max = 100000 100000", "memory.max = 1048576", "memory.oom.group = 1"])
    }

    @Test func namesGroupsAsTheKubeletDoes() {
        let pods = Kubepods(below: Cgroup(mountPoint: "/m", path: "/"))
        #expect(pods.pod(uid: "u", .guaranteed).path == "/kubepods/podu")
        #expect(pods.pod(uid: "u", .bestEffort).directory == "/m/kubepods/besteffort/podu")
        #expect(Kubepods.container("c", in: pods.pod(uid: "u", .burstable)).path == "/kubepods/burstable/podu/c")
    }
}

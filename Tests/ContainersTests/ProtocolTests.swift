// The wire: what goes in comes out, unknown fields are skipped, malformed bytes give nil and never a trap.

import SupervisorProtocol
import System
import Testing

@Suite struct ProtocolTests {
    private var container: ContainerPlan {
        var mount = MountPlan()
        mount.kind = .fileSystem
        mount.source = Array("tmpfs".utf8)
        mount.destination = Array("/data".utf8)
        mount.options = [Array("size".utf8), Array("1".utf8)]
        mount.attributes = MountPlan.readOnly
        mount.propagation = .slave
        var device = DevicePlan()
        device.path = Array("null".utf8)
        (device.mode, device.major, device.minor) = (0o020666, 1, 3)
        var plan = ContainerPlan()
        plan.id = Array("x".utf8)
        plan.lower = [Array("/a".utf8), Array("/b".utf8)]
        plan.mounts = [mount]
        plan.devices = [device]
        plan.masked = [Array("/proc/kcore".utf8)]
        plan.process.arguments = [Array("sh".utf8), []]
        plan.process.environment = [Array("A=b".utf8)]
        plan.process.groups = [5, 6]
        plan.process.capabilities = 0xffff_ffff_ff
        plan.process.oomScore = -998
        plan.process.seccomp = [UInt8](repeating: 7, count: 16)
        plan.logMaximumSize = 10 << 20
        plan.processNamespace = Array("y".utf8)
        return plan
    }

    @Test func plansTravelUnchanged() throws {
        let bytes = container.fields.fields
        let back = try #require(ContainerPlan(bytes))
        #expect(back.fields.fields == bytes)
        #expect(back.process.oomScore == -998)
        #expect(back.process.arguments == [Array("sh".utf8), []])
        #expect(back.mounts.first?.propagation == .slave)
        var sandbox = SandboxPlan()
        sandbox.hostname = Array("h".utf8)
        sandbox.sysctls = [Array("net/x".utf8), Array("1".utf8)]
        #expect(try #require(SandboxPlan(sandbox.fields.fields)).fields.fields == sandbox.fields.fields)
    }

    @Test func unknownFieldsAreSkipped() throws {
        var writer = FieldWriter()
        writer.put(60_000, Array("from the future".utf8))
        let bytes = writer.fields + container.fields.fields
        #expect(try #require(ContainerPlan(bytes)).fields.fields == container.fields.fields)
    }

    @Test func brokenBytesAreRefused() {
        let bytes = container.fields.fields
        for length in 0..<bytes.count { _ = ContainerPlan(Array(bytes[..<length])) }
        #expect(ContainerPlan(Array(bytes.dropLast())) == nil)
        for _ in 0..<2000 {
            var changed = bytes
            for _ in 0..<3 {
                changed[Int(Random.uniform(below: UInt64(changed.count)))] = UInt8(Random.uniform(below: 256))
            }
            _ = ContainerPlan(changed)
            _ = SandboxPlan(changed)
            _ = ExecPlan(changed)
            _ = SandboxReport(changed)
            _ = ContainerReport(changed)
            _ = Failure(changed)
        }
    }

    @Test("CVE-2021-43784: a length that is more than there is, or overflows, ends the reading")
    func lengths() {
        let bytes = container.fields.fields
        // Every byte that may be part of a length, at its greatest: nothing is read beyond the end, nothing is made up.
        for index in bytes.indices {
            for width in [1, 2, 4, 8] where index + width <= bytes.count {
                var changed = bytes
                for offset in 0..<width { changed[index + offset] = 0xff }
                guard let plan = ContainerPlan(changed) else { continue }
                let values = plan.process.arguments + plan.process.environment + [plan.process.workingDirectory]
                #expect(values.allSatisfy { $0.count <= bytes.count })
            }
        }
        var header = [UInt8](repeating: 0xff, count: MessageHeader.size)
        #expect(header.withUnsafeBytes { MessageHeader($0) } == nil)
        header = []
        #expect(header.withUnsafeBytes { MessageHeader($0) } == nil)
    }

    @Test("CVE-2024-40635: an id that is none is refused")
    func ids() {
        var plan = container
        plan.process.uid = .max
        #expect(ContainerPlan(plan.fields.fields) == nil)
    }
}

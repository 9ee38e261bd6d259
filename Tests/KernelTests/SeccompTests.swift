// The default profile's program: walked by an interpreter of classic BPF for every architecture (a virtual system call
// in, a verdict out), then given to the real kernel on a thread.

import Glibc
import Kernel
import Seccomp
import System
import Testing

private enum Verdict: Equatable { case allow, errno(UInt32), other(UInt32) }

private enum Audit {
    static let x86_64: UInt32 = 0xc000_003e
    static let i386: UInt32 = 0x4000_0003
}

/// linux/filter.h, as far as seccomp programs use it.
private func judge(_ program: [UInt8], _ number: UInt32, _ arguments: [UInt64] = [], audit: UInt32 = Audit.x86_64)
    -> Verdict
{
    var data = [UInt8]()
    func put<T>(_ value: T) { withUnsafeBytes(of: value) { data += $0 } }
    put(number)
    put(audit)
    put(UInt64(0))
    for index in 0..<6 { put(index < arguments.count ? arguments[index] : 0) }
    func word(_ offset: Int) -> UInt32 {
        data.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
    }

    var (accumulator, index, x): (UInt32, UInt32, Int) = (0, 0, 0)
    _ = index
    while true {
        let at = x * 8
        let (code, yes, no, value) = program.withUnsafeBytes {
            (
                $0.loadUnaligned(fromByteOffset: at, as: UInt16.self), Int($0[at + 2]), Int($0[at + 3]),
                $0.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self)
            )
        }
        x += 1
        switch code {
        case 0x20: accumulator = word(Int(value))
        case 0x54: accumulator &= value
        case 0x05: x += Int(value)
        case 0x15: x += accumulator == value ? yes : no
        case 0x25: x += accumulator > value ? yes : no
        case 0x35: x += accumulator >= value ? yes : no
        case 0x45: x += accumulator & value != 0 ? yes : no
        case 0x06:
            if value == 0x7fff_0000 { return .allow }
            return value >> 16 == 5 ? .errno(value & 0xffff) : .other(value)
        default:
            index = UInt32(code)
            Issue.record("unknown instruction \(code)")
            return .other(0)
        }
    }
}

@Suite(.enabled(if: KernelFeatures.probe().machine == "x86_64", "call numbers below are x86_64's")) struct SeccompTests
{
    private func program(_ capabilities: [String] = Capabilities.default) throws -> [UInt8] {
        try SeccompProfile.runtimeDefault(capabilities: capabilities)
    }

    @Test func allowsOrdinaryCallsAndRefusesTheRest() throws {
        let program = try program()
        print("RuntimeDefault: \(program.count / 8) instructions")
        #expect(program.count % 8 == 0 && program.count / 8 <= 4096)
        for (name, number) in [
            ("read", 0), ("openat", 257), ("execve", 59), ("statx", 332), ("rseq", 334), ("ptrace", 101),
        ] {
            #expect(judge(program, UInt32(number)) == .allow, "\(name)")
        }
        for (name, number) in [
            ("mount", 165), ("unshare", 272), ("setns", 308), ("bpf", 321), ("kexec_load", 246), ("init_module", 175),
            ("reboot", 169), ("io_uring_setup", 425), ("userfaultfd", 323), ("keyctl", 250), ("swapon", 167),
            ("open_by_handle_at", 304), ("fsopen", 430), ("move_mount", 429), ("perf_event_open", 298), ("syslog", 103),
        ] {
            #expect(judge(program, UInt32(number)) == .errno(1), "\(name)")
        }
        #expect(judge(program, 161) == .allow, "chroot, with CAP_SYS_CHROOT")
        #expect(try judge(self.program([]), 161) == .errno(1), "chroot, without")
    }

    @Test func looksAtArguments() throws {
        let program = try program()
        for (family, verdict) in [
            (1, Verdict.allow), (2, .allow), (10, .allow), (16, .allow), (38, .errno(1)), (39, .allow),
            (40, .errno(1)), (41, .allow),
        ] {
            #expect(judge(program, 41, [UInt64(family)]) == verdict, "socket family \(family)")
        }
        for persona: UInt64 in [0, 8, 0x20000, 0x20008, 0xffff_ffff] {
            #expect(judge(program, 135, [persona]) == .allow)
        }
        for persona: UInt64 in [1, 0x40000, 0x0100_0000] { #expect(judge(program, 135, [persona]) == .errno(1)) }
        #expect(judge(program, 56, [17]) == .allow, "fork by clone")
        #expect(judge(program, 56, [0x3d_0f00]) == .allow, "pthread_create's clone")
        for flag: UInt64 in [0x2_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
            #expect(judge(program, 56, [flag | 17]) == .errno(1), "clone with \(String(flag, radix: 16))")
        }
        #expect(judge(program, 435) == .errno(38), "clone3")
    }

    @Test func opensWithCapabilities() throws {
        let admin = try program(["SYS_ADMIN"])
        for number: UInt32 in [165, 272, 308, 56, 435, 429, 430] {
            #expect(judge(admin, number, [0x4000_0000]) == .allow)
        }
        #expect(judge(admin, 175) == .errno(1), "init_module needs its own")
        #expect(try judge(program(["CAP_SYS_MODULE"]), 175) == .allow)
        #expect(try judge(program(["CAP_SYS_TIME"]), 227) == .allow)
        #expect(try judge(program(["CAP_SYSLOG"]), 103) == .allow)
        #expect(throws: CapabilityError.self) { try program(["NOPE"]) }
    }

    @Test func newCallsLookMissingNotForbidden() throws {
        let program = try program()
        for number: UInt32 in [451, 452, 455, 462, 466] { #expect(judge(program, number) == .allow, "\(number)") }
        for number: UInt32 in [459, 461, 467, 500, 1000, 0x3fff_ffff] {
            #expect(judge(program, number) == .errno(38), "\(number)")
        }
        #expect(judge(program, 450) == .errno(1), "set_mempolicy_home_node needs CAP_SYS_NICE")
    }

    @Test func coversTheOtherInstructionSets() throws {
        let program = try program()
        #expect(judge(program, 3, audit: Audit.i386) == .allow, "i386 read")
        #expect(judge(program, 21, audit: Audit.i386) == .errno(1), "i386 mount")
        #expect(judge(program, 120, [0x1000_0000], audit: Audit.i386) == .errno(1), "i386 clone with CLONE_NEWUSER")
        #expect(judge(program, 452, audit: Audit.i386) == .errno(38))
        #expect(judge(program, 359, [38], audit: Audit.i386) == .errno(1), "i386 socket AF_ALG")
        let x32: UInt32 = 0x4000_0000
        #expect(judge(program, x32 | 0) == .allow, "x32 read")
        #expect(judge(program, x32 | 165) == .errno(1), "x32 mount")
        #expect(judge(program, x32 | 452) == .errno(38))
        if case .allow = judge(program, 0, audit: 0xc000_00b7) { Issue.record("a foreign architecture is allowed") }
    }

    @Test func theKernelAgrees() throws {
        let program = try program()
        let seen = try Threads.runAndWait(name: "seccomp") { () -> [Int32] in
            try SystemCallFilter.install(program)
            func outcome(_ body: () -> Int32) -> Int32 { body() == -1 ? errno : 0 }
            let sockets = [AF_INET, 38, 40].map { family in
                outcome {
                    let fd = socket(family, Int32(SOCK_DGRAM.rawValue), 0); if fd >= 0 { close(fd) }; return fd
                }
            }
            let swap = outcome { mount("none", "/nonexistent", "tmpfs", 0, nil) }
            let files = outcome {
                let fd = open("/etc/passwd", O_RDONLY); if fd >= 0 { close(fd) }; return fd
            }
            return sockets + [swap, files]
        }
        #expect(seen == [0, EPERM, EPERM, EPERM, 0])
    }

    @Test func localhostProfilesAreRefusedClearly() {
        #expect(throws: SeccompError.self) { try SeccompProfile.localhost("") }
        #expect(throws: SeccompError.self) { try SeccompProfile.localhost("profiles/audit.json") }
    }
}

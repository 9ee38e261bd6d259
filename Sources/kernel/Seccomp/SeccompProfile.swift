// From a profile to the program the kernel runs on every system call of a container (seccomp(2)): libseccomp compiles
// the inventory for each architecture the machine can execute, once per set of capabilities that matters; the result is
// plain bytes, an array of struct sock_filter (8 bytes each), that the supervisor installs before exec.
//
// libseccomp 2.5.4 knows calls up to Linux 5.17. Newer ones are judged by a short preamble of our own before its program:
//
//     arch native?  number > 450?  in our list -> allow, else -> ENOSYS
//     arch foreign? number > 450?  -> ENOSYS
//     otherwise -> libseccomp's program

internal import CSeccomp
internal import Kernel
internal import Synchronization
public import System

/// Why there is no program.
public struct SeccompError: Error, CustomStringConvertible, Sendable {
    public let description: String
}

/// A seccomp profile; from it, BPF bytes.
public enum SeccompProfile: Sendable {
    /// What RuntimeDefault means for a container with these capabilities (any spelling Capabilities accepts).
    /// - Returns: an array of struct sock_filter in host byte order, at most 4,096 of them.
    public static func runtimeDefault(capabilities: [String]) throws -> [UInt8] {
        let known = Set(try Capabilities.names(mask: Capabilities.mask(capabilities)))
        let relevant = known.intersection(DefaultProfile.capabilities)
        return try cache.withLock { cache in
            if let program = cache[relevant] { return program }
            let program = try compile(relevant)
            cache[relevant] = program
            return program
        }
    }

    /// A profile file (securityContext.seccompProfile.localhostProfile).
    public static func localhost(_ path: String) throws(SeccompError) -> [UInt8] {
        // An empty name must never mean "unconfined" (CVE-2023-2431).
        if path.isEmpty { throw SeccompError(description: "seccompProfile.localhostProfile is empty") }
        throw SeccompError(description: "seccomp profile \"\(path)\": profiles of type Localhost are not supported yet")
    }

    private static let cache = Mutex<[Set<String>: [UInt8]]>([:])

    static func compile(_ capabilities: Set<String>) throws -> [UInt8] {
        let filter = try Filter(defaultErrno: DefaultProfile.refusal)
        for architecture in Architecture.native.compatible { try filter.add(architecture: architecture) }
        for rule in DefaultProfile.rules {
            switch rule.when {
            case .always: break
            case .with(let name): guard capabilities.contains(name) else { continue }
            case .without(let name): guard !capabilities.contains(name) else { continue }
            }
            for name in rule.names { try filter.add(name, rule) }
        }
        return Preamble.bytes(Architecture.native) + (try filter.export())
    }
}

/// The architectures noded runs on, with their AUDIT_ARCH_ numbers (linux/audit.h).
enum Architecture {
    case x86_64, aarch64

    static var native: Architecture {
        #if arch(x86_64)
            .x86_64
        #elseif arch(arm64)
            .aarch64
        #else
            #error("seccomp: unknown architecture")
        #endif
    }

    var audit: UInt32 { self == .x86_64 ? 0xc000_003e : 0xc000_00b7 }

    /// libseccomp's tokens of the other instruction sets this one executes: x86 and x32; arm.
    var compatible: [UInt32] {
        switch self {
        case .x86_64: [0x4000_0003, 0x4000_003e]
        case .aarch64: [0x4000_0028]
        }
    }
}

/// libseccomp's filter under construction.
private final class Filter {
    private let context: scmp_filter_ctx
    private static let allow: UInt32 = 0x7fff_0000  // SCMP_ACT_ALLOW
    private static func refuse(_ errno: Int32) -> UInt32 { 0x0005_0000 | UInt32(errno) }  // SCMP_ACT_ERRNO

    init(defaultErrno: Int32) throws {
        guard let context = seccomp_init(Self.refuse(defaultErrno)) else {
            throw SeccompError(description: "seccomp_init failed")
        }
        self.context = context
        // A balanced tree instead of a list: a call costs about ten comparisons, not hundreds.
        try check("seccomp_attr_set optimize", seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2))
    }

    deinit { seccomp_release(context) }

    func add(architecture token: UInt32) throws {
        try check("seccomp_arch_add \(token)", seccomp_arch_add(context, token))
    }

    func add(_ name: String, _ rule: Rule) throws {
        let number = seccomp_syscall_resolve_name(name)
        guard number != -1 /* __NR_SCMP_ERROR */ else {
            throw SeccompError(description: "libseccomp does not know system call \(name)")
        }
        let action =
            switch rule.action {
            case .allow: Self.allow
            case .refuse(let errno): Self.refuse(errno)
            }
        let comparisons = rule.conditions.map { condition in
            let (value, operation): (UInt64, scmp_compare) =
                switch condition.comparison {
                case .equal: (condition.value, SCMP_CMP_EQ)
                case .notEqual: (condition.value, SCMP_CMP_NE)
                case .less: (condition.value, SCMP_CMP_LT)
                case .greater: (condition.value, SCMP_CMP_GT)
                case .maskedZero: (condition.value, SCMP_CMP_MASKED_EQ)
                }
            return scmp_arg_cmp(arg: condition.argument, op: operation, datum_a: value, datum_b: 0)
        }
        try check(
            "seccomp_rule_add \(name)",
            seccomp_rule_add_array(context, action, number, UInt32(comparisons.count), comparisons))
    }

    /// The program's bytes. It has at most 4,096 instructions, 32 KiB: it fits the pipe, so nobody needs to read
    /// while it is written, and one read gets it all.
    func export() throws -> [UInt8] {
        let pipe = try FileDescriptor.pipe().shared()
        try pipe.reading.setNonBlocking()
        try check("seccomp_export_bpf", seccomp_export_bpf(context, pipe.writing.raw))
        let bytes = try pipe.reading.read(upTo: 4096 * 8)
        guard !bytes.isEmpty, bytes.count % 8 == 0 else {
            throw SeccompError(description: "seccomp_export_bpf wrote \(bytes.count) bytes")
        }
        return bytes
    }

    private func check(_ call: String, _ result: Int32) throws {
        if result != 0 { throw SeccompError(description: "\(call): \(Errno(-result))") }
    }
}

/// Our own instructions in front of libseccomp's (struct sock_filter, linux/filter.h), with jumps by name.
enum Preamble {
    private enum Label: Hashable { case foreign, unknown, allow, end }

    private enum Step {
        case load(offset: UInt32)
        case keep(bits: UInt32)
        case jump(UInt16, UInt32, to: Label, otherwise: Bool)
        case give(UInt32)
        case label(Label)

        /// Jumps when the loaded word equals, exceeds or reaches the value; with `otherwise` when it does not.
        static func equal(_ value: UInt32, _ to: Label, otherwise: Bool = false) -> Step {
            .jump(0x15, value, to: to, otherwise: otherwise)
        }
        static func greater(_ value: UInt32, _ to: Label, otherwise: Bool = false) -> Step {
            .jump(0x25, value, to: to, otherwise: otherwise)
        }
        static func atLeast(_ value: UInt32, _ to: Label) -> Step { .jump(0x35, value, to: to, otherwise: false) }
    }

    private static func program(_ native: Architecture) -> [Step] {
        let x32: UInt32 = 0x4000_0000
        // struct seccomp_data: the call's number at 0, the architecture at 4.
        return [
            .load(offset: 4),
            .equal(native.audit, .foreign, otherwise: true),
            .load(offset: 0),
            .atLeast(x32, .foreign),
            .greater(DefaultProfile.newestNamed, .end, otherwise: true),
        ] + DefaultProfile.newer.map { .equal($0.number, .allow) } + [
            .label(.unknown),
            .give(0x0005_0000 | UInt32(DefaultProfile.unknown)),
            .label(.allow),
            .give(0x7fff_0000),
            .label(.foreign),
            .load(offset: 0),
            // x32 has x86_64's architecture number and this bit.
            .keep(bits: ~x32),
            .greater(DefaultProfile.newestNamed, .end, otherwise: true),
            .give(0x0005_0000 | UInt32(DefaultProfile.unknown)),
            .label(.end),
        ]
    }

    static func bytes(_ native: Architecture) -> [UInt8] {
        let steps = program(native)
        var places: [Label: Int] = [:]
        var count = 0
        for step in steps {
            if case .label(let label) = step { places[label] = count } else { count += 1 }
        }
        var bytes: [UInt8] = []
        for step in steps {
            switch step {
            case .load(let offset): bytes += instruction(0x20, offset)
            case .keep(let bits): bytes += instruction(0x54, bits)
            case .give(let action): bytes += instruction(0x06, action)
            case .label: break
            case .jump(let code, let value, let label, let otherwise):
                // Counted from the next instruction; UInt8 traps when the preamble grows past what a jump reaches.
                let distance = UInt8(places[label]! - bytes.count / 8 - 1)
                bytes += instruction(code, value, yes: otherwise ? 0 : distance, no: otherwise ? distance : 0)
            }
        }
        return bytes
    }

    private static func instruction(_ code: UInt16, _ value: UInt32, yes: UInt8 = 0, no: UInt8 = 0) -> [UInt8] {
        withUnsafeBytes(of: code) { Array($0) } + [yes, no] + withUnsafeBytes(of: value) { Array($0) }
    }
}

// Capabilities by name (capabilities(7), libcap). Names are accepted as Kubernetes writes them (NET_BIND_SERVICE) and as
// the kernel does (CAP_NET_BIND_SERVICE); they come out in the kernel's form.

internal import CCap
internal import Glibc
public import System

/// A name that no capability has.
public struct CapabilityError: Error, CustomStringConvertible, Sendable {
    public let name: String
    public var description: String { "unknown capability \"\(name)\"" }
}

public enum Capabilities {
    /// What a container has unless its pod says otherwise: the set of containerd and Docker.
    public static let `default`: [String] = [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ]

    /// Every capability the running kernel knows, in its order.
    public static var all: [String] { (0..<Int(cap_max_bits())).map(name) }

    /// "CAP_CHOWN" for 0; "CAP_63" style for numbers libcap has no name for.
    public static func name(_ number: Int) -> String {
        guard let text = cap_to_name(cap_value_t(number)) else { return "CAP_\(number)" }
        defer { cap_free(text) }
        let name = String(cString: text).uppercased()
        return name.hasPrefix("CAP_") ? name : "CAP_\(name)"
    }

    /// The number of a name, with or without CAP_, in any case; nil when libcap does not know it.
    public static func number(_ name: String) -> Int? {
        // libcap reads digits as numbers; a name never starts with one.
        guard let first = name.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return nil }
        let lower = name.lowercased()
        var value = cap_value_t(0)
        return cap_from_name(lower.hasPrefix("cap_") ? lower : "cap_\(lower)", &value) == 0 ? Int(value) : nil
    }

    /// The set as the kernel's bit mask (bit n is capability n).
    public static func mask(_ names: some Sequence<String>) throws(CapabilityError) -> UInt64 {
        var mask: UInt64 = 0
        for name in names {
            guard let number = number(name), number < 64 else { throw CapabilityError(name: name) }
            mask |= 1 << UInt64(number)
        }
        return mask
    }

    public static func names(mask: UInt64) -> [String] { (0..<64).filter { mask >> UInt64($0) & 1 == 1 }.map(name) }

    /// A container's set from its securityContext.capabilities: "ALL" in `drop` empties the default, "ALL" in `add` gives
    /// everything the kernel knows; then the single names, added before dropped ones are taken away.
    public static func resolve(add: [String], drop: [String]) throws(CapabilityError) -> [String] {
        func isAll(_ name: String) -> Bool { name.uppercased() == "ALL" || name.uppercased() == "CAP_ALL" }
        var mask = try mask(drop.contains(where: isAll) ? [] : Self.default)
        if add.contains(where: isAll) { mask = try Self.mask(all) }
        mask |= try Self.mask(add.filter { !isAll($0) })
        mask &= ~(try Self.mask(drop.filter { !isAll($0) }))
        return names(mask: mask)
    }

    /// This process's own sets, from /proc/thread-self/status.
    public static func own() throws(SystemError) -> (effective: UInt64, bounding: UInt64) {
        var sets: [Substring: UInt64] = [:]
        for line in try Files.readText("/proc/thread-self/status").split(separator: "\n") where line.hasPrefix("Cap") {
            let parts = line.split(whereSeparator: { $0 == ":" || $0 == "\t" })
            if parts.count == 2 { sets[parts[0]] = UInt64(parts[1], radix: 16) }
        }
        guard let effective = sets["CapEff"], let bounding = sets["CapBnd"] else {
            throw SystemError("parse", "/proc/thread-self/status", .EBADMSG)
        }
        return (effective, bounding)
    }
}

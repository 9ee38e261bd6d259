// Kernel parameters below /proc/sys (sysctl(8)). Those of the network belong to the network namespace of the calling
// thread: inside NetworkNamespace.run they are that namespace's. ENOENT when this kernel (or namespace) has none.

public import System

public enum Sysctl {
    /// - Parameter name: "net.ipv4.ip_forward", or with slashes where a component holds dots
    ///   ("net/ipv4/conf/eth0.5/rp_filter").
    public static func read(_ name: String) throws(SystemError) -> String {
        var text = try Files.readText(try path(name))
        if text.hasSuffix("\n") { text.removeLast() }
        return text
    }

    public static func write(_ name: String, _ value: String) throws(SystemError) {
        try Files.writeExisting(try path(name), value)
    }

    /// Writes only when the value differs: a parameter that is right already may lie in a read-only /proc.
    public static func set(_ name: String, _ value: String) throws(SystemError) {
        if try read(name) != value { try write(name, value) }
    }

    public static func exists(_ name: String) -> Bool { (try? path(name)).map(Files.exists) ?? false }

    /// /proc/sys/… of a name; EINVAL for one that would leave it.
    static func path(_ name: String) throws(SystemError) -> String {
        let relative = name.contains("/") ? name : name.replacing(".", with: "/")
        let components = relative.split(separator: "/", omittingEmptySubsequences: false)
        if components.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." }) {
            throw SystemError("sysctl", name, .EINVAL)
        }
        return "/proc/sys/\(relative)"
    }
}

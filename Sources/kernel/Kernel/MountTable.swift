// /proc/PID/mountinfo (proc(5)): what is mounted where in a process's mount namespace. Lines that do not parse are
// an error, because a mount that is not seen could be removed through.

public import System

/// One line of mountinfo.
public struct MountPoint: Hashable, Sendable {
    /// Unique while it exists; reused later.
    public let id: UInt64
    public let parent: UInt64
    public let major: UInt32
    public let minor: UInt32
    /// The directory of the file system that is shown; "/" unless it is a bind mount.
    public let root: String
    /// Where, as the process sees it.
    public let point: String
    /// Of this mount: rw, nosuid, …
    public let options: [String]
    /// shared:N, master:N, …
    public let propagation: [String]
    /// "overlay", "tmpfs", "cgroup2", …
    public let fileSystem: String
    public let source: String
    /// Of the file system itself.
    public let superOptions: [String]
}

public enum MountTable {
    /// In mount order: what is on top comes later.
    public static func read(pid: Int32? = nil) throws(SystemError) -> [MountPoint] {
        let path = "/proc/\(pid.map(String.init) ?? "thread-self")/mountinfo"
        guard let table = parse(try Files.read(path)) else { throw SystemError("parse", path, .EBADMSG) }
        return table
    }

    public static func parse(_ text: [UInt8]) -> [MountPoint]? {
        var table: [MountPoint] = []
        for line in text.split(separator: UInt8(ascii: "\n")) {
            guard let mount = parse(line: line) else { return nil }
            table.append(mount)
        }
        return table
    }

    /// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
    private static func parse(line: ArraySlice<UInt8>) -> MountPoint? {
        let fields = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        func text(_ index: Int) -> String { String(decoding: OctalEscapes.decode(fields[index]), as: UTF8.self) }
        func list(_ index: Int) -> [String] { text(index).split(separator: ",").map(String.init) }
        guard let dash = fields.dropFirst(6).firstIndex(of: [UInt8(ascii: "-")][...]), fields.count > dash + 2,
            let id = UInt64(text(0)), let parent = UInt64(text(1))
        else { return nil }
        let device = text(2).split(separator: ":").compactMap { UInt32($0) }
        guard device.count == 2 else { return nil }
        return MountPoint(
            id: id, parent: parent, major: device[0], minor: device[1], root: text(3), point: text(4), options: list(5),
            propagation: (6..<dash).map(text), fileSystem: text(dash + 1), source: text(dash + 2),
            superOptions: fields.count > dash + 3 ? list(dash + 3) : [])
    }
}

// Reading and emptying directories by descriptor. A tree under removal may have been filled by a container: names are
// never followed as links, and depth costs neither stack nor descriptors (below a fixed depth a directory is first
// moved up to the top, where it is met again).

internal import Glibc

enum Directory {
    /// Deeper than this, subdirectories are renamed to the top instead of being entered.
    static let maximumDepth = 64

    /// Names in the directory, sorted, without "." and "..".
    static func names(_ directory: borrowing FileDescriptor, _ path: String) throws(SystemError) -> [String] {
        // fdopendir takes the descriptor over, and its own copy shares the offset: hence the rewind.
        guard let stream = fdopendir(try directory.duplicate().release()) else {
            throw SystemError("fdopendir", path, .current)
        }
        defer { closedir(stream) }
        rewinddir(stream)
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                let errno = Errno.current
                if errno.code != 0 { throw SystemError("readdir", path, errno) }
                return names.sorted()
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
    }

    /// Removes everything in the directory, which itself stays.
    static func empty(_ top: borrowing FileDescriptor, _ path: String) throws(SystemError) {
        var device = stat()
        try systemCall("fstat", path) { fstat(top.raw, &device) }
        // A pass may find directories that an earlier step moved up; it ends because each
        // pass shortens the deepest one.
        while true {
            let entries = try names(top, path)
            if entries.isEmpty { return }
            for name in entries {
                try remove(name, in: top, top: top, device: device.st_dev, depth: 1, path: "\(path)/\(name)")
            }
        }
    }

    private static func remove(
        _ name: String, in directory: borrowing FileDescriptor, top: borrowing FileDescriptor, device: dev_t,
        depth: Int,
        path: String
    ) throws(SystemError) {
        if unlinkat(directory.raw, name, 0) == 0 { return }
        let errno = Errno.current
        if errno == .ENOENT { return }
        guard errno == .EISDIR || errno == .EPERM else { throw SystemError("unlinkat", path, errno) }
        if depth > maximumDepth {
            let moved = ".noded-removing-\(Random.nameSuffix(16))"
            try systemCall("renameat", path) { renameat(directory.raw, name, top.raw, moved) }
            return
        }
        do {
            let child = try directory.open(name, [.read, .directory, .noFollow])
            var status = stat()
            try systemCall("fstat", path) { fstat(child.raw, &status) }
            if status.st_dev != device { throw SystemError("remove across a mount", path, .EXDEV) }
            for entry in try names(child, path) {
                try remove(entry, in: child, top: top, device: device, depth: depth + 1, path: "\(path)/\(entry)")
            }
        }
        do throws(SystemError) {
            try systemCall("rmdir", path) { unlinkat(directory.raw, name, Int32(AT_REMOVEDIR)) }
        } catch  where error.errno == .ENOENT {}
    }

    /// Throws EBUSY when a mount point of the calling thread's mount namespace lies at or below the path.
    static func refuseMounts(_ path: String) throws(SystemError) {
        guard let resolved = realpath(path, nil) else { throw SystemError("realpath", path, .current) }
        let root = Array(String(cString: resolved).utf8)
        free(resolved)
        let mounts = try Files.read("/proc/thread-self/mountinfo")
        for line in mounts.split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5)
            guard fields.count > 4 else { continue }
            let point = OctalEscapes.decode(fields[4])
            guard point.starts(with: root), point.count == root.count || point[root.count] == UInt8(ascii: "/") else {
                continue
            }
            throw SystemError("remove a tree with a mount in it", String(decoding: point, as: UTF8.self), .EBUSY)
        }
    }
}

/// The escapes of /proc/*/mountinfo: space, tab, newline and backslash as \040 \011 \012 \134 (proc(5)).
public enum OctalEscapes {
    public static func decode(_ text: some Sequence<UInt8>) -> [UInt8] {
        var out: [UInt8] = []
        var pending: [UInt8] = []
        for byte in text {
            if pending.isEmpty {
                if byte == UInt8(ascii: "\\") { pending = [byte] } else { out.append(byte) }
                continue
            }
            guard (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(byte) else {
                out += pending + [byte]
                pending = []
                continue
            }
            pending.append(byte)
            if pending.count == 4 {
                out.append(pending[1...].reduce(0) { $0 &<< 3 | ($1 & 7) })
                pending = []
            }
        }
        return out + pending
    }
}

// A directory as the root of what lies in it: every path is resolved by the kernel inside (openat2(2), RESOLVE_IN_ROOT,
// RESOLVE_NO_MAGICLINKS), also when links in it are absolute, climb with "..", or are swapped meanwhile. This is the only
// way noded touches an image's or a container's tree (CVE-2021-30465, CVE-2024-45310, CVE-2025-47290, CVE-2026-41579).
//
// What makes or removes a name resolves the folder inside the root and then acts on that descriptor and one plain name,
// never on a path. Links in the last component are followed by `open` and `read`, and by nothing that changes something.

internal import CKernel
internal import Glibc
public import System

public struct RootedDirectory: Sendable {
    /// The root itself (O_PATH).
    public let descriptor: SharedDescriptor
    /// For errors only.
    public let path: String

    /// The directory must exist; links on the way to it are followed (the way is noded's own).
    public init(_ path: String) throws(SystemError) {
        self.init(try FileDescriptor.open(path, [.path, .directory]), path: path)
    }

    public init(_ directory: consuming FileDescriptor, path: String) {
        descriptor = SharedDescriptor(directory)
        self.path = path
    }

    // MARK: Opening

    /// Opens what the path leads to inside the root. With `.create` a missing last component is made with `mode`.
    public func open(
        _ path: String, _ flags: OpenFlags = .read, mode: UInt32 = 0o644
    ) throws(SystemError) -> FileDescriptor {
        // Without O_NONBLOCK an image's fifo would hang us; it changes nothing for files and directories.
        let extra: Int32 = flags.contains(.path) ? 0 : O_NONBLOCK | O_NOCTTY
        return try resolve(path, UInt64(flags.rawValue | extra), mode: flags.contains(.create) ? mode : 0)
    }

    /// The content of a regular file. EINVAL when it is something else, EFBIG when it is longer than `limit`.
    public func read(_ path: String, limit: Int = 1 << 20) throws(SystemError) -> [UInt8] {
        let file = try open(path)
        var status = stat()
        try systemCall("fstat", name(path)) { fstat(file.raw, &status) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw SystemError("read a file that is none", name(path), .EINVAL)
        }
        return try file.readAll(limit: limit)
    }

    public func exists(_ path: String) -> Bool { (try? attributes(path)) != nil }

    /// The names in a directory, sorted.
    public func list(_ path: String = ".") throws(SystemError) -> [String] {
        try Files.list(try open(path, [.read, .directory]))
    }

    /// Kind, mode, owner and size of the name itself (a link is not followed).
    public struct Attributes: Hashable, Sendable {
        public enum Kind: Sendable { case file, directory, symlink, characterDevice, blockDevice, fifo, socket }
        public let kind: Kind
        /// Permission bits with setuid, setgid and sticky.
        public let mode: UInt32
        public let uid: UInt32
        public let gid: UInt32
        public let size: Int
        public let deviceMajor: UInt32
        public let deviceMinor: UInt32
    }

    public func attributes(_ path: String) throws(SystemError) -> Attributes {
        let file = try open(path, [.path, .noFollow])
        var status = stat()
        try systemCall("fstat", name(path)) { fstat(file.raw, &status) }
        let kind: Attributes.Kind =
            switch status.st_mode & S_IFMT {
            case S_IFDIR: .directory
            case S_IFLNK: .symlink
            case S_IFCHR: .characterDevice
            case S_IFBLK: .blockDevice
            case S_IFIFO: .fifo
            case S_IFSOCK: .socket
            default: .file
            }
        let device = status.st_rdev
        return Attributes(
            kind: kind, mode: UInt32(status.st_mode & 0o7777), uid: status.st_uid, gid: status.st_gid,
            size: Int(status.st_size), deviceMajor: UInt32(device >> 8 & 0xfff),
            deviceMinor: UInt32(device & 0xff | device >> 12 & 0xfff00))
    }

    /// An extended attribute of the name itself, of up to 64 kB; nil when it has none of that name.
    public func extendedAttribute(_ path: String, _ attribute: String) throws(SystemError) -> [UInt8]? {
        try inFolder(of: path) { (folder, last) throws(SystemError) in
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            do throws(SystemError) {
                let count = try systemCall("getxattr \(attribute)", name(path)) {
                    buffer.withUnsafeMutableBytes {
                        kernel_lgetxattr("/proc/self/fd/\(folder)/\(last)", attribute, $0.baseAddress, $0.count)
                    }
                }
                return Array(buffer[..<count])
            } catch  where error.errno == .ENODATA || error.errno == .EOPNOTSUPP {
                return nil
            }
        }
    }

    public func symlinkTarget(_ path: String) throws(SystemError) -> String {
        let link = try open(path, [.path, .noFollow])
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = try systemCall("readlink", name(path)) {
            buffer.withUnsafeMutableBytes { readlinkat(link.raw, "", $0.baseAddress!, $0.count) }
        }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// The same view with a directory inside as the root.
    public func subdirectory(_ path: String) throws(SystemError) -> RootedDirectory {
        RootedDirectory(try open(path, [.path, .directory]), path: name(path))
    }

    // MARK: Making

    /// Makes the directory and those above it, inside the root, and opens it (O_PATH). What exists is followed, also
    /// through links; what is missing is made step by step on descriptors. EINVAL for ".." after a missing component.
    @discardableResult
    public func makeDirectories(_ path: String, mode: UInt32 = 0o755) throws(SystemError) -> FileDescriptor {
        var missing: [Substring] = []
        var present = path.split(separator: "/").filter { $0 != "." }
        var current: FileDescriptor
        while true {
            do throws(SystemError) {
                current = try open(present.isEmpty ? "." : present.joined(separator: "/"), [.path, .directory])
                break
            } catch  where error.errno == .ENOENT && !present.isEmpty {
                missing.append(present.removeLast())
            }
        }
        for component in missing.reversed() {
            if component == ".." { throw SystemError("mkdir", name(path), .EINVAL) }
            let folder = current.raw
            do throws(SystemError) {
                try systemCall("mkdirat", name(path)) { mkdirat(folder, String(component), mode_t(mode)) }
            } catch  where error.errno == .EEXIST {}
            // A link that appeared (or dangled) here is refused: O_NOFOLLOW with O_DIRECTORY gives ENOTDIR.
            current = try current.open(String(component), [.path, .directory, .noFollow])
        }
        return current
    }

    /// A new regular file; EEXIST when the name is taken, also by a link.
    public func createFile(_ path: String, mode: UInt32 = 0o644) throws(SystemError) -> FileDescriptor {
        try inFolder(of: path) { (folder, last) throws(SystemError) in
            FileDescriptor(
                owning: try systemCall("create", name(path)) {
                    openat(folder, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode_t(mode))
                })
        }
    }

    public func makeDirectory(_ path: String, mode: UInt32 = 0o755) throws(SystemError) {
        try act("mkdirat", path) { mkdirat($0, $1, mode_t(mode)) }
    }

    public func makeSymlink(_ path: String, to target: String) throws(SystemError) {
        try act("symlinkat", path) { symlinkat(target, $0, $1) }
    }

    /// A second name for an existing file inside the root; a link is linked itself, not followed.
    public func makeHardLink(_ path: String, to existing: String) throws(SystemError) {
        try inFolder(of: existing) { (source, sourceName) throws(SystemError) in
            try act("linkat", path) { linkat(source, sourceName, $0, $1, 0) }
        }
    }

    /// A device, fifo or socket: `mode` holds the kind (S_IFCHR 0o020000, S_IFBLK 0o060000, S_IFIFO 0o010000).
    /// An overlay whiteout is character device 0:0.
    public func makeNode(_ path: String, mode: UInt32, major: UInt32, minor: UInt32) throws(SystemError) {
        try act("mknodat", path) { kernel_mknodat($0, $1, mode, major, minor) }
    }

    public func setOwner(_ path: String, uid: UInt32, gid: UInt32) throws(SystemError) {
        try act("fchownat", path) { fchownat($0, $1, uid, gid, Int32(AT_SYMLINK_NOFOLLOW)) }
    }

    /// Permission bits of a name that is not a link (EOPNOTSUPP for one).
    public func setMode(_ path: String, _ mode: UInt32) throws(SystemError) {
        let file = try open(path, [.path, .noFollow])
        try systemCall("chmod", name(path)) { chmod("/proc/self/fd/\(file.raw)", mode_t(mode)) }
    }

    public func setModified(_ path: String, _ time: Timestamp) throws(SystemError) {
        let moment = timespec(tv_sec: Int(time.seconds), tv_nsec: Int(time.nanoseconds))
        try act("utimensat", path) { folder, last in
            withUnsafeTemporaryAllocation(of: timespec.self, capacity: 2) { times in
                times.initialize(repeating: moment)
                return utimensat(folder, last, times.baseAddress!, Int32(AT_SYMLINK_NOFOLLOW))
            }
        }
    }

    /// An extended attribute of the name itself. EOPNOTSUPP where the file system has none.
    public func setExtendedAttribute(_ path: String, _ attribute: String, _ value: [UInt8]) throws(SystemError) {
        try act("setxattr \(attribute)", path) { folder, last in
            // The folder is fixed by descriptor; lsetxattr does not follow the last name.
            value.withUnsafeBytes {
                kernel_lsetxattr("/proc/self/fd/\(folder)/\(last)", attribute, $0.baseAddress, $0.count)
            }
        }
    }

    /// Returns when everything of this directory's file system is on the medium (syncfs(2)): for trees of many files,
    /// where one fsync each would take minutes.
    public func syncFileSystem() throws(SystemError) {
        let directory = try open(".", [.read, .directory])
        try systemCall("syncfs", path) { kernel_syncfs(directory.raw) }
    }

    // MARK: Removing and moving

    /// Removes a file, link or empty directory; what is not there is fine.
    public func remove(_ path: String) throws(SystemError) {
        do throws(SystemError) {
            do throws(SystemError) {
                try act("unlinkat", path) { unlinkat($0, $1, 0) }
            } catch  where error.errno == .EISDIR || error.errno == .EPERM {
                try act("unlinkat", path) { unlinkat($0, $1, Int32(AT_REMOVEDIR)) }
            }
        } catch  where error.errno == .ENOENT {}
    }

    /// Removes a name with everything below it, without following links; what is not there is fine.
    public func removeTree(_ path: String) throws(SystemError) {
        do throws(SystemError) {
            try remove(path)
        } catch  where error.errno == .ENOTEMPTY {
            try Files.empty(try open(path, [.read, .directory, .noFollow]), path: name(path))
            try remove(path)
        }
    }

    public func rename(_ path: String, to destination: String) throws(SystemError) {
        try inFolder(of: path) { (source, sourceName) throws(SystemError) in
            try act("renameat2", destination) { kernel_renameat2(source, sourceName, $0, $1, 0) }
        }
    }

    // MARK: Resolution

    private func name(_ path: String) -> String { "\(self.path)//\(path)" }

    private func resolve(_ path: String, _ flags: UInt64, mode: UInt32 = 0) throws(SystemError) -> FileDescriptor {
        // ENOENT is what an empty path gives; the root is "." here. EAGAIN: a rename or mount raced with "..".
        let path = path.isEmpty ? "." : path
        for attempt in 0... {
            do throws(SystemError) {
                return FileDescriptor(
                    owning: try systemCall("openat2", name(path)) {
                        kernel_openat2(
                            descriptor.raw, path, flags, UInt64(mode),
                            KERNEL_RESOLVE_IN_ROOT | KERNEL_RESOLVE_NO_MAGICLINKS)
                    })
            } catch {
                if error.errno != .EAGAIN || attempt == 127 { throw error }
            }
        }
        fatalError("unreachable: 0... does not end")
    }

    /// Resolves the folder of `path` inside the root and calls `body` with it and the plain last name.
    private func inFolder<R: ~Copyable>(
        of path: String, _ body: (Int32, String) throws(SystemError) -> R
    ) throws(SystemError) -> R {
        let components = path.split(separator: "/").filter { $0 != "." }
        guard let last = components.last, last != ".." else { throw SystemError("resolve", name(path), .EINVAL) }
        let folder = try open(
            components.count == 1 ? "." : components.dropLast().joined(separator: "/"), [.path, .directory])
        return try body(folder.raw, String(last))
    }

    private func act(_ call: String, _ path: String, _ body: (Int32, String) -> Int32) throws(SystemError) {
        try inFolder(of: path) { (folder, last) throws(SystemError) in
            _ = try systemCall(call, name(path)) { body(folder, last) }
        }
    }
}

// Files by path, for noded's own folders (nothing hostile may rename in them; what a container can write is reached
// through Kernel's RootedDirectory instead). Every call blocks; every failure is a SystemError that names the path.
//
// A write that must last is atomic: temporary file, write, fsync, rename, fsync of the folder. A reader sees the old
// bytes or the new ones, and after a power cut too.

internal import Glibc

public enum Files {
    /// The file's bytes. Throws EFBIG when it is longer than `limit`.
    public static func read(_ path: String, limit: Int = 64 << 20) throws(SystemError) -> [UInt8] {
        let file = try FileDescriptor.open(path)
        do throws(SystemError) {
            return try file.readAll(limit: limit)
        } catch {
            throw SystemError(error.call, path, error.errno)
        }
    }

    /// The file as UTF-8; broken sequences become U+FFFD.
    public static func readText(_ path: String, limit: Int = 64 << 20) throws(SystemError) -> String {
        String(decoding: try read(path, limit: limit), as: UTF8.self)
    }

    /// Replaces the file's content durably. On failure the old content stays and no temporary file is left.
    public static func writeAtomically(_ path: String, _ bytes: [UInt8], mode: UInt32 = 0o600) throws(SystemError) {
        let temporary = "\(path).\(Random.nameSuffix(8)).tmp"
        do throws(SystemError) {
            let file = try FileDescriptor.open(temporary, [.write, .create, .exclusive, .noFollow], mode: mode)
            try systemCall("fchmod", temporary) { fchmod(file.raw, mode_t(mode)) }  // the umask has no say here
            try file.write(all: bytes)
            try file.sync()
            try rename(temporary, to: path)
        } catch {
            _ = Glibc.unlink(temporary)
            throw error.target.hasPrefix("fd ") ? SystemError(error.call, temporary, error.errno) : error
        }
        try syncDirectory(parent(of: path))
    }

    public static func writeAtomically(_ path: String, _ text: String, mode: UInt32 = 0o600) throws(SystemError) {
        try writeAtomically(path, Array(text.utf8), mode: mode)
    }

    /// Writes into an existing pseudo file (sysctl, cgroup) or plain file with one write(2); nothing is created.
    public static func writeExisting(_ path: String, _ text: String) throws(SystemError) {
        let file = try FileDescriptor.open(path, [.write])
        do throws(SystemError) {
            try file.write(all: Array(text.utf8))
        } catch {
            throw SystemError("write \"\(text)\" to", path, error.errno)
        }
    }

    /// Makes a directory, and with `parents` those above it; one that is already there is fine and keeps its mode.
    public static func makeDirectory(_ path: String, mode: UInt32 = 0o700, parents: Bool = true) throws(SystemError) {
        if Glibc.mkdir(path, mode_t(mode)) == 0 { return }
        let errno = Errno.current
        switch errno {
        case .EEXIST where isDirectory(path): return
        case .EEXIST: throw SystemError("mkdir", path, .ENOTDIR)
        case .ENOENT where parents && path.contains("/"):
            try makeDirectory(parent(of: path), mode: mode, parents: true)
            try makeDirectory(path, mode: mode, parents: false)
        default: throw SystemError("mkdir", path, errno)
        }
    }

    /// The names in a directory, sorted, without "." and "..".
    public static func list(_ directory: String) throws(SystemError) -> [String] {
        try Directory.names(try FileDescriptor.open(directory, [.read, .directory]), directory)
    }

    /// Whether something, also a dangling link, has this name.
    public static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    /// Whether the path leads to a directory (links are followed).
    public static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Whether there is a regular file; links are followed.
    public static func isRegular(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// The text of a symbolic link, nil when the path is none or not there.
    public static func symlinkTarget(_ path: String) -> String? {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
            let count = readlink(path, buffer.baseAddress!, buffer.count)
            return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
        }
    }

    public static func symlink(_ path: String, to target: String) throws(SystemError) {
        try systemCall("symlink", path) { Glibc.symlink(target, path) }
    }

    /// rename(2): replaces what is at `destination`. Durable only after `syncDirectory` of the folder.
    public static func rename(_ path: String, to destination: String) throws(SystemError) {
        try systemCall("rename", "\(path) -> \(destination)") { Glibc.rename(path, destination) }
    }

    /// Removes a file or link; one that is not there is fine.
    public static func remove(_ path: String) throws(SystemError) {
        do throws(SystemError) {
            try systemCall("unlink", path) { unlink(path) }
        } catch  where error.errno == .ENOENT {}
    }

    public static func setMode(_ path: String, _ mode: UInt32) throws(SystemError) {
        try systemCall("chmod", path) { chmod(path, mode_t(mode)) }
    }

    public static func setOwner(_ path: String, uid: UInt32, gid: UInt32) throws(SystemError) {
        try systemCall("lchown", path) { lchown(path, uid, gid) }
    }

    /// Length in bytes and time of the last change of what the path leads to.
    public static func attributes(_ path: String) throws(SystemError) -> (size: Int, modified: Timestamp, mode: UInt32)
    {
        var status = stat()
        try systemCall("stat", path) { stat(path, &status) }
        let time = status.st_mtim
        return (
            Int(status.st_size), Timestamp(seconds: Int64(time.tv_sec), nanoseconds: Int32(time.tv_nsec)),
            UInt32(status.st_mode)
        )
    }

    /// Device and inode (stat(2)): which file a path leads to.
    public static func identity(_ path: String) throws(SystemError) -> FileIdentity {
        var status = stat()
        try systemCall("stat", path) { stat(path, &status) }
        return FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    /// Bytes free for root and in total on the file system that holds the path (statvfs).
    public static func space(_ path: String) throws(SystemError) -> (free: UInt64, available: UInt64, total: UInt64) {
        var status = statvfs()
        try systemCall("statvfs", path) { statvfs(path, &status) }
        let unit = UInt64(status.f_frsize)
        return (UInt64(status.f_bfree) * unit, UInt64(status.f_bavail) * unit, UInt64(status.f_blocks) * unit)
    }

    /// Removes a file or a whole directory. Never follows symbolic links. Refuses with EBUSY, before anything is
    /// touched, when a mount lies at or below the path. What is not there is fine.
    public static func removeTree(_ path: String) throws(SystemError) {
        do throws(SystemError) {
            try systemCall("unlink", path) { unlink(path) }
            return
        } catch {
            switch error.errno {
            case .ENOENT: return
            case .EISDIR, .EPERM: break
            default: throw error
            }
        }
        try Directory.refuseMounts(path)
        do throws(SystemError) {
            let directory = try FileDescriptor.open(path, [.read, .directory, .noFollow])
            try Directory.empty(directory, path)
        } catch {
            throw error.errno == .ENOENT ? SystemError(error.call, path, .ENOENT) : error
        }
        try systemCall("rmdir", path) { rmdir(path) }
    }

    /// fsync(2) of a directory: names made, renamed or removed in it last.
    public static func syncDirectory(_ path: String) throws(SystemError) {
        let directory = try FileDescriptor.open(path.isEmpty ? "." : path, [.read, .directory])
        try systemCall("fsync", path) { fsync(directory.raw) }
    }

    /// Takes an exclusive flock(2) on a file that is made when missing (mode 0600). Waits, or with `wait` false throws
    /// EAGAIN when somebody has it. Held until the value goes; the file stays.
    public static func lock(_ path: String, wait: Bool = true) throws(SystemError) -> FileLock {
        let file = try FileDescriptor.open(path, [.readWrite, .create], mode: 0o600)
        try systemCall("flock", path) { flock(file.raw, wait ? LOCK_EX : LOCK_EX | LOCK_NB) }
        return FileLock(file: file)
    }

    /// The folder a path lies in: "/a/b" -> "/a", "/a" -> "/", "a" -> ".".
    public static func parent(of path: String) -> String {
        var end = path.utf8.endIndex
        let bytes = path.utf8
        while end > bytes.startIndex, bytes[bytes.index(before: end)] == UInt8(ascii: "/") {
            end = bytes.index(before: end)
        }
        guard let slash = path[..<end].lastIndex(of: "/") else {
            return end == bytes.startIndex && !path.isEmpty ? "/" : "."
        }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

/// Which file it is, whatever its name.
public struct FileIdentity: Hashable, Sendable {
    public let device: UInt64
    public let inode: UInt64
}

/// An exclusive lock on a file, released when the value goes (also when the process dies).
public struct FileLock: ~Copyable, Sendable {
    let file: FileDescriptor

    // Said, not left to close(2): a child that has not come to its exec yet holds the same lock through its copy of the
    // descriptor, and whoever asks next would be refused.
    deinit { flock(file.raw, LOCK_UN) }

    /// Whether the path still leads to the locked file; false when there is nothing.
    public borrowing func isOf(_ path: String) throws(SystemError) -> Bool {
        var status = stat()
        try systemCall("fstat", path) { fstat(file.raw, &status) }
        do throws(SystemError) {
            return try Files.identity(path) == FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
        } catch {
            guard error.errno == .ENOENT else { throw error }
            return false
        }
    }

    /// Replaces the lock file's text: for whoever is refused the lock.
    public borrowing func note(_ text: String) throws(SystemError) {
        try file.truncate(to: 0)
        try file.seek(to: 0)
        try file.write(all: Array(text.utf8))
    }
}

extension Files {
    /// The names in an open directory, sorted, without "." and "..".
    public static func list(_ directory: borrowing FileDescriptor) throws(SystemError) -> [String] {
        try Directory.names(directory, "fd \(directory.raw)")
    }

    /// Removes everything in an open directory, which itself stays. Never follows links; throws EXDEV at a directory of
    /// another file system.
    public static func empty(_ directory: borrowing FileDescriptor, path: String = "") throws(SystemError) {
        try Directory.empty(directory, path)
    }
}

// Owned file descriptors. A FileDescriptor is closed exactly once, when its owner lets go of it; a raw Int32 is only
// ever borrowed for the length of a call. Every descriptor is close-on-exec from its first moment.
//
// SharedDescriptor is for the few places that need a copyable owner (closures, several tasks): closed with the last
// reference. Both fail with SystemError. Reading and writing block when the descriptor does; a non-blocking one throws
// EAGAIN.

internal import Glibc

/// How open(2) opens. O_CLOEXEC and O_NOCTTY are always added.
public struct OpenFlags: OptionSet, Sendable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let read = OpenFlags(rawValue: O_RDONLY)
    public static let write = OpenFlags(rawValue: O_WRONLY)
    public static let readWrite = OpenFlags(rawValue: O_RDWR)
    public static let create = OpenFlags(rawValue: O_CREAT)
    /// With `create`: fail with EEXIST when the name is taken.
    public static let exclusive = OpenFlags(rawValue: O_EXCL)
    public static let truncate = OpenFlags(rawValue: O_TRUNC)
    public static let append = OpenFlags(rawValue: O_APPEND)
    public static let nonBlocking = OpenFlags(rawValue: O_NONBLOCK)
    /// Fail with ENOTDIR when it is not a directory.
    public static let directory = OpenFlags(rawValue: O_DIRECTORY)
    /// Fail with ELOOP when the last component is a symbolic link.
    public static let noFollow = OpenFlags(rawValue: O_NOFOLLOW)
    /// Only a handle to the place in the tree (O_PATH, open(2)): no reading or writing.
    public static let path = OpenFlags(rawValue: 0o10000000)
}

/// The sole owner of a file descriptor; closes it when it goes.
public struct FileDescriptor: ~Copyable, Sendable {
    /// Borrowed: valid while this value lives, and not to be closed.
    public let raw: Int32

    /// Takes over a descriptor that nobody else will close. `raw` must be open (0 or more).
    public init(owning raw: Int32) {
        precondition(raw >= 0, "not a file descriptor: \(raw)")
        self.raw = raw
    }

    deinit { RawDescriptor.close(raw) }

    /// Gives the descriptor away without closing it.
    public consuming func release() -> Int32 {
        let raw = self.raw
        discard self
        return raw
    }

    /// open(2). `mode` counts only with `.create`, and the umask takes its share.
    public static func open(
        _ path: String, _ flags: OpenFlags = .read, mode: UInt32 = 0o600
    ) throws(SystemError) -> FileDescriptor {
        FileDescriptor(
            owning: try systemCall("open", path) {
                Glibc.open(path, flags.rawValue | O_CLOEXEC | O_NOCTTY, mode_t(mode))
            })
    }

    /// openat(2): `name` is relative to this directory.
    public func open(
        _ name: String, _ flags: OpenFlags = .read, mode: UInt32 = 0o600
    ) throws(SystemError) -> FileDescriptor {
        FileDescriptor(
            owning: try systemCall("openat", name) {
                openat(raw, name, flags.rawValue | O_CLOEXEC | O_NOCTTY, mode_t(mode))
            })
    }

    /// A second descriptor for the same open file (shared offset), close-on-exec as well.
    public func duplicate() throws(SystemError) -> FileDescriptor {
        FileDescriptor(owning: try systemCall("fcntl F_DUPFD_CLOEXEC", "fd \(raw)") { fcntl(raw, F_DUPFD_CLOEXEC, 0) })
    }

    /// read(2): up to the buffer's length; 0 is the end of the file.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        try RawDescriptor.read(raw, into: buffer)
    }

    /// read(2): up to `count` bytes; empty at the end of the file.
    public func read(upTo count: Int) throws(SystemError) -> [UInt8] { try RawDescriptor.read(raw, upTo: count) }

    /// Everything up to the end of the file. Throws EFBIG when there is more than `limit` bytes.
    public func readAll(limit: Int = 64 << 20) throws(SystemError) -> [UInt8] {
        try RawDescriptor.readAll(raw, limit: limit)
    }

    /// write(2): may write less than asked; returns how much it was.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Int {
        try RawDescriptor.write(raw, bytes)
    }

    /// Writes until all is written.
    public func write(all bytes: [UInt8]) throws(SystemError) { try RawDescriptor.write(raw, all: bytes) }

    /// fsync(2): returns when data and metadata are on the medium.
    public func sync() throws(SystemError) { try systemCall("fsync", "fd \(raw)") { fsync(raw) } }

    /// Sets the file's length in bytes.
    public func truncate(to length: Int) throws(SystemError) {
        try systemCall("ftruncate", "fd \(raw)") { ftruncate(raw, off_t(length)) }
    }

    /// Moves the file offset to `offset` bytes from the start.
    public func seek(to offset: Int) throws(SystemError) {
        try systemCall("lseek", "fd \(raw)") { lseek(raw, off_t(offset), SEEK_SET) }
    }

    /// The file's length in bytes (fstat).
    public func size() throws(SystemError) -> Int {
        var status = stat()
        try systemCall("fstat", "fd \(raw)") { fstat(raw, &status) }
        return Int(status.st_size)
    }

    /// Switches O_NONBLOCK on the open file (which duplicates share).
    public func setNonBlocking(_ on: Bool = true) throws(SystemError) { try RawDescriptor.setNonBlocking(raw, on) }
}

/// A file descriptor owned by reference counting.
public final class SharedDescriptor: Sendable {
    /// Borrowed: valid while this object lives, and not to be closed.
    public let raw: Int32

    public init(_ fd: consuming FileDescriptor) { raw = fd.release() }

    deinit { RawDescriptor.close(raw) }

    public func duplicate() throws(SystemError) -> FileDescriptor {
        FileDescriptor(owning: try systemCall("fcntl F_DUPFD_CLOEXEC", "fd \(raw)") { fcntl(raw, F_DUPFD_CLOEXEC, 0) })
    }
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        try RawDescriptor.read(raw, into: buffer)
    }
    public func read(upTo count: Int) throws(SystemError) -> [UInt8] { try RawDescriptor.read(raw, upTo: count) }
    public func readAll(limit: Int = 64 << 20) throws(SystemError) -> [UInt8] {
        try RawDescriptor.readAll(raw, limit: limit)
    }
    public func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Int {
        try RawDescriptor.write(raw, bytes)
    }
    public func write(all bytes: [UInt8]) throws(SystemError) { try RawDescriptor.write(raw, all: bytes) }
    public func sync() throws(SystemError) { try systemCall("fsync", "fd \(raw)") { fsync(raw) } }
    public func setNonBlocking(_ on: Bool = true) throws(SystemError) { try RawDescriptor.setNonBlocking(raw, on) }
}

/// The calls both owners share.
enum RawDescriptor {
    static func close(_ fd: Int32) {
        // Never again after EINTR: on Linux the descriptor is gone by then. EIO is reported by sync, where it matters.
        if Glibc.close(fd) == -1 { precondition(Errno.current != .EBADF, "close of fd \(fd), which is not open") }
    }

    static func read(_ fd: Int32, into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        if buffer.isEmpty { return 0 }
        return try systemCall("read", "fd \(fd)") { Glibc.read(fd, buffer.baseAddress!, buffer.count) }
    }

    static func read(_ fd: Int32, upTo count: Int) throws(SystemError) -> [UInt8] {
        var failure: SystemError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
            do throws(SystemError) {
                used = try read(fd, into: UnsafeMutableRawBufferPointer(buffer))
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    static func readAll(_ fd: Int32, limit: Int) throws(SystemError) -> [UInt8] {
        var status = stat()
        try systemCall("fstat", "fd \(fd)") { fstat(fd, &status) }
        // Pseudo files say 0 and still have content; one byte more than the size sees the end without growing.
        var chunk = min(max(Int(status.st_size) + 1, 4096), limit + 1)
        var bytes: [UInt8] = []
        while true {
            let piece = try read(fd, upTo: chunk)
            if piece.isEmpty { return bytes }
            if bytes.isEmpty { bytes = piece } else { bytes += piece }
            if bytes.count > limit { throw SystemError("read", "fd \(fd), limit \(limit) bytes", .EFBIG) }
            chunk = min(max(bytes.count, 4096), limit + 1 - bytes.count, 1 << 20)
        }
    }

    static func write(_ fd: Int32, _ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Int {
        if bytes.isEmpty { return 0 }
        return try systemCall("write", "fd \(fd)") { Glibc.write(fd, bytes.baseAddress!, bytes.count) }
    }

    static func write(_ fd: Int32, all bytes: [UInt8]) throws(SystemError) {
        try bytes.withUnsafeBufferPointer { (buffer) throws(SystemError) in
            var rest = UnsafeRawBufferPointer(buffer)
            while !rest.isEmpty { rest = UnsafeRawBufferPointer(rebasing: rest[try write(fd, rest)...]) }
        }
    }

    static func setNonBlocking(_ fd: Int32, _ on: Bool) throws(SystemError) {
        let flags = try systemCall("fcntl F_GETFL", "fd \(fd)") { fcntl(fd, F_GETFL) }
        let wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK
        try systemCall("fcntl F_SETFL", "fd \(fd)") { fcntl(fd, F_SETFL, wanted) }
    }
}

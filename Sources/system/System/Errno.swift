// How system calls fail: an Errno (what the kernel said) and a SystemError (which call, on what, with what).
//
// Every system call of the program goes through `systemCall`, which loops on EINTR, copies errno in the very next
// expression, and traps on EBADF and EFAULT: those two are never the world's fault but a bug of ours (a descriptor used
// after close may by then belong to somebody else), so that continuing would be the worse failure.

internal import Glibc

/// A number from errno(3).
public struct Errno: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kernel's number, 1 to 4095.
    public let code: Int32

    public init(_ code: Int32) { self.code = code }

    /// errno of the calling thread, to be read immediately after the failing call.
    public static var current: Errno { Errno(errno) }

    public static let EPERM = Errno(Glibc.EPERM)
    public static let ENOENT = Errno(Glibc.ENOENT)
    public static let ESRCH = Errno(Glibc.ESRCH)
    public static let EINTR = Errno(Glibc.EINTR)
    public static let EIO = Errno(Glibc.EIO)
    public static let ENXIO = Errno(Glibc.ENXIO)
    public static let E2BIG = Errno(Glibc.E2BIG)
    public static let EBADF = Errno(Glibc.EBADF)
    public static let ECHILD = Errno(Glibc.ECHILD)
    public static let EAGAIN = Errno(Glibc.EAGAIN)
    public static let ENOMEM = Errno(Glibc.ENOMEM)
    public static let EACCES = Errno(Glibc.EACCES)
    public static let EFAULT = Errno(Glibc.EFAULT)
    public static let EBUSY = Errno(Glibc.EBUSY)
    public static let EEXIST = Errno(Glibc.EEXIST)
    public static let EXDEV = Errno(Glibc.EXDEV)
    public static let ENODEV = Errno(Glibc.ENODEV)
    public static let ENOTDIR = Errno(Glibc.ENOTDIR)
    public static let EISDIR = Errno(Glibc.EISDIR)
    public static let EINVAL = Errno(Glibc.EINVAL)
    public static let EMFILE = Errno(Glibc.EMFILE)
    public static let EFBIG = Errno(Glibc.EFBIG)
    public static let ENOSPC = Errno(Glibc.ENOSPC)
    public static let EROFS = Errno(Glibc.EROFS)
    public static let EPIPE = Errno(Glibc.EPIPE)
    public static let ERANGE = Errno(Glibc.ERANGE)
    public static let ENAMETOOLONG = Errno(Glibc.ENAMETOOLONG)
    public static let ENOSYS = Errno(Glibc.ENOSYS)
    public static let ENOTEMPTY = Errno(Glibc.ENOTEMPTY)
    public static let ELOOP = Errno(Glibc.ELOOP)
    public static let ENODATA = Errno(Glibc.ENODATA)
    public static let EPROTO = Errno(Glibc.EPROTO)
    public static let EBADMSG = Errno(Glibc.EBADMSG)
    public static let EOPNOTSUPP = Errno(Glibc.EOPNOTSUPP)
    public static let EADDRINUSE = Errno(Glibc.EADDRINUSE)
    public static let EADDRNOTAVAIL = Errno(Glibc.EADDRNOTAVAIL)
    public static let ENETUNREACH = Errno(Glibc.ENETUNREACH)
    public static let ECONNRESET = Errno(Glibc.ECONNRESET)
    public static let ENOTCONN = Errno(Glibc.ENOTCONN)
    public static let ETIMEDOUT = Errno(Glibc.ETIMEDOUT)
    public static let ECONNREFUSED = Errno(Glibc.ECONNREFUSED)
    public static let EHOSTUNREACH = Errno(Glibc.EHOSTUNREACH)
    public static let EINPROGRESS = Errno(Glibc.EINPROGRESS)
    public static let ECANCELED = Errno(Glibc.ECANCELED)

    /// The C library's words, for example "No such file or directory".
    public var description: String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            buffer.initialize(repeating: 0)
            guard strerror_r(code, buffer.baseAddress!, buffer.count) == 0 else { return "error \(code)" }
            return String(cString: buffer.baseAddress!)
        }
    }
}

/// A system call that failed: which, on what, with what.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The call's name, with its telling argument where there is one: `open`, `write "max 100000"`.
    public let call: String
    /// What it was applied to: a path, an address, a pid. Empty when there is nothing to name.
    public let target: String
    public let errno: Errno

    public init(_ call: String, _ target: String, _ errno: Errno) {
        self.call = call
        self.target = target
        self.errno = errno
    }

    /// `open "/x": No such file or directory`
    public var description: String {
        target.isEmpty ? "\(call): \(errno)" : "\(call) \"\(target)\": \(errno)"
    }
}

/// Performs one system call in libc's convention (-1 is failure, errno says why), again after EINTR.
/// - Parameters:
///   - call: the name for the error.
///   - target: what the call is about, for the error; evaluated only on failure.
/// - Returns: the call's result, never -1.
@discardableResult
@inline(__always)
public func systemCall<Result: SignedInteger & FixedWidthInteger>(
    _ call: String, _ target: @autoclosure () -> String, _ body: () -> Result
) throws(SystemError) -> Result {
    while true {
        let result = body()
        if result != -1 { return result }
        let errno = Errno.current
        if errno == .EINTR { continue }
        precondition(errno != .EBADF && errno != .EFAULT, "\(call) \(target()): \(errno): a bug in noded")
        throw SystemError(call, target(), errno)
    }
}

// What is done to a terminal by its master's descriptor.

internal import Glibc
public import System

public enum Terminal {
    /// Sets the size in characters (TIOCSWINSZ, ioctl_tty(2)); the foreground process gets SIGWINCH when it changed.
    public static func resize(_ master: Int32, columns: UInt16, rows: UInt16) throws(SystemError) {
        var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        try systemCall("ioctl TIOCSWINSZ", "fd \(master)") { ioctl(master, UInt(TIOCSWINSZ), &size) }
    }
}

/// Dispositions that hold for the whole process.
public enum BrokenPipes {
    /// From now on writing to a pipe that nobody reads fails with EPIPE instead of killing the process.
    public static func becomeErrors() { signal(SIGPIPE, SIG_IGN) }
}

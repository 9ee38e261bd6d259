// How a monitor's thread, which waits for the kernel, is told to end.

internal import Glibc
internal import System

/// Wakes a monitor's thread for its end.
final class StopPipe: Sendable {
    private let read: SharedDescriptor
    private let write: SharedDescriptor

    init() throws(NetlinkError) {
        var ends: [Int32] = [-1, -1]
        if socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) != 0 {
            throw NetlinkError("open a socket pair", .current)
        }
        read = SharedDescriptor(FileDescriptor(owning: ends[0]))
        write = SharedDescriptor(FileDescriptor(owning: ends[1]))
    }

    func stop() { _ = Glibc.write(write.raw, "x", 1) }

    /// False when it is time to stop.
    func waitReadable(_ descriptor: Int32) -> Bool {
        var polls = [
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: read.raw, events: Int16(POLLIN), revents: 0),
        ]
        while poll(&polls, 2, -1) < 0, errno == EINTR {}
        return polls[1].revents == 0
    }
}

// Connections whose client is gone without a word while something sent to it is on its
// way: a watch of a laptop that was closed.
//
// Keepalive (HTTPServer) finds those that are idle, but its probes are not sent while data is unacknowledged; then the
// kernel goes on sending for a quarter of an hour. TCP_USER_TIMEOUT would end that, and with it every client that reads
// slowly on purpose (`logs -f | less`). So the kernel is asked: a reader that only takes its time acknowledges probes.
//
// Cannot fail: a kernel or channel that does not tell leaves the connection to the kernel's own patience.

import Glibc
import NIOCore

enum VanishedClients {
    /// How long something may be on its way without a sign of life.
    static let patience = Duration.seconds(60)
    private static let period = TimeAmount.seconds(20)

    /// Looks at the connection now and then until it is closed. On its loop.
    static func watch(_ channel: any Channel) {
        guard let socket = channel as? any SocketOptionProvider else { return }
        let task = channel.eventLoop.scheduleRepeatedTask(initialDelay: period, delay: period) { _ in
            socket.getTCPInfo().whenSuccess { info in
                let silence = Duration.milliseconds(Int64(info.tcpi_last_ack_recv))
                if info.tcpi_unacked > 0, silence > patience { channel.close(promise: nil) }
            }
        }
        channel.closeFuture.whenComplete { _ in task.cancel() }
    }
}

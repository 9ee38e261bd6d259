// Notices when links go away (`ip link del`, a namespace that ends), so that their owner can look after them at once.
// The kernel tells of every link of the namespace, whoever removed it, ourselves included: telling own removals from
// others is the owner's affair, who knows what should be there.
//
// Source: rtnetlink(7), RTNLGRP_LINK.

internal import CNetlink
internal import Glibc
internal import System

/// Watches one network namespace from a thread of its own; ends when released.
public final class LinkMonitor: Sendable {
    private let stop: StopPipe

    /// - Parameters:
    ///   - onRemoval: the name of a link that is gone, or was moved to another namespace; nil when messages were lost: any
    ///     link may be gone. Called on the monitor's thread; must not block for long.
    ///   - onFailure: the socket fails for good (nothing is known that leads to it): nothing is watched any more.
    /// The socket belongs to the calling thread's namespace.
    public init(
        onRemoval: @escaping @Sendable (String?) -> Void, onFailure: @escaping @Sendable (NetlinkError) -> Void
    ) throws {
        let socket = try NetlinkSocket(.route, groups: [1])  // RTNLGRP_LINK
        let stop = try StopPipe()
        self.stop = stop
        Threads.start(name: "link-monitor") {
            while stop.waitReadable(socket.descriptor) {
                do throws(NetlinkError) {
                    for message in try socket.receive() {
                        // RTM_DELLINK; a bridge says the same of a port that leaves it, in a family of its own.
                        guard message.type == 17, message.header(ifinfomsg.self)?.ifi_family == UInt8(AF_UNSPEC),
                            let name = message.attributes(after: MemoryLayout<ifinfomsg>.size).string(3)
                        else { continue }
                        onRemoval(name)
                    }
                } catch {
                    // ENOBUFS: messages were lost. Anything else would repeat for ever.
                    onRemoval(nil)
                    if error.errno.code != ENOBUFS { return onFailure(error) }
                }
            }
        }
    }

    deinit { stop.stop() }
}

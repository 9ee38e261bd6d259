// Notices when somebody else takes from our nftables tables (`nft flush ruleset`, a firewall's reload), so that their
// owner can put it back at once. The kernel closes each transaction with a generation message that names the
// process that made it, which tells our own changes from foreign ones; when messages were lost the answer is "look".
//
// Source: include/uapi/linux/netfilter/nf_tables.h, NFNLGRP_NFTABLES.

internal import Glibc
internal import System

/// Watches one network namespace from a thread of its own; ends when released.
public final class RulesetMonitor: Sendable {
    private let stop: StopPipe

    /// - Parameters:
    ///   - tables: names of the tables watched, of whatever family.
    ///   - onForeignRemoval: called on the monitor's thread; must not block for long. Called once per foreign
    ///     transaction that removed something of the tables (rules, chains, sets, elements, or all of it).
    /// The socket belongs to the calling thread's namespace.
    public init(tables: Set<String>, onForeignRemoval: @escaping @Sendable () -> Void) throws {
        let socket = try NetlinkSocket(.netfilter, groups: [7])
        let stop = try StopPipe()
        self.stop = stop
        Threads.start(name: "nft-monitor") {
            var touched = false
            while stop.waitReadable(socket.descriptor) {
                do throws(NetlinkError) {
                    for message in try socket.receive() {
                        switch message.type & 0xff {
                        case 2, 5, 8, 11, 14:  // NFT_MSG_DELTABLE, DELCHAIN, DELRULE, DELSET, DELSETELEM
                            // Attribute 1 is the table's name in each of them.
                            touched = touched || message.attributes(after: 4).string(1).map(tables.contains) == true
                        case 15:  // NFT_MSG_NEWGEN
                            if touched, !Self.isOwn(message.attributes(after: 4)) { onForeignRemoval() }
                            touched = false
                        default: break
                        }
                    }
                } catch {
                    // ENOBUFS: messages were lost, so somebody must look. Anything else would repeat for ever.
                    onForeignRemoval()
                    touched = false
                    if error.errno.code != ENOBUFS { return }
                }
            }
        }
    }

    deinit { stop.stop() }

    /// NFTA_GEN_PROC_PID is the committing thread's id as the first pid namespace counts it, which says nothing inside
    /// a container: there its name has to do.
    private static func isOwn(_ generation: NetlinkAttributes) -> Bool {
        if let thread = generation.bigEndian(2), Files.exists("/proc/self/task/\(thread)") { return true }
        return generation.string(3).map(ownThreads.contains) == true
    }

    /// The threads that commit rules: of PodNetwork, of ServiceProxy, and those that work in a given namespace.
    private static let ownThreads: Set<String> = ["pod-network", "service-proxy", "netns"]
}

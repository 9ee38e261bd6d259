// Flows that the kernel remembers a decision for which is no longer right, and their end: their next packet is a new
// flow, for which the rules decide anew.
//
//   UDP   a client keeps its source port for ever, so a flow stays with a pod that departed, or without redirection
//         when it began before its Service.
//   TCP   a flow that began while the table was not there (before the first start, or between somebody else's flush and
//         its mend) is remembered without redirection. Its SYNs come again for two minutes, and later ones from the
//         same port find the same entry: all would be refused, although the Service is there. A refusal itself leaves
//         no entry, so nothing of the kind arises under a table.
//
// What fails stays noted until `end` succeeds. A kernel that cannot list flows (nf_conntrack_netlink is not there) is
// not asked for the same ones again: they expire by themselves, 30 s to 2 min after their last packet, and the next
// change asks anew.

import Logging
import Netlink
import System

struct StaleFlows {
    private let ranges: [CIDR]
    private let logger: Logger
    private let open: () throws -> any FlowTable
    private var table: (any FlowTable)?
    private var checks: [Frontend: UDPCheck] = [:]
    private var hasUnbound = false
    private var cannotList = false

    /// The kernel looks through all flows for each question: with more checks than these one question brings all.
    static let maximumQuestions = 8

    /// - Parameter ranges: those of Services, where no flow can be without redirection.
    init(ranges: [CIDR], logger: Logger, open: @escaping () throws -> any FlowTable) {
        self.ranges = ranges
        self.logger = logger
        self.open = open
    }

    /// These frontends' backends changed.
    mutating func note(_ changed: [UDPCheck]) {
        for check in changed { checks[check.frontend] = check.after(checks[check.frontend]) }
    }

    /// The table was made anew: until now flows could begin without redirection.
    mutating func noteNewTable() { hasUnbound = true }

    mutating func end() throws {
        if hasUnbound {
            try delete(
                Set(ranges.map(\.isV6)).map { FlowFilter(isV6: $0, protocolNumber: TransportProtocol.tcp.rawValue) }
            ) { [ranges] entry in
                let to = entry.original
                return to.destination == entry.reply.source && to.destinationPort == entry.reply.sourcePort
                    && ranges.contains { $0.contains(to.destination) }
            }
            hasUnbound = false
        }
        if checks.isEmpty { return }
        let questions =
            checks.count <= Self.maximumQuestions
            ? checks.keys.map { FlowFilter(frontend: $0) }
            : Set(checks.keys.map(\.isV6)).map { FlowFilter(isV6: $0, protocolNumber: TransportProtocol.udp.rawValue) }
        try delete(questions) { [checks] entry in
            let to = entry.original
            let check =
                checks[.address(to.destination, .udp, port: to.destinationPort)]
                ?? checks[.nodePort(isV6: to.destination.isV6, .udp, port: to.destinationPort)]
            return check?.isStale(Backend(address: entry.reply.source, port: entry.reply.sourcePort)) == true
        }
        checks = [:]
    }

    private mutating func delete(_ questions: [FlowFilter], where isStale: (ConntrackEntry) -> Bool) throws {
        let table = try table ?? open()
        self.table = table
        for question in questions {
            guard let entries = try entries(question, of: table) else { return }
            for entry in entries where isStale(entry) { try table.delete(entry) }
        }
    }

    /// nil when this kernel cannot list flows.
    private mutating func entries(
        _ question: FlowFilter, of table: any FlowTable
    ) throws(NetlinkError) -> [ConntrackEntry]? {
        do throws(NetlinkError) {
            let entries = try table.entries(question)
            if cannotList { logger.notice("the kernel lists flows again") }
            cannotList = false
            return entries
        } catch {
            // nfnetlink says EINVAL for a subsystem that it does not have and cannot load.
            guard [.EINVAL, .EOPNOTSUPP].contains(error.errno) else { throw error }
            if !cannotList {
                logger.error(
                    "the kernel cannot list flows (nf_conntrack_netlink?); clients stay with departed backends",
                    metadata: ["error": "\(error)"])
            }
            cannotList = true
            return nil
        }
    }
}

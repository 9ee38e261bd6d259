// Which pod has which address. A plain value: no file, no kernel; PodNetwork fills it from the kernel's routes.
//
// Addresses are handed out in rotation, so that a released one comes back as late as the range allows: a stale client,
// a conntrack entry or a DNS answer that still names a departed pod then reaches nobody instead of somebody else. The
// rotation survives restarts through `reserved`, a position written down before any address below it is used; it moves
// in blocks, so that starting a pod rarely waits for a disk.

public import System

struct AddressBook: Sendable {
    /// A range is used from its second address on (the first is the node's own) to the last, in IPv4 to the last but
    /// one (broadcast), and at most 2^32 addresses of it.
    struct Range: Hashable, Sendable {
        let cidr: CIDR
        /// Index of the address to look at next.
        var next: UInt64
        /// Positions up to here may have been used: where a restart continues.
        var reserved: UInt64

        var usable: UInt64 {
            let count = min(cidr.count, 1 << 32)
            let kept: UInt64 = cidr.isV6 ? 1 : 2
            return count > kept ? count - kept : 0
        }
    }

    static let block: UInt64 = 64

    private(set) var ranges: [Range]
    private var holders: [IPAddress: String] = [:]
    private var held: [String: [IPAddress]] = [:]

    /// - Parameter positions: where the rotation of each range continues, by range; absent: `start`.
    init(_ cidrs: [CIDR], positions: [CIDR: UInt64], start: (CIDR) -> UInt64) {
        ranges = cidrs.map { cidr in
            var range = Range(cidr: cidr, next: 0, reserved: 0)
            if range.usable > 0 { range.next = (positions[cidr] ?? start(cidr)) % range.usable }
            range.reserved = range.next
            return range
        }
    }

    /// What must be durable before the addresses taken last are used.
    var positions: [CIDR: UInt64] { Dictionary(ranges.map { ($0.cidr, $0.reserved) }) { first, _ in first } }

    func addresses(of uid: String) -> [IPAddress] { held[uid] ?? [] }
    func holder(of address: IPAddress) -> String? { holders[address] }
    var uids: [String] { Array(held.keys) }

    /// Notes what the kernel says a pod has. False when another pod holds one of them.
    mutating func hold(_ addresses: [IPAddress], for uid: String) -> Bool {
        guard addresses.allSatisfy({ holders[$0] == nil || holders[$0] == uid }) else { return false }
        release(uid)
        held[uid] = addresses
        for address in addresses { holders[address] = uid }
        return true
    }

    mutating func release(_ uid: String) {
        for address in held.removeValue(forKey: uid) ?? [] { holders[address] = nil }
    }

    /// One free address of each range, in the ranges' order; those it has, when it has some. Nothing changes when a
    /// range is exhausted: then that range is returned in the error.
    mutating func take(for uid: String) throws(PodNetworkError) -> [IPAddress] {
        if let known = held[uid] { return known }
        var advanced = ranges
        var taken: [IPAddress] = []
        for index in advanced.indices { taken.append(try free(&advanced[index])) }
        ranges = advanced
        held[uid] = taken
        for address in taken { holders[address] = uid }
        return taken
    }

    private func free(_ range: inout Range) throws(PodNetworkError) -> IPAddress {
        var tried: UInt64 = 0
        while tried < range.usable {
            let address = range.cidr.address(at: range.next + 1)
            if range.next == range.reserved { range.reserved = (range.next + Self.block) % range.usable }
            range.next = (range.next + 1) % range.usable
            tried += 1
            if holders[address] == nil { return address }
        }
        throw .exhausted(range.cidr, pods: held.count)
    }
}

/// The durable part: one line a range, `10.42.0.0/24 130`. A file that cannot be understood counts as absent.
enum AddressCursor {
    static func parse(_ text: String) -> [CIDR: UInt64] {
        var positions: [CIDR: UInt64] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 2, let cidr = CIDR(words[0]), let position = UInt64(words[1]) else { return [:] }
            positions[cidr] = position
        }
        return positions
    }

    static func text(_ positions: [CIDR: UInt64]) -> String {
        positions.map { "\($0.key) \($0.value)\n" }.sorted().joined()
    }
}

public enum PodNetworkError: Error, CustomStringConvertible {
    case exhausted(CIDR, pods: Int)
    /// `pid` lives in the node's own network namespace (hostNetwork): attaching it would move the node's links.
    case hostNamespace(podUID: String, pid: Int32)
    /// The kernel's links have not been read yet.
    case notRecovered(podUID: String)
    /// Two uids hash to one link name.
    case nameTaken(link: String, by: String, podUID: String)
    case config(String)

    public var description: String {
        switch self {
        case .exhausted(let range, let pods):
            "no free pod address left in \(range), \(pods) pods have one: give the node a larger range"
        case .hostNamespace(let uid, let pid):
            "attach pod \(uid): process \(pid) is in the node's own network namespace"
        case .notRecovered(let uid):
            "attach pod \(uid): the pod network is not ready yet, which addresses live pods have is not known"
        case .nameTaken(let link, let holder, let uid):
            "attach pod \(uid): its link name \(link) belongs to \(holder)"
        case .config(let text): "pod network: \(text)"
        }
    }
}

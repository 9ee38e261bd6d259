// The node's side of the pod network, step by step and synchronous. PodNetwork calls it from its one worker thread, so
// nothing here is concurrent; a step that fails undoes what it did and says what failed.
//
// The kernel is the record: links carry the pod's uid as alias, routes its addresses. What is kept here is rebuilt from
// there at start; only the position of the address rotation is a file.

import Kernel
import Logging
import Netlink
import Nftables
import System

/// @unchecked: touched only on PodNetwork's worker thread.
final class HostNetwork: @unchecked Sendable {
    private let config: PodNetworkConfig
    private let logger: Logger
    /// nil: the process's own.
    private let namespace: SharedDescriptor?
    private let socket: RouteSocket
    private var nft: NftContext?
    private(set) var book: AddressBook
    private var savedPositions: [CIDR: UInt64]
    private var mtu = 1500

    init(config: PodNetworkConfig, namespace: SharedDescriptor?, logger: Logger) throws {
        self.config = config
        self.namespace = namespace
        self.logger = logger
        socket = try Self.inside(namespace) { try RouteSocket() }
        try Files.makeDirectory(config.stateDirectory)
        savedPositions = AddressCursor.parse((try? Files.readText(config.stateDirectory + "/addresses")) ?? "")
        // Without a known position any start is as good, a random one the least likely to repeat recent addresses.
        book = AddressBook(config.podCIDRs, positions: savedPositions) { _ in Random.uniform(below: 1 << 32) }
    }

    /// The node's own addresses in the pod ranges: the first of each.
    private var sources: [IPAddress] { config.podCIDRs.map(\.address) }

    private static func inside<T: Sendable>(
        _ namespace: SharedDescriptor?, _ body: @escaping @Sendable () throws -> T
    ) throws -> T {
        guard let namespace else { return try body() }
        return try NetworkNamespace.runBlocking(fd: namespace, body)
    }

    // MARK: the node

    func prepare() throws {
        try setSysctls()
        guard let loopback = try socket.link(named: "lo") else { throw NetlinkError("get link lo", .ENODEV) }
        var up = RouteSocket.LinkSettings()
        up.isUp = true
        if !loopback.isUp { try socket.set(link: loopback.index, up) }
        for address in sources { try socket.add(address: address, link: loopback.index) }
        // Scope host: never chosen as the source of anything but answers.
        for address in config.clusterDNS { try socket.add(address: address, link: loopback.index, scope: .host) }
        for range in config.serviceCIDRs {
            // Something must route there, or sending fails before nftables sees the packet. IPv6 refuses such routes
            // through lo unless they are local ones.
            try socket.add(
                Route(
                    to: range, link: loopback.index, source: sources.first { $0.isV6 == range.isV6 },
                    isLocal: range.isV6))
        }
        try install(NodeRules.ruleset(config))
        mtu = try chooseMTU()
    }

    /// Puts the table back as it must be; also after somebody flushed it.
    func install(_ ruleset: NftRuleset) throws {
        let nft = try context()
        try Self.inside(namespace) { try nft.apply(ruleset.installation) }
    }

    private func context() throws -> NftContext {
        if let nft { return nft }
        let fresh = try Self.inside(namespace) { try NftContext() }
        nft = fresh
        return fresh
    }

    private var sysctls: String { config.stateDirectory + "/sysctls" }

    private func setSysctls() throws {
        var wanted = [(name: "net/ipv4/ip_forward", value: "1")]
        if config.podCIDRs.contains(where: \.isV6) {
            // A router ignores router advertisements, and an uplink that lives by them would lose its default route:
            // accept_ra=2 first, then forwarding.
            let uplinks = try socket.links().filter { !$0.isLoopback && !PodLink.isOurs($0) }.map(\.name) + ["default"]
            wanted += uplinks.map { (name: "net/ipv6/conf/\($0)/accept_ra", value: "2") }
            wanted.append((name: "net/ipv6/conf/all/forwarding", value: "1"))
        }
        let settings = wanted
        let problem = try Self.inside(namespace) { [sysctls] in try SavedSysctls.change(settings, notedIn: sysctls) }
        if let problem {
            logger.warning(
                "cannot save the kernel parameters of before: noded reset will not put them back",
                metadata: ["error": "\(problem)"])
        }
    }

    private func chooseMTU() throws -> Int {
        if let mtu = config.mtu { return mtu }
        let defaults = Set(try socket.routes().filter { $0.destination.prefixLength == 0 }.map(\.link))
        return try socket.links().filter { defaults.contains($0.index) }.map(\.mtu).min() ?? 1500
    }

    // MARK: pods

    struct Attachment: Sendable {
        let addresses: PodAddresses
        /// In the pod's namespace, when its link is a new one: that may take a moment to pass packets.
        var freshEnd: RouteSocket?
    }

    func attach(podUID: String, process: ProcessHandle) throws -> Attachment {
        let name = PodLink.name(podUID: podUID)
        let podNamespace = SharedDescriptor(try Namespace.open(.network, of: process))
        let own = try Self.inside(namespace) { Files.symlinkTarget("/proc/thread-self/ns/net") }
        guard Files.symlinkTarget("/proc/self/fd/\(podNamespace.raw)") != own else {
            throw PodNetworkError.hostNamespace(podUID: podUID, pid: process.pid)
        }
        let pod = try NetworkNamespace.runBlocking(fd: podNamespace) { try RouteSocket() }

        if let link = try socket.link(named: name) {
            if let holder = link.alias, holder != podUID {
                throw PodNetworkError.nameTaken(link: name, by: holder, podUID: podUID)
            }
            // Complete means that the far end is in this pod and the routes are there; otherwise an attach was cut off,
            // or the pod has a new sandbox.
            let ips = book.addresses(of: podUID)
            if !ips.isEmpty, try pod.link(named: "eth0")?.peerIndex == link.index, try routed(ips, to: link) {
                return Attachment(addresses: PodAddresses(ips: ips, hostInterface: name))
            }
            try socket.deleteLink(named: name)
            book.release(podUID)
        }

        // A pod whose link somebody removed keeps its addresses, for its clients and its status have them.
        let isNew = book.addresses(of: podUID).isEmpty
        let ips = try book.take(for: podUID)
        do {
            savePositions()
            // The far end of a link that is somewhere else by now: it would be in the way.
            if let old = try pod.link(named: "eth0"), old.mac == PodLink.podMAC { try pod.deleteLink(named: "eth0") }
            try socket.createVeth(
                name: name, mac: PodLink.hostMAC, peerName: "eth0", peerMAC: PodLink.podMAC,
                peerNamespace: podNamespace.raw, mtu: mtu)
            guard let link = try socket.link(named: name) else { throw NetlinkError("get link \(name)", .ENODEV) }
            try PodLink.configurePod(pod, ips)
            try PodLink.configureHost(socket, link: link, podUID: podUID, ips, sources: sources)
        } catch {
            _ = try? socket.deleteLink(named: name)
            if isNew { book.release(podUID) }
            throw error
        }
        return Attachment(addresses: PodAddresses(ips: ips, hostInterface: name), freshEnd: pod)
    }

    func hasLink(podUID: String) throws -> Bool { try socket.link(named: PodLink.name(podUID: podUID)) != nil }

    private func routed(_ ips: [IPAddress], to link: Link) throws -> Bool {
        let there = Set(try socket.routes().filter { $0.link == link.index }.map(\.destination.address))
        return ips.allSatisfy(there.contains)
    }

    /// Cuts the pod off at once: without the route nothing reaches it, and its own packets fail the source check.
    func cutOff(podUID: String) throws {
        guard let link = try socket.link(named: PodLink.name(podUID: podUID)) else { return }
        let known = book.addresses(of: podUID).map { PodLink.route(to: $0, link: link.index, sources: []) }
        let routes =
            known.isEmpty ? try socket.routes().filter { $0.link == link.index && $0.origin == Route.noded } : known
        for route in routes { try socket.delete(route) }
    }

    func release(podUID: String) { book.release(podUID) }

    /// What the kernel has, by pod.
    struct Found {
        var attached: [String: PodAddresses] = [:]
        /// Links to delete: of pods that are gone, or cut off in the middle of an attach.
        var garbage: [(podUID: String?, link: String)] = []
    }

    func recover(live: Set<String>) throws -> Found {
        var found = Found()
        let routes = Dictionary(grouping: try socket.routes().filter { $0.origin == Route.noded }, by: \.link)
        for link in try socket.links() where PodLink.isOurs(link) {
            // Both families' order is that of the configuration; what lies outside every range comes last.
            let ips = (routes[link.index] ?? []).map(\.destination.address).sorted { rank($0) < rank($1) }
            guard let uid = link.alias, live.contains(uid), ips.count >= config.podCIDRs.count else {
                if let uid = link.alias, !book.hold(ips, for: uid) {
                    logger.warning("two links have one address", metadata: ["link": "\(link.name)", "pod": "\(uid)"])
                }
                found.garbage.append((link.alias, link.name))
                continue
            }
            if book.hold(ips, for: uid) {
                found.attached[uid] = PodAddresses(ips: ips, hostInterface: link.name)
            } else {
                logger.error(
                    "pod has an address that another has too; its link is removed",
                    metadata: ["pod": "\(uid)", "link": "\(link.name)", "addresses": "\(ips)"])
                found.garbage.append((nil, link.name))
            }
        }
        return found
    }

    private func rank(_ address: IPAddress) -> Int {
        config.podCIDRs.firstIndex { $0.contains(address) } ?? config.podCIDRs.count
    }

    private func savePositions() {
        guard book.positions != savedPositions else { return }
        do {
            try Files.writeAtomically(config.stateDirectory + "/addresses", AddressCursor.text(book.positions))
            savedPositions = book.positions
        } catch {
            // Addresses in use stay safe, for the kernel has them; only the rotation may repeat after a restart.
            logger.warning("cannot save the position of the address rotation", metadata: ["error": "\(error)"])
        }
    }

    // MARK: the end

    func teardown() throws {
        for link in try socket.links() where PodLink.isOurs(link) { try socket.deleteLink(named: link.name) }
        for route in try socket.routes() where route.origin == Route.noded { try socket.delete(route) }
        if let loopback = try socket.link(named: "lo") {
            for address in sources + config.clusterDNS { try socket.delete(address: address, link: loopback.index) }
            // Of a life with other ranges.
            for known in try socket.addresses() where known.link == loopback.index && known.origin == Route.noded {
                try socket.delete(address: known.address, prefixLength: known.prefixLength, link: loopback.index)
            }
        }
        try Self.inside(namespace) { [sysctls] in try SavedSysctls.restore(from: sysctls) }
        let nft = try context()
        _ = try Self.inside(namespace) { try nft.delete(NodeRules.table) }
        for uid in book.uids { book.release(uid) }
    }
}

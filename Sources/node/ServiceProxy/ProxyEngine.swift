// Performs what ProxyTable plans: on one worker thread, with one libnftables context, in the node's namespace. A commit
// that fails leaves the value ahead of the kernel; the next step then reads the table once and starts from the truth.

import Kernel
import Logging
import Netlink
import Nftables
import System

/// @unchecked: touched only on ServiceProxy's worker thread.
final class ProxyEngine: @unchecked Sendable {
    private let ruleset: NftRuleset
    private let namespace: SharedDescriptor?
    private let logger: Logger
    private var nft: NftContext?
    private var conntrack: ConntrackSocket?
    private var table = ProxyTable(contents: [:])
    private var trusted = false

    /// More elements in one buffer cost libnftables memory out of proportion (44,000 Services: 429 MB).
    static let batch = 1000

    init(ruleset: NftRuleset, namespace: SharedDescriptor?, logger: Logger) {
        self.ruleset = ruleset
        self.namespace = namespace
        self.logger = logger
    }

    /// The kernel no longer has what we think: somebody else changed it.
    func distrust() { trusted = false }
    var needsAll: Bool { !trusted }

    /// Makes the kernel hold exactly `all`, starting from what it has. Rules stay in force meanwhile.
    func reconcile(_ all: [String: ProxyService]) throws {
        let nft = try context()
        let contents = try inside { [ruleset] in try Self.read(nft, ruleset.table) }
        table.adopt(contents)
        try install(nft)
        let names = all.keys.sorted()
        for start in stride(from: 0, to: names.count, by: Self.batch) {
            let part = names[start..<min(start + Self.batch, names.count)]
            try perform(table.apply(Dictionary(uniqueKeysWithValues: part.map { ($0, all[$0]) })))
        }
        try perform(table.sweep())
        trusted = true
    }

    /// - Returns: how many elements changed.
    @discardableResult
    func apply(_ changes: [String: ProxyService?]) throws -> Int {
        var count = 0
        let names = changes.keys.sorted()
        for start in stride(from: 0, to: names.count, by: Self.batch) {
            let part = names[start..<min(start + Self.batch, names.count)]
            let plan = table.apply(Dictionary(uniqueKeysWithValues: part.map { ($0, changes[$0]!) }))
            try perform(plan)
            count += plan.prepare.elementCount + plan.change.elementCount
        }
        return count
    }

    var hasGarbage: Bool { table.hasGarbage }

    func collect() throws {
        guard trusted else { return }
        let transaction = table.collect()
        try commit(transaction)
    }

    func teardown() throws {
        let nft = try context()
        _ = try inside { [ruleset] in try nft.delete(ruleset.table) }
        table = ProxyTable(contents: [:])
        trusted = false
    }

    // MARK: steps

    private func install(_ nft: NftContext) throws {
        var transaction = ruleset.installation
        for chain in table.chains { transaction.install(chain) }
        let wanted = transaction
        do {
            try inside { try nft.apply(wanted) }
        } catch {
            // Sets of an older version with other types. This one time the table starts from nothing.
            logger.warning("replacing the Service table of another version", metadata: ["reason": "\(error)"])
            let replacement = ruleset.replacement
            try inside { try nft.apply(replacement) }
            table.adopt([:])
        }
    }

    private func perform(_ plan: ProxyPlan) throws {
        try commit(plan.prepare)
        try commit(plan.change)
        // What follows tidies flows that exist; new ones are right already. Its failure is worth a line, no more.
        do {
            if !plan.departedAffinity.isEmpty { try endAffinity(plan.departedAffinity) }
            if !plan.staleUDP.isEmpty { try deleteStaleFlows(plan.staleUDP) }
        } catch {
            logger.warning("cannot end flows to departed endpoints", metadata: ["error": "\(error)"])
        }
    }

    private func commit(_ transaction: NftTransaction) throws {
        if transaction.isEmpty { return }
        let nft = try context()
        do {
            try inside { try nft.apply(transaction) }
        } catch {
            trusted = false
            throw error
        }
    }

    private func endAffinity(_ departed: [(id: UInt32, backend: Backend)]) throws {
        let nft = try context()
        let keys = Set(departed.map { "\(ProxyMark.text($0.id << 12)) \($0.backend)" })
        try inside { [ruleset] in
            let elements = try nft.elements(of: ProxyRules.affinity4, in: ruleset.table) ?? []
            let stale = elements.filter { element in
                let mark = element.key.split(separator: " ").last ?? ""
                return keys.contains("\(mark) \(element.value ?? "")")
            }
            // One by one: an entry that expires in between fails its own deletion only.
            for element in stale {
                var transaction = NftTransaction(ruleset.table)
                transaction.delete([element.key], from: ProxyRules.affinity4.name)
                do throws(NftError) { try nft.apply(transaction) } catch { if !error.isMissing { throw error } }
            }
        }
    }

    private func deleteStaleFlows(_ checks: [UDPCheck]) throws {
        if conntrack == nil { conntrack = try inside { try ConntrackSocket() } }
        let conntrack = conntrack!
        let byFrontend = Dictionary(checks.map { ($0.frontend, $0) }) { $1 }
        for entry in try conntrack.entries(protocolNumber: TransportProtocol.udp.rawValue) {
            let to = entry.original
            let backend = Backend(address: entry.reply.source, port: entry.reply.sourcePort)
            let isV6 = to.destination.isV6
            if let check = byFrontend[.address(to.destination, .udp, port: to.destinationPort)] {
                if !check.valid.contains(backend) { try conntrack.delete(entry) }
            } else if let check = byFrontend[.nodePort(isV6: isV6, .udp, port: to.destinationPort)] {
                if check.departed.contains(backend) { try conntrack.delete(entry) }
            }
        }
    }

    private static func read(_ nft: NftContext, _ table: NftTable) throws -> ProxyTable.Contents {
        var contents: ProxyTable.Contents = [:]
        for map in ProxyMap.allCases {
            guard let elements = try nft.elements(of: map.declaration, in: table) else { continue }
            contents[map] = Dictionary(elements.map { ($0.key, $0.value ?? "") }) { first, _ in first }
        }
        return contents
    }

    private func context() throws -> NftContext {
        if let nft { return nft }
        let fresh = try inside { try NftContext() }
        nft = fresh
        return fresh
    }

    private func inside<T: Sendable>(_ body: @escaping @Sendable () throws -> T) throws -> T {
        guard let namespace else { return try body() }
        return try NetworkNamespace.runBlocking(fd: namespace, body)
    }
}

// Performs what ProxyTable plans: on one worker thread, with one libnftables context, in the node's namespace. A commit
// that fails leaves the value ahead of the kernel; the table is then made anew.

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
    /// The kernel refused what the value held for right: start from nothing.
    private var refused = false

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

    /// Makes the kernel hold exactly `all`. A table whose rules are as they must be stays in force and only elements
    /// that differ change; one of another version, or with rules missing, is replaced, in one commit if it is not huge.
    func reconcile(_ all: [String: ProxyService]) throws {
        let nft = try context()
        let contents = refused ? nil : try inside { [ruleset] in try Self.read(nft, ruleset) }
        let remembered = contents == nil ? [] : try inside { [ruleset] in try Self.remembered(nft, ruleset) }
        table.adopt(contents ?? [:], remembered: Set(remembered.map(\.id)))
        let names = all.keys.sorted()
        var first = contents == nil ? ruleset.replacement : NftTransaction(ruleset.table)
        for start in stride(from: 0, to: max(names.count, 1), by: Self.batch) {
            let part = names[start..<min(start + Self.batch, names.count)]
            var plan = table.apply(Dictionary(uniqueKeysWithValues: part.map { ($0, all[$0]) }))
            if !first.isEmpty {
                // Nothing can be under way in a table that is just being made.
                first.commands += plan.prepare.commands + plan.change.commands
                (plan.prepare, plan.change) = (first, NftTransaction(ruleset.table))
                first.commands = []
            }
            // Which clients may stay is known after the last one.
            plan.endsAffinity = false
            try perform(plan)
        }
        try perform(table.sweep())
        trusted = true
        refused = false
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

    private func perform(_ plan: ProxyPlan) throws {
        try commit(plan.prepare)
        try commit(plan.change)
        // What follows tidies flows that exist; new ones are right already. Its failure is worth a line, no more.
        do {
            if plan.endsAffinity { try endAffinity() }
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
            refused = true
            throw error
        }
    }

    /// Forgets the clients that are remembered with a backend they may not stay with.
    private func endAffinity() throws {
        let nft = try context()
        let stale = try inside { [ruleset] in try Self.remembered(nft, ruleset) }.filter { !table.keeps($0.id, $0.backend) }
        let keys = stale.map(\.key)
        for start in stride(from: 0, to: keys.count, by: Self.batch) {
            let part = Array(keys[start..<min(start + Self.batch, keys.count)])
            // An entry that expires in between refuses all; then one by one, and it fails its own deletion only.
            if try forget(part) { continue }
            for key in part { _ = try forget([key]) }
        }
    }

    /// False when one of them is gone.
    private func forget(_ keys: [String]) throws -> Bool {
        let nft = try context()
        var transaction = NftTransaction(ruleset.table)
        transaction.delete(keys, from: ProxyRules.affinity4.name)
        let wanted = transaction
        return try inside {
            do throws(NftError) { try nft.apply(wanted) } catch {
                if !error.isMissing { throw error }
                return false
            }
            return true
        }
    }

    private struct Remembered: Sendable {
        let key: String
        let id: UInt32
        let backend: Backend
    }

    private static func remembered(_ nft: NftContext, _ ruleset: NftRuleset) throws -> [Remembered] {
        try (nft.elements(of: ProxyRules.affinity4, in: ruleset.table) ?? []).compactMap { element in
            guard let mark = element.key.split(separator: " ").last.flatMap({ ProxyMark.parse($0) }),
                let backend = element.value.flatMap({ ProxyTable.backend($0) })
            else { return nil }
            return Remembered(key: element.key, id: ProxyMark.id(mark), backend: backend)
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

    /// nil when the table is not there or not ours as it must be.
    private static func read(_ nft: NftContext, _ ruleset: NftRuleset) throws -> ProxyTable.Contents? {
        guard let outline = try nft.outline(of: ruleset.table), ruleset.matches(outline) else { return nil }
        var contents: ProxyTable.Contents = [:]
        func add(_ map: ProxyMap) throws -> Bool {
            guard let elements = try nft.elements(of: map.declaration, in: ruleset.table) else { return false }
            contents[map] = Dictionary(elements.map { ($0.key, $0.value ?? "") }) { first, _ in first }
            return true
        }
        for map in ProxyMap.fixed { guard try add(map) else { return nil } }
        let additions = ProxyTable.additions(contents)
        guard additions.chains.allSatisfy({ outline.chains[$0.name] == $0.rules.count }) else { return nil }
        for isV6 in [false, true] {
            for count in (contents[.picks(isV6: isV6)] ?? [:]).keys.compactMap({ ProxyMark.parse($0) }) {
                guard try add(.endpoints(Int(count), isV6: isV6)) else { return nil }
            }
        }
        // A pick chain that nothing dispatches to: made anew with its map, it would be refused.
        let known = Set(ruleset.chains.map(\.name) + additions.chains.map(\.name))
        guard outline.chains.keys.allSatisfy({ known.contains($0) || $0.hasPrefix("stick_") }) else { return nil }
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

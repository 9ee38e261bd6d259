// Performs what ProxyTable plans: on one worker thread, with one libnftables context, in the node's namespace.
//
// A commit that fails leaves the value ahead of the kernel. What is in the kernel then stays in force: most failures
// (no memory, an interrupted call, a foreign hand) are of the moment.
//
//   refused  ->  read the kernel's elements and commit what differs, by halves where that is refused, too; a Service
//                that nft refuses by itself is left out, named, and tried again later
//   refused  ->  the table is made anew, by halves as well; nothing of the old one goes before something new is there
//
// Flows (StaleFlows) and remembered clients are tidied after a commit; what fails there stays noted until `tidy`
// succeeds.

import Kernel
import Logging
import Netlink
import Nftables
import System

/// @unchecked: touched only on ServiceProxy's worker thread.
final class ProxyEngine: @unchecked Sendable {
    private enum Remedy { case none, repair, replace }

    private let ruleset: NftRuleset
    private let namespace: SharedDescriptor?
    private let logger: Logger
    private var nft: NftContext?
    private var table = ProxyTable(contents: [:])
    private var trusted = false
    private var remedy = Remedy.none
    /// Goes ahead of the next commit: what makes the table.
    private var foundation = NftTransaction(ProxyRules.table)
    private var refusals = 0
    /// Services that nft refuses, and why. They have what they had before, or nothing.
    private(set) var leftOut: [String: String] = [:]
    private var untidyAffinity = false
    private var staleFlows: StaleFlows

    /// More elements in one buffer cost libnftables memory out of proportion (44,000 Services: 429 MB).
    static let batch = 1000
    /// When more Services than these are refused, it is not they who are wrong.
    static let maximumRefusals = 32
    /// - Parameters:
    ///   - ranges: the Service ranges. - own: addresses in them that this node answers itself (cluster DNS).
    ///   - openFlows: called in `namespace`, once.
    init(
        ranges: [CIDR], own: [IPAddress], namespace: SharedDescriptor?, logger: Logger,
        openFlows: @escaping @Sendable () throws -> any FlowTable = { try ConntrackSocket() }
    ) {
        ruleset = ProxyRules.ruleset(ranges: ranges, own: own)
        self.namespace = namespace
        self.logger = logger
        staleFlows = StaleFlows(ranges: ranges, logger: logger) { try Self.inside(namespace, openFlows) }
    }

    /// The kernel no longer has what we think: somebody else changed it.
    func distrust() { trusted = false }
    var needsAll: Bool { !trusted }

    /// Makes the kernel hold exactly `all`, but for those in `leftOut` afterwards. A table whose rules are as they must
    /// be stays in force and only elements that differ change; one of another version, or with rules missing, is
    /// replaced, in one commit if it is not huge.
    func reconcile(_ all: [String: ProxyService]) throws {
        let nft = try context()
        let contents = remedy == .replace ? nil : try inside { [ruleset] in try Self.read(nft, ruleset) }
        let remembered = contents == nil ? [] : try inside { [ruleset] in try Self.remembered(nft, ruleset) }
        table.adopt(contents ?? [:], remembered: Set(remembered.map(\.id)))
        foundation = contents == nil ? ruleset.replacement : NftTransaction(ruleset.table)
        leftOut = leftOut.filter { all[$0.key] != nil }
        do {
            try fill(all)
        } catch {
            remedy = remedy == .repair ? .replace : .repair
            throw error
        }
        trusted = true
        remedy = .none
        if contents == nil { staleFlows.noteNewTable() }
        // A failure is told and mended by whoever calls `tidy` afterwards.
        try? tidy()
    }

    private func fill(_ all: [String: ProxyService]) throws {
        refusals = 0
        let names = all.keys.sorted()
        if remedy != .none {
            for part in Self.parts(names) { try isolate(part, all) }
            return try perform(table.sweep())
        }
        for part in Self.parts(names.filter { leftOut[$0] == nil }) {
            var plan = table.apply(Dictionary(uniqueKeysWithValues: part.map { ($0, all[$0]) }))
            if !foundation.isEmpty {
                // Nothing can be under way in a table that is just being made.
                foundation.commands += plan.prepare.commands + plan.change.commands
                (plan.prepare, plan.change) = (foundation, NftTransaction(ruleset.table))
                foundation.commands = []
            }
            try perform(plan)
        }
        for name in names where leftOut[name] != nil { try isolate([name], all) }
        try perform(table.sweep())
    }

    /// At least one part, for a table without Services must be made, too.
    private static func parts(_ names: [String]) -> [ArraySlice<String>] {
        stride(from: 0, to: max(names.count, 1), by: batch).map { names[$0..<min($0 + batch, names.count)] }
    }

    /// - Returns: how many elements changed.
    @discardableResult
    func apply(_ changes: [String: ProxyService?]) throws -> Int {
        var count = 0
        refusals = 0
        do {
            for part in Self.parts(changes.keys.filter { leftOut[$0] == nil }.sorted()) {
                let plan = table.apply(Dictionary(uniqueKeysWithValues: part.map { ($0, changes[$0]!) }))
                try perform(plan)
                count += plan.prepare.elementCount + plan.change.elementCount
            }
            for name in changes.keys.filter({ leftOut[$0] != nil }).sorted() { try isolate([name], changes) }
        } catch {
            trusted = false
            if remedy == .none { remedy = .repair }
            throw error
        }
        try? tidy()
        return count
    }

    /// Deletes what nothing can want any more. To be repeated when it throws.
    func collect() throws {
        guard trusted else { return }
        do {
            try commit(table.collect())
        } catch {
            trusted = false
            if remedy == .none { remedy = .repair }
            throw error
        }
    }

    func teardown() throws {
        let nft = try context()
        _ = try inside { [ruleset] in try nft.delete(ruleset.table) }
        table = ProxyTable(contents: [:])
        trusted = false
    }

    // MARK: steps

    private func perform(_ plan: ProxyPlan) throws {
        // Before: what is to be tidied must be known even if this fails and another way leads to the same end.
        note(plan)
        try commit(plan.prepare)
        try commit(plan.change)
    }

    private func commit(_ transaction: NftTransaction) throws {
        if transaction.isEmpty { return }
        let nft = try context()
        try inside { try nft.apply(transaction) }
    }

    /// One commit for these; of a refused one its halves, down to the Services that nft refuses by themselves.
    private func isolate(_ names: ArraySlice<String>, _ wanted: [String: ProxyService?]) throws {
        let before = table
        let plan = table.apply(Dictionary(uniqueKeysWithValues: names.map { ($0, wanted[$0]!) }))
        var whole = foundation
        whole.commands += plan.prepare.commands + plan.change.commands
        do {
            try commit(whole)
        } catch let refusal as NftError {
            // All or nothing: the kernel is where it was.
            table = before
            guard names.count > 1 else {
                guard let name = names.first else { throw refusal }
                try leaveOut(name, refusal)
                return
            }
            let middle = names.startIndex + names.count / 2
            try isolate(names[..<middle], wanted)
            try isolate(names[middle...], wanted)
            return
        }
        foundation.commands = []
        for name in names { leftOut[name] = nil }
        note(plan)
    }

    private func leaveOut(_ name: String, _ refusal: NftError) throws {
        refusals += 1
        if refusals > Self.maximumRefusals { throw refusal }
        guard leftOut.updateValue(refusal.message, forKey: name) != refusal.message else { return }
        logger.error(
            "nft refuses a Service; it is left out and tried again",
            metadata: ["service": "\(name)", "error": "\(refusal)"])
    }

    // MARK: tidying

    private func note(_ plan: ProxyPlan) {
        if plan.endsAffinity { untidyAffinity = true }
        staleFlows.note(plan.staleUDP)
    }

    /// Ends what new flows are right without: clients and flows that are with departed backends. To be repeated when it
    /// throws.
    func tidy() throws {
        guard trusted else { return }
        var failure: (any Error)?
        if untidyAffinity {
            do {
                try endAffinity()
                untidyAffinity = false
            } catch {
                failure = error
            }
        }
        try staleFlows.end()
        if let failure { throw failure }
    }

    /// Forgets the clients that are remembered with a backend they may not stay with.
    private func endAffinity() throws {
        let nft = try context()
        let stale = try inside { [ruleset] in try Self.remembered(nft, ruleset) }.filter {
            !table.keeps($0.id, $0.backend)
        }
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
        // A pick chain or a map that nothing dispatches to: made anew, it would be refused.
        guard outline.sets.isSubset(of: (ruleset.sets + additions.sets).map(\.name)) else { return nil }
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
        try Self.inside(namespace, body)
    }

    private static func inside<T: Sendable>(
        _ namespace: SharedDescriptor?, _ body: @escaping @Sendable () throws -> T
    ) throws -> T {
        guard let namespace else { return try body() }
        return try NetworkNamespace.runBlocking(fd: namespace, body)
    }
}

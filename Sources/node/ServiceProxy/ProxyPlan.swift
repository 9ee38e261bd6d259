// What ProxyTable asks of the kernel: transactions, and what is to be tidied after them; and how one is put together.

import Nftables

struct ProxyPlan: Sendable {
    var prepare = NftTransaction(ProxyRules.table)
    var change = NftTransaction(ProxyRules.table)
    /// UDP frontends whose backends changed: flows to others must decide anew.
    var staleUDP: [UDPCheck] = []
    /// Remembered clients may be with a backend that is no longer theirs (`ProxyTable.keeps`).
    var endsAffinity = false

    var isEmpty: Bool { prepare.isEmpty && change.isEmpty }
}

/// How to tell a stale UDP flow.
struct UDPCheck: Hashable, Sendable {
    let frontend: Frontend
    let valid: Set<Backend>
    /// For node ports, where a foreign flow may have the same port: only those to these.
    let departed: Set<Backend>

    /// Whether a flow that goes to `backend` is to be ended.
    func isStale(_ backend: Backend) -> Bool {
        if case .nodePort = frontend { return departed.contains(backend) }
        return !valid.contains(backend)
    }

    /// With what an earlier check, that could not be done, knew of departed backends.
    func after(_ earlier: UDPCheck?) -> UDPCheck {
        guard let earlier else { return self }
        return UDPCheck(
            frontend: frontend, valid: valid, departed: departed.union(earlier.departed).subtracting(valid))
    }
}

/// Elements collected for one plan; nil removes.
struct Draft {
    enum Stage { case prepare, change }

    var prepare: [ProxyMap: [String: String?]] = [:]
    var change: [ProxyMap: [String: String?]] = [:]
    var sets: Set<NftSet> = []
    var chains: Set<NftChain> = []
    var staleUDP: [UDPCheck] = []
    var endsAffinity = false

    mutating func set(_ map: ProxyMap, _ key: String, _ value: String, in contents: ProxyTable.Contents, stage: Stage) {
        switch stage {
        case .prepare: if contents[map]?[key] != value { prepare[map, default: [:]][key] = value }
        case .change:
            // Also when it is there already: an earlier Service of this batch may have removed it.
            change[map, default: [:]][key] = value
        }
    }

    func finish(_ contents: inout ProxyTable.Contents) -> ProxyPlan {
        var plan = ProxyPlan()
        for set in sets.sorted(by: { $0.name < $1.name }) { plan.prepare.append(.addSet(set)) }
        for chain in chains.sorted(by: { $0.name < $1.name }) { plan.prepare.install(chain) }
        Self.write(prepare, to: &plan.prepare, &contents)
        Self.write(change, to: &plan.change, &contents)
        plan.staleUDP = staleUDP
        plan.endsAffinity = endsAffinity
        return plan
    }

    private static func write(
        _ elements: [ProxyMap: [String: String?]], to transaction: inout NftTransaction,
        _ contents: inout ProxyTable.Contents
    ) {
        for (map, wanted) in elements.sorted(by: { $0.key < $1.key }) {
            let present = contents[map] ?? [:]
            let differing = wanted.filter { present[$0.key] != $0.value }.sorted { $0.key < $1.key }
            // A map's element cannot be overwritten: out and in again, in one commit.
            transaction.delete(differing.filter { present[$0.key] != nil }.map(\.key), from: map.name)
            transaction.add(differing.compactMap { key, value in value.map { NftElement(key, $0) } }, to: map.name)
            for (key, value) in differing { contents[map, default: [:]][key] = value }
        }
    }
}

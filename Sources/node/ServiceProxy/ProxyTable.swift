// The Service table as a value: what the kernel's maps hold, who owns which element, and the smallest transactions that
// lead from there to what is wanted. No I/O; the engine performs what comes out.
//
// A commit is not atomic for a packet in flight: it may read a Service's mark before the commit and the endpoints
// after it. Therefore three steps, each a commit of its own:
//
//   prepare    new endpoints (and pick chains) under their (id, N); a slot whose pod changed is replaced in place
//   change     Services point at the new (id, N)
//   garbage    what nothing points at any more, a moment later
//
// Targets keep their id for life, and a backend that stays keeps its slot: one endpoint more costs N + 1 elements, one
// replaced costs one.

import Nftables
import System

struct ProxyTable: Sendable {
    /// Elements by map, as nft spells them.
    typealias Contents = [ProxyMap: [String: String]]

    private struct Assigned {
        var id: UInt32
        /// By slot; the count is N.
        var slots: [Backend]
        var affinity: Int?

        func map(isV6: Bool) -> ProxyMap { .endpoints(slots.count, isV6: isV6) }
    }

    private(set) var contents: Contents
    private var services: [String: ProxyService] = [:]
    private var owners: [Frontend: String] = [:]
    private var assigned: [String: Assigned] = [:]
    /// Ids of `assigned`, and those that the kernel may still know.
    private var usedIDs: Set<UInt32> = []
    private var assignedIDs: Set<UInt32> = []
    private var lastID: UInt32 = 0
    /// Targets with affinity: the backends that their clients may stay with, by id.
    private var affine: [UInt32: Set<Backend>] = [:]
    /// Elements to delete once nothing in flight can want them.
    private var garbage: [ProxyMap: Set<String>] = [:]

    init(contents: Contents) {
        self.contents = contents
        reserveIDs([])
    }

    // MARK: changes

    /// The plan for these Services; nil removes one. What it returns is taken as done: after a failed commit, `adopt`.
    mutating func apply(_ changes: [String: ProxyService?]) -> ProxyPlan {
        var plan = Draft()
        for (name, wanted) in changes.sorted(by: { $0.key < $1.key }) {
            change(name, to: wanted ?? ProxyService(), plan: &plan)
            services[name] = wanted
        }
        return plan.finish(&contents)
    }

    /// Starts from what the kernel really has: at start, after a failure, after somebody else's flush. `apply` with all
    /// Services comes next, then `sweep`.
    /// - Parameter remembered: ids that clients in the kernel are remembered under; no other target gets one of them.
    mutating func adopt(_ contents: Contents, remembered: Set<UInt32> = []) {
        self.contents = contents
        garbage = [:]
        reserveIDs(remembered)
    }

    /// Whether a client remembered under `id` may stay with `backend`.
    func keeps(_ id: UInt32, _ backend: Backend) -> Bool { affine[id]?.contains(backend) == true }

    /// After everything wanted has been applied: every element that nobody owns is garbage.
    mutating func sweep() -> ProxyPlan {
        var kept: [ProxyMap: Set<String>] = [:]
        for (frontend, owner) in owners {
            guard let target = services[owner]?.frontends[frontend] else { continue }
            let (map, key) = Self.element(frontend)
            kept[map, default: []].insert(key)
            if target.affinity != nil, let (map, key) = Self.affinityElement(frontend) {
                kept[map, default: []].insert(key)
            }
        }
        for target in assigned.values {
            for (slot, backend) in target.slots.enumerated() {
                kept[target.map(isV6: backend.address.isV6), default: []].insert(Self.slotKey(target, slot))
            }
            if target.affinity != nil { kept[.sticks, default: []].insert(ProxyMark.text(target.id << 12)) }
        }
        var plan = Draft()
        // Who was remembered before this process may be with a pod that left while nobody looked.
        plan.endsAffinity = true
        for map in ProxyMap.entries + [.sticks] {
            for (key, value) in contents[map] ?? [:] where kept[map]?.contains(key) != true {
                plan.change[map, default: [:]][key] = .some(nil)
                if let frontend = Self.frontend(map, key), let mark = ProxyMark.parse(value) {
                    noteUDP(frontend, from: Set(backends(of: mark, isV6: frontend.isV6)), to: [], plan: &plan)
                }
            }
        }
        for (map, elements) in contents where map.isEndpoints {
            for key in elements.keys where kept[map]?.contains(key) != true { garbage[map, default: []].insert(key) }
        }
        usedIDs = assignedIDs
        return plan.finish(&contents)
    }

    /// What is now safe to delete.
    mutating func collect() -> NftTransaction {
        var transaction = NftTransaction(ProxyRules.table)
        for (map, keys) in garbage.sorted(by: { $0.key < $1.key }) {
            let present = keys.filter { contents[map]?[$0] != nil }.sorted()
            transaction.delete(present, from: map.name)
            for key in present { contents[map]?[key] = nil }
        }
        garbage = [:]
        return transaction
    }

    var hasGarbage: Bool { !garbage.isEmpty }

    /// Sets and chains that must exist besides the fixed ones, for what is in the maps.
    static func additions(_ contents: Contents) -> (sets: [NftSet], chains: [NftChain]) {
        var sets: [NftSet] = []
        var chains: [NftChain] = []
        for isV6 in [false, true] {
            for count in (contents[.picks(isV6: isV6)] ?? [:]).keys.compactMap({ ProxyMark.parse($0) }).sorted() {
                sets.append(ProxyMap.endpoints(Int(count), isV6: isV6).declaration)
                chains.append(ProxyRules.pick(Int(count), isV6: isV6))
            }
        }
        let seconds = Set(
            (contents[.sticks] ?? [:]).values.compactMap { $0.split(separator: "_").last.flatMap { Int($0) } })
        return (sets, chains + seconds.sorted().map { ProxyRules.stick(seconds: $0) })
    }

    // MARK: one Service

    private mutating func change(_ name: String, to wanted: ProxyService, plan: inout Draft) {
        let old = services[name] ?? ProxyService()
        let oldTargets = old.targets
        // By target: what it had before this change, or in the kernel before this process.
        var earlier: [String: Set<Backend>] = [:]
        for target in wanted.targets.values.sorted(by: { $0.name < $1.name }) {
            earlier[target.name] = Set(place(target, wanted, plan: &plan))
        }
        for (frontend, target) in wanted.frontends {
            let mark = ProxyMark.make(id: assigned[target.name]!.id, count: target.backends.count)
            let (map, key) = Self.element(frontend)
            plan.set(map, key, ProxyMark.text(mark), in: contents, stage: .change)
            if let (map, key) = Self.affinityElement(frontend) {
                if target.affinity != nil {
                    let id = ProxyMark.make(id: ProxyMark.id(mark), count: 0)
                    plan.set(map, key, ProxyMark.text(id), in: contents, stage: .change)
                } else if contents[map]?[key] != nil {
                    plan.change[map, default: [:]][key] = .some(nil)
                }
            }
            owners[frontend] = name
            let before = old.frontends[frontend]
            if before?.backends != target.backends {
                let backends = earlier[target.name]!.union(before?.backends ?? [])
                noteUDP(frontend, from: backends, to: target.backends, plan: &plan)
            }
        }
        for (frontend, target) in old.frontends where wanted.frontends[frontend] == nil && owners[frontend] == name {
            owners[frontend] = nil
            let (map, key) = Self.element(frontend)
            plan.change[map, default: [:]][key] = .some(nil)
            if let (map, key) = Self.affinityElement(frontend), contents[map]?[key] != nil {
                plan.change[map, default: [:]][key] = .some(nil)
            }
            noteUDP(frontend, from: Set(target.backends), to: [], plan: &plan)
        }
        for target in oldTargets.values where wanted.targets[target.name] == nil { drop(target, plan: &plan) }
    }

    /// Gives a target its id and its backends their slots.
    /// - Returns: the backends that it had.
    private mutating func place(_ target: Target, _ service: ProxyService, plan: inout Draft) -> [Backend] {
        let before = assigned[target.name] ?? adopted(target, service)
        let id = before?.id ?? freshID()
        usedIDs.insert(id)
        assignedIDs.insert(id)
        let now = Assigned(
            id: id, slots: Self.arrange(target.backends, before: before?.slots ?? []), affinity: target.affinity)
        let map = now.map(isV6: target.isV6)
        for (slot, backend) in now.slots.enumerated() {
            let key = Self.slotKey(now, slot)
            garbage[map]?.remove(key)
            plan.set(map, key, backend.description, in: contents, stage: .prepare)
        }
        if let before {
            // With another N all old elements have other keys; with the same N they are the same ones.
            if before.slots.count != now.slots.count {
                let old = before.map(isV6: target.isV6)
                for slot in before.slots.indices { garbage[old, default: []].insert(Self.slotKey(before, slot)) }
            }
        }
        let count = now.slots.count
        let picks = ProxyMap.picks(isV6: target.isV6)
        if count > 0, contents[picks]?[ProxyMark.text(UInt32(count))] == nil {
            plan.sets.insert(map.declaration)
            plan.chains.insert(ProxyRules.pick(count, isV6: target.isV6))
            plan.set(
                picks, ProxyMark.text(UInt32(count)), "goto \(ProxyRules.pickName(count, isV6: target.isV6))",
                in: contents, stage: .prepare)
        }
        let key = ProxyMark.text(id << 12)
        affine[id] = target.affinity == nil ? nil : Set(now.slots)
        if let before, before.affinity != nil, !before.slots.allSatisfy({ keeps(id, $0) }) { plan.endsAffinity = true }
        if let seconds = target.affinity {
            // A target of this batch that had this id may have left.
            plan.change[.sticks]?.removeValue(forKey: key)
            plan.chains.insert(ProxyRules.stick(seconds: seconds))
            plan.set(.sticks, key, "jump \(ProxyRules.stickName(seconds))", in: contents, stage: .prepare)
        } else if before?.affinity != nil {
            // At once, not with the garbage: from here on nobody may be remembered.
            plan.change[.sticks, default: [:]][key] = .some(nil)
        }
        assigned[target.name] = now
        return before?.slots ?? []
    }

    private mutating func drop(_ target: Target, plan: inout Draft) {
        guard let gone = assigned.removeValue(forKey: target.name) else { return }
        usedIDs.remove(gone.id)
        assignedIDs.remove(gone.id)
        for slot in gone.slots.indices {
            garbage[gone.map(isV6: target.isV6), default: []].insert(Self.slotKey(gone, slot))
        }
        affine[gone.id] = nil
        if gone.affinity != nil {
            plan.change[.sticks, default: [:]][ProxyMark.text(gone.id << 12)] = .some(nil)
            plan.endsAffinity = true
        }
    }

    /// Backends that stay keep their slot if there still is one; the others fill the gaps.
    static func arrange(_ backends: [Backend], before: [Backend]) -> [Backend] {
        let wanted = Set(backends)
        var slots = [Backend?](repeating: nil, count: backends.count)
        var placed: Set<Backend> = []
        for (slot, backend) in before.enumerated() where slot < slots.count && wanted.contains(backend) {
            slots[slot] = backend
            placed.insert(backend)
        }
        var rest = backends.filter { !placed.contains($0) }.makeIterator()
        return slots.map { $0 ?? rest.next()! }
    }

    private func noteUDP(_ frontend: Frontend, from old: Set<Backend>, to new: [Backend], plan: inout Draft) {
        guard frontend.transport == .udp else { return }
        let valid = Set(new)
        plan.staleUDP.append(UDPCheck(frontend: frontend, valid: valid, departed: old.subtracting(valid)))
    }

    // MARK: ids

    /// What the kernel had for this target before this process knew it.
    private func adopted(_ target: Target, _ service: ProxyService) -> Assigned? {
        for (frontend, other) in service.frontends where other.name == target.name {
            let (map, key) = Self.element(frontend)
            guard let mark = contents[map]?[key].flatMap({ ProxyMark.parse($0) }), ProxyMark.id(mark) != 0,
                !assignedIDs.contains(ProxyMark.id(mark))
            else { continue }
            var found = Assigned(id: ProxyMark.id(mark), slots: backends(of: mark, isV6: target.isV6), affinity: nil)
            if found.slots.count != ProxyMark.count(mark) { continue }
            if contents[.sticks]?[ProxyMark.text(found.id << 12)] != nil { found.affinity = target.affinity ?? 0 }
            return found
        }
        return nil
    }

    /// By slot; fewer than the mark counts when elements are missing.
    private func backends(of mark: UInt32, isV6: Bool) -> [Backend] {
        let elements = contents[.endpoints(ProxyMark.count(mark), isV6: isV6)] ?? [:]
        return (0..<ProxyMark.count(mark)).compactMap { slot in
            elements["\(ProxyMark.text(mark)) . \(slot)"].flatMap(Self.backend)
        }
    }

    private mutating func freshID() -> UInt32 {
        // Round and round: an id comes back as late as possible.
        repeat { lastID = lastID % ProxyMark.maximumID + 1 } while usedIDs.contains(lastID)
        return lastID
    }

    /// Until the sweep, no id that the kernel knows is given to another target.
    private mutating func reserveIDs(_ remembered: Set<UInt32>) {
        usedIDs = assignedIDs.union(remembered)
        for map in [ProxyMap.services4, .services6, .nodeports4, .nodeports6] {
            for mark in (contents[map] ?? [:]).values.compactMap({ ProxyMark.parse($0) }) {
                usedIDs.insert(ProxyMark.id(mark))
            }
        }
        for (map, elements) in contents where map.isEndpoints {
            for key in elements.keys {
                if let mark = key.split(separator: " ").first.flatMap({ ProxyMark.parse($0) }) {
                    usedIDs.insert(ProxyMark.id(mark))
                }
            }
        }
        // A new process continues the round.
        if lastID == 0 { lastID = usedIDs.max() ?? 0 }
    }

    // MARK: spelling

    private static func element(_ frontend: Frontend) -> (ProxyMap, String) {
        switch frontend {
        case .address(let address, let transport, let port):
            (.services(isV6: address.isV6), "\(address) . \(transport.rawValue) . \(port)")
        case .nodePort(let isV6, let transport, let port):
            (.nodeports(isV6: isV6), "\(transport.rawValue) . \(port)")
        }
    }

    /// The other way; nil for a map without frontends.
    private static func frontend(_ map: ProxyMap, _ key: String) -> Frontend? {
        let parts = key.split(separator: " ").filter { $0 != "." }
        guard parts.count >= 2, let port = UInt16(parts[parts.count - 1]),
            let transport = UInt8(parts[parts.count - 2]).flatMap({ TransportProtocol(rawValue: $0) })
        else { return nil }
        switch map {
        case .services4, .services6: return IPAddress(parts[0]).map { .address($0, transport, port: port) }
        case .nodeports4, .nodeports6: return .nodePort(isV6: map == .nodeports6, transport, port: port)
        default: return nil
        }
    }

    /// Where a client that is remembered looks; nil where there is no affinity (IPv6).
    private static func affinityElement(_ frontend: Frontend) -> (ProxyMap, String)? {
        if frontend.isV6 { return nil }
        let (map, key) = element(frontend)
        return (map == .services4 ? .affine4 : .affineports4, key)
    }

    private static func slotKey(_ target: Assigned, _ slot: Int) -> String {
        "\(ProxyMark.text(ProxyMark.make(id: target.id, count: target.slots.count))) . \(slot)"
    }

    static func backend(_ text: String) -> Backend? {
        let parts = text.split(separator: " ")
        guard parts.count == 3, let address = IPAddress(parts[0]), let port = UInt16(parts[2]) else { return nil }
        return Backend(address: address, port: port)
    }
}

// What the objects of each namespace with a ResourceQuota use up, kept exact with every change, and what writes that
// are under way have reserved on top: so that sixteen creates at once never exceed a quota together.
//
//   admission ──reserve──> reserved ──(the store's change shows the object)──> used
//                             └─────(the write failed: release)──> nothing
//
// A reservation turns into usage within one step under the lock, found by the object's uid: never counted twice, never
// not at all. Namespaces without a quota cost a flag's look. `used` changes on the store's writer thread only.

internal import Client
internal import Objects
internal import Synchronization

final class QuotaLedger: Sendable {
    private struct Quota {
        let hard: ResourceAmounts
        let scopes: QuotaScopes
        var used: ResourceAmounts
        var reserved: ResourceAmounts = [:]
    }

    /// An object of a measured kind: what it uses, and in which quotas it counts.
    struct Item {
        let usage: ResourceAmounts
        let quotas: Set<String>
    }

    private struct Reservation {
        let uid: String
        let amounts: [String: ResourceAmounts]
    }

    private struct Space {
        var quotas: [String: Quota] = [:]
        var items: [ResourceID: [String: Item]] = [:]
        var reservations: [UInt64: Reservation] = [:]
    }

    private struct State {
        var spaces: [String: Space] = [:]
        var lastReservation: UInt64 = 0
        var dirty: Set<ObjectKey> = []
    }

    private let state = Mutex(State())
    private let tracked = Atomic<Int>(0)
    /// Yields when usage changed; `takeDirty` says whose.
    let changes: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    init() { (changes, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    /// Whether a namespace has a quota.
    func tracks(_ namespace: String) -> Bool {
        tracked.load(ordering: .relaxed) > 0 && state.withLock { $0.spaces[namespace] != nil }
    }

    // MARK: - Asking (admission)

    /// Why a write is refused.
    enum Refusal: Equatable {
        case exceeded(quota: String, requested: ResourceAmounts, used: ResourceAmounts, hard: ResourceAmounts)
        case incomplete(quota: String, String)

        var text: String {
            switch self {
            case .exceeded(let quota, let requested, let used, let hard):
                "exceeded quota: \(quota), requested: \(requested.text), used: \(used.text), limited: \(hard.text)"
            case .incomplete(let quota, let what): "failed quota: \(quota): \(what)"
            }
        }
    }

    enum Verdict {
        /// Go on; release the reservation, if there is one, when the write is over.
        case fine(reservation: UInt64?)
        case refused(Refusal)
    }

    /// Reserves what a write adds; a dry run only asks.
    func reserve(
        _ id: ResourceID, _ namespace: String, _ new: JSON, old: JSON?, dryRun: Bool
    ) -> Verdict {
        let quotas = state.withLock { $0.spaces[namespace]?.quotas ?? [:] }.sorted { $0.key < $1.key }
        let usage = QuotaUsage.of(id, new)
        let before = old.map { QuotaUsage.of(id, $0) } ?? [:]
        var wanted: [(quota: String, delta: ResourceAmounts)] = []
        for (name, quota) in quotas where quota.scopes.match(id, new) {
            if id == .pods, old == nil, let what = QuotaUsage.missing(new, hard: quota.hard.keys) {
                return .refused(.incomplete(quota: name, what))
            }
            let counted = old.map { quota.scopes.match(id, $0) } ?? false
            let delta = usage.masked(quota.hard.keys).subtracting(counted ? before.masked(usage.keys) : [:])
                .filter { quota.hard[$0.key] != nil && $0.value > .zero }
            if !delta.isEmpty { wanted.append((name, delta)) }
        }
        guard !wanted.isEmpty else { return .fine(reservation: nil) }
        let uid = new.at("metadata", "uid")?.string ?? ""
        return state.withLock { state in
            guard var space = state.spaces[namespace] else { return .fine(reservation: nil) }
            for (name, delta) in wanted {
                guard let quota = space.quotas[name] else { continue }
                let taken = quota.used.adding(quota.reserved)
                let exceeded = delta.filter { (taken[$0.key] ?? .zero) + $0.value > quota.hard[$0.key] ?? .zero }
                guard exceeded.isEmpty else {
                    var used: ResourceAmounts = [:]
                    for name in exceeded.keys { used[name] = taken[name] ?? .zero }
                    return .refused(
                        .exceeded(
                            quota: name, requested: exceeded, used: used, hard: quota.hard.masked(exceeded.keys)))
                }
            }
            if dryRun { return .fine(reservation: nil) }
            for (name, delta) in wanted {
                guard let reserved = space.quotas[name]?.reserved else { continue }
                space.quotas[name]?.reserved = reserved.adding(delta)
            }
            state.lastReservation += 1
            space.reservations[state.lastReservation] = Reservation(
                uid: uid, amounts: Dictionary(wanted.map { ($0.quota, $0.delta) }) { first, _ in first })
            state.spaces[namespace] = space
            return .fine(reservation: state.lastReservation)
        }
    }

    /// The write is over. Nothing happens when its object was seen meanwhile.
    func release(_ reservation: UInt64, _ namespace: String) {
        state.withLock { state in
            guard var space = state.spaces[namespace] else { return }
            QuotaLedger.drop(reservation, &space)
            state.spaces[namespace] = space
        }
    }

    private static func drop(_ id: UInt64, _ space: inout Space) {
        guard let reservation = space.reservations.removeValue(forKey: id) else { return }
        for (name, amounts) in reservation.amounts {
            guard let quota = space.quotas[name] else { continue }
            space.quotas[name]?.reserved = quota.reserved.subtracting(amounts).filter { $0.value > .zero }
        }
    }

    // MARK: - Following (the store's writer thread)

    /// An object of a measured kind came or changed (`new`) or went.
    func observe(_ id: ResourceID, _ key: ObjectKey, _ new: JSON?) {
        state.withLock { state in
            guard var space = state.spaces[key.namespace] else { return }
            let old = space.items[id]?[key.name]
            let item = new.map { QuotaLedger.item(id, $0, space.quotas.mapValues(\.scopes)) }
            space.items[id, default: [:]][key.name] = item
            if let uid = new?.at("metadata", "uid")?.string { QuotaLedger.settle(uid, &space) }
            for name in (old?.quotas ?? []).union(item?.quotas ?? []) {
                guard var quota = space.quotas[name] else { continue }
                let before = old.flatMap { $0.quotas.contains(name) ? $0.usage.masked(quota.hard.keys) : nil } ?? [:]
                let after = item.flatMap { $0.quotas.contains(name) ? $0.usage.masked(quota.hard.keys) : nil } ?? [:]
                guard before != after else { continue }
                quota.used = quota.used.adding(after).subtracting(before)
                space.quotas[name] = quota
                state.dirty.insert(ObjectKey(namespace: key.namespace, name: name))
            }
            state.spaces[key.namespace] = space
        }
        signal.yield()
    }

    /// An object of any other kind came (1) or went (-1).
    func count(_ id: ResourceID, _ namespace: String, _ step: Int64, uid: String?) {
        state.withLock { state in
            guard var space = state.spaces[namespace] else { return }
            if let uid { QuotaLedger.settle(uid, &space) }
            for (name, quota) in space.quotas where quota.scopes.isEmpty {
                for counted in QuotaUsage.countNames(id) where quota.hard[counted] != nil {
                    let sum = (quota.used[counted] ?? .zero) + Quantity(step)
                    space.quotas[name]?.used[counted] = sum
                    state.dirty.insert(ObjectKey(namespace: namespace, name: name))
                }
            }
            state.spaces[namespace] = space
        }
        signal.yield()
    }

    /// What was reserved for this object is in use now.
    private static func settle(_ uid: String, _ space: inout Space) {
        for (id, reservation) in space.reservations where reservation.uid == uid { drop(id, &space) }
    }

    static func item(_ id: ResourceID, _ object: JSON, _ scopes: [String: QuotaScopes]) -> Item {
        Item(
            usage: QuotaUsage.of(id, object),
            quotas: Set(scopes.filter { $0.value.match(id, object) }.keys))
    }

    /// A namespace's quotas are these now: made anew from all its objects.
    /// - Parameter specs: by name; empty when the namespace has none any more.
    /// - Parameter objects: the namespace's objects of a measured kind, by name.
    /// - Parameter counts: how many objects there are, by the names they count under.
    func rebuild(
        _ namespace: String, _ specs: [String: JSON], objects: (ResourceID) -> [String: JSON],
        counts: (Set<String>) -> [String: Int]
    ) {
        let scopes = specs.mapValues { QuotaScopes($0) }
        let hard = specs.mapValues { ResourceAmounts($0["hard"]) }
        var space = Space()
        if !specs.isEmpty {
            for id in QuotaUsage.measured {
                space.items[id] = objects(id).mapValues { QuotaLedger.item(id, $0, scopes) }
            }
        }
        let plain = specs.isEmpty ? [:] : counts(Set(hard.values.flatMap(\.keys)))
        for (name, limits) in hard {
            var used: ResourceAmounts = [:]
            for item in space.items.values.flatMap(\.values) where item.quotas.contains(name) {
                used = used.adding(item.usage.masked(limits.keys))
            }
            if scopes[name]?.isEmpty == true {
                for (counted, number) in plain where limits[counted] != nil { used[counted] = Quantity(Int64(number)) }
            }
            space.quotas[name] = Quota(hard: limits, scopes: scopes[name] ?? QuotaScopes(nil), used: used)
        }
        state.withLock { state in
            let old = state.spaces[namespace]
            space.reservations = old?.reservations ?? [:]
            for name in space.quotas.keys {
                space.quotas[name]?.reserved = old?.quotas[name]?.reserved ?? [:]
                state.dirty.insert(ObjectKey(namespace: namespace, name: name))
            }
            state.spaces[namespace] = specs.isEmpty ? nil : space
            tracked.store(state.spaces.count, ordering: .relaxed)
        }
        signal.yield()
    }

    // MARK: - Reporting

    /// The quotas whose usage changed since the last call.
    func takeDirty() -> [ObjectKey] {
        state.withLock { state in
            defer { state.dirty = [] }
            return state.dirty.sorted()
        }
    }

    /// These are to be reported again.
    func mark(_ keys: [ObjectKey]) {
        state.withLock { $0.dirty.formUnion(keys) }
        signal.yield()
    }

    /// What a quota's status says: nil when there is no such quota.
    func status(_ key: ObjectKey) -> (hard: ResourceAmounts, used: ResourceAmounts)? {
        state.withLock { state in
            guard let quota = state.spaces[key.namespace]?.quotas[key.name] else { return nil }
            var used = quota.used.masked(quota.hard.keys)
            for name in quota.hard.keys where used[name] == nil { used[name] = .zero }
            return (quota.hard, used)
        }
    }
}

// Who owns whom across all resources, as a plain value (metadata.ownerReferences, by uid).
//
// Objects without owners that are not going, which are most of a cluster's, are not in it: there is nothing to collect
// about them, and as owners the API knows them.

import Client
import Objects

/// An object of any resource.
struct ObjectID: Hashable, Sendable, CustomStringConvertible {
    let resource: ResourceID
    let key: ObjectKey
    let uid: String

    var description: String { "\(resource.groupResource)/\(key)" }
}

struct OwnerGraph {
    struct Owner: Hashable {
        let uid: String
        let apiVersion: String
        let kind: String
        let name: String
        let blocks: Bool
    }

    struct Node {
        let id: ObjectID
        let owners: [Owner]
        let deleting: Bool
        let finalizers: [String]

        /// It goes in the foreground: after its dependents.
        var isDeletingDependents: Bool { deleting && finalizers.contains("foregroundDeletion") }
    }

    private(set) var nodes: [String: Node] = [:]
    private var dependents: [String: Set<String>] = [:]

    init() {}

    /// Takes in a change as an informer tells it: no `old` is new, no `new` is gone, another uid is both, because after
    /// a gap in the watch an object may have been deleted and made again by its name, its end never told.
    /// - Returns: the uids that there may be something to do about now.
    mutating func change(_ resource: ResourceID, _ old: JSON?, _ new: JSON?) -> [String] {
        func uid(_ object: JSON?) -> String? { object?["metadata"]?["uid"]?.string }
        var affected: [String] = []
        // Its going frees its dependents, and may be what an owner waits for.
        if let gone = uid(old), gone != uid(new) {
            affected = dependents(of: gone).map(\.id.uid) + owners(of: gone)
            remove(gone)
        }
        guard let new, let present = uid(new) else { return affected }
        // So may its changing. By itself it only asks for work when it is in the graph: most objects are not, and are
        // written all the time.
        affected += owners(of: present)
        set(resource, new)
        if nodes[present] != nil { affected.append(present) }
        return affected
    }

    private func owners(of uid: String) -> [String] { nodes[uid]?.owners.map(\.uid) ?? [] }

    mutating func set(_ resource: ResourceID, _ object: JSON) {
        let metadata = object["metadata"]
        guard let uid = metadata?["uid"]?.string else { return }
        remove(uid)
        let owners = (metadata?["ownerReferences"]?.array ?? []).map { reference in
            Owner(
                uid: reference["uid"]?.string ?? "", apiVersion: reference["apiVersion"]?.string ?? "",
                kind: reference["kind"]?.string ?? "", name: reference["name"]?.string ?? "",
                blocks: reference["blockOwnerDeletion"]?.bool ?? false)
        }
        let deleting = metadata?["deletionTimestamp"] != nil
        guard deleting || !owners.isEmpty else { return }
        for owner in owners { dependents[owner.uid, default: []].insert(uid) }
        nodes[uid] = Node(
            id: ObjectID(resource: resource, key: ObjectKey(object), uid: uid), owners: owners,
            deleting: deleting, finalizers: metadata?["finalizers"]?.strings ?? [])
    }

    mutating func remove(_ uid: String) {
        guard let node = nodes.removeValue(forKey: uid) else { return }
        for owner in node.owners {
            dependents[owner.uid]?.remove(uid)
            if dependents[owner.uid]?.isEmpty == true { dependents[owner.uid] = nil }
        }
    }

    /// Forgets every object of a resource that is gone.
    mutating func remove(all resource: ResourceID) {
        for uid in nodes.values.filter({ $0.id.resource == resource }).map(\.id.uid) { remove(uid) }
    }

    /// Whether an owner that goes in the foreground has to wait for a dependent. Owners in a circle would wait for each
    /// other for ever: a dependent that waits, over whatever detours, for its own owner is not waited for.
    func isBlocked(_ uid: String) -> Bool {
        (dependents[uid] ?? []).contains { blocks($0, uid) && !waits($0, for: uid) }
    }

    private func blocks(_ dependent: String, _ owner: String) -> Bool {
        nodes[dependent]?.owners.contains { $0.uid == owner && $0.blocks } ?? false
    }

    private func waits(_ uid: String, for owner: String) -> Bool {
        var seen: Set<String> = []
        var waiting = [uid]
        while let next = waiting.popLast() {
            guard next != owner else { return true }
            guard nodes[next]?.isDeletingDependents == true, seen.insert(next).inserted else { continue }
            waiting += (dependents[next] ?? []).filter { blocks($0, next) }
        }
        return false
    }

    func dependents(of uid: String) -> [Node] { (dependents[uid] ?? []).sorted().compactMap { nodes[$0] } }
}

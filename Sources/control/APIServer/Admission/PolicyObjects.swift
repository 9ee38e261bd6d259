// The few small objects that admission asks about on many requests, kept as trees: limit ranges, classes.
//
// The caches hold bytes; parsing a LimitRange or all StorageClasses for every pod or claim would cost more than the
// rest of its write. There are few of them, so their trees are kept, changed on the store's writer thread.

internal import Objects
internal import Synchronization

final class PolicyObjects: Sendable {
    static let kept: Set<ResourceID> = [
        .limitRanges, .priorityClasses, .storageClasses, .ingressClasses, .runtimeClasses,
    ]

    private struct Place: Hashable {
        let resource: ResourceID
        let namespace: String
    }

    private let objects = Mutex<[Place: [String: JSON]]>([:])

    /// An object came, changed (`new`) or went (nil).
    func observe(_ id: ResourceID, namespace: String, name: String, _ new: JSON?) {
        let place = Place(resource: id, namespace: namespace)
        objects.withLock { objects in
            objects[place, default: [:]][name] = new
            if objects[place]?.isEmpty == true { objects[place] = nil }
        }
    }

    func find(_ id: ResourceID, namespace: String = "", name: String) -> JSON? {
        objects.withLock { $0[Place(resource: id, namespace: namespace)]?[name] }
    }

    /// Those of a namespace, in the order of their names.
    func all(_ id: ResourceID, namespace: String = "") -> [JSON] {
        let found = objects.withLock { $0[Place(resource: id, namespace: namespace)] ?? [:] }
        return found.count < 2 ? Array(found.values) : found.sorted { $0.key < $1.key }.map(\.value)
    }

    /// Whether a namespace has any; cheaper than `all`.
    func hasAny(_ id: ResourceID, namespace: String = "") -> Bool {
        objects.withLock { $0[Place(resource: id, namespace: namespace)] != nil }
    }

    /// The default class of a kind: of those that carry the annotation, the youngest, then the first by name.
    func defaultClass(_ id: ResourceID, annotations: [String]) -> JSON? {
        all(id).filter { object in
            annotations.contains { object.at("metadata", "annotations", $0)?.string == "true" }
        }.max { left, right in
            let a = left.at("metadata", "creationTimestamp")?.string ?? ""
            let b = right.at("metadata", "creationTimestamp")?.string ?? ""
            // `max` wants "left comes before right": of two of the same age the first name wins.
            return a != b
                ? a < b
                : (left.at("metadata", "name")?.string ?? "") > (right.at("metadata", "name")?.string ?? "")
        }
    }
}

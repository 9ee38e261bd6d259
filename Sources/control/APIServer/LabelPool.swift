// The labels of a hundred thousand pods are a few hundred different sets: equal ones share a dictionary, which saves a
// quarter of a kilobyte an object. A small table that forgets; what it misses is merely not shared.

internal import Synchronization

final class LabelPool: Sendable {
    private static let slots = 256
    private let known = Mutex<[[String: String]]>(Array(repeating: [:], count: LabelPool.slots))

    func shared(_ labels: [String: String]) -> [String: String] {
        if labels.isEmpty { return [:] }
        let slot = Int(UInt(bitPattern: labels.hashValue) % UInt(LabelPool.slots))
        return known.withLock { known in
            if known[slot] != labels { known[slot] = labels }
            return known[slot]
        }
    }
}

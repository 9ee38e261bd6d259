// What of the node's CPU and memory a resize may take. An answer is a reservation: the amounts count until the pod's
// worker has them among what it holds or gave up, or two pods that fit one by one would both be let in.
//
// What pods hold is asked of their workers one after the other, and meanwhile anything may happen. So who asks notes
// `version` first and asks again when it has changed: then a reservation or a pod may have come or gone unseen.

import System

struct NodeRoom {
    /// Milli-CPUs and bytes for pods.
    struct Capacity {
        var cpu: Int64
        var memory: Int64
    }

    /// What one resize may take, until it is given to `release`.
    struct Reservation: Hashable, Sendable {
        let uid: String
        fileprivate let number: Int
    }

    enum Answer: Hashable, Sendable {
        case reserved(Reservation)
        case refused(ResizeRefusal)
    }

    /// The latest of each pod: a pod's next resize may have begun before the last one is released.
    private var reserved: [String: (number: Int, amounts: ContainerResources)] = [:]
    /// Grows with everything that makes a reading of the pods stale.
    private(set) var version = 0

    /// - Parameter held: what pods hold, by uid, read since `version` had the value it has.
    /// - Returns: a reservation when `wanted` fits beside the others.
    mutating func reserve(
        _ uid: String, _ wanted: ContainerResources, held: [String: ContainerResources], of capacity: Capacity
    ) -> Answer {
        func used(_ path: KeyPath<ContainerResources, Int64?>) -> Int64 {
            Set(held.keys).union(reserved.keys).subtracting([uid]).reduce(0) { sum, other in
                // While a resize goes on, the larger of both: what shrinks has not given anything back yet.
                sum.addingSaturated(max(held[other]?[keyPath: path] ?? 0, reserved[other]?.amounts[keyPath: path] ?? 0))
            }
        }
        let asked = [
            ("cpu", wanted.cpuRequest ?? 0, used(\.cpuRequest), capacity.cpu),
            ("memory", wanted.memoryRequest ?? 0, used(\.memoryRequest), capacity.memory),
        ]
        for (name, request, _, capacity) in asked where request > capacity {
            return .refused(
                ResizeRefusal(
                    isFinal: true,
                    message: "Node didn't have enough capacity: \(name), requested: \(request), capacity: \(capacity)"))
        }
        for (name, request, used, capacity) in asked where request.addingSaturated(used) > capacity {
            return .refused(
                ResizeRefusal(
                    isFinal: false,
                    message: "Node didn't have enough resource: \(name), requested: \(request), used: \(used), "
                        + "capacity: \(capacity)"))
        }
        version += 1
        reserved[uid] = (version, wanted)
        return .reserved(Reservation(uid: uid, number: version))
    }

    /// The pod's worker holds what was reserved, or does not want it any more.
    mutating func release(_ reservation: Reservation) {
        guard reserved[reservation.uid]?.number == reservation.number else { return }
        reserved[reservation.uid] = nil
        version += 1
    }

    mutating func podsChanged() { version += 1 }
}

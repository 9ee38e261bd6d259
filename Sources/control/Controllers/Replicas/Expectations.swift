// What a controller has done and its informer has not shown yet.

import Client
import Synchronization

/// Pods under way, by the owner that waits for them.
final class Expectations: Sendable {
    /// An informer that shows nothing for this long is taken to have missed it; the controller looks again.
    private static let patience = Duration.seconds(300)

    private struct Pending {
        var creating: Set<ObjectKey> = []
        var deleting: Set<ObjectKey> = []
        var since = ContinuousClock.now
        var isEmpty: Bool { creating.isEmpty && deleting.isEmpty }
    }

    private let pending = Mutex<[ObjectKey: Pending]>([:])

    func creating(_ pod: ObjectKey, for owner: ObjectKey) {
        pending.withLock { pending in
            pending[owner, default: Pending()].creating.insert(pod)
            pending[owner]?.since = .now
        }
    }

    func deleting(_ pod: ObjectKey, for owner: ObjectKey) {
        pending.withLock { pending in
            pending[owner, default: Pending()].deleting.insert(pod)
            pending[owner]?.since = .now
        }
    }

    /// The informer showed the pod, or the write failed and it never will.
    func saw(_ pod: ObjectKey, of owner: ObjectKey, gone: Bool) {
        pending.withLock { pending in
            pending[owner]?.creating.remove(pod)
            if gone { pending[owner]?.deleting.remove(pod) }
            if pending[owner]?.isEmpty == true { pending[owner] = nil }
        }
    }

    func forget(_ owner: ObjectKey) { pending.withLock { $0[owner] = nil } }

    /// How much longer `owner` should wait; nil when nothing is under way.
    func pending(_ owner: ObjectKey) -> Duration? {
        pending.withLock { pending in
            guard let entry = pending[owner] else { return nil }
            let left = Self.patience - entry.since.duration(to: .now)
            if left > .zero { return left }
            pending[owner] = nil
            return nil
        }
    }
}

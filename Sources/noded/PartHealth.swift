// Which parts of the control plane are at work, for componentstatuses: a part is well from when it begins to when it
// returns, and none of them returns before it is cancelled.

import APIServer
import Synchronization

final class PartHealth: Sendable {
    private let working = Mutex<Set<String>>([])

    /// A check by which the API shows the part.
    func check(_ name: String) -> HealthCheck {
        HealthCheck(name: name) { self.working.withLock { $0.contains(name) } ? nil : "the \(name) does not run" }
    }

    func run(_ name: String, _ part: () async -> Void) async {
        working.withLock { _ = $0.insert(name) }
        await part()
        working.withLock { _ = $0.remove(name) }
    }
}

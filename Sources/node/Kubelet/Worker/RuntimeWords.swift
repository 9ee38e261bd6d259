// What the runtime says of a sandbox and its containers, in the words of the pod's machine. Pure: nothing is asked,
// nothing can fail.

import Containers
import System

extension RecoveredPod {
    /// - Parameters:
    ///   - sandbox: outlived the last noded. Of each name the latest container counts, one that was never started not.
    ///   - addresses: see `addresses`.
    init(_ sandbox: SandboxStatus, addresses: [String]?) {
        let latest = Dictionary(grouping: sandbox.containers.filter(\.wasStarted), by: \.name).values
            .compactMap { items in items.max { $0.attempt < $1.attempt } }
        self.init(addresses: addresses, containers: latest.compactMap(RecoveredContainer.init))
    }
}

extension RecoveredContainer {
    /// nil: it was never started.
    init?(_ status: ContainerStatus) {
        let (startedAt, termination): (Timestamp?, Termination?)
        switch status.state {
        case .created: return nil
        case .running(_, let at): (startedAt, termination) = (at, nil)
        case .exited(let end): (startedAt, termination) = (end.startedAt, Termination(end, id: status.id))
        }
        self.init(
            name: status.name, id: status.id, attempt: status.attempt, image: status.image, startedAt: startedAt,
            termination: termination)
    }
}

extension Termination {
    init(_ status: ExitStatus, id: String) {
        self.init(
            exitCode: Int(status.code), signal: Int(status.signal ?? 0), reason: status.oomKilled ? "OOMKilled" : nil,
            message: status.message ?? "", startedAt: status.startedAt, finishedAt: status.finishedAt, containerID: id)
    }
}

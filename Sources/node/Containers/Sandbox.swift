// One sandbox as noded holds it: its supervisor's line, its process, and what is known of its containers.
//
// A plain holder; `PodRuntime` (an actor) is its only user.

import Cgroups
import Kernel
import SupervisorProtocol
import System

final class Sandbox {
    var record: SandboxRecord
    let connection: SupervisorConnection
    let process: ProcessHandle
    var reader: Task<Void, Never>?
    var createdAt: Timestamp
    /// In the order of their start.
    var containers: [Container] = []
    /// Asked to go: its end is no surprise.
    var leaving = false
    /// Ends told before the supervisor's list of containers was taken over; nil once it was.
    var early: [String: ContainerReport]? = [:]

    init(record: SandboxRecord, connection: SupervisorConnection, process: ProcessHandle, createdAt: Timestamp) {
        self.record = record
        self.connection = connection
        self.process = process
        self.createdAt = createdAt
    }

    func container(_ id: String) -> Container? { containers.first { $0.id == id } }

    /// Nothing more will be heard of the containers: whoever waits for one goes on.
    func abandonWaiters() {
        let uid = record.uid
        for container in containers {
            container.over.set(.failure(ContainersError.supervisor(uid: uid, "it has gone")))
        }
    }

    var status: SandboxStatus {
        SandboxStatus(
            uid: record.uid, name: record.name, namespace: record.namespace, supervisorPID: process.pid,
            ownsNetwork: record.ownsNetwork, createdAt: createdAt, labels: record.labels,
            annotations: record.annotations, logDirectory: record.logDirectory,
            containers: containers.map(\.status), unenforced: record.unenforced)
    }
}

final class Container {
    let id: String
    let record: ContainerRecord
    var state: ContainerState
    /// Set when the container has ended, or failed when its supervisor has gone.
    let over = Outcome<Void>()

    init(id: String, record: ContainerRecord, state: ContainerState) {
        self.id = id
        self.record = record
        self.state = state
    }

    var hasEnded: Bool {
        if case .exited = state { return true }
        return false
    }

    var status: ContainerStatus {
        ContainerStatus(
            id: id, name: record.name, attempt: record.attempt, state: state, image: record.image,
            logPath: record.logPath, labels: record.labels, annotations: record.annotations,
            unenforced: record.unenforced)
    }
}

extension Timestamp {
    /// From the supervisor's nanoseconds since 1970.
    init(nanosecondsSince1970 value: Int64) {
        self.init(seconds: value / 1_000_000_000, nanoseconds: Int32(value % 1_000_000_000))
    }
}

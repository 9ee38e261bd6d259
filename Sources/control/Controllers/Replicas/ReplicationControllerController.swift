// ReplicationController (core/v1): see ReplicaLoop.

import Client
import Objects

struct ReplicationControllerController: Controller {
    static let name = "replication-controller"
    private let loop: ReplicaLoop

    init(_ context: ControllerContext) { loop = ReplicaLoop(.replicationController, name: Self.name, context) }

    func run() async { await loop.run() }
}

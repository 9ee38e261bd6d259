// ReplicaSet (apps/v1): see ReplicaLoop.

import Client
import Objects

struct ReplicaSetController: Controller {
    static let name = "replicaset-controller"
    private let loop: ReplicaLoop

    init(_ context: ControllerContext) { loop = ReplicaLoop(.replicaSet, name: Self.name, context) }

    func run() async { await loop.run() }
}

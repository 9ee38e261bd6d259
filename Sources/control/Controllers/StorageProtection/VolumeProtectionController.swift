// Takes the finalizer kubernetes.io/pv-protection off a volume that is to go and is not bound to a claim, and puts it
// on one that lacks it.

import Client
import Logging
import Objects
import Reconcile

struct VolumeProtectionController: Controller {
    static let name = "pv-protection-controller"
    static let finalizer = "kubernetes.io/pv-protection"

    private let client: any APIClient
    private let volumes: ObjectLoop

    init(_ context: ControllerContext) {
        client = context.client
        volumes = ObjectLoop(Self.self, .persistentVolumes, context)
    }

    func run() async { await volumes.run(when: { Finalizers.needsWork($0, Self.finalizer) }, reconcile) }

    private func reconcile(_ volume: JSON) async throws -> Outcome {
        let isLeaving = volume["metadata"]?["deletionTimestamp"] != nil
        if isLeaving, volume["status"]?["phase"]?.string == "Bound" { return .done }
        return try await Finalizers.set(Self.finalizer, present: !isLeaving, on: volume, .persistentVolumes, client)
    }
}

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
    private let volumes: Informer
    private let queue: WorkQueue<ObjectKey>

    init(_ context: ControllerContext) {
        client = context.client
        volumes = context.informers.informer(.persistentVolumes)
        queue = WorkQueue(Self.name, logger: context.logger)
    }

    func run() async {
        volumes.onChange { key, _, new in
            if let new, Finalizers.needsWork(new, Self.finalizer) { queue.add(key) }
        }
        await volumes.waitForSync()
        await queue.run(workers: 1, reconcile)
    }

    private func reconcile(_ key: ObjectKey) async throws -> Outcome {
        guard let volume = volumes.object(key) else { return .done }
        let isLeaving = volume["metadata"]?["deletionTimestamp"] != nil
        if isLeaving, volume["status"]?["phase"]?.string == "Bound" { return .done }
        return try await Finalizers.set(Self.finalizer, present: !isLeaving, on: volume, .persistentVolumes, client)
    }
}

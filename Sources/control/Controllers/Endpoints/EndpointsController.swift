// Endpoints: the older form of a Service's addresses, one object of the Service's name (core/v1). New clients read
// EndpointSlices; many tools still read these.
//
//      Service + Pods --`EndpointsPlan`--> wanted object --differs from the present one?--> create, update
//
// Updates travel together (`EndpointsBatches`): EndpointSlices, which noded itself reads, wait for nothing.
//
// A Service without a selector, or of type ExternalName, has Endpoints that somebody else writes: they are left alone
// until the Service goes, and go with it. Endpoints without a Service, which leader election of old uses, are looked at
// only when they carry this controller's label.

import Client
import Logging
import Objects
import Reconcile
import Synchronization

final class EndpointsController: Controller {
    static let name = "endpoint-controller"

    private let client: any APIClient
    private let members: ServicePods
    private let endpoints: Informer
    private let queue: WorkQueue<ObjectKey>
    private let batches: Mutex<EndpointsBatches>

    convenience init(_ context: ControllerContext) {
        self.init(context, EndpointsBatches())
    }

    init(_ context: ControllerContext, _ batches: EndpointsBatches) {
        self.batches = Mutex(batches)
        client = context.client
        members = ServicePods(context)
        endpoints = context.informers.informer(.endpoints)
        queue = WorkQueue(Self.name, logger: context.logger)
    }

    func run() async {
        await queue.run(
            workers: 4,
            watching: [
                .each(members.services), members.changedPods,
                KeySource(endpoints) { key, old, new in
                    // When somebody else changed or removed them.
                    [old, new].contains { $0.map(Self.isOwn) ?? false } ? [key] : []
                },
            ], reconcile)
    }

    private static func isOwn(_ endpoints: JSON) -> Bool {
        endpoints.at("metadata", "labels", EndpointsPlan.managedByLabel)?.string == EndpointsPlan.managedBy
    }

    private func reconcile(_ key: ObjectKey) async throws -> Outcome {
        let present = endpoints.object(key)
        guard let service = members.services.object(key) else {
            batches.withLock { $0.ended(key) }
            // Only a Service that went, or a leftover of this controller's, brings a key here.
            if present != nil { try await client.deleteIfPresent(.endpoints, key) }
            return .done
        }
        guard let selector = ServicePods.selector(of: service) else { return .done }
        let pods = members.pods(in: key.namespace, selectedBy: selector)
        let wanted = EndpointsPlan(service: service, pods: pods).object(from: present)
        guard wanted != present else {
            batches.withLock { $0.ended(key) }
            return .done
        }
        if let wait = batches.withLock({ $0.wait(key, from: present, to: wanted, now: .now) }) { return .after(wait) }
        let outcome = try await Writes.settle {
            if present == nil {
                _ = try await client.create(.endpoints, wanted)
            } else {
                _ = try await client.update(.endpoints, wanted)
            }
        }
        // After a conflict the next look writes without another wait.
        if case .done = outcome { batches.withLock { $0.ended(key) } }
        return outcome
    }
}

// Endpoints that somebody writes for a Service without a selector, mirrored into EndpointSlices: the data path and DNS
// read only those.
//
//   Service without selector + Endpoints of its name --`MirrorPlan`--> wanted slices --diff--> create, update, delete
//
// Not mirrored are Endpoints labelled endpointslice.kubernetes.io/skip-mirror=true, and those that hold a leader's
// record. Slices that others wrote for the Service stay as they are.

import Client
import Logging
import Objects
import Reconcile

struct EndpointSliceMirroringController: Controller {
    static let name = "endpointslicemirroring-controller"
    private static let skipLabel = "endpointslice.kubernetes.io/skip-mirror"
    private static let leaderAnnotation = "control-plane.alpha.kubernetes.io/leader"

    private let client: any APIClient
    private let services: Informer
    private let endpoints: Informer
    private let slices: Informer
    private let mirrorsByService: Index
    private let events: EventRecorder
    private let queue: WorkQueue<ObjectKey>

    init(_ context: ControllerContext) {
        client = context.client
        services = context.informers.informer(.services)
        endpoints = context.informers.informer(.endpoints)
        slices = context.informers.informer(.endpointSlices)
        mirrorsByService = Index(slices) { slice in Self.mirrored(slice).map { ["\($0)"] } ?? [] }
        events = EventRecorder(
            client: context.client, component: "endpoint-slice-mirroring-controller", logger: context.logger)
        queue = WorkQueue(Self.name, logger: context.logger)
    }

    func run() async {
        await queue.run(
            recording: events,
            watching: [
                .each(endpoints),
                KeySource(services) { key, old, new in
                    old.map(Self.isOpen) != new.map(Self.isOpen) ? [key] : []
                },
                KeySource(slices) { _, old, new in Set([old, new].compactMap { $0.flatMap(Self.mirrored) }).sorted() },
            ], reconcile)
    }

    /// Whether somebody else says where the Service leads.
    private static func isOpen(_ service: JSON) -> Bool { service["spec"]?["selector"]?.stringMap?.isEmpty ?? true }

    /// The Service of a slice that is a mirror.
    private static func mirrored(_ slice: JSON) -> ObjectKey? {
        guard slice.at("metadata", "labels", EndpointPlan.managedByLabel)?.string == MirrorPlan.managedBy else {
            return nil
        }
        return EndpointPlan.service(of: slice)
    }

    private static func mayBeMirrored(_ endpoints: JSON) -> Bool {
        let metadata = endpoints["metadata"]
        return metadata?["labels"]?[skipLabel]?.string != "true" && metadata?["annotations"]?[leaderAnnotation] == nil
            && metadata?["deletionTimestamp"] == nil
    }

    private func mirrors(of service: ObjectKey) async throws(APIStatus) -> [JSON] {
        let labels = [EndpointPlan.serviceLabel: service.name, EndpointPlan.managedByLabel: MirrorPlan.managedBy]
        return try await client.list(
            .endpointSlices, namespace: service.namespace, labels: LabelSelector(labels: labels), fields: nil
        ).items
    }

    private func reconcile(_ key: ObjectKey) async throws -> Outcome {
        let present = mirrorsByService.objects("\(key)")
        // Most Endpoints are of Services with a selector: those are not even made a tree of.
        guard let service = services.object(key), Self.isOpen(service), let source = endpoints.object(key),
            Self.mayBeMirrored(source)
        else {
            for slice in present { try await client.deleteIfPresent(.endpointSlices, ObjectKey(slice)) }
            return .done
        }
        let plan = MirrorPlan(source)
        var steps = plan.steps(from: present)
        if !steps.create.isEmpty {
            // Asked at the API: what was made a moment ago, and is not in the local copy yet, would be made twice.
            steps = plan.steps(from: try await mirrors(of: key))
        }
        guard !steps.isEmpty else { return .done }
        if plan.skipped > 0 {
            events.record(
                .warning, "TooManyAddressesToMirror",
                "A max of \(MirrorPlan.limit) addresses can be mirrored to EndpointSlices per Endpoints subset. "
                    + "\(plan.skipped) addresses were skipped", about: source, kind: "Endpoints")
        }
        return try await Writes.settle { try await steps.write(with: client) }
    }
}

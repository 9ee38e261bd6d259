// EndpointSlices: for each Service with a selector, the addresses of its pods (discovery.k8s.io/v1).
//
//      Service + Pods --`EndpointPlan`--> wanted slices --diff by name--> create, update, delete
//
// The slice of a Service keeps its endpoints until they change; the API sees a write only when something did. No
// batching delay: a pod's readiness reaches the data path with the next watch event.

import Client
import Logging
import Objects
import Reconcile

struct EndpointSliceController: Controller {
    static let name = "endpointslice-controller"
    static let managedBy = "endpointslice-controller.k8s.io"

    private let client: any APIClient
    private let members: ServicePods
    private let slices: Informer
    private let slicesByService: Index
    private let queue: WorkQueue<ObjectKey>

    init(_ context: ControllerContext) {
        client = context.client
        members = ServicePods(context)
        slices = context.informers.informer(.endpointSlices)
        slicesByService = Index(slices) { slice in
            guard let service = EndpointPlan.service(of: slice) else { return [] }
            return ["\(service)"]
        }
        queue = WorkQueue(Self.name, logger: context.logger)
    }

    func run() async {
        await queue.run(
            workers: 4,
            watching: [
                .each(members.services),
                KeySource(slices) { _, old, new in (new ?? old).flatMap(EndpointPlan.service).map { [$0] } ?? [] },
                members.changedPods,
            ], reconcile)
    }

    private func reconcile(_ key: ObjectKey) async throws -> Outcome {
        let present = slicesByService.objects("\(key)").filter {
            $0["metadata"]?["labels"]?[EndpointPlan.managedByLabel]?.string == Self.managedBy
        }
        guard let service = members.services.object(key), service["metadata"]?["deletionTimestamp"] == nil,
            let selector = ServicePods.selector(of: service)
        else {
            for slice in present { try await client.deleteIfPresent(.endpointSlices, ObjectKey(slice)) }
            return .done
        }
        let selected = members.pods(in: key.namespace, selectedBy: selector)
        try await EndpointPlan(service: service, pods: selected).steps(from: present).write(with: client)
        return .done
    }
}

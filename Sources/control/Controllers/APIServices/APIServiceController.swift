// APIServices: one for each group and version that this server answers, which is how `kubectl get apiservices` and
// tools that walk them learn what is here (apiregistration.k8s.io/v1).
//
//      built-in groups, served versions of established definitions --> wanted --diff--> create, mend, delete
//
// They carry Kubernetes' label for automatic ones; only those are ever mended or deleted. An APIService of somebody
// else, with a Service behind it, is told that nobody asks it: this server does not aggregate others.

import Client
import Logging
import Objects
import Reconcile

struct APIServiceController: Controller {
    static let name = "apiservice-registration-controller"
    private static let label = "kube-aggregator.kubernetes.io/automanaged"

    private let client: any APIClient
    private let services: Informer
    private let definitions: Informer
    private let byGroupVersion: Index
    private let queue: WorkQueue<String>

    init(_ context: ControllerContext) {
        client = context.client
        services = context.informers.informer(.apiServices)
        definitions = context.informers.informer(.customResourceDefinitions)
        byGroupVersion = Index(definitions) { APIServicePlan.names(of: $0) }
        queue = WorkQueue(Self.name, logger: context.logger)
    }

    func run() async {
        for name in APIServicePlan.builtIn.keys { queue.add(name) }
        await queue.run(
            watching: [
                KeySource(services) { key, _, _ in [key.name] },
                KeySource(definitions) { _, old, new in [old, new].flatMap { $0.map(APIServicePlan.names) ?? [] } },
            ], reconcile)
    }

    private func reconcile(_ name: String) async throws -> Outcome {
        let present = services.object(ObjectKey(name: name))
        if present?.at("metadata", "deletionTimestamp") != nil { return .done }
        guard let wanted = wanted(name) else {
            guard let present else { return .done }
            if present.at("metadata", "labels", Self.label) != nil {
                try await client.deleteIfPresent(.apiServices, ObjectKey(name: name))
                return .done
            }
            return try await tell(present)
        }
        guard var mended = present else {
            return try await Writes.ensure { _ = try await client.create(.apiServices, wanted) }
        }
        // Somebody's own object of that name, with a Service: it is his.
        guard mended.at("metadata", "labels", Self.label) != nil else { return try await tell(mended) }
        guard mended["spec"] != wanted["spec"] else { return .done }
        mended["spec"] = wanted["spec"]
        let changed = mended
        return try await Writes.settle { _ = try await client.update(.apiServices, changed) }
    }

    private func wanted(_ name: String) -> JSON? {
        if let plan = APIServicePlan.builtIn[name] { return plan.object(label: (Self.label, "onstart")) }
        guard let definition = byGroupVersion.objects(name).first, let plan = APIServicePlan(name: name, of: definition)
        else { return nil }
        return plan.object(label: (Self.label, "true"))
    }

    /// Says in the status of an APIService with a Service that it is not called.
    private func tell(_ service: JSON) async throws -> Outcome {
        guard service.at("spec", "service") != nil else { return .done }
        let previous = Conditions.find("Available", in: service)
        guard previous?["status"]?.string != "False" else { return .done }
        var told = service
        let condition = Conditions.make(
            type: "Available", status: "False", reason: "NotAggregated",
            message: "this server does not call other API servers: requests for the group are answered with 404",
            previous: previous)
        told.set("status", "conditions", to: [condition])
        let changed = told
        return try await Writes.settle { _ = try await client.update(.apiServices, changed, subresource: "status") }
    }
}

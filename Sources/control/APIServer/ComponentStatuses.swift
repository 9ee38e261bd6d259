// componentstatuses (core/v1, deprecated since v1.19): the parts of the control plane and whether they work. Nothing is
// stored; each answer is made of the checks as they stand.
//
// The parts are those of this process: `store`, which the server itself knows, and what the command names (scheduler,
// controller-manager). Kubernetes calls its store etcd-0; there is no etcd here.

internal import Client
internal import HTTP
internal import Objects
internal import Synchronization

final class Components: Sendable {
    private let checks: Mutex<[HealthCheck]>

    init(_ checks: [HealthCheck]) { self.checks = Mutex(checks) }

    func add(_ check: HealthCheck) { checks.withLock { $0.append(check) } }

    /// By name.
    var statuses: [JSON] {
        checks.withLock { $0 }.sorted { $0.name < $1.name }.map { check in
            var condition: JSON = ["type": "Healthy"]
            if let problem = check.problem() {
                condition["status"] = "False"
                condition["message"] = .string(problem)
                condition["error"] = .string(problem)
            } else {
                condition["status"] = "True"
                condition["message"] = "ok"
            }
            return [
                "apiVersion": "v1", "kind": "ComponentStatus", "metadata": ["name": .string(check.name)],
                "conditions": [condition],
            ]
        }
    }
}

extension HTTPFront {
    /// What kube-apiserver says of the resource with each answer.
    static let componentStatusWarning = "v1 ComponentStatus is deprecated in v1.19+"

    func componentStatus(_ call: Call, _ verb: Verb) throws(APIStatus) -> HTTPReply {
        let warnings = [HTTPFront.componentStatusWarning]
        let all = components.statuses
        guard verb == .list else {
            guard let status = all.first(where: { $0.at("metadata", "name")?.string == call.path.name }) else {
                throw .notFound(call.declaration.id, call.path.name ?? "")
            }
            return .response(try view(call, 200, status, warnings))
        }
        let filter = try call.query.filter(call.path, call.declaration, SelectableFields(call.declaration.strategy))
        let items = all.filter { status in
            let name = status.at("metadata", "name")?.string ?? ""
            return (filter.labels?.matches([:]) ?? true)
                && (filter.fields?.matches { $0 == "metadata.name" ? name : "" } ?? true)
        }
        let views = ObjectViews(call.declaration)
        let json: JSON
        switch call.negotiated.representation {
        case .object:
            json = ["kind": "ComponentStatusList", "apiVersion": "v1", "metadata": [:], "items": .array(items)]
        case .metadata:
            json = [
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": [:],
                "items": .array(items.map(ObjectViews.metadata)),
            ]
        case .table: json = views.table(items, metadata: [:], include: try include(call))
        }
        return .response(Responses.json(200, json, call.negotiated, warnings))
    }
}

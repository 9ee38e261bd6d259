// The kinds that keep a number of pods of one template, and where they differ: in how they select.

import Client
import Objects

struct ReplicatedKind: Sendable {
    let resource: ResourceID
    let kind: String
    /// nil when it selects nothing.
    let selector: @Sendable (JSON) -> LabelSelector?

    static let replicaSet = ReplicatedKind(resource: .replicaSets, kind: "ReplicaSet") { object in
        Ownership.selector(object.at("spec", "selector"))
    }

    /// Its selector is plain labels (core/v1 ReplicationControllerSpec.selector).
    static let replicationController = ReplicatedKind(
        resource: .replicationControllers, kind: "ReplicationController"
    ) { object in
        let labels = object.at("spec", "selector")?.stringMap ?? [:]
        return labels.isEmpty ? nil : LabelSelector(labels: labels)
    }

    /// Whether an owner reference names an object of this kind. Any version of its group will do.
    func isNamed(by owner: JSON) -> Bool {
        guard owner["kind"]?.string == kind, let apiVersion = owner["apiVersion"]?.string else { return false }
        return resource.group.isEmpty ? !apiVersion.contains("/") : apiVersion.hasPrefix("\(resource.group)/")
    }
}

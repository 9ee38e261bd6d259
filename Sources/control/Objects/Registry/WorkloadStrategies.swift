// Deployments and ReplicaSets, and the Scale view of either.

public struct DeploymentStrategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) { Defaults.deployment(&object) }

    /// Labels are not written through /status.
    public func prepareForUpdate(_ object: inout JSON, old: JSON, target: WriteTarget) {
        if target.isStatus { object.set("metadata", "labels", to: old.at("metadata", "labels")) }
    }

    public func prepareForCreate(_ object: inout JSON) { object["status"] = .object(JSONObject()) }

    public func validate(_ object: JSON) -> [FieldError] { WorkloadRules.deployment(object["spec"]) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus
            ? WorkloadRules.status(object["status"], "status")
            : WorkloadRules.deployment(object["spec"])
                + Rules.immutable(object["spec"], old["spec"], "selector", "spec")
    }
}

public struct ReplicaSetStrategy: ResourceStrategy {
    public init() {}

    public var fieldLabels: [String] { ["status.replicas"] }

    public func fieldValue(_ label: String, of object: JSON) -> String {
        String(object.at("status", "replicas")?.int ?? 0)
    }

    public func setDefaults(_ object: inout JSON) { Defaults.replicaSet(&object) }

    /// Labels are not written through /status.
    public func prepareForUpdate(_ object: inout JSON, old: JSON, target: WriteTarget) {
        if target.isStatus { object.set("metadata", "labels", to: old.at("metadata", "labels")) }
    }

    public func prepareForCreate(_ object: inout JSON) { object["status"] = ["replicas": 0] }

    public func validate(_ object: JSON) -> [FieldError] { WorkloadRules.replicaSet(object["spec"]) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus
            ? WorkloadRules.status(object["status"], "status")
            : WorkloadRules.replicaSet(object["spec"])
                + Rules.immutable(object["spec"], old["spec"], "selector", "spec")
    }
}

/// autoscaling/v1 Scale of a workload: the subresource `scale`.
public enum ScaleView {
    public static let kind = GroupVersionKind(group: "autoscaling", version: "v1", kind: "Scale")

    /// The Scale that shows a workload.
    public static func scale(of object: JSON) -> JSON {
        var metadata = JSON.object(JSONObject())
        for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            metadata[key] = object.at("metadata", key)
        }
        var status: JSON = ["replicas": .int(object.at("status", "replicas")?.int ?? 0)]
        let selector = object.at("spec", "selector").flatMap { json in
            // A ReplicationController's selector is plain labels.
            object["apiVersion"] == "v1" ? LabelSelector(labels: json.stringMap ?? [:]) : try? LabelSelector(json)
        }
        if let selector, !selector.isEverything { status["selector"] = .string(selector.description) }
        return [
            "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata,
            "spec": ["replicas": .int(object.at("spec", "replicas")?.int ?? 0)], "status": status,
        ]
    }

    /// What is wrong with a Scale that a client sent.
    public static func validate(_ scale: JSON) -> [FieldError] {
        Rules.nonNegative(scale["spec"], ["replicas"], "spec")
    }

    /// The workload with the replicas of a Scale.
    public static func apply(_ scale: JSON, to object: JSON) -> JSON {
        var result = object
        result.set("spec", "replicas", to: .int(scale.at("spec", "replicas")?.int ?? 0))
        return result
    }
}

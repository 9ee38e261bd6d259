// StatefulSets, DaemonSets, ReplicationControllers, and the two kinds that only hold a template: PodTemplates and
// ControllerRevisions.

public struct StatefulSetStrategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) { Defaults.statefulSet(&object) }
    public func prepareForCreate(_ object: inout JSON) { object["status"] = ["replicas": 0, "availableReplicas": 0] }
    public func validate(_ object: JSON) -> [FieldError] { SetRules.statefulSet(object["spec"]) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus
            ? WorkloadRules.status(object["status"], "status")
            : SetRules.statefulSet(object["spec"]) + SetRules.statefulSetUpdate(object["spec"], old["spec"])
    }
}

public struct DaemonSetStrategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) { Defaults.daemonSet(&object) }

    public func prepareForCreate(_ object: inout JSON) {
        object["status"] = [
            "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
        ]
    }

    public func validate(_ object: JSON) -> [FieldError] { SetRules.daemonSet(object["spec"]) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus
            ? Rules.nonNegative(object["status"], SetRules.daemonCounts, "status")
            : validate(object) + Rules.immutable(object["spec"], old["spec"], "selector", "spec")
    }
}

public struct ReplicationControllerStrategy: ResourceStrategy {
    public init() {}

    public var fieldLabels: [String] { ["status.replicas"] }

    public func fieldValue(_ label: String, of object: JSON) -> String {
        String(object.at("status", "replicas")?.int ?? 0)
    }

    public func setDefaults(_ object: inout JSON) { Defaults.replicationController(&object) }
    public func prepareForCreate(_ object: inout JSON) { object["status"] = ["replicas": 0] }
    public func validate(_ object: JSON) -> [FieldError] { SetRules.replicationController(object["spec"]) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus ? WorkloadRules.status(object["status"], "status") : validate(object)
    }
}

public struct PodTemplateStrategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.modify("template") { $0.modify("spec", PodDefaults.setSpec) }
    }

    public func validate(_ object: JSON) -> [FieldError] { WorkloadRules.podTemplate(object["template"], "template") }
}

public struct ControllerRevisionStrategy: ResourceStrategy {
    public init() {}

    public func validate(_ object: JSON) -> [FieldError] {
        var errors = Rules.nonNegative(object, ["revision"], FieldPath(""))
        if object["data"] == nil { errors.append(.required("data", "data is mandatory")) }
        return errors
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        validate(object) + Rules.immutable(object, old, "data", FieldPath(""))
    }
}

// HorizontalPodAutoscalers (v2, and its v1 view) and PodDisruptionBudgets.

/// autoscaling/v2, the stored form.
public struct AutoscalerStrategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) { AutoscalingDefaults.autoscaler(&object) }
    public func validate(_ object: JSON) -> [FieldError] { AutoscalingRules.autoscaler(object["spec"]) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus
            ? Rules.nonNegative(object["status"], ["currentReplicas", "desiredReplicas"], "status")
            : validate(object)
    }
}

/// autoscaling/v1: the same objects with CPU utilization as their one metric.
public struct AutoscalerV1Strategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.modify("spec") { $0.setDefault("minReplicas", 1) }
        // Whether CPU is the default depends on the metrics in annotations.
        let full = AutoscalerConversion.v2(object)
        guard full["spec"] != nil, (full.at("spec", "metrics")?.array ?? []).isEmpty else { return }
        object.set("spec", "targetCPUUtilizationPercentage", to: AutoscalingDefaults.cpuPercent)
    }

    /// Rules and field names are v2's, as from kube-apiserver.
    public func validate(_ object: JSON) -> [FieldError] {
        AutoscalingRules.autoscaler(AutoscalerConversion.v2(object)["spec"])
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        AutoscalerStrategy().validateUpdate(AutoscalerConversion.v2(object), old: old, target: target)
    }

    public func toStorage(_ object: JSON) -> JSON { AutoscalerConversion.v2(object) }
    public func fromStorage(_ object: JSON) -> JSON { AutoscalerConversion.v1(object) }
}

public struct DisruptionBudgetStrategy: ResourceStrategy {
    public init() {}

    public func prepareForCreate(_ object: inout JSON) {
        object["status"] = [
            "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0,
        ]
    }

    public func validate(_ object: JSON) -> [FieldError] { AutoscalingRules.budget(object["spec"]) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus
            ? Rules.nonNegative(
                object["status"], ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"], "status")
            : validate(object)
    }
}

enum AutoscalingDefaults {
    /// Without any metric: 80 % of the requested CPU.
    static let cpuPercent: JSON = 80

    static func autoscaler(_ object: inout JSON) {
        object.modify("spec") { spec in
            spec.setDefault("minReplicas", 1)
            if (spec["metrics"]?.array ?? []).isEmpty { spec["metrics"] = [AutoscalerConversion.cpu(cpuPercent)] }
            spec.modify("behavior") { behavior in
                var up = behavior["scaleUp"] ?? [:]
                up.setDefault("stabilizationWindowSeconds", 0)
                up.setDefault("selectPolicy", "Max")
                up.setDefault(
                    "policies",
                    [
                        ["type": "Pods", "value": 4, "periodSeconds": 15],
                        ["type": "Percent", "value": 100, "periodSeconds": 15],
                    ])
                behavior["scaleUp"] = up
                var down = behavior["scaleDown"] ?? [:]
                down.setDefault("selectPolicy", "Max")
                down.setDefault("policies", [["type": "Percent", "value": 100, "periodSeconds": 15]])
                behavior["scaleDown"] = down
            }
        }
    }
}

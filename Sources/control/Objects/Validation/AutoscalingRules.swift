// The rules of HorizontalPodAutoscalers and PodDisruptionBudgets (pkg/apis/{autoscaling,policy}/validation).

enum AutoscalingRules {
    static func autoscaler(_ spec: JSON?) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors: [FieldError] = []
        let least = spec?["minReplicas"]?.int
        if let least, least < 1 {
            errors.append(.invalid(path.child("minReplicas"), .int(least), "must be greater than or equal to 1"))
        }
        let most = spec?["maxReplicas"]?.int ?? 0
        if most < 1 {
            errors.append(.invalid(path.child("maxReplicas"), .int(most), "must be greater than 0"))
        }
        if let least, most < least {
            errors.append(
                .invalid(path.child("maxReplicas"), .int(most), "must be greater than or equal to `minReplicas`"))
        }
        errors += reference(spec?["scaleTargetRef"], path.child("scaleTargetRef"))
        for (index, metric) in (spec?["metrics"]?.array ?? []).enumerated() {
            errors += self.metric(metric, path.child("metrics")[index])
        }
        for side in ["scaleUp", "scaleDown"] {
            if let rules = spec?.at("behavior", side) {
                errors += behavior(rules, path.child("behavior", side))
            }
        }
        return errors
    }

    private static func reference(_ reference: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        for key in ["kind", "name"] {
            let text = reference?[key]?.string ?? ""
            if text.isEmpty {
                errors.append(.required(path.child(key)))
            } else {
                errors.invalid(path.child(key), .string(text), Names.pathSegment(text))
            }
        }
        return errors
    }

    private static let sources = [
        "ContainerResource": "containerResource", "External": "external", "Object": "object", "Pods": "pods",
        "Resource": "resource",
    ]

    private static func metric(_ metric: JSON, _ path: FieldPath) -> [FieldError] {
        let type = metric["type"]?.string ?? ""
        if type.isEmpty { return [.required(path.child("type"), "must specify a metric source type")] }
        guard let key = sources[type] else {
            return [.notSupported(path.child("type"), .string(type), Array(sources.keys))]
        }
        var errors: [FieldError] = []
        for other in sources.values.sorted() where other != key && metric[other] != nil {
            errors.append(.forbidden(path.child(other), "must populate the given metric source only"))
        }
        guard let source = metric[key] else {
            errors.append(.required(path.child(key), "must populate information for the given metric source"))
            return errors
        }
        let path = path.child(key)
        if type == "Resource" || type == "ContainerResource" {
            if (source["name"]?.string ?? "").isEmpty {
                errors.append(.required(path.child("name"), "must specify a resource name"))
            }
            if type == "ContainerResource", (source["container"]?.string ?? "").isEmpty {
                errors.append(.required(path.child("container"), "must specify a container"))
            }
            if source.at("target", "averageUtilization") == nil, source.at("target", "averageValue") == nil {
                errors.append(
                    .required(
                        path.child("target", "averageUtilization"),
                        "must set either a target raw value or a target utilization"))
            }
        } else if (source.at("metric", "name")?.string ?? "").isEmpty {
            errors.append(.required(path.child("metric", "name"), "must specify a metric name"))
        }
        if type == "Object" { errors += reference(source["describedObject"], path.child("describedObject")) }
        return errors + target(source["target"], path.child("target"))
    }

    private static func target(_ target: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        let type = target?["type"]?.string ?? ""
        if type.isEmpty {
            errors.append(.required(path.child("type"), "must specify a metric target type"))
        } else if !["Utilization", "Value", "AverageValue"].contains(type) {
            errors.append(
                .invalid(path.child("type"), .string(type), "must be either Utilization, Value, or AverageValue"))
        }
        for key in ["value", "averageValue"] {
            if let amount = Quantity(target?[key]), amount <= Quantity(0) {
                errors.append(.invalid(path.child(key), target?[key], "must be positive"))
            }
        }
        if let percent = target?["averageUtilization"]?.int, percent < 1 {
            errors.append(.invalid(path.child("averageUtilization"), .int(percent), "must be greater than 0"))
        }
        return errors
    }

    private static func behavior(_ rules: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        if let seconds = rules["stabilizationWindowSeconds"]?.int {
            let path = path.child("stabilizationWindowSeconds")
            if seconds < 0 { errors.append(.invalid(path, .int(seconds), "must be greater than or equal to zero")) }
            if seconds > 3600 { errors.append(.invalid(path, .int(seconds), "must be less than or equal to 3600")) }
        }
        errors += Rules.oneOf(rules, "selectPolicy", ["Disabled", "Max", "Min"], path, required: false)
        let policies = rules["policies"]?.array ?? []
        if policies.isEmpty { errors.append(.required(path.child("policies"), "must specify at least one Policy")) }
        for (index, policy) in policies.enumerated() {
            let path = path.child("policies")[index]
            errors += Rules.oneOf(policy, "type", ["Percent", "Pods"], path)
            for key in ["value", "periodSeconds"] {
                let number = policy[key]?.int ?? 0
                if number <= 0 {
                    errors.append(.invalid(path.child(key), .int(number), "must be greater than zero"))
                } else if key == "periodSeconds", number > 1800 {
                    errors.append(.invalid(path.child(key), .int(number), "must be less than or equal to 1800"))
                }
            }
        }
        return errors
    }

    static func budget(_ spec: JSON?) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors: [FieldError] = []
        if spec?["minAvailable"] != nil, spec?["maxUnavailable"] != nil {
            errors.append(.invalid(path, spec, "minAvailable and maxUnavailable cannot be both set"))
        }
        for key in ["minAvailable", "maxUnavailable"] {
            errors += Rules.intOrPercent(spec?[key], path.child(key))
            if let percent = Rules.percentage(spec?[key]), percent > 100 {
                errors.append(.invalid(path.child(key), spec?[key], "must not be greater than 100%"))
            }
        }
        if let selector = spec?["selector"] { errors += Rules.labelSelector(selector, path.child("selector")) }
        return errors
            + Rules.oneOf(
                spec, "unhealthyPodEvictionPolicy", ["AlwaysAllow", "IfHealthyBudget"], path, required: false)
    }
}

// HorizontalPodAutoscalers in their two versions: autoscaling/v2, which is stored, and v1, a view of the same objects.
//
// v1 knows one metric, CPU utilization. What else v2 says travels in annotations of the v1 object, in the shapes that
// Kubernetes uses there (pkg/apis/autoscaling/v1/conversion.go), so that a v1 client that reads and writes back loses
// nothing. Pure; an annotation that is not JSON is ignored, as there.

enum AutoscalerConversion {
    private static let prefix = "autoscaling.alpha.kubernetes.io/"

    /// The v1 form of a v2 object.
    static func v1(_ object: JSON) -> JSON {
        var result = object
        result["apiVersion"] = "autoscaling/v1"
        var others: [JSON] = []
        var isTaken = false
        for metric in object.at("spec", "metrics")?.array ?? [] {
            let target = metric.at("resource", "target")
            if !isTaken, metric["type"] == "Resource", metric.at("resource", "name") == "cpu",
                let percent = target?["averageUtilization"]
            {
                result.set("spec", "targetCPUUtilizationPercentage", to: percent)
                isTaken = true
            } else {
                others.append(flat(metric, "target", "target"))
            }
        }
        var current: [JSON] = []
        for metric in object.at("status", "currentMetrics")?.array ?? [] {
            if metric["type"] == "Resource", metric.at("resource", "name") == "cpu",
                let percent = metric.at("resource", "current", "averageUtilization")
            {
                result.set("status", "currentCPUUtilizationPercentage", to: percent)
            }
            current.append(flat(metric, "current", "current"))
        }
        note(&result, "metrics", others.isEmpty ? nil : .array(others))
        note(&result, "current-metrics", current.isEmpty ? nil : .array(current))
        let conditions = object.at("status", "conditions")
        note(&result, "conditions", (conditions?.array ?? []).isEmpty ? nil : conditions)
        note(&result, "behavior", object.at("spec", "behavior"))
        for key in ["metrics", "behavior"] where result["spec"] != nil { result["spec"]?[key] = nil }
        for key in ["currentMetrics", "conditions"] where result["status"] != nil { result["status"]?[key] = nil }
        return result
    }

    /// The v2 form of a v1 object.
    static func v2(_ object: JSON) -> JSON {
        var result = object
        result["apiVersion"] = "autoscaling/v2"
        var metrics = (noted(object, "metrics")?.array ?? []).map { deep($0, "target") }
        if let percent = object.at("spec", "targetCPUUtilizationPercentage"), !percent.isNull {
            metrics.insert(cpu(percent), at: 0)
        }
        if !metrics.isEmpty { result.set("spec", "metrics", to: .array(metrics)) }
        if result["spec"] != nil { result["spec"]?["targetCPUUtilizationPercentage"] = nil }
        if let behavior = noted(object, "behavior") { result.set("spec", "behavior", to: behavior) }
        if let current = noted(object, "current-metrics")?.array {
            result.set("status", "currentMetrics", to: .array(current.map { deep($0, "current") }))
        } else if let percent = object.at("status", "currentCPUUtilizationPercentage") {
            let metric: JSON = [
                "type": "Resource", "resource": ["name": "cpu", "current": ["averageUtilization": percent]],
            ]
            result.set("status", "currentMetrics", to: [metric])
        }
        if let conditions = noted(object, "conditions") { result.set("status", "conditions", to: conditions) }
        if result["status"] != nil { result["status"]?["currentCPUUtilizationPercentage"] = nil }
        for name in ["metrics", "current-metrics", "conditions", "behavior"] { note(&result, name, nil) }
        return result
    }

    /// The metric that v1's one number means.
    static func cpu(_ percent: JSON) -> JSON {
        [
            "type": "Resource",
            "resource": ["name": "cpu", "target": ["type": "Utilization", "averageUtilization": percent]],
        ]
    }

    // MARK: Annotations

    private static func noted(_ object: JSON, _ name: String) -> JSON? {
        object.at("metadata", "annotations", prefix + name)?.string.flatMap { try? JSON.parse(Array($0.utf8)) }
    }

    private static func note(_ object: inout JSON, _ name: String, _ value: JSON?) {
        guard value != nil || object.at("metadata", "annotations", prefix + name) != nil else { return }
        object.set("metadata", "annotations", prefix + name, to: value.map { .string($0.text) })
        if object.at("metadata", "annotations")?.object?.isEmpty == true {
            object.set("metadata", "annotations", to: nil)
        }
    }

    // MARK: Shapes of one metric

    private static let kinds = [
        "ContainerResource": "containerResource", "External": "external", "Object": "object", "Pods": "pods",
        "Resource": "resource",
    ]
    private static let amounts = [
        ("averageUtilization", "AverageUtilization"), ("averageValue", "AverageValue"), ("value", "Value"),
    ]

    /// v2 keeps amounts in `target` or `current` and names metrics in `metric`; v1 has both flat in one object, but for
    /// the described object, whose average is `averageValue`.
    private static func flat(_ metric: JSON, _ part: String, _ word: String) -> JSON {
        guard let key = kinds[metric["type"]?.string ?? ""], let source = metric[key] else { return metric }
        var result = source
        result[part] = nil
        for (name, suffix) in amounts {
            guard let amount = source.at(part, name) else { continue }
            result[key == "object" && name == "averageValue" ? name : word + suffix] = amount
        }
        if let identity = source["metric"] {
            result["metric"] = nil
            result["metricName"] = identity["name"]
            result[key == "external" ? "metricSelector" : "selector"] = identity["selector"]
        }
        if key == "object" {
            result["describedObject"] = nil
            result["target"] = source["describedObject"]
        }
        return ["type": metric["type"] ?? "", key: result]
    }

    private static func deep(_ metric: JSON, _ part: String) -> JSON {
        guard let key = kinds[metric["type"]?.string ?? ""], let source = metric[key] else { return metric }
        var result = source
        var amount: JSON = [:]
        for (name, suffix) in amounts {
            let flatName = key == "object" && name == "averageValue" ? name : part + suffix
            guard let value = source[flatName] else { continue }
            amount[name] = value
            result[flatName] = nil
        }
        if part == "target" {
            amount["type"] =
                amount["averageUtilization"] != nil
                ? "Utilization" : amount["averageValue"] != nil ? "AverageValue" : "Value"
        }
        if let name = source["metricName"] {
            let selector = key == "external" ? "metricSelector" : "selector"
            result["metric"] = ["name": name]
            if let value = source[selector] { result["metric"]?["selector"] = value }
            result["metricName"] = nil
            result[selector] = nil
        }
        if key == "object" {
            result["describedObject"] = source["target"]
            result["target"] = nil
        }
        result[part] = amount
        return ["type": metric["type"] ?? "", key: result]
    }
}

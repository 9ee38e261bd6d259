// Cells of HorizontalPodAutoscalers (as v2 has them; v1 is shown through its v2 form) and PodDisruptionBudgets.

internal import System

enum AutoscalingTable {
    static let printers: [String: TableRow.Printer] = [
        "HorizontalPodAutoscaler.autoscaling": { autoscaler($0, $1) },
        "PodDisruptionBudget.policy": { budget($0, $1) },
    ]

    private static func budget(_ object: JSON, _ now: Timestamp) -> [JSON] {
        func amount(_ key: String) -> JSON { .string(object.at("spec", key).map { $0.string ?? $0.text } ?? "N/A") }
        return [
            TableRow.name(object), amount("minAvailable"), amount("maxUnavailable"),
            TableRow.number(object.at("status", "disruptionsAllowed")), TableRow.age(object, now),
        ]
    }

    private static func autoscaler(_ given: JSON, _ now: Timestamp) -> [JSON] {
        let object = given["apiVersion"] == "autoscaling/v1" ? AutoscalerConversion.v2(given) : given
        let target = object.at("spec", "scaleTargetRef")
        return [
            TableRow.name(object), "\(target?["kind"]?.string ?? "")/\(target?["name"]?.string ?? "")",
            .string(metrics(object)), .string(object.at("spec", "minReplicas")?.text ?? "<unset>"),
            TableRow.number(object.at("spec", "maxReplicas")), TableRow.number(object.at("status", "currentReplicas")),
            TableRow.age(object, now),
        ]
    }

    /// The first two metrics as current/target.
    private static func metrics(_ object: JSON) -> String {
        let specs = object.at("spec", "metrics")?.array ?? []
        if specs.isEmpty { return "<none>" }
        let statuses = object.at("status", "currentMetrics")?.array ?? []
        let shown = specs.prefix(2).enumerated().map { index, spec in
            metric(spec, index < statuses.count ? statuses[index] : nil)
        }.joined(separator: ", ")
        return specs.count > 2 ? "\(shown) + \(specs.count - 2) more..." : shown
    }

    private static let sources = [
        "External": "external", "Pods": "pods", "Object": "object", "Resource": "resource",
        "ContainerResource": "containerResource",
    ]

    private static func metric(_ spec: JSON, _ status: JSON?) -> String {
        let type = spec["type"]?.string ?? ""
        guard let key = sources[type] else { return "<unknown type>" }
        let target = spec.at(key, "target")
        let current = status?.at(key, "current")
        func quantity(_ json: JSON?) -> String { Quantity(json)?.description ?? "<unknown>" }
        let average = target?["averageValue"]
        switch type {
        case "Pods": return "\(quantity(current?["averageValue"]))/\(quantity(average ?? "0"))"
        case "External", "Object":
            if let average { return "\(quantity(current?["averageValue"]))/\(quantity(average)) (avg)" }
            return "\(quantity(current?["value"]))/\(quantity(target?["value"] ?? "0"))"
        default:
            let name = spec.at(key, "name")?.string ?? ""
            if let average { return "\(name): \(quantity(current?["averageValue"]))/\(quantity(average))" }
            func percent(_ json: JSON?) -> String? { json?["averageUtilization"]?.int.map { "\($0)%" } }
            return "\(name): \(percent(current) ?? "<unknown>")/\(percent(target) ?? "<auto>")"
        }
    }
}

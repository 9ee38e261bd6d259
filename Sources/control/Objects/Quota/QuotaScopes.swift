// Which objects a ResourceQuota is about: spec.scopes and spec.scopeSelector (core/v1
// ScopedResourceSelectorRequirement).
//
// Pure. A quota with scopes counts pods only (and, by VolumeAttributesClass, claims): other kinds match no scope.

public struct QuotaScopes: Sendable, Equatable {
    private struct Rule: Sendable, Equatable {
        let scope: String
        let `operator`: String
        let values: [String]
    }

    private let rules: [Rule]

    /// - Parameter spec: the quota's.
    public init(_ spec: JSON?) {
        var rules = (spec?["scopes"]?.strings ?? []).map { Rule(scope: $0, operator: "Exists", values: []) }
        for expression in spec?.at("scopeSelector", "matchExpressions")?.array ?? [] {
            rules.append(
                Rule(
                    scope: expression["scopeName"]?.string ?? "", operator: expression["operator"]?.string ?? "",
                    values: expression["values"]?.strings ?? []))
        }
        self.rules = rules
    }

    public var isEmpty: Bool { rules.isEmpty }

    public func match(_ id: ResourceID, _ object: JSON) -> Bool {
        rules.allSatisfy { rule in
            switch id {
            case .pods: Self.matches(rule, pod: object)
            case .persistentVolumeClaims:
                rule.scope == "VolumeAttributesClass"
                    && Self.matches(rule, name: object.at("spec", "volumeAttributesClassName")?.string)
            default: false
            }
        }
    }

    private static func matches(_ rule: Rule, pod: JSON) -> Bool {
        let spec = pod["spec"]
        switch rule.scope {
        case "Terminating": return isBounded(spec)
        case "NotTerminating": return !isBounded(spec)
        case "BestEffort": return PodStrategy.qosClass(pod) == "BestEffort"
        case "NotBestEffort": return PodStrategy.qosClass(pod) != "BestEffort"
        case "PriorityClass": return matches(rule, name: spec?["priorityClassName"]?.string)
        case "CrossNamespacePodAffinity": return reachesOut(spec?["affinity"])
        default: return false
        }
    }

    private static func isBounded(_ spec: JSON?) -> Bool { (spec?["activeDeadlineSeconds"]?.int ?? -1) >= 0 }

    private static func matches(_ rule: Rule, name: String?) -> Bool {
        let name = name ?? ""
        switch rule.operator {
        case "In": return !name.isEmpty && rule.values.contains(name)
        case "NotIn": return !rule.values.contains(name)
        case "Exists": return !name.isEmpty
        case "DoesNotExist": return name.isEmpty
        default: return false
        }
    }

    /// A (anti-)affinity term that looks at pods of other namespaces.
    private static func reachesOut(_ affinity: JSON?) -> Bool {
        ["podAffinity", "podAntiAffinity"].contains { kind in
            let rules = affinity?[kind]
            let required = rules?["requiredDuringSchedulingIgnoredDuringExecution"]?.array ?? []
            let preferred = rules?["preferredDuringSchedulingIgnoredDuringExecution"]?.array ?? []
            return (required + preferred.compactMap { $0["podAffinityTerm"] }).contains {
                !($0["namespaces"]?.array ?? []).isEmpty || $0["namespaceSelector"] != nil
            }
        }
    }
}

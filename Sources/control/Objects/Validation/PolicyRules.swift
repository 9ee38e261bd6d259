// The rules of LimitRange, ResourceQuota and PriorityClass (pkg/apis/{core,scheduling}/validation).

enum PolicyRules {
    // MARK: - LimitRange

    static func limitRange(_ spec: JSON?) -> [FieldError] {
        var errors: [FieldError] = []
        var seen: Set<String> = []
        for (index, item) in (spec?["limits"]?.array ?? []).enumerated() {
            let path = FieldPath("spec.limits").index(index)
            let type = item["type"]?.string ?? ""
            if type.isEmpty {
                errors.append(.required(path.child("type")))
            } else if !seen.insert(type).inserted {
                errors.append(.duplicate(path.child("type"), .string(type)))
            }
            if !type.isEmpty {
                errors.invalid(path.child("type"), .string(type), Names.qualifiedName(type))
                if !type.contains("/"), !["Container", "PersistentVolumeClaim", "Pod"].contains(type) {
                    errors.append(
                        .invalid(
                            path.child("type"), .string(type), "must be a standard limit type or fully qualified"))
                }
            }
            if type == "Pod" {
                for field in ["default", "defaultRequest"] where !(item[field]?.object ?? JSONObject()).isEmpty {
                    errors.append(.forbidden(path.child(field), "may not be specified when `type` is 'Pod'"))
                }
            }
            if type == "PersistentVolumeClaim", item.at("min", "storage") == nil, item.at("max", "storage") == nil {
                errors.append(
                    .required(
                        path.child("limits"),
                        "either minimum or maximum storage value is required, but neither was provided"))
            }
            errors += bounds(item, path)
        }
        return errors
    }

    private static func bounds(_ item: JSON, _ path: FieldPath) -> [FieldError] {
        let fields = ["min", "max", "default", "defaultRequest", "maxLimitRequestRatio"]
        let amounts = fields.map { ResourceAmounts(item[$0]) }
        let (least, most, limits, requests, ratios) = (amounts[0], amounts[1], amounts[2], amounts[3], amounts[4])
        var errors: [FieldError] = []
        func refuse(_ field: String, _ name: String, _ value: Quantity, _ why: String) {
            errors.append(.invalid(path.child(field).key(name), .string("\(value)"), why))
        }
        for name in Set(amounts.flatMap(\.keys)).sorted() {
            for (field, list) in zip(fields, amounts) {
                if let value = list[name], value < .zero { refuse(field, name, value, Rules.nonNegativeText) }
            }
            if let min = least[name], let max = most[name], min > max {
                refuse("min", name, min, "min value \(min) is greater than max value \(max)")
            }
            if let request = requests[name] {
                if let min = least[name], min > request {
                    refuse(
                        "defaultRequest", name, request,
                        "min value \(min) is greater than default request value \(request)")
                }
                if let max = most[name], request > max {
                    refuse(
                        "defaultRequest", name, request,
                        "default request value \(request) is greater than max value \(max)")
                }
                if let limit = limits[name], request > limit {
                    refuse(
                        "defaultRequest", name, request,
                        "default request value \(request) is greater than default limit value \(limit)")
                }
            }
            if let limit = limits[name] {
                if let min = least[name], min > limit {
                    refuse("default", name, min, "min value \(min) is greater than default value \(limit)")
                }
                if let max = most[name], limit > max {
                    refuse("default", name, max, "default value \(limit) is greater than max value \(max)")
                }
            }
            if let ratio = ratios[name], ratio < Quantity(1) {
                refuse("maxLimitRequestRatio", name, ratio, "ratio \(ratio) is less than 1")
            }
        }
        return errors
    }

    // MARK: - ResourceQuota

    private static let quotaNames: Set<String> = [
        "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage",
        "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage", "pods",
        "resourcequotas", "services", "replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps",
        "services.nodeports", "services.loadbalancers",
    ]
    private static let wholeNames: Set<String> = [
        "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "persistentvolumeclaims",
        "configmaps", "services.nodeports", "services.loadbalancers",
    ]
    private static let scopes = [
        "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
        "VolumeAttributesClass",
    ]

    static func quota(_ spec: JSON?) -> [FieldError] {
        var errors: [FieldError] = []
        for (name, value) in spec?["hard"]?.object ?? JSONObject() {
            let path = FieldPath("spec.hard").key(name)
            errors.invalid(path, .string(name), Names.qualifiedName(name))
            let isKnown =
                quotaNames.contains(name) || name.hasPrefix("hugepages-") || name.hasPrefix("requests.hugepages-")
            if !name.contains("/"), !isKnown {
                errors.append(.invalid(path, .string(name), "must be a standard resource for quota"))
            }
            guard let amount = Quantity(value) else { continue }
            if amount < .zero { errors.append(.invalid(path, .string("\(amount)"), Rules.nonNegativeText)) }
            if wholeNames.contains(name) || name.hasPrefix("count/"), amount.milliValue % 1000 != 0 {
                errors.append(.invalid(path, .string("\(amount)"), "must be an integer"))
            }
        }
        return errors + quotaScopes(spec)
    }

    /// Resources that a scope can be about: pods' only, or claims' for VolumeAttributesClass.
    private static func isScopable(_ name: String, _ scope: String) -> Bool {
        switch scope {
        case "BestEffort": name == "pods"
        case "VolumeAttributesClass": name.contains("persistentvolumeclaims") || name.hasSuffix("requests.storage")
        default:
            name == "pods" || name == "count/pods"
                || (!wholeNames.contains(name) && !name.hasPrefix("count/") && !name.hasSuffix("requests.storage"))
        }
    }

    private static func quotaScopes(_ spec: JSON?) -> [FieldError] {
        var errors: [FieldError] = []
        var all: [(scope: String, path: FieldPath)] = []
        for scope in spec?["scopes"]?.strings ?? [] { all.append((scope, "spec.scopes")) }
        for expression in spec?.at("scopeSelector", "matchExpressions")?.array ?? [] {
            let path = FieldPath("spec.scopeSelector.matchExpressions")
            let scope = expression["scopeName"]?.string ?? ""
            all.append((scope, path.child("scopeName")))
            let values = expression["values"]?.array ?? []
            switch expression["operator"]?.string ?? "" {
            case "In", "NotIn":
                if values.isEmpty {
                    errors.append(
                        .required(
                            path.child("values"),
                            "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"))
                }
            case "Exists", "DoesNotExist":
                if !values.isEmpty {
                    errors.append(
                        .invalid(
                            path.child("values"), .array(values),
                            "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector"))
                }
            case let other:
                errors.append(.invalid(path.child("operator"), .string(other), "not a valid selector operator"))
            }
        }
        let hard = spec?["hard"]?.object?.keys ?? []
        for (scope, path) in all {
            if !scopes.contains(scope) {
                errors.append(.invalid(path, .string(scope), "unsupported scope"))
            } else if hard.contains(where: { !isScopable($0, scope) }) {
                errors.append(.invalid(path, .string(scope), "unsupported scope applied to resource"))
            }
        }
        let named = Set(all.map(\.scope))
        for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]]
        where named.isSuperset(of: pair) {
            errors.append(.invalid("spec.scopes", .array(named.sorted().map { .string($0) }), "conflicting scopes"))
        }
        return errors
    }

    // MARK: - PriorityClass

    /// Priorities above are the system's.
    static let highestUserPriority: Int64 = 1_000_000_000
    static let systemPriorities: [String: Int64] = [
        "system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000,
    ]

    static func priorityClass(_ object: JSON) -> [FieldError] {
        let name = object.at("metadata", "name")?.string ?? ""
        let value = object["value"]?.int ?? 0
        var errors: [FieldError] = []
        if name.hasPrefix("system-") {
            if let why = systemFault(name, value, object) {
                errors.append(
                    .forbidden(
                        "metadata.name",
                        "priority class names with 'system-' prefix are reserved for system use only. error: \(why)"))
            }
        } else if value > highestUserPriority {
            errors.append(
                .forbidden("value", "maximum allowed value of a user defined priority is \(highestUserPriority)"))
        }
        return errors
            + Rules.oneOf(object, "preemptionPolicy", ["Never", "PreemptLowerPriority"], "", required: false)
    }

    private static func systemFault(_ name: String, _ value: Int64, _ object: JSON) -> String? {
        guard let known = systemPriorities[name] else { return "\(name) is not a known system priority class" }
        if value != known { return "value of \(name) PriorityClass must be \(known)" }
        return object["globalDefault"]?.bool == true ? "globalDefault of \(name) PriorityClass must be false" : nil
    }
}

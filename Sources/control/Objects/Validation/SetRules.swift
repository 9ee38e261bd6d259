// The rules of StatefulSets, DaemonSets and ReplicationControllers (pkg/apis/{apps,core}/validation).

enum SetRules {
    static func statefulSet(_ spec: JSON?) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors: [FieldError] = []
        let policy = spec?["podManagementPolicy"]?.string ?? ""
        if policy.isEmpty {
            errors.append(.required(path.child("podManagementPolicy")))
        } else if policy != "OrderedReady", policy != "Parallel" {
            errors.append(
                .invalid(path.child("podManagementPolicy"), .string(policy), "must be 'OrderedReady' or 'Parallel'"))
        }
        errors += updateStrategy(spec?["updateStrategy"], path.child("updateStrategy"))
        for key in ["whenDeleted", "whenScaled"] {
            errors += Rules.oneOf(
                spec?["persistentVolumeClaimRetentionPolicy"], key, ["Delete", "Retain"],
                path.child("persistentVolumeClaimRetentionPolicy"), required: false)
        }
        errors += Rules.nonNegative(spec, ["replicas", "minReadySeconds", "revisionHistoryLimit"], path)
        errors += Rules.nonNegative(spec?["ordinals"], ["start"], path.child("ordinals"))
        return errors + WorkloadRules.selectorAndTemplate(spec, path, kind: "StatefulSet")
    }

    private static func updateStrategy(_ strategy: JSON?, _ path: FieldPath) -> [FieldError] {
        switch strategy?["type"]?.string ?? "" {
        case "": return [.required(path)]
        case "OnDelete":
            guard let update = strategy?["rollingUpdate"] else { return [] }
            return [
                .invalid(path.child("rollingUpdate"), update, "only allowed for updateStrategy 'RollingUpdate'")
            ]
        case "RollingUpdate":
            let update = strategy?["rollingUpdate"]
            return Rules.nonNegative(update, ["partition"], path.child("rollingUpdate"))
                + Rules.intOrPercent(update?["maxUnavailable"], path.child("rollingUpdate", "maxUnavailable"))
        case let type: return [.invalid(path, .string(type), "must be 'RollingUpdate' or 'OnDelete'")]
        }
    }

    private static let mutable: [String] = [
        "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
    ]

    static func statefulSetUpdate(_ spec: JSON?, _ old: JSON?) -> [FieldError] {
        if Rules.same(spec, old, except: mutable) { return [] }
        let names = mutable.dropLast().map { "'\($0)'" }.joined(separator: ", ")
        return [
            .forbidden(
                "spec", "updates to statefulset spec for fields other than \(names) and 'minReadySeconds' are forbidden"
            )
        ]
    }

    static let daemonCounts = [
        "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
        "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount",
    ]

    static func daemonSet(_ spec: JSON?) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors = WorkloadRules.selectorAndTemplate(spec, path, kind: "DaemonSet")
        errors += Rules.nonNegative(spec, ["minReadySeconds", "revisionHistoryLimit"], path)
        let strategy = spec?["updateStrategy"]
        let strategyPath = path.child("updateStrategy")
        switch strategy?["type"]?.string ?? "" {
        case "OnDelete": break
        case "RollingUpdate":
            guard let update = strategy?["rollingUpdate"] else {
                errors.append(.required(strategyPath.child("rollingUpdate")))
                break
            }
            errors += daemonUpdate(update, strategyPath.child("rollingUpdate"))
        case let type:
            errors.append(.notSupported(strategyPath.child("type"), .string(type), ["OnDelete", "RollingUpdate"]))
        }
        return errors
    }

    private static func daemonUpdate(_ update: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        for key in ["maxUnavailable", "maxSurge"] {
            errors += Rules.intOrPercent(update[key], path.child(key))
            if let percent = Rules.percentage(update[key]), percent > 100 {
                errors.append(.invalid(path.child(key), update[key], "must not be greater than 100%"))
            }
        }
        let unavailable = !Rules.isZero(update["maxUnavailable"])
        let surge = update["maxSurge"] != nil && !Rules.isZero(update["maxSurge"])
        if unavailable, surge {
            errors.append(
                .invalid(path.child("maxSurge"), update["maxSurge"], "may not be set when maxUnavailable is non-zero"))
        } else if !unavailable, !surge {
            errors.append(.required(path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"))
        }
        return errors
    }

    static func replicationController(_ spec: JSON?) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors = Rules.nonNegative(spec, ["minReadySeconds", "replicas"], path)
        let selector = spec?["selector"]?.stringMap ?? [:]
        if selector.isEmpty { errors.append(.required(path.child("selector"))) }
        guard let template = spec?["template"] else {
            errors.append(.required(path.child("template")))
            return errors
        }
        let labels = template.at("metadata", "labels")?.stringMap ?? [:]
        if !selector.allSatisfy({ labels[$0.key] == $0.value }) {
            errors.append(
                .invalid(
                    path.child("template", "metadata", "labels"), template.at("metadata", "labels"),
                    "`selector` does not match template `labels`"))
        }
        return errors + WorkloadRules.template(template, path.child("template"), kind: "ReplicationController")
    }
}

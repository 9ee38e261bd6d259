// The rules of Deployments and ReplicaSets (pkg/apis/apps/validation).

enum WorkloadRules {
    static func deployment(_ spec: JSON?) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors = Rules.nonNegative(spec, ["replicas"], path)
        errors += selectorAndTemplate(spec, path, kind: "Deployment")
        errors += strategy(spec?["strategy"], path.child("strategy"))
        errors += Rules.nonNegative(spec, ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"], path)
        if let deadline = spec?["progressDeadlineSeconds"]?.int, deadline <= spec?["minReadySeconds"]?.int ?? 0 {
            errors.append(
                .invalid(
                    path.child("progressDeadlineSeconds"), .int(deadline), "must be greater than minReadySeconds"))
        }
        return errors
    }

    static func replicaSet(_ spec: JSON?) -> [FieldError] {
        Rules.nonNegative(spec, ["replicas", "minReadySeconds"], "spec")
            + selectorAndTemplate(spec, "spec", kind: "ReplicaSet")
    }

    static func status(_ status: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors = Rules.nonNegative(
            status,
            [
                "observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas",
                "unavailableReplicas", "fullyLabeledReplicas", "terminatingReplicas", "collisionCount",
            ], path)
        let replicas = status?["replicas"]?.int ?? 0
        let ready = status?["readyReplicas"]?.int ?? 0
        let available = status?["availableReplicas"]?.int ?? 0
        for key in ["updatedReplicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"] {
            if let count = status?[key]?.int, count > replicas {
                errors.append(.invalid(path.child(key), .int(count), "cannot be greater than status.replicas"))
            }
        }
        if available > ready {
            errors.append(
                .invalid(path.child("availableReplicas"), .int(available), "cannot be greater than readyReplicas"))
        }
        return errors
    }

    /// A selector, and a template with labels that it matches.
    /// - Parameter kind: for the messages.
    static func selectorAndTemplate(_ spec: JSON?, _ path: FieldPath, kind: String) -> [FieldError] {
        var errors: [FieldError] = []
        let selectorJSON = spec?["selector"]
        var selector: LabelSelector?
        if let selectorJSON {
            errors += Rules.labelSelector(selectorJSON, path.child("selector"))
            if selectorJSON["matchLabels"]?.object?.isEmpty ?? true,
                selectorJSON["matchExpressions"]?.array?.isEmpty ?? true
            {
                errors.append(
                    .invalid(path.child("selector"), selectorJSON, "empty selector is invalid for \(kind.lowercased())")
                )
            } else {
                selector = try? LabelSelector(selectorJSON)
            }
        } else {
            errors.append(.required(path.child("selector")))
        }
        let path = path.child("template")
        let template = spec?["template"]
        if let selector, !selector.matches(template?.at("metadata", "labels")?.stringMap ?? [:]) {
            errors.append(
                .invalid(
                    path.child("metadata", "labels"), template?.at("metadata", "labels") ?? .null,
                    "`selector` does not match template `labels`"))
        }
        return errors + self.template(template, path, kind: kind)
    }

    /// The template of pods that run forever.
    static func template(_ template: JSON?, _ path: FieldPath, kind: String) -> [FieldError] {
        var errors = podTemplate(template, path)
        let spec = template?["spec"]
        if let policy = spec?["restartPolicy"]?.string, ["Never", "OnFailure"].contains(policy) {
            errors.append(.notSupported(path.child("spec", "restartPolicy"), .string(policy), ["Always"]))
        }
        if spec?["activeDeadlineSeconds"] != nil {
            errors.append(
                .forbidden(
                    path.child("spec", "activeDeadlineSeconds"),
                    "activeDeadlineSeconds in \(kind == "Deployment" ? "ReplicaSet" : kind) is not Supported"))
        }
        return errors
    }

    /// Any pod template.
    static func podTemplate(_ template: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors = MetadataRules.validateTemplate(template?["metadata"], path.child("metadata"))
        let spec = template?["spec"]
        errors += PodRules.validate(spec: spec, path.child("spec"), metadata: template?["metadata"])
        if !(spec?["ephemeralContainers"]?.array ?? []).isEmpty {
            errors.append(
                .forbidden(
                    path.child("spec", "ephemeralContainers"), "ephemeral containers not allowed in pod template"))
        }
        return errors
    }

    private static func strategy(_ strategy: JSON?, _ path: FieldPath) -> [FieldError] {
        let path = path
        switch strategy?["type"]?.string ?? "" {
        case "Recreate":
            return strategy?["rollingUpdate"] == nil
                ? []
                : [
                    .forbidden(
                        path.child("rollingUpdate"), "may not be specified when strategy `type` is 'Recreate'")
                ]
        case "RollingUpdate":
            guard let update = strategy?["rollingUpdate"] else {
                return [.required(path.child("rollingUpdate"), "this should be defaulted and never be nil")]
            }
            return rollingUpdate(update, path.child("rollingUpdate"))
        case let type: return [.notSupported(path.child("type"), .string(type), ["Recreate", "RollingUpdate"])]
        }
    }

    private static func rollingUpdate(_ update: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        for key in ["maxUnavailable", "maxSurge"] {
            errors += Rules.intOrPercent(update[key], path.child(key))
        }
        if Rules.isZero(update["maxUnavailable"]), Rules.isZero(update["maxSurge"]) {
            errors.append(
                .invalid(
                    path.child("maxUnavailable"), update["maxUnavailable"] ?? .null,
                    "may not be 0 when `maxSurge` is 0"))
        }
        if let percent = Rules.percentage(update["maxUnavailable"]), percent > 100 {
            errors.append(
                .invalid(
                    path.child("maxUnavailable"), update["maxUnavailable"] ?? .null, "must not be greater than 100%"))
        }
        return errors
    }
}

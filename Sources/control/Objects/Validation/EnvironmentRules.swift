// The rules of environment variables and their sources.

enum EnvironmentRules {
    private static let fieldPaths = [
        "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
        "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
    ]
    private static let resources = [
        "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
        "requests.memory",
    ]

    static func validate(_ container: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        for (index, variable) in (container["env"]?.array ?? []).enumerated() {
            let path = path.child("env")[index]
            let name = variable["name"]?.string ?? ""
            if name.isEmpty {
                errors.append(.required(path.child("name")))
            } else {
                errors.invalid(path.child("name"), .string(name), Names.environmentVariable(name))
            }
            guard let source = variable["valueFrom"] else { continue }
            let hasValue = !(variable["value"]?.string ?? "").isEmpty
            errors += self.source(source, path.child("valueFrom"), hasValue: hasValue)
        }
        for (index, source) in (container["envFrom"]?.array ?? []).enumerated() {
            errors += from(source, path.child("envFrom")[index])
        }
        return errors
    }

    private static func source(_ source: JSON, _ path: FieldPath, hasValue: Bool) -> [FieldError] {
        let kinds = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"]
            .filter { source[$0] != nil }
        if kinds.isEmpty {
            return [
                .invalid(
                    path, "",
                    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`")
            ]
        }
        var errors: [FieldError] = []
        for kind in kinds {
            let path = path.child(kind)
            let reference = source[kind] ?? .null
            switch kind {
            case "fieldRef": errors += fieldRef(reference, path, allowed: fieldPaths)
            case "resourceFieldRef": errors += resourceRef(reference, path)
            case "configMapKeyRef", "secretKeyRef":
                if (reference["name"]?.string ?? "").isEmpty { errors.append(.required(path.child("name"))) }
                let key = reference["key"]?.string ?? ""
                if key.isEmpty {
                    errors.append(.required(path.child("key")))
                } else {
                    errors.invalid(path.child("key"), .string(key), Names.configMapKey(key))
                }
            default: break
            }
        }
        if hasValue {
            errors.append(.invalid(path, "", "may not be specified when `value` is not empty"))
        } else if kinds.count > 1 {
            errors.append(.invalid(path, "", "may not have more than one field specified at a time"))
        }
        return errors
    }

    /// `metadata.labels['key']` and `metadata.annotations['key']` are allowed besides those listed.
    static func fieldRef(_ reference: JSON, _ path: FieldPath, allowed: [String]) -> [FieldError] {
        if (reference["apiVersion"]?.string ?? "").isEmpty { return [.required(path.child("apiVersion"))] }
        let field = reference["fieldPath"]?.string ?? ""
        if field.isEmpty { return [.required(path.child("fieldPath"))] }
        for map in ["metadata.labels['", "metadata.annotations['"] where field.hasPrefix(map) && field.hasSuffix("']") {
            let key = String(field.dropFirst(map.utf8.count).dropLast(2))
            var errors: [FieldError] = []
            errors.invalid(path, .string(key), Names.qualifiedName(key))
            return errors
        }
        if allowed.contains(field) { return [] }
        let known = fieldPaths + ["metadata.labels", "metadata.annotations", "spec.restartPolicy", "status.phase"]
        if !known.contains(field) {
            return [
                .invalid(
                    path.child("fieldPath"), .string(field),
                    "error converting fieldPath: field label not supported: \(field)")
            ]
        }
        return [.notSupported(path.child("fieldPath"), .string(field), allowed)]
    }

    static func resourceRef(_ reference: JSON, _ path: FieldPath) -> [FieldError] {
        let resource = reference["resource"]?.string ?? ""
        if resource.isEmpty { return [.required(path.child("resource"))] }
        if resources.contains(resource) || resource.contains(".hugepages-") { return [] }
        return [.notSupported(path.child("resource"), .string(resource), resources)]
    }

    private static func from(_ source: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        if let prefix = source["prefix"]?.string, !prefix.isEmpty {
            errors.invalid(path.child("prefix"), .string(prefix), Names.environmentVariable(prefix))
        }
        let kinds = ["configMapRef", "secretRef"].filter { source[$0] != nil }
        if kinds.isEmpty {
            errors.append(.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        } else if kinds.count > 1 {
            errors.append(.invalid(path, "", "may not have more than one field specified at a time"))
        }
        for kind in kinds where (source.at(kind, "name")?.string ?? "").isEmpty {
            errors.append(.required(path.child(kind, "name")))
        }
        return errors
    }
}

/// Requests and limits.
enum ResourceRules {
    private static let standard: Set<String> = ["cpu", "memory", "ephemeral-storage"]

    static func validate(_ resources: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        let limits = resources?["limits"]?.object ?? JSONObject()
        for list in ["limits", "requests"] {
            for (name, amount) in resources?[list]?.object ?? JSONObject() {
                let path = path.child(list)[key: name]
                errors += resourceName(name, path)
                guard let quantity = Quantity(amount) else { continue }
                if quantity < .zero {
                    errors.append(.invalid(path, .string(quantity.description), Rules.nonNegativeText))
                }
            }
        }
        for (name, amount) in resources?["requests"]?.object ?? JSONObject() {
            guard let request = Quantity(amount) else { continue }
            let isExtended = !standard.contains(name)
            guard let limit = Quantity(limits[name]) else {
                if isExtended {
                    errors.append(.required(path.child("limits"), "Limit must be set for non overcommitable resources"))
                }
                continue
            }
            if isExtended, request != limit {
                errors.append(
                    .invalid(
                        path.child("requests"), .string(request.description),
                        "must be equal to \(name) limit of \(limit)"))
            } else if request > limit {
                errors.append(
                    .invalid(
                        path.child("requests"), .string(request.description),
                        "must be less than or equal to \(name) limit of \(limit)"))
            }
        }
        return errors
    }

    private static func resourceName(_ name: String, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        errors.invalid(path, .string(name), Names.qualifiedName(name))
        if !name.contains("/"), !standard.contains(name), !name.hasPrefix("hugepages-") {
            // Kubernetes says it twice, once for all resources and once for those of containers.
            errors.append(.invalid(path, .string(name), "must be a standard resource type or fully qualified"))
            errors.append(.invalid(path, .string(name), "must be a standard resource for containers"))
        } else if name.contains("/"), name.hasPrefix("requests.") {
            errors.append(.invalid(path, .string(name), "doesn't follow extended resource name standard"))
        }
        return errors
    }
}

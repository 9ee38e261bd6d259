// The rules of pods and pod templates (pkg/apis/core/validation, ValidatePodSpec). Containers are in ContainerRules,
// volumes in VolumeRules.

import System

enum PodRules {
    /// - Parameter metadata: the pod's own, or its template's.
    static func validate(spec: JSON?, _ path: FieldPath, metadata: JSON?) -> [FieldError] {
        guard let spec else { return [.required(path.child("containers"))] }
        let volumes = VolumeRules.validate(spec["volumes"]?.array ?? [], path.child("volumes"))
        var errors = volumes.errors
        let restartPolicy = spec["restartPolicy"]?.string ?? ""
        let context = ContainerRules.Context(
            volumes: volumes.names, hostNetwork: spec["hostNetwork"]?.bool ?? false, restartPolicy: restartPolicy)
        errors += ContainerRules.validate(spec, path, context)
        errors += Rules.oneOf(spec, "restartPolicy", ["Always", "OnFailure", "Never"], path)
        errors += Rules.oneOf(
            spec, "dnsPolicy", ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"], path)
        errors += dnsConfig(spec, path)
        errors += MetadataRules.labels(spec["nodeSelector"], path.child("nodeSelector"))
        errors += securityContext(spec["securityContext"], path.child("securityContext"))
        for (index, reference) in (spec["imagePullSecrets"]?.array ?? []).enumerated()
        where (reference["name"]?.string ?? "").isEmpty {
            errors.append(.required(path.child("imagePullSecrets")[index].child("name")))
        }
        for key in ["serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"] {
            guard let name = spec[key]?.string, !name.isEmpty else { continue }
            errors.invalid(path.child(key), .string(name), Names.dns1123Subdomain(name))
        }
        for key in ["hostname", "subdomain"] {
            guard let name = spec[key]?.string, !name.isEmpty else { continue }
            errors.invalid(path.child(key), .string(name), Names.dns1123Label(name))
        }
        if let deadline = spec["activeDeadlineSeconds"]?.int, !(1...Int64(Int32.max) ~= deadline) {
            errors.append(
                .invalid(
                    path.child("activeDeadlineSeconds"), .int(deadline),
                    "must be between 1 and 2147483647, inclusive"))
        }
        errors += tolerations(spec["tolerations"]?.array ?? [], path.child("tolerations"))
        errors += hostAliases(spec["hostAliases"]?.array ?? [], path.child("hostAliases"))
        errors += affinity(spec["affinity"], path.child("affinity"))
        return errors
    }

    private static func dnsConfig(_ spec: JSON, _ path: FieldPath) -> [FieldError] {
        let servers = spec.at("dnsConfig", "nameservers")?.strings ?? []
        let path = path.child("dnsConfig")
        var errors: [FieldError] = []
        if spec["dnsPolicy"] == "None" {
            if spec["dnsConfig"] == nil {
                errors.append(.required(path, "must provide `dnsConfig` when `dnsPolicy` is None"))
            } else if servers.isEmpty {
                errors.append(
                    .required(
                        path.child("nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None"))
            }
        }
        if servers.count > 3 {
            errors.append(
                .invalid(
                    path.child("nameservers"), .array(servers.map(JSON.string)),
                    "must not have more than 3 nameservers"))
        }
        for (index, text) in servers.enumerated() where !Rules.isIP(text) {
            errors.append(.invalid(path.child("nameservers")[index], .string(text), Rules.ipText))
        }
        for (index, option) in (spec.at("dnsConfig", "options")?.array ?? []).enumerated()
        where (option["name"]?.string ?? "").isEmpty {
            errors.append(.required(path.child("options")[index], "must not be empty"))
        }
        return errors
    }

    private static func securityContext(_ context: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors = ids(context, ["runAsUser", "runAsGroup", "fsGroup"], path)
        for (index, group) in (context?["supplementalGroups"]?.array ?? []).enumerated() {
            if let id = group.int, !(0...Int64(Int32.max) ~= id) {
                errors.append(.invalid(path.child("supplementalGroups")[index], .int(id), idText))
            }
        }
        var names: Set<String> = []
        for (index, sysctl) in (context?["sysctls"]?.array ?? []).enumerated() {
            let path = path.child("sysctls")[index].child("name")
            let name = sysctl["name"]?.string ?? ""
            if name.isEmpty {
                errors.append(.required(path))
            } else if !isSysctl(name) {
                errors.append(
                    .invalid(
                        path, .string(name),
                        "must have at most 253 characters and match regex "
                            + "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"))
            } else if !names.insert(name).inserted {
                errors.append(.duplicate(path, .string(name)))
            }
        }
        if let policy = context?["fsGroupChangePolicy"]?.string, !["Always", "OnRootMismatch"].contains(policy) {
            errors.append(
                .notSupported(path.child("fsGroupChangePolicy"), .string(policy), ["Always", "OnRootMismatch"]))
        }
        return errors + seccomp(context?["seccompProfile"], path.child("seccompProfile"))
    }

    static func seccomp(_ profile: JSON?, _ path: FieldPath) -> [FieldError] {
        guard let profile else { return [] }
        let type = profile["type"]?.string ?? ""
        let localhost = profile["localhostProfile"]?.string
        switch type {
        case "": return [.required(path.child("type"), "type is required when seccompProfile is set")]
        case "Localhost":
            guard let localhost, !localhost.isEmpty else {
                return [.required(path.child("localhostProfile"), "must be set when seccomp type is Localhost")]
            }
            if localhost.hasPrefix("/") || localhost.split(separator: "/").contains("..") {
                return [
                    .invalid(
                        path.child("localhostProfile"), .string(localhost), "must be a relative path")
                ]
            }
            return []
        case "RuntimeDefault", "Unconfined":
            return localhost == nil
                ? []
                : [
                    .invalid(
                        path.child("localhostProfile"), .string(localhost ?? ""),
                        "can only be set when seccomp type is Localhost")
                ]
        default:
            return [.notSupported(path.child("type"), .string(type), ["Localhost", "RuntimeDefault", "Unconfined"])]
        }
    }

    private static func isSysctl(_ name: String) -> Bool {
        name.utf8.count <= 253
            && name.split(whereSeparator: { $0 == "." || $0 == "/" }).allSatisfy { part in
                part.utf8.allSatisfy {
                    UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0 || UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0
                        || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
                }
            }
    }

    private static let idText = "must be between 0 and 2147483647, inclusive"

    /// User and group ids.
    static func ids(_ object: JSON?, _ keys: [String], _ path: FieldPath) -> [FieldError] {
        keys.compactMap { key in
            guard let id = object?[key]?.int, !(0...Int64(Int32.max) ~= id) else { return nil }
            return .invalid(path.child(key), .int(id), idText)
        }
    }

    static func tolerations(_ tolerations: [JSON], _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        for (index, toleration) in tolerations.enumerated() {
            let path = path[index]
            let key = toleration["key"]?.string ?? ""
            let operation = toleration["operator"]?.string ?? ""
            let value = toleration["value"]?.string ?? ""
            let effect = toleration["effect"]?.string ?? ""
            if !key.isEmpty { errors.invalid(path.child("key"), .string(key), Names.qualifiedName(key)) }
            if key.isEmpty, operation != "Exists" {
                errors.append(
                    .invalid(
                        path.child("operator"), .string(operation),
                        "operator must be Exists when `key` is empty, which means \"match all values and all keys\""))
            }
            if toleration["tolerationSeconds"] != nil, effect != "NoExecute" {
                errors.append(
                    .invalid(
                        path.child("effect"), .string(effect),
                        "effect must be 'NoExecute' when `tolerationSeconds` is set"))
            }
            switch operation {
            case "Equal", "": errors.invalid(path.child("operator"), .string(value), Names.labelValue(value))
            case "Exists":
                if !value.isEmpty {
                    errors.append(
                        .invalid(
                            path.child("operator"), .string(operation),
                            "value must be empty when `operator` is 'Exists'"))
                }
            default:
                errors.append(.notSupported(path.child("operator"), .string(operation), ["Equal", "Exists"]))
            }
            if !effect.isEmpty, !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(effect) {
                errors.append(
                    .notSupported(
                        path.child("effect"), .string(effect), ["NoSchedule", "PreferNoSchedule", "NoExecute"]))
            }
        }
        return errors
    }

    private static func hostAliases(_ aliases: [JSON], _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        for (index, alias) in aliases.enumerated() {
            let ip = alias["ip"]?.string ?? ""
            if !Rules.isIP(ip) { errors.append(.invalid(path[index].child("ip"), .string(ip), Rules.ipText)) }
            for (position, name) in (alias["hostnames"]?.strings ?? []).enumerated() {
                errors.invalid(
                    path[index].child("hostnames")[position], .string(name), Names.dns1123Subdomain(name))
            }
        }
        return errors
    }

    private static func affinity(_ affinity: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        let required = affinity?.at("nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
        let path = path.child("nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
        if let required, (required["nodeSelectorTerms"]?.array ?? []).isEmpty {
            errors.append(.required(path.child("nodeSelectorTerms"), "must have at least one node selector term"))
        }
        for (index, term) in (required?["nodeSelectorTerms"]?.array ?? []).enumerated() {
            for (position, expression) in (term["matchExpressions"]?.array ?? []).enumerated() {
                errors += nodeExpression(
                    expression, path.child("nodeSelectorTerms")[index].child("matchExpressions")[position])
            }
        }
        return errors
    }

    private static func nodeExpression(_ expression: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        let values = expression["values"]?.strings ?? []
        let operation = expression["operator"]?.string ?? ""
        switch operation {
        case "In", "NotIn":
            if values.isEmpty {
                errors.append(
                    .required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"))
            }
        case "Exists", "DoesNotExist":
            if !values.isEmpty {
                errors.append(
                    .forbidden(
                        path.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
            }
        case "Gt", "Lt":
            if values.count != 1 {
                errors.append(
                    .required(path.child("values"), "must be specified single value when `operator` is 'Lt' or 'Gt'"))
            }
        default:
            errors.append(.invalid(path.child("operator"), .string(operation), "not a valid selector operator"))
        }
        let key = expression["key"]?.string ?? ""
        errors.invalid(path.child("key"), .string(key), Names.qualifiedName(key))
        return errors
    }

    // MARK: Updates

    private static let immutableText =
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        + "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        + "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

    static func validateUpdate(_ pod: JSON, old: JSON) -> [FieldError] {
        let path: FieldPath = "spec"
        let spec = pod["spec"] ?? [:]
        let before = old["spec"] ?? [:]
        var errors: [FieldError] = []
        for list in ["containers", "initContainers"] {
            let now = spec[list]?.array ?? []
            let then = before[list]?.array ?? []
            if now.count != then.count {
                // As kube-apiserver: nothing else is said once the containers do not correspond.
                return [.forbidden(path.child(list), "pod updates may not add or remove containers")]
            }
            for (index, container) in now.enumerated() {
                let path = path.child(list)[index].child("image")
                let image = container["image"]?.string ?? ""
                if image.isEmpty { errors.append(.required(path)) }
                if image != image.trimmingSpaces() {
                    errors.append(
                        .invalid(path, .string(image), "must not have leading or trailing whitespace"))
                }
            }
        }
        errors += activeDeadline(spec, before, path.child("activeDeadlineSeconds"))
        errors += addedTolerations(spec, before, path.child("tolerations"))
        let changed = otherChanges(spec, before)
        if errors.isEmpty, !changed.isEmpty {
            errors.append(.forbidden(path, immutableText + "\n" + changed.joined(separator: "\n")))
        }
        return errors
    }

    private static func activeDeadline(_ spec: JSON, _ old: JSON, _ path: FieldPath) -> [FieldError] {
        let now = spec["activeDeadlineSeconds"]?.int
        let then = old["activeDeadlineSeconds"]?.int
        if let now {
            if !(0...Int64(Int32.max) ~= now) {
                return [.invalid(path, .int(now), "must be between 0 and 2147483647, inclusive")]
            }
            if let then, then < now {
                return [.invalid(path, .int(now), "must be less than or equal to previous value")]
            }
        } else if then != nil {
            return [.invalid(path, .null, "must not update from a positive integer to nil value")]
        }
        return []
    }

    private static func addedTolerations(_ spec: JSON, _ old: JSON, _ path: FieldPath) -> [FieldError] {
        func withoutSeconds(_ toleration: JSON) -> JSON {
            var copy = toleration
            copy["tolerationSeconds"] = nil
            return copy
        }
        let now = spec["tolerations"]?.array ?? []
        let kept = now.map(withoutSeconds)
        if (old["tolerations"]?.array ?? []).contains(where: { !kept.contains(withoutSeconds($0)) }) {
            return [.forbidden(path, "existing toleration can not be modified except its tolerationSeconds")]
        }
        return tolerations(now, path)
    }

    /// Lines that say which other fields changed; kube-apiserver prints a diff of its structs there.
    private static func otherChanges(_ spec: JSON, _ old: JSON) -> [String] {
        func comparable(_ spec: JSON, like other: JSON) -> JSON {
            var copy = spec
            for key in ["activeDeadlineSeconds", "tolerations", "ephemeralContainers"] { copy[key] = nil }
            if (other["terminationGracePeriodSeconds"]?.int ?? 0) < 0, copy["terminationGracePeriodSeconds"] == 1 {
                copy["terminationGracePeriodSeconds"] = other["terminationGracePeriodSeconds"]
            }
            for list in ["containers", "initContainers"] { copy.modifyEach(list) { $0["image"] = nil } }
            return copy
        }
        let now = comparable(spec, like: old)
        let then = comparable(old, like: old)
        let keys = Set((now.object?.keys ?? []) + (then.object?.keys ?? [])).sorted()
        return keys.flatMap { key -> [String] in
            if now[key] == then[key] { return [] }
            return (then[key].map { ["- \(key): \($0.text)"] } ?? [])
                + (now[key].map { ["+ \(key): \($0.text)"] } ?? [])
        }
    }

    static func validateStatusUpdate(_ pod: JSON, old: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        let path: FieldPath = "status"
        let phase = pod.at("status", "phase")?.string ?? ""
        if !["", "Pending", "Running", "Succeeded", "Failed", "Unknown"].contains(phase) {
            errors.append(
                .notSupported(
                    path.child("phase"), .string(phase), ["Failed", "Pending", "Running", "Succeeded", "Unknown"]))
        }
        if let node = pod.at("status", "nominatedNodeName")?.string, !node.isEmpty {
            errors.invalid(path.child("nominatedNodeName"), .string(node), Names.dns1123Subdomain(node))
        }
        for (index, ip) in (pod.at("status", "podIPs")?.array ?? []).enumerated() {
            let text = ip["ip"]?.string ?? ""
            if !Rules.isIP(text) { errors.append(.invalid(path.child("podIPs")[index], .string(text), Rules.ipText)) }
        }
        return errors
    }

    /// Ephemeral containers may be added, never changed or removed.
    static func validateEphemeralUpdate(_ pod: JSON, old: JSON) -> [FieldError] {
        let path = FieldPath("spec").child("ephemeralContainers")
        let now = pod.at("spec", "ephemeralContainers")?.array ?? []
        var errors: [FieldError] = []
        for container in old.at("spec", "ephemeralContainers")?.array ?? [] {
            let name = container["name"]
            guard let index = now.firstIndex(where: { $0["name"] == name }) else {
                errors.append(
                    .forbidden(
                        path, "existing ephemeral containers \(Quote.go(name?.string ?? "")) may not be removed\n"))
                continue
            }
            if now[index] != container {
                errors.append(
                    .forbidden(
                        path[index],
                        "existing ephemeral containers \(Quote.go(name?.string ?? "")) may not be changed\n"))
            }
        }
        let volumes = Set((pod.at("spec", "volumes")?.array ?? []).compactMap { $0["name"]?.string })
        return errors
            + ContainerRules.validateEphemeral(
                pod["spec"] ?? [:], "spec",
                ContainerRules.Context(volumes: volumes, hostNetwork: false, restartPolicy: ""))
    }
}

extension String {
    /// Without white space at both ends.
    func trimmingSpaces() -> String {
        guard let first = firstIndex(where: { !$0.isWhitespace }),
            let last = lastIndex(where: { !$0.isWhitespace })
        else { return "" }
        return String(self[first...last])
    }
}

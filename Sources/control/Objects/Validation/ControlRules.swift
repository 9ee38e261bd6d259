// The rules of webhook configurations and API services (pkg/apis/admissionregistration, kube-aggregator validation).

enum ControlRules {
    static func webhooks(_ hooks: [JSON]) -> [FieldError] {
        var errors: [FieldError] = []
        var names: Set<String> = []
        for (index, hook) in hooks.enumerated() {
            let path = FieldPath("webhooks")[index]
            let name = hook["name"]?.string ?? ""
            if !names.insert(name).inserted { errors.append(.duplicate(path.child("name"), .string(name))) }
            if name.split(separator: ".").count < 3 {
                errors.append(
                    name.isEmpty
                        ? .required(path.child("name"))
                        : .invalid(
                            path.child("name"), .string(name),
                            "should be a domain with at least three segments separated by dots"))
            }
            errors.invalid(path.child("name"), .string(name), Names.dns1123Subdomain(name))
            let versions = hook["admissionReviewVersions"]?.strings ?? []
            if versions.isEmpty {
                errors.append(
                    .required(
                        path.child("admissionReviewVersions"), "must specify one of v1, v1beta1"))
            } else if !versions.contains("v1"), !versions.contains("v1beta1") {
                errors.append(
                    .invalid(
                        path.child("admissionReviewVersions"), hook["admissionReviewVersions"],
                        "must include at least one of v1, v1beta1"))
            }
            for (index, version) in versions.enumerated() where versions.firstIndex(of: version) != index {
                errors.append(
                    .invalid(path.child("admissionReviewVersions")[index], .string(version), "duplicate version"))
            }
            errors += conditions(hook["matchConditions"], path.child("matchConditions"))
            errors += Rules.oneOf(hook, "sideEffects", ["None", "NoneOnDryRun"], path)
            errors += Rules.oneOf(hook, "failurePolicy", ["Fail", "Ignore"], path, required: false)
            errors += Rules.oneOf(hook, "matchPolicy", ["Equivalent", "Exact"], path, required: false)
            errors += Rules.oneOf(hook, "reinvocationPolicy", ["IfNeeded", "Never"], path, required: false)
            if let seconds = hook["timeoutSeconds"]?.int, !(1...30 ~= seconds) {
                errors.append(
                    .invalid(
                        path.child("timeoutSeconds"), .int(seconds),
                        "the timeout value must be between 1 and 30 seconds"))
            }
            errors += client(hook["clientConfig"], path.child("clientConfig"))
            for key in ["namespaceSelector", "objectSelector"] {
                if let selector = hook[key] { errors += Rules.labelSelector(selector, path.child(key)) }
            }
            for (index, rule) in (hook["rules"]?.array ?? []).enumerated() {
                errors += self.rule(rule, path.child("rules")[index])
            }
        }
        return errors
    }

    private static func client(_ config: JSON?, _ path: FieldPath) -> [FieldError] {
        let url = config?["url"]?.string
        let service = config?["service"]
        if (url == nil) == (service == nil) {
            return [.required(path, "exactly one of url or service is required")]
        }
        if let url {
            return address(url, path.child("url"))
        }
        var errors: [FieldError] = []
        for key in ["name", "namespace"] where (service?[key]?.string ?? "").isEmpty {
            errors.append(.required(path.child("service", key), "service \(key) is required"))
        }
        if let port = service?["port"]?.int {
            errors.invalid(path.child("service", "port"), .int(port), Names.portNumber(port))
        }
        return errors
    }

    private static func address(_ url: String, _ path: FieldPath) -> [FieldError] {
        let scheme = "https://"
        guard url.hasPrefix(scheme) else {
            return [.invalid(path, .string(url), "'https' is the only allowed URL scheme")]
        }
        var errors: [FieldError] = []
        var rest = url.dropFirst(scheme.count)
        if let hash = rest.firstIndex(of: "#") {
            errors.append(
                .invalid(
                    path, .string(String(rest[rest.index(after: hash)...])), "fragments are not permitted in the URL"))
            rest = rest[..<hash]
        }
        if let mark = rest.firstIndex(of: "?") {
            errors.append(
                .invalid(
                    path, .string(String(rest[rest.index(after: mark)...])),
                    "query parameters are not permitted in the URL"))
            rest = rest[..<mark]
        }
        let host = rest.prefix { $0 != "/" }
        if let at = host.lastIndex(of: "@") {
            errors.append(
                .invalid(path, .string(String(host[..<at])), "user information is not permitted in the URL"))
        }
        if host.isEmpty { errors.append(.invalid(path, .string(url), "host must be specified")) }
        return errors
    }

    /// Conditions have names, which differ, and expressions, which are not looked at yet.
    private static func conditions(_ conditions: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        var names: Set<String> = []
        for (index, condition) in (conditions?.array ?? []).enumerated() {
            let path = path[index]
            if (condition["expression"]?.string ?? "").isEmpty { errors.append(.required(path.child("expression"))) }
            let name = condition["name"]?.string ?? ""
            if name.isEmpty {
                errors.append(.required(path.child("name")))
            } else {
                errors.invalid(path.child("name"), .string(name), Names.qualifiedName(name))
                if !names.insert(name).inserted { errors.append(.duplicate(path.child("name"), .string(name))) }
            }
        }
        return errors
    }

    private static func rule(_ rule: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        for key in ["operations", "apiGroups", "apiVersions", "resources"] where (rule[key]?.array ?? []).isEmpty {
            errors.append(.required(path.child(key)))
        }
        for (index, name) in (rule["operations"]?.strings ?? []).enumerated() {
            let known = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"]
            if !known.contains(name) {
                errors.append(.notSupported(path.child("operations")[index], .string(name), known))
            }
        }
        return errors + Rules.oneOf(rule, "scope", ["*", "Cluster", "Namespaced"], path, required: false)
    }

    static func apiService(_ object: JSON) -> [FieldError] {
        let path: FieldPath = "spec"
        let spec = object["spec"]
        var errors: [FieldError] = []
        let group = spec?["group"]?.string ?? ""
        let version = spec?["version"]?.string ?? ""
        let name = object.at("metadata", "name")?.string ?? ""
        if name != "\(version).\(group)" {
            errors.append(
                .invalid(
                    "metadata.name", .string(name), "must be `spec.version+\".\"+spec.group`: \"\(version).\(group)\""))
        }
        if version.isEmpty { errors.append(.required(path.child("version"))) }
        for key in ["groupPriorityMinimum", "versionPriority"] {
            let number = spec?[key]?.int ?? 0
            let most: Int64 = key == "versionPriority" ? 1000 : 20000
            if !(1...most ~= number) {
                errors.append(
                    .invalid(path.child(key), .int(number), "must be positive and less than \(most)"))
            }
        }
        guard let service = spec?["service"] else { return errors }
        for key in ["name", "namespace"] where (service[key]?.string ?? "").isEmpty {
            errors.append(.required(path.child("service", key)))
        }
        if spec?["insecureSkipTLSVerify"]?.bool == true, !(spec?["caBundle"]?.string ?? "").isEmpty {
            errors.append(
                .invalid(path.child("insecureSkipTLSVerify"), .bool(true), "may not be true if caBundle is present"))
        }
        return errors
    }
}

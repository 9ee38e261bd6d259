// What roles and their bindings must agree with (rbac.authorization.k8s.io/v1).

enum AccessRules {
    static let group = "rbac.authorization.k8s.io"

    static func clusterRole(_ object: JSON) -> [FieldError] {
        var errors = rules(object["rules"], isNamespaced: false)
        guard let aggregation = object["aggregationRule"], !aggregation.isNull else { return errors }
        let path: FieldPath = "aggregationRule.clusterRoleSelectors"
        let selectors = aggregation["clusterRoleSelectors"]?.array ?? []
        if selectors.isEmpty {
            errors.append(.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
        }
        for (index, selector) in selectors.enumerated() {
            do throws(SelectorError) {
                _ = try LabelSelector(selector)
            } catch {
                errors.append(.invalid(path.index(index), selector, error.description))
            }
        }
        return errors
    }

    static func rules(_ rules: JSON?, isNamespaced: Bool) -> [FieldError] {
        var errors: [FieldError] = []
        for (index, rule) in (rules?.array ?? []).enumerated() {
            errors += self.rule(rule, FieldPath("rules").index(index), isNamespaced: isNamespaced)
        }
        return errors
    }

    private static func rule(_ rule: JSON, _ path: FieldPath, isNamespaced: Bool) -> [FieldError] {
        func isEmpty(_ key: String) -> Bool { (rule[key]?.array ?? []).isEmpty }
        var errors: [FieldError] = []
        if isEmpty("verbs") {
            errors.append(.required(path.child("verbs"), "verbs must contain at least one value"))
        }
        if !isEmpty("nonResourceURLs") {
            let urls = path.child("nonResourceURLs")
            if isNamespaced {
                errors.append(
                    .invalid(urls, rule["nonResourceURLs"], "namespaced rules cannot apply to non-resource URLs"))
            }
            if !isEmpty("apiGroups") || !isEmpty("resources") || !isEmpty("resourceNames") {
                errors.append(
                    .invalid(
                        urls, rule["nonResourceURLs"],
                        "rules cannot apply to both regular resources and non-resource URLs"))
            }
            return errors
        }
        if isEmpty("apiGroups") {
            errors.append(.required(path.child("apiGroups"), "resource rules must supply at least one api group"))
        }
        if isEmpty("resources") {
            errors.append(.required(path.child("resources"), "resource rules must supply at least one resource"))
        }
        return errors
    }

    // MARK: - Bindings

    static func binding(_ object: JSON, isNamespaced: Bool) -> [FieldError] {
        var errors: [FieldError] = []
        let role = object["roleRef"]
        let path: FieldPath = "roleRef"
        if role?["apiGroup"]?.string ?? "" != group {
            errors.append(.notSupported(path.child("apiGroup"), role?["apiGroup"] ?? "", [group]))
        }
        let kinds = isNamespaced ? ["Role", "ClusterRole"] : ["ClusterRole"]
        if !kinds.contains(role?["kind"]?.string ?? "") {
            errors.append(.notSupported(path.child("kind"), role?["kind"] ?? "", kinds))
        }
        let name = role?["name"]?.string ?? ""
        if name.isEmpty {
            errors.append(.required(path.child("name")))
        } else {
            errors.invalid(path.child("name"), .string(name), NameRule.pathSegment.check(name))
        }
        for (index, subject) in (object["subjects"]?.array ?? []).enumerated() {
            errors += self.subject(subject, FieldPath("subjects").index(index), isNamespaced: isNamespaced)
        }
        return errors
    }

    private static func subject(_ subject: JSON, _ path: FieldPath, isNamespaced: Bool) -> [FieldError] {
        var errors: [FieldError] = []
        let name = subject["name"]?.string ?? ""
        let apiGroup = subject["apiGroup"]?.string ?? ""
        if name.isEmpty { errors.append(.required(path.child("name"))) }
        switch subject["kind"]?.string ?? "" {
        case "ServiceAccount":
            if !name.isEmpty { errors.invalid(path.child("name"), .string(name), NameRule.subdomain.check(name)) }
            if !apiGroup.isEmpty { errors.append(.notSupported(path.child("apiGroup"), .string(apiGroup), [""])) }
            if !isNamespaced, (subject["namespace"]?.string ?? "").isEmpty {
                errors.append(.required(path.child("namespace")))
            }
        case "User", "Group":
            if apiGroup != group { errors.append(.notSupported(path.child("apiGroup"), .string(apiGroup), [group])) }
        case let kind:
            errors.append(
                .notSupported(path.child("kind"), .string(kind), ["ServiceAccount", "User", "Group"]))
        }
        return errors
    }
}

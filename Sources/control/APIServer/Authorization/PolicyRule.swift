// rbac.authorization.k8s.io/v1 PolicyRule: what it allows, and how Kubernetes prints it.

internal import Objects

struct PolicyRule: Hashable, Sendable {
    var verbs: [String]
    var groups: [String] = []
    var resources: [String] = []
    var names: [String] = []
    var paths: [String] = []

    init(
        verbs: [String], groups: [String] = [], resources: [String] = [], names: [String] = [], paths: [String] = []
    ) {
        (self.verbs, self.groups, self.resources, self.names, self.paths) = (verbs, groups, resources, names, paths)
    }

    init(_ json: JSON) {
        verbs = json["verbs"]?.strings ?? []
        groups = json["apiGroups"]?.strings ?? []
        resources = json["resources"]?.strings ?? []
        names = json["resourceNames"]?.strings ?? []
        paths = json["nonResourceURLs"]?.strings ?? []
    }

    /// The rules of a Role or ClusterRole.
    static func rules(of role: JSON) -> [PolicyRule] { (role["rules"]?.array ?? []).map(PolicyRule.init) }

    var json: JSON {
        var json: JSON = ["verbs": PolicyRule.array(verbs)]
        for (key, values) in [
            ("apiGroups", groups), ("resources", resources), ("resourceNames", names), ("nonResourceURLs", paths),
        ] where !values.isEmpty { json[key] = PolicyRule.array(values) }
        return json
    }

    private static func array(_ texts: [String]) -> JSON { .array(texts.map { .string($0) }) }

    // MARK: - Matching

    func allows(_ request: AccessRequest) -> Bool {
        guard PolicyRule.holds(verbs, request.verb) else { return false }
        if let path = request.path { return paths.contains { PolicyRule.matches(pattern: $0, path: path) } }
        return PolicyRule.holds(groups, request.group)
            && allowsResource(request)
            && (names.isEmpty || names.contains(request.name))
    }

    private func allowsResource(_ request: AccessRequest) -> Bool {
        let combined = request.combinedResource
        return resources.contains { pattern in
            if pattern == "*" || pattern == combined { return true }
            // `*/scale`: that subresource of everything.
            return !request.subresource.isEmpty && pattern.hasPrefix("*/")
                && pattern.dropFirst(2) == request.subresource
        }
    }

    private static func holds(_ values: [String], _ value: String) -> Bool {
        values.contains { $0 == "*" || $0 == value }
    }

    /// `/healthz`, `/api/*`, `*`
    static func matches(pattern: String, path: String) -> Bool {
        if pattern == "*" || pattern == path { return true }
        return pattern.hasSuffix("*") && path.hasPrefix(pattern.dropLast())
    }

    // MARK: - Printing

    /// `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`, as in messages about escalation.
    var compactText: String {
        let parts = [
            ("APIGroups", groups), ("Resources", resources), ("NonResourceURLs", paths), ("ResourceNames", names),
            ("Verbs", verbs),
        ]
        return "{" + parts.filter { !$0.1.isEmpty }.map { "\($0.0):\(Go.list($0.1))" }.joined(separator: ", ") + "}"
    }
}

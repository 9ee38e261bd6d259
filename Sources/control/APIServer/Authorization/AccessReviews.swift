// The access reviews of authorization.k8s.io/v1: SubjectAccessReview, its Local and Self forms, SelfSubjectRulesReview.
// They ask the same authorizers as requests do, and are answered at once; nothing is stored.

internal import Objects

enum AccessReviews {
    /// About the user in the spec.
    static func subject(_ review: JSON, _ declaration: ResourceDeclaration, _ core: APICore) throws(APIStatus) -> JSON {
        let spec = review["spec"]
        let user = UserInfo(
            name: spec?["user"]?.string ?? "", uid: spec?["uid"]?.string ?? "", groups: spec?["groups"]?.strings ?? [],
            extra: (spec?["extra"]?.object ?? JSONObject()).reduce(into: [:]) {
                $0[$1.key.lowercased()] = $1.value.strings
            })
        var errors = attributeErrors(spec)
        if user.name.isEmpty, user.groups.isEmpty {
            errors.append(
                .invalid(FieldPath("spec.user"), .string(""), "at least one of user or group must be specified"))
        }
        return try answer(review, declaration, user, errors, core)
    }

    /// About a user in the namespace of the path.
    static func local(
        _ review: JSON, namespace: String, _ declaration: ResourceDeclaration, _ core: APICore
    ) throws(APIStatus) -> JSON {
        let spec = review["spec"]
        var errors: [FieldError] = []
        let own = review.at("metadata", "namespace")?.string ?? ""
        guard own.isEmpty || own == namespace else {
            throw .badRequest("spec.resourceAttributes.namespace must match namespace: \(namespace)")
        }
        if let attributes = spec?["resourceAttributes"], attributes["namespace"]?.string ?? "" != namespace {
            errors.append(
                .invalid(
                    FieldPath("spec.resourceAttributes.namespace"), attributes["namespace"] ?? "",
                    "must match metadata.namespace"))
        }
        if spec?["nonResourceAttributes"] != nil {
            errors.append(
                .invalid(
                    FieldPath("spec.nonResourceAttributes"), spec?["nonResourceAttributes"],
                    "disallowed on this kind of request"))
        }
        guard errors.isEmpty else { throw .invalid(declaration.gvk, "", errors) }
        return try subject(review, declaration, core)
    }

    /// About who asks.
    static func own(
        _ review: JSON, _ user: UserInfo, _ declaration: ResourceDeclaration, _ core: APICore
    ) throws(APIStatus) -> JSON {
        try answer(review, declaration, user, attributeErrors(review["spec"]), core)
    }

    private static func answer(
        _ review: JSON, _ declaration: ResourceDeclaration, _ user: UserInfo, _ errors: [FieldError], _ core: APICore
    ) throws(APIStatus) -> JSON {
        guard errors.isEmpty, let question = question(review["spec"]) else {
            throw .invalid(declaration.gvk, "", errors)
        }
        var answer = review
        switch core.authorization.decide(user, question, core) {
        case .allow(let reason): answer["status"] = status(true, reason)
        case .noOpinion(let reason): answer["status"] = status(false, reason)
        }
        return answer
    }

    private static func status(_ allowed: Bool, _ reason: String) -> JSON {
        var status: JSON = ["allowed": .bool(allowed)]
        if !reason.isEmpty { status["reason"] = .string(reason) }
        return status
    }

    private static func attributeErrors(_ spec: JSON?) -> [FieldError] {
        let resource = spec?["resourceAttributes"]
        let other = spec?["nonResourceAttributes"]
        if resource != nil, other != nil {
            return [
                .invalid(
                    FieldPath("spec.nonResourceAttributes"), other,
                    "cannot be specified in combination with resourceAttributes")
            ]
        }
        if resource == nil, other == nil {
            return [
                .invalid(
                    FieldPath("spec.resourceAttributes"), .null,
                    "exactly one of nonResourceAttributes or resourceAttributes must be specified")
            ]
        }
        return []
    }

    private static func question(_ spec: JSON?) -> AccessRequest? {
        if let other = spec?["nonResourceAttributes"] {
            return AccessRequest(other["verb"]?.string ?? "", path: other["path"]?.string ?? "")
        }
        guard let resource = spec?["resourceAttributes"] else { return nil }
        func text(_ key: String) -> String { resource[key]?.string ?? "" }
        var question = AccessRequest(
            text("verb"), ResourceID(group: text("group"), version: text("version"), resource: text("resource")),
            subresource: text("subresource"), namespace: text("namespace"), name: text("name"))
        for requirement in resource.at("fieldSelector", "requirements")?.array ?? [] {
            guard requirement["operator"]?.string == "In",
                let values = requirement["values"]?.strings, values.count == 1
            else { continue }
            question.fields[requirement["key"]?.string ?? ""] = values[0]
        }
        for (field, value) in AccessRequest.pinned(resource.at("fieldSelector", "rawSelector")?.string ?? "") {
            question.fields[field] = value
        }
        return question
    }

    // MARK: - Rules

    /// What who asks may do in a namespace. Rules that the Node authorizer would add cannot be listed; the answer says
    /// so.
    static func rules(_ review: JSON, _ user: UserInfo, _ core: APICore) throws(APIStatus) -> JSON {
        let namespace = review.at("spec", "namespace")?.string ?? ""
        guard !namespace.isEmpty else { throw .badRequest("no namespace on request") }
        var rules = core.authorization.index.rules(user, namespace: namespace)
        if user.isMaster, !rules.contains(everything) {
            rules.append(everything)
            rules.append(PolicyRule(verbs: ["*"], paths: ["*"]))
        }
        let isNode = NodeAuthorizer.nodeName(user) != nil
        var status: JSON = [
            "resourceRules": .array(rules.filter { $0.paths.isEmpty }.map(\.json)),
            "nonResourceRules": .array(rules.filter { !$0.paths.isEmpty }.map(\.json)), "incomplete": .bool(isNode),
        ]
        if isNode { status["evaluationError"] = "node authorizer does not support user rule resolution" }
        var answer = review
        answer["status"] = status
        return answer
    }

    private static let everything = PolicyRule(verbs: ["*"], groups: ["*"], resources: ["*"])
}

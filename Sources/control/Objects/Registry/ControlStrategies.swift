// What steers the control plane: webhooks, admission policies, flow control, API services. Defaults are Kubernetes';
// the rules are those that catch what cannot work.

/// Validating and mutating webhook configurations.
public struct WebhookStrategy: ResourceStrategy {
    private let isMutating: Bool

    public init(isMutating: Bool) { self.isMutating = isMutating }

    public func setDefaults(_ object: inout JSON) {
        object.modifyEach("webhooks") { hook in
            hook.setDefault("failurePolicy", "Fail")
            hook.setDefault("matchPolicy", "Equivalent")
            hook.setDefault("timeoutSeconds", 10)
            hook.setDefault("namespaceSelector", [:])
            hook.setDefault("objectSelector", [:])
            if isMutating { hook.setDefault("reinvocationPolicy", "Never") }
            hook.modifyEach("rules") { $0.setDefault("scope", "*") }
            hook.modify("clientConfig") { config in config.modify("service") { $0.setDefault("port", 443) } }
        }
    }

    public func validate(_ object: JSON) -> [FieldError] { ControlRules.webhooks(object["webhooks"]?.array ?? []) }
}

/// Validating and mutating admission policies.
public struct AdmissionPolicyStrategy: ResourceStrategy {
    public var statusKeepsMetadata: Bool { true }
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.modify("spec") { spec in
            spec.setDefault("failurePolicy", "Fail")
            spec.modify("matchConstraints") { match in
                match.setDefault("matchPolicy", "Equivalent")
                match.setDefault("namespaceSelector", [:])
                match.setDefault("objectSelector", [:])
                for list in ["resourceRules", "excludeResourceRules"] {
                    match.modifyEach(list) { $0.setDefault("scope", "*") }
                }
            }
        }
    }

    public func validate(_ object: JSON) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors = Rules.oneOf(object["spec"], "failurePolicy", ["Fail", "Ignore"], path)
        if object.at("spec", "matchConstraints") == nil {
            errors.append(.required(path.child("matchConstraints")))
        } else if (object.at("spec", "matchConstraints", "resourceRules")?.array ?? []).isEmpty {
            errors.append(.required(path.child("matchConstraints", "resourceRules")))
        }
        for (index, validation) in (object.at("spec", "validations")?.array ?? []).enumerated()
        where (validation["expression"]?.string ?? "").isEmpty {
            errors.append(
                .required(path.child("validations")[index].child("expression"), "expression is not specified"))
        }
        return errors
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus ? [] : validate(object)
    }
}

public struct AdmissionPolicyBindingStrategy: ResourceStrategy {
    private let isMutating: Bool

    public init(isMutating: Bool) { self.isMutating = isMutating }

    public func validate(_ object: JSON) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors: [FieldError] = []
        let policy = object.at("spec", "policyName")?.string ?? ""
        if policy.isEmpty {
            errors.append(.required(path.child("policyName")))
        } else {
            errors.invalid(path.child("policyName"), .string(policy), Names.dns1123Subdomain(policy))
        }
        if let parameters = object.at("spec", "paramRef") {
            let isNamed = !(parameters["name"]?.string ?? "").isEmpty
            if isNamed, parameters["selector"] != nil {
                errors.append(
                    .forbidden(path.child("paramRef", "name"), "name and selector are mutually exclusive"))
            } else if !isNamed, parameters["selector"] == nil {
                errors.append(.required(path.child("paramRef"), "one of name or selector must be specified"))
            }
            errors += Rules.oneOf(
                parameters, "parameterNotFoundAction", ["Allow", "Deny"], path.child("paramRef"))
        }
        guard !isMutating else { return errors }
        let actions = object.at("spec", "validationActions")?.strings ?? []
        if actions.isEmpty { errors.append(.required(path.child("validationActions"))) }
        for (index, action) in actions.enumerated() where !["Audit", "Deny", "Warn"].contains(action) {
            errors.append(
                .notSupported(path.child("validationActions")[index], .string(action), ["Audit", "Deny", "Warn"]))
        }
        for (index, action) in actions.enumerated() where actions.firstIndex(of: action) != index {
            errors.append(.duplicate(path.child("validationActions")[index], .string(action)))
        }
        if actions.contains("Deny"), actions.contains("Warn") {
            errors.append(
                .invalid(
                    path.child("validationActions"), object.at("spec", "validationActions"),
                    "must not contain both Deny and Warn (repeating the same validation failure information in the API "
                        + "response and headers serves no purpose)"
                ))
        }
        return errors
    }
}

public struct FlowSchemaStrategy: ResourceStrategy {
    public var statusKeepsMetadata: Bool { true }
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.modify("spec") { $0.setDefault("matchingPrecedence", 1000) }
    }

    public func validate(_ object: JSON) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors: [FieldError] = []
        if let precedence = object.at("spec", "matchingPrecedence")?.int, !(1...10000 ~= precedence) {
            let problem =
                precedence < 1 ? "must be a positive value" : "must not be greater than 10000"
            errors.append(.invalid(path.child("matchingPrecedence"), .int(precedence), problem))
        }
        if object.at("spec", "matchingPrecedence") == 1, object.at("metadata", "name") != "exempt" {
            errors.append(
                .invalid(
                    path.child("matchingPrecedence"), 1,
                    "only the schema named 'exempt' may have matchingPrecedence 1"))
        }
        if let method = object.at("spec", "distinguisherMethod") {
            errors += Rules.oneOf(method, "type", ["ByNamespace", "ByUser"], path.child("distinguisherMethod"))
        }
        for (index, rule) in (object.at("spec", "rules")?.array ?? []).enumerated() {
            errors += ControlRules.flowRule(rule, path.child("rules")[index])
        }
        if (object.at("spec", "priorityLevelConfiguration", "name")?.string ?? "").isEmpty {
            errors.append(
                .required(path.child("priorityLevelConfiguration", "name"), "must reference a priority level"))
        }
        return errors
    }
}

public struct PriorityLevelStrategy: ResourceStrategy {
    public var statusKeepsMetadata: Bool { true }
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.modify("spec") { spec in
            spec.modify("limited") { limited in
                limited.setDefault("nominalConcurrencyShares", 30)
                limited.setDefault("lendablePercent", 0)
                limited.modify("limitResponse") { response in
                    response.modify("queuing") { queuing in
                        let defaults: [(String, JSON)] = [("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)]
                        // Zero is Go's "not given".
                        for (key, value) in defaults where queuing[key]?.int ?? 0 == 0 { queuing[key] = value }
                    }
                }
            }
            spec.modify("exempt") { exempt in
                exempt.setDefault("nominalConcurrencyShares", 0)
                exempt.setDefault("lendablePercent", 0)
            }
        }
    }

    public func validate(_ object: JSON) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors = Rules.oneOf(object["spec"], "type", ["Exempt", "Limited"], path)
        if object.at("spec", "type") == "Limited", object.at("spec", "limited") == nil {
            errors.append(.required(path.child("limited"), "must not be empty when type is Limited"))
        }
        if object.at("spec", "type") == "Exempt", object.at("spec", "limited") != nil {
            errors.append(.forbidden(path.child("limited"), "must be nil if the type is not Limited"))
        }
        if let limited = object.at("spec", "limited") { errors += ControlRules.limited(limited, path.child("limited")) }
        return errors
    }
}

public struct APIServiceStrategy: ResourceStrategy {
    public var statusKeepsMetadata: Bool { true }
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.modify("spec") { spec in spec.modify("service") { $0.setDefault("port", 443) } }
    }

    /// The core group's is "v1.".
    public var nameRule: NameRule { .pathSegment }

    /// One without a Service stands for this server itself, which is there when it answers.
    public func prepareForCreate(_ object: inout JSON) {
        guard object.at("spec", "service") == nil else { return }
        object["status"] = [
            "conditions": [
                [
                    "type": "Available", "status": "True", "reason": "Local",
                    "message": "Local APIServices are always available",
                    "lastTransitionTime": object.at("metadata", "creationTimestamp") ?? .null,
                ]
            ]
        ]
    }

    public func validate(_ object: JSON) -> [FieldError] { ControlRules.apiService(object) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus ? [] : validate(object)
    }
}

public struct RuntimeClassStrategy: ResourceStrategy {
    public init() {}

    public func validate(_ object: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        let handler = object["handler"]?.string ?? ""
        errors.invalid("handler", .string(handler), Names.dns1123Label(handler))
        for (name, amount) in object.at("overhead", "podFixed")?.object ?? JSONObject() {
            let path = FieldPath("overhead.podFixed")[key: name]
            errors.invalid(path, .string(name), Names.qualifiedName(name))
            if let quantity = Quantity(amount), quantity < Quantity(0) {
                errors.append(.invalid(path, amount, Rules.nonNegativeText))
            }
        }
        let path: FieldPath = "scheduling"
        errors += MetadataRules.labels(object.at("scheduling", "nodeSelector"), path.child("nodeSelector"))
        return errors
            + PodRules.tolerations(object.at("scheduling", "tolerations")?.array ?? [], path.child("tolerations"))
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        Rules.immutable(object, old, "handler", FieldPath(""))
    }
}

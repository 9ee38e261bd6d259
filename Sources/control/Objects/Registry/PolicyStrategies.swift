// LimitRange, ResourceQuota and PriorityClass: what admission enforces.

public struct LimitRangeStrategy: ResourceStrategy {
    public var allowsCreateOnUpdate: Bool { true }
    public init() {}

    /// Of a Container item: a default limit where only a maximum is given, a default request from that or the minimum.
    public func setDefaults(_ object: inout JSON) {
        object.modify("spec") { spec in
            spec.modifyEach("limits") { item in
                guard item["type"] == "Container" else { return }
                for (field, sources) in [("default", ["max"]), ("defaultRequest", ["default", "min"])] {
                    for source in sources {
                        for (name, amount) in item[source]?.object ?? JSONObject() where item.at(field, name) == nil {
                            item.set(field, name, to: amount)
                        }
                    }
                }
            }
        }
    }

    public func validate(_ object: JSON) -> [FieldError] { PolicyRules.limitRange(object["spec"]) }
}

public struct ResourceQuotaStrategy: ResourceStrategy {
    public init() {}

    public func validate(_ object: JSON) -> [FieldError] { PolicyRules.quota(object["spec"]) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        if target.isStatus { return [] }
        return validate(object)
            + ["scopes", "scopeSelector"].flatMap { Rules.immutable(object["spec"], old["spec"], $0, "spec") }
    }
}

public struct PriorityClassStrategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.setDefault("preemptionPolicy", "PreemptLowerPriority")
        if object["value"] == nil { object["value"] = 0 }
    }

    public func validate(_ object: JSON) -> [FieldError] { PolicyRules.priorityClass(object) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        var errors: [FieldError] = []
        if object["value"] != old["value"] { errors.append(.forbidden("value", "may not be changed in an update.")) }
        return errors + Rules.immutable(object, old, "preemptionPolicy", "")
    }
}

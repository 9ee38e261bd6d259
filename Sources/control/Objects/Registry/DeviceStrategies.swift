// resource.k8s.io/v1: device classes, claims, their templates, and what drivers offer. Nothing allocates devices yet.

enum DeviceDefaults {
    /// `spec.devices` of a claim: a request wants one device unless it says otherwise.
    static func claim(_ devices: inout JSON) {
        devices.modifyEach("requests") { request in
            request.modify("exactly", device)
            request.modifyEach("firstAvailable", device)
        }
    }

    /// The spec is what it was; one that was stored without defaults may get them.
    static func unchanged(_ object: JSON, _ old: JSON, _ strategy: some ResourceStrategy) -> [FieldError] {
        var old = old
        strategy.setDefaults(&old)
        return Rules.immutable(object, old, "spec", FieldPath(""))
    }

    private static func device(_ request: inout JSON) {
        request.setDefault("allocationMode", "ExactCount")
        if request["allocationMode"] == "ExactCount", request["count"]?.int ?? 0 == 0 { request["count"] = 1 }
        request.modifyEach("tolerations") { $0.setDefault("operator", "Equal") }
    }
}

public struct DeviceClassStrategy: ResourceStrategy {
    public init() {}

    public func validate(_ object: JSON) -> [FieldError] { DeviceRules.deviceClass(object["spec"], "spec") }
}

public struct ResourceClaimStrategy: ResourceStrategy {
    public var statusKeepsMetadata: Bool { true }
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.modify("spec") { $0.modify("devices", DeviceDefaults.claim) }
    }

    public func validate(_ object: JSON) -> [FieldError] {
        DeviceRules.claim(object.at("spec", "devices"), "spec.devices")
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus ? [] : DeviceDefaults.unchanged(object, old, self)
    }
}

public struct ResourceClaimTemplateStrategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.modify("spec") { $0.modify("spec") { $0.modify("devices", DeviceDefaults.claim) } }
    }

    public func validate(_ object: JSON) -> [FieldError] {
        DeviceRules.claim(object.at("spec", "spec", "devices"), "spec.spec.devices")
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        DeviceDefaults.unchanged(object, old, self)
    }
}

public struct ResourceSliceStrategy: ResourceStrategy {
    public init() {}

    public var fieldLabels: [String] { ["spec.driver", "spec.nodeName"] }

    public func validate(_ object: JSON) -> [FieldError] { DeviceRules.slice(object["spec"], "spec") }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        let frozen = ["driver", "nodeName"].flatMap { Rules.immutable(object["spec"], old["spec"], $0, "spec") }
        return validate(object) + frozen
            + Rules.immutable(object.at("spec", "pool"), old.at("spec", "pool"), "name", "spec.pool")
    }
}

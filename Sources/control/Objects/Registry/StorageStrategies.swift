// PersistentVolumes, their claims, and storage.k8s.io/v1.

public struct PersistentVolumeStrategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.modify("spec") { spec in
            spec.setDefault("persistentVolumeReclaimPolicy", "Retain")
            spec.setDefault("volumeMode", "Filesystem")
            spec.modify("hostPath") { path in
                if path["type"] == nil { path["type"] = "" }
            }
        }
    }

    public func prepareForCreate(_ object: inout JSON) { object["status"] = ["phase": "Pending"] }
    public func validate(_ object: JSON) -> [FieldError] { StorageRules.volume(object["spec"]) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus ? [] : validate(object) + StorageRules.volumeUpdate(object["spec"], old["spec"])
    }
}

public struct PersistentVolumeClaimStrategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.modify("spec") { $0.setDefault("volumeMode", "Filesystem") }
    }

    public func prepareForCreate(_ object: inout JSON) { object["status"] = ["phase": "Pending"] }
    public func validate(_ object: JSON) -> [FieldError] { StorageRules.claim(object["spec"], "spec") }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus ? [] : validate(object) + StorageRules.claimUpdate(object, old)
    }
}

public struct StorageClassStrategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.setDefault("reclaimPolicy", "Delete")
        object.setDefault("volumeBindingMode", "Immediate")
    }

    public func validate(_ object: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        let provisioner = object["provisioner"]?.string ?? ""
        if provisioner.isEmpty {
            errors.append(.required("provisioner"))
        } else {
            errors.invalid("provisioner", .string(provisioner), Names.qualifiedName(provisioner.lowercased()))
        }
        for (index, key) in (object["parameters"]?.object ?? JSONObject()).map(\.key).enumerated() where key.isEmpty {
            errors.append(.invalid(FieldPath("parameters")[index], "", "key must not be empty"))
        }
        errors += Rules.oneOf(object, "reclaimPolicy", ["Delete", "Retain"], FieldPath(""))
        return errors
            + Rules.oneOf(object, "volumeBindingMode", ["Immediate", "WaitForFirstConsumer"], FieldPath(""))
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        let frozen = ["parameters", "provisioner", "reclaimPolicy"]
        return frozen.filter { object[$0] != old[$0] }.map {
            FieldError.forbidden(FieldPath($0), "updates to \($0) are forbidden.")
        } + Rules.immutable(object, old, "volumeBindingMode", FieldPath(""))
    }
}

public struct VolumeAttributesClassStrategy: ResourceStrategy {
    public init() {}

    public func validate(_ object: JSON) -> [FieldError] {
        // Like a StorageClass' provisioner, not like a CSIDriver's name.
        let driver = object["driverName"]?.string ?? ""
        var errors: [FieldError] = driver.isEmpty ? [.required("driverName")] : []
        if !driver.isEmpty { errors.invalid("driverName", .string(driver), Names.qualifiedName(driver.lowercased())) }
        let parameters = object["parameters"]?.object ?? JSONObject()
        if parameters.isEmpty {
            errors.append(.required("parameters", "must contain at least one key/value pair"))
        }
        if parameters[""] != nil { errors.append(.invalid("parameters", "", "field must not be empty.")) }
        return errors
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        ["driverName", "parameters"].filter { object[$0] != old[$0] }.map {
            .forbidden(FieldPath($0), "updates to \($0) are forbidden.")
        }
    }
}

public struct CSIDriverStrategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.modify("spec") { spec in
            spec.setDefault("attachRequired", .bool(true))
            for key in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
                spec.setDefault(key, .bool(false))
            }
            spec.setDefault("fsGroupPolicy", "ReadWriteOnceWithFSType")
            if (spec["volumeLifecycleModes"]?.array ?? []).isEmpty { spec["volumeLifecycleModes"] = ["Persistent"] }
        }
    }

    public func validate(_ object: JSON) -> [FieldError] {
        var errors = Rules.oneOf(
            object["spec"], "fsGroupPolicy", ["File", "None", "ReadWriteOnceWithFSType"], "spec")
        for (index, mode) in (object.at("spec", "volumeLifecycleModes")?.strings ?? []).enumerated()
        where mode != "Persistent" && mode != "Ephemeral" {
            errors.append(
                .notSupported(
                    FieldPath("spec.volumeLifecycleModes")[index], .string(mode), ["Ephemeral", "Persistent"]))
        }
        var audiences: Set<String> = []
        for (index, request) in (object.at("spec", "tokenRequests")?.array ?? []).enumerated() {
            let path = FieldPath("spec.tokenRequests")[index]
            let audience = request["audience"]?.string ?? ""
            if !audiences.insert(audience).inserted {
                errors.append(.duplicate(path.child("audience"), .string(audience)))
            }
            if let seconds = request["expirationSeconds"]?.int, seconds < 600 {
                errors.append(
                    .invalid(
                        path.child("expirationSeconds"), .int(seconds),
                        "may not specify a duration less than 10 minutes"))
            }
        }
        if let seconds = object.at("spec", "nodeAllocatableUpdatePeriodSeconds")?.int, seconds < 10 {
            errors.append(
                .invalid(
                    "spec.nodeAllocatableUpdatePeriodSeconds", .int(seconds), "must be greater than or equal to 10"))
        }
        return errors
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        validate(object)
            + ["attachRequired", "volumeLifecycleModes"].flatMap {
                Rules.immutable(object["spec"], old["spec"], $0, "spec")
            }
    }
}

public struct VolumeAttachmentStrategy: ResourceStrategy {
    public var statusKeepsMetadata: Bool { true }
    public init() {}

    public func validate(_ object: JSON) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors: [FieldError] = []
        for key in ["attacher", "nodeName"] where (object.at("spec", key)?.string ?? "").isEmpty {
            errors.append(.required(path.child(key)))
        }
        if let attacher = object.at("spec", "attacher")?.string, !attacher.isEmpty {
            errors += DriverRules.name(attacher, path.child("attacher"))
        }
        let name = object.at("spec", "source", "persistentVolumeName")
        let inline = object.at("spec", "source", "inlineVolumeSpec")
        let rule = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        if name == nil, inline == nil {
            errors.append(.required(path.child("source"), rule))
        } else if name != nil, inline != nil {
            errors.append(.forbidden(path.child("source"), rule))
        }
        return errors
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        object["spec"] == old["spec"] ? [] : [.invalid("spec", object["spec"], "field is immutable")]
    }
}

// The rules of PersistentVolumes and PersistentVolumeClaims (pkg/apis/core/validation).

enum StorageRules {
    private static let modes = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]
    /// What a PersistentVolume's spec has beside its source.
    private static let plain: Set<String> = [
        "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
        "storageClassName", "volumeAttributesClassName", "volumeMode",
    ]

    private static func accessModes(_ spec: JSON?, _ path: FieldPath, _ missing: String) -> [FieldError] {
        let given = spec?["accessModes"]?.strings ?? []
        let path = path.child("accessModes")
        if given.isEmpty { return [.required(path, missing)] }
        var errors = given.filter { !modes.contains($0) }.map { FieldError.notSupported(path, .string($0), modes) }
        if given.contains("ReadWriteOncePod"), given.count > 1 {
            errors.append(.forbidden(path, "may not use ReadWriteOncePod with other access modes"))
        }
        return errors
    }

    private static func positive(_ amount: JSON?, _ path: FieldPath) -> [FieldError] {
        guard let quantity = Quantity(amount), quantity <= Quantity(0) else { return [] }
        return [.invalid(path, amount, "must be greater than zero")]
    }

    private static func sources(_ spec: JSON?) -> [String] {
        (spec?.object ?? JSONObject()).map(\.key).filter { !plain.contains($0) }
    }

    static func volume(_ spec: JSON?) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors = accessModes(spec, path, "")
        let capacity = spec?["capacity"]?.object ?? JSONObject()
        if capacity.isEmpty { errors.append(.required(path.child("capacity"))) }
        if capacity["storage"] == nil || capacity.count > 1 {
            errors.append(
                .notSupported(path.child("capacity"), spec?["capacity"] ?? .null, ["storage"]))
        }
        errors += positive(capacity["storage"], path.child("capacity")[key: "storage"])
        errors += Rules.oneOf(spec, "persistentVolumeReclaimPolicy", ["Delete", "Recycle", "Retain"], path)
        errors += Rules.oneOf(spec, "volumeMode", ["Block", "Filesystem"], path, required: false)
        let sources = sources(spec)
        if sources.isEmpty { errors.append(.required(path, "must specify a volume type")) }
        for name in sources.dropFirst() {
            errors.append(.forbidden(path.child(name), "may not specify more than 1 volume type"))
        }
        if let host = spec?["hostPath"] {
            let text = host["path"]?.string ?? ""
            if text.isEmpty {
                errors.append(.required(path.child("hostPath", "path")))
            } else if text.split(separator: "/").contains("..") {
                errors.append(.invalid(path.child("hostPath", "path"), .string(text), "must not contain '..'"))
            }
            if text == "/", spec?["persistentVolumeReclaimPolicy"] == "Recycle" {
                errors.append(
                    .forbidden(
                        path.child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'")
                )
            }
        }
        if let local = spec?["local"] {
            if (local["path"]?.string ?? "").isEmpty { errors.append(.required(path.child("local", "path"))) }
            if spec?["nodeAffinity"] == nil {
                errors.append(.required(path.child("nodeAffinity"), "Local volume requires node affinity"))
            }
        }
        if let csi = spec?["csi"] {
            errors += DriverRules.name(csi["driver"]?.string ?? "", path.child("csi", "driver"))
            if (csi["volumeHandle"]?.string ?? "").isEmpty {
                errors.append(.required(path.child("csi", "volumeHandle")))
            }
        }
        if let nfs = spec?["nfs"] {
            for key in ["server", "path"] where (nfs[key]?.string ?? "").isEmpty {
                errors.append(.required(path.child("nfs", key)))
            }
            if let text = nfs["path"]?.string, !text.isEmpty, !text.hasPrefix("/") {
                errors.append(.invalid(path.child("nfs", "path"), .string(text), "must be an absolute path"))
            }
        }
        if let required = spec?.at("nodeAffinity", "required"), (required["nodeSelectorTerms"]?.array ?? []).isEmpty {
            errors.append(
                .required(
                    path.child("nodeAffinity", "required").child("nodeSelectorTerms"),
                    "must have at least one node selector term"))
        }
        if let name = spec?["storageClassName"]?.string, !name.isEmpty {
            errors.invalid(path.child("storageClassName"), .string(name), Names.dns1123Subdomain(name))
        }
        return errors
    }

    static func volumeUpdate(_ spec: JSON?, _ old: JSON?) -> [FieldError] {
        var errors = Rules.immutable(spec, old, "volumeMode", "spec")
        if !Rules.same(spec, old, except: Array(plain)) {
            errors.append(
                .forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation"))
        }
        return errors
    }

    static func claim(_ spec: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors = accessModes(spec, path, "at least 1 access mode is required")
        if let selector = spec?["selector"] { errors += Rules.labelSelector(selector, path.child("selector")) }
        if let size = spec?.at("resources", "requests", "storage") {
            errors += positive(size, path.child("resources")[key: "storage"])
        } else {
            errors.append(.required(path.child("resources")[key: "storage"]))
        }
        for source in ["dataSource", "dataSourceRef"] {
            guard let given = spec?[source] else { continue }
            for key in ["name", "kind"] where (given[key]?.string ?? "").isEmpty {
                errors.append(.required(path.child(source, key)))
            }
        }
        if let name = spec?["storageClassName"]?.string, !name.isEmpty {
            errors.invalid(path.child("storageClassName"), .string(name), Names.dns1123Subdomain(name))
        }
        return errors + Rules.oneOf(spec, "volumeMode", ["Block", "Filesystem"], path, required: false)
    }

    /// A claim may be bound, get its class when it had none, and grow once it is bound.
    static func claimUpdate(_ claim: JSON, _ oldClaim: JSON) -> [FieldError] {
        var spec = claim["spec"] ?? [:]
        var old = oldClaim["spec"] ?? [:]
        var errors: [FieldError] = []
        if (old["volumeName"]?.string ?? "").isEmpty { old["volumeName"] = spec["volumeName"] }
        if old["storageClassName"] == nil { old["storageClassName"] = spec["storageClassName"] }
        let isBound = oldClaim.at("status", "phase") == "Bound"
        if isBound {
            old["volumeAttributesClassName"] = spec["volumeAttributesClassName"]
            let wanted = Quantity(spec.at("resources", "requests", "storage"))
            let before = Quantity(old.at("resources", "requests", "storage"))
            let capacity = Quantity(oldClaim.at("status", "capacity", "storage"))
            if let wanted, let before, wanted < before, wanted < capacity ?? before {
                errors.append(
                    .forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"))
            }
            old.set("resources", "requests", to: spec.at("resources", "requests"))
        }
        if spec["volumeMode"] != old["volumeMode"] {
            errors.append(.invalid("spec.volumeMode", spec["volumeMode"], "field is immutable"))
            spec["volumeMode"] = old["volumeMode"]
        }
        if spec != old {
            errors.append(
                .forbidden(
                    "spec",
                    "spec is immutable after creation except resources.requests and volumeAttributesClassName for "
                        + "bound claims"
                ))
        }
        return errors
    }
}

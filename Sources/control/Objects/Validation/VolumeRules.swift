// The rules of a pod's volumes.

enum VolumeRules {
    /// The errors, and the names that mounts may refer to.
    static func validate(_ volumes: [JSON], _ path: FieldPath) -> (errors: [FieldError], names: Set<String>) {
        var errors: [FieldError] = []
        var names: Set<String> = []
        for (index, volume) in volumes.enumerated() {
            let path = path[index]
            let name = volume["name"]?.string ?? ""
            if name.isEmpty {
                errors.append(.required(path.child("name")))
            } else {
                errors.invalid(path.child("name"), .string(name), Names.dns1123Label(name))
                if names.contains(name) { errors.append(.duplicate(path.child("name"), .string(name))) }
            }
            errors += source(volume, path)
            names.insert(name)
        }
        return (errors, names)
    }

    private static func source(_ volume: JSON, _ path: FieldPath) -> [FieldError] {
        let kinds = (volume.object?.keys ?? []).filter { $0 != "name" }
        var errors: [FieldError] = []
        if kinds.isEmpty { return [.required(path, "must specify a volume type")] }
        for kind in kinds.dropFirst() {
            errors.append(.forbidden(path.child(kind), "may not specify more than 1 volume type"))
        }
        let path = path.child(kinds[0])
        let source = volume[kinds[0]] ?? .null
        switch kinds[0] {
        case "emptyDir":
            if let limit = Quantity(source["sizeLimit"]), limit < .zero {
                errors.append(
                    .forbidden(path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity"))
            }
            if let medium = source["medium"]?.string, !["", "Memory"].contains(medium), !medium.hasPrefix("HugePages") {
                errors.append(.notSupported(path.child("medium"), .string(medium), ["", "HugePages", "Memory"]))
            }
        case "hostPath":
            let place = source["path"]?.string ?? ""
            if place.isEmpty { errors.append(.required(path.child("path"))) }
            if place.split(separator: "/").contains("..") {
                errors.append(.invalid(path.child("path"), .string(place), "must not contain '..'"))
            }
            let types = [
                "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
            ]
            if let type = source["type"]?.string, !types.contains(type) {
                errors.append(.notSupported(path.child("type"), .string(type), types))
            }
        case "configMap":
            if (source["name"]?.string ?? "").isEmpty { errors.append(.required(path.child("name"))) }
            errors += mode(source["defaultMode"], path.child("defaultMode")) + items(source, path)
        case "secret":
            if (source["secretName"]?.string ?? "").isEmpty { errors.append(.required(path.child("secretName"))) }
            errors += mode(source["defaultMode"], path.child("defaultMode")) + items(source, path)
        case "downwardAPI":
            errors += mode(source["defaultMode"], path.child("defaultMode")) + downward(source, path)
        case "projected": errors += projected(source, path)
        case "persistentVolumeClaim":
            if (source["claimName"]?.string ?? "").isEmpty { errors.append(.required(path.child("claimName"))) }
        default: break
        }
        return errors
    }

    private static func mode(_ mode: JSON?, _ path: FieldPath) -> [FieldError] {
        guard let mode = mode?.int, !(0...0o777 ~= mode) else { return [] }
        return [.invalid(path, .int(mode), "must be a number between 0 and 0777 (octal), both inclusive")]
    }

    private static func items(_ source: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        for (index, item) in (source["items"]?.array ?? []).enumerated() {
            let path = path.child("items")[index]
            if (item["key"]?.string ?? "").isEmpty { errors.append(.required(path.child("key"))) }
            errors += filePath(item["path"]?.string ?? "", path.child("path"))
            errors += mode(item["mode"], path.child("mode"))
        }
        return errors
    }

    /// A relative path below the volume that does not begin with "..".
    private static func filePath(_ path: String, _ field: FieldPath) -> [FieldError] {
        if path.isEmpty { return [.required(field)] }
        var errors = ContainerRules.localPath(path, field)
        if path.hasPrefix(".."), !path.hasPrefix("../") {
            errors.append(.invalid(field, .string(path), "must not start with '..'"))
        }
        return errors
    }

    private static func downward(_ source: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        let allowed = [
            "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid",
        ]
        for (index, item) in (source["items"]?.array ?? []).enumerated() {
            let path = path.child("items")[index]
            errors += filePath(item["path"]?.string ?? "", path.child("path"))
            errors += mode(item["mode"], path.child("mode"))
            if let reference = item["fieldRef"] {
                if item["resourceFieldRef"] != nil {
                    errors.append(
                        .invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
                }
                errors += EnvironmentRules.fieldRef(reference, path.child("fieldRef"), allowed: allowed)
            } else if let reference = item["resourceFieldRef"] {
                errors += EnvironmentRules.resourceRef(reference, path.child("resourceFieldRef"))
                if (reference["containerName"]?.string ?? "").isEmpty {
                    errors.append(.required(path.child("resourceFieldRef", "containerName")))
                }
            } else {
                errors.append(.required(path.child("fieldRef"), "one of fieldRef and resourceFieldRef is required"))
            }
        }
        return errors
    }

    private static func projected(_ source: JSON, _ path: FieldPath) -> [FieldError] {
        var errors = mode(source["defaultMode"], path.child("defaultMode"))
        var places: Set<String> = []
        for (index, entry) in (source["sources"]?.array ?? []).enumerated() {
            let path = path.child("sources")[index]
            let kinds = (entry.object?.keys ?? [])
            for kind in kinds.dropFirst() {
                errors.append(.forbidden(path.child(kind), "may not specify more than 1 volume type"))
            }
            guard let kind = kinds.first, let part = entry[kind] else {
                errors.append(.required(path, "must specify a source"))
                continue
            }
            let own = path.child(kind)
            switch kind {
            case "secret", "configMap":
                if (part["name"]?.string ?? "").isEmpty { errors.append(.required(own.child("name"))) }
                errors += items(part, own)
            case "downwardAPI": errors += downward(part, own)
            case "serviceAccountToken":
                let seconds = part["expirationSeconds"]?.int ?? 3600
                if seconds < 600 {
                    errors.append(
                        .invalid(
                            own.child("expirationSeconds"), .int(seconds),
                            "may not specify a duration less than 10 minutes"))
                }
                errors += filePath(part["path"]?.string ?? "", own.child("path"))
            default: break
            }
            let paths =
                (part["items"]?.array ?? []).compactMap { $0["path"]?.string }
                + [part["path"]?.string].compactMap(\.self)
            for place in paths where !places.insert(place).inserted {
                errors.append(
                    .invalid(own, .string(place), "conflicting duplicate paths"))
            }
        }
        return errors
    }
}

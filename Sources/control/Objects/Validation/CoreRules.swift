// The rules of nodes, ConfigMaps and Secrets (pkg/apis/core/validation).

import System

enum CoreRules {
    static func node(_ node: JSON) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors = taints(node.at("spec", "taints")?.array ?? [], path.child("taints"))
        for (index, text) in (node.at("spec", "podCIDRs")?.strings ?? []).enumerated() where CIDR(text) == nil {
            errors.append(
                .invalid(
                    path.child("podCIDRs")[index], .string(text),
                    "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"))
        }
        var seen: Set<String> = []
        for (index, address) in (node.at("status", "addresses")?.array ?? []).enumerated()
        where !seen.insert(address.text).inserted {
            errors.append(.duplicate(FieldPath("status.addresses")[index], address))
        }
        for list in ["capacity", "allocatable"] {
            for (name, amount) in node.at("status", list)?.object ?? JSONObject() {
                let path = FieldPath("status").child(list)[key: name]
                errors.invalid(path, .string(name), Names.qualifiedName(name))
                if let quantity = Quantity(amount), quantity < .zero {
                    errors.append(.invalid(path, amount, Rules.nonNegativeText))
                }
            }
        }
        return errors
    }

    static func taints(_ taints: [JSON], _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        var seen: Set<String> = []
        for (index, taint) in taints.enumerated() {
            let path = path[index]
            let key = taint["key"]?.string ?? ""
            errors.invalid(path.child("key"), .string(key), Names.qualifiedName(key))
            let value = taint["value"]?.string ?? ""
            errors.invalid(path.child("value"), .string(value), Names.labelValue(value))
            errors += Rules.oneOf(taint, "effect", ["NoSchedule", "PreferNoSchedule", "NoExecute"], path)
            if !seen.insert("\(key):\(taint["effect"]?.string ?? "")").inserted {
                errors.append(.duplicate(path, taint))
            }
        }
        return errors
    }

    static func nodeUpdate(_ node: JSON, old: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        for (key, text) in [
            ("podCIDRs", "node updates may not change podCIDR except from \"\" to valid"),
            ("providerID", "node updates may not change providerID except from \"\" to valid"),
        ] {
            guard let before = old.at("spec", key), before != "", before != [] else { continue }
            if node.at("spec", key) != before { errors.append(.forbidden(FieldPath("spec").child(key), text)) }
        }
        return errors
    }
}

enum DataRules {
    /// One MiB of keys and values (MaxSecretSize, and the same for ConfigMaps).
    static let limit = 1 << 20

    static func configMap(_ map: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        let data = map["data"]?.object ?? JSONObject()
        let binary = map["binaryData"]?.object ?? JSONObject()
        var size = 0
        for (key, value) in data {
            errors.invalid(FieldPath("data")[key: key], .string(key), Names.configMapKey(key))
            if binary.contains(key) {
                errors.append(
                    .invalid(FieldPath("data")[key: key], .string(key), "duplicate of key present in binaryData"))
            }
            size += value.string?.utf8.count ?? 0
        }
        for (key, value) in binary {
            errors.invalid(FieldPath("binaryData")[key: key], .string(key), Names.configMapKey(key))
            size += decodedSize(value)
        }
        // Kubernetes names the whole object by the path "[]".
        if size > limit { errors.append(.tooLong("[]", limit: limit)) }
        return errors
    }

    static func immutable(_ object: JSON, _ old: JSON, _ keys: [String]) -> [FieldError] {
        guard old["immutable"]?.bool == true else { return [] }
        let text = "field is immutable when `immutable` is set"
        var errors: [FieldError] = []
        if object["immutable"]?.bool != true { errors.append(.forbidden("immutable", text)) }
        for key in keys where (object[key] ?? [:]) != (old[key] ?? [:]) {
            errors.append(.forbidden(FieldPath(key), text))
        }
        return errors
    }

    private static func decodedSize(_ value: JSON) -> Int {
        guard let text = value.string else { return 0 }
        return text.utf8.count / 4 * 3 - (text.hasSuffix("==") ? 2 : text.hasSuffix("=") ? 1 : 0)
    }

    static func secret(_ secret: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        let path: FieldPath = "data"
        let data = secret["data"]?.object ?? JSONObject()
        var size = 0
        for (key, value) in data {
            errors.invalid(path[key: key], .string(key), Names.configMapKey(key))
            size += decodedSize(value)
        }
        if size > limit { errors.append(.tooLong(path, limit: limit)) }
        return errors + typed(secret, data, path)
    }

    /// The keys that the well-known types must have.
    private static func typed(_ secret: JSON, _ data: JSONObject, _ path: FieldPath) -> [FieldError] {
        func missing(_ keys: String...) -> [FieldError] {
            keys.filter { !data.contains($0) }.map { .required(path[key: $0]) }
        }
        switch secret["type"]?.string ?? "" {
        case "kubernetes.io/service-account-token":
            let name = secret.at("metadata", "annotations", "kubernetes.io/service-account.name")?.string ?? ""
            return name.isEmpty
                ? [.required(FieldPath("metadata.annotations")[key: "kubernetes.io/service-account.name"])] : []
        case "kubernetes.io/dockercfg": return missing(".dockercfg") + json(data, ".dockercfg", path)
        case "kubernetes.io/dockerconfigjson":
            return missing(".dockerconfigjson") + json(data, ".dockerconfigjson", path)
        case "kubernetes.io/basic-auth":
            return data.contains("username") || data.contains("password") ? [] : missing("username", "password")
        case "kubernetes.io/ssh-auth":
            let empty = (data["ssh-privatekey"]?.string ?? "").isEmpty
            return empty ? [.required(path[key: "ssh-privatekey"])] : []
        case "kubernetes.io/tls": return missing("tls.crt", "tls.key")
        default: return []
        }
    }

    private static func json(_ data: JSONObject, _ key: String, _ path: FieldPath) -> [FieldError] {
        guard let text = data[key]?.string, let bytes = Base64.decode(text) else { return [] }
        do {
            _ = try JSON.parse(bytes)
            return []
        } catch {
            return [.invalid(path[key: key], "<secret contents redacted>", error.reason)]
        }
    }
}

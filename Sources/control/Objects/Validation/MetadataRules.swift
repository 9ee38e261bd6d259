// The rules of metadata, for every kind (apimachinery pkg/api/validation/objectmeta.go).

import System

/// How objects of a kind may be named.
public enum NameRule: Sendable {
    /// RFC 1123 subdomain: most kinds.
    case subdomain
    /// RFC 1123 label: namespaces.
    case label
    /// RFC 1035 label: services.
    case serviceLabel
    /// Anything that can be a path segment: RBAC.
    case pathSegment
    /// Not checked: objects without a name (bindings take theirs from the path).
    case none

    /// What is wrong with a name, or with a prefix for generated names, which may end in a dash.
    public func check(_ name: String, isPrefix: Bool = false) -> [String] {
        let text = isPrefix && name.utf8.count > 1 && name.hasSuffix("-") ? name.dropLast() + "a" : name
        switch self {
        case .subdomain: return Names.dns1123Subdomain(text)
        case .label: return Names.dns1123Label(text)
        case .serviceLabel: return Names.dns1035Label(text)
        case .pathSegment: return Names.pathSegment(text)
        case .none: return []
        }
    }
}

extension FieldPath {
    subscript(index: Int) -> FieldPath { self.index(index) }
    subscript(key name: String) -> FieldPath { key(name) }
}

extension Array where Element == FieldError {
    /// One Invalid error for each message.
    mutating func invalid(_ path: FieldPath, _ value: JSON, _ messages: [String]) {
        for message in messages { append(.invalid(path, value, message)) }
    }
}

enum MetadataRules {
    static let annotationLimit = 256 << 10
    private static let standardFinalizers: Set<String> = ["kubernetes", "orphan", "foregroundDeletion"]

    static func validate(_ metadata: JSON?, isNamespaced: Bool, rule: NameRule, kind: String) -> [FieldError] {
        let path: FieldPath = "metadata"
        var errors: [FieldError] = []
        if let prefix = metadata?["generateName"]?.string, !prefix.isEmpty {
            errors.invalid(path.child("generateName"), .string(prefix), rule.check(prefix, isPrefix: true))
        }
        let name = metadata?["name"]?.string ?? ""
        if case .none = rule {
        } else if name.isEmpty {
            errors.append(.required(path.child("name"), "name or generateName is required"))
        } else {
            errors.invalid(path.child("name"), .string(name), rule.check(name))
        }
        let namespace = metadata?["namespace"]?.string ?? ""
        if isNamespaced {
            if namespace.isEmpty {
                errors.append(.required(path.child("namespace")))
            } else {
                errors.invalid(path.child("namespace"), .string(namespace), Names.dns1123Label(namespace))
            }
        } else if !namespace.isEmpty {
            errors.append(.forbidden(path.child("namespace"), "not allowed on this type"))
        }
        return errors + common(metadata, path) + finalizers(metadata, path)
    }

    /// Metadata of a template: no name is needed.
    static func validateTemplate(_ metadata: JSON?, _ path: FieldPath) -> [FieldError] {
        labels(metadata?["labels"], path.child("labels"))
            + annotations(metadata?["annotations"], path.child("annotations"))
    }

    private static func common(_ metadata: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        if let generation = metadata?["generation"]?.int, generation < 0 {
            errors.append(
                .invalid(path.child("generation"), .int(generation), "must be greater than or equal to 0"))
        }
        errors += labels(metadata?["labels"], path.child("labels"))
        errors += annotations(metadata?["annotations"], path.child("annotations"))
        errors += owners(metadata?["ownerReferences"]?.array ?? [], path.child("ownerReferences"))
        return errors
    }

    static func labels(_ labels: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        for (key, value) in labels?.object ?? JSONObject() {
            errors.invalid(path, .string(key), Names.qualifiedName(key))
            errors.invalid(path, value, Names.labelValue(value.string ?? ""))
        }
        return errors
    }

    static func annotations(_ annotations: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        var size = 0
        for (key, value) in annotations?.object ?? JSONObject() {
            // Keys of annotations may have upper case in their prefix.
            errors.invalid(path, .string(key), Names.qualifiedName(lowercasedASCII(key)))
            size += key.utf8.count + (value.string?.utf8.count ?? 0)
        }
        if size > annotationLimit { errors.append(.tooLong(path, limit: annotationLimit)) }
        return errors
    }

    private static func lowercasedASCII(_ text: String) -> String {
        String(
            decoding: text.utf8.map { UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0 ? $0 + 32 : $0 }, as: UTF8.self)
    }

    private static func owners(_ owners: [JSON], _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        var controller: String?
        for owner in owners {
            let apiVersion = owner["apiVersion"]?.string ?? ""
            if GroupVersionKind(apiVersion: apiVersion, kind: "x") == nil {
                errors.append(.invalid(path.child("apiVersion"), .string(apiVersion), "version must not be empty"))
            }
            for key in ["kind", "name", "uid"] where (owner[key]?.string ?? "").isEmpty {
                errors.append(.invalid(path.child(key), "", "\(key) must not be empty"))
            }
            if apiVersion == "v1", owner["kind"] == "Event" {
                errors.append(.invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner"))
            }
            guard owner["controller"]?.bool == true else { continue }
            let name = "\(owner["kind"]?.string ?? "")/\(owner["name"]?.string ?? "")"
            if let first = controller {
                errors.append(
                    .invalid(
                        path, .array(owners),
                        "Only one reference can have Controller set to true. Found \"true\" in references for "
                            + "\(first) and \(name)"))
            } else {
                controller = name
            }
        }
        return errors
    }

    private static func finalizers(_ metadata: JSON?, _ path: FieldPath) -> [FieldError] {
        let names = metadata?["finalizers"]?.strings ?? []
        let path = path.child("finalizers")
        var errors: [FieldError] = []
        for name in names {
            errors.invalid(path, .string(name), Names.qualifiedName(name))
            if !name.contains("/"), !standardFinalizers.contains(name) {
                errors.append(
                    .invalid(
                        path, .string(name), "name is neither a standard finalizer name nor is it fully qualified"))
            }
        }
        if names.contains("orphan"), names.contains("foregroundDeletion") {
            errors.append(
                .invalid(
                    path, .array(names.map(JSON.string)),
                    "finalizer foregroundDeletion and orphan cannot be both set"))
        }
        return errors
    }

    static func validateUpdate(_ metadata: JSON?, old: JSON?) -> [FieldError] {
        let path: FieldPath = "metadata"
        var errors: [FieldError] = []
        if old?["deletionTimestamp"] != nil {
            let known = Set(old?["finalizers"]?.strings ?? [])
            let new = (metadata?["finalizers"]?.strings ?? []).filter { !known.contains($0) }
            if !new.isEmpty {
                let list = new.map(Quote.go).joined(separator: ", ")
                errors.append(
                    .forbidden(
                        path.child("finalizers"),
                        "no new finalizers can be added if the object is being deleted, "
                            + "found new finalizers []string{\(list)}"))
            }
        }
        for key in [
            "name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
        ] where metadata?[key] != old?[key] {
            errors.append(.invalid(path.child(key), metadata?[key] ?? .null, "field is immutable"))
        }
        return errors + common(metadata, path) + finalizers(metadata, path)
    }
}

/// Small rules that several kinds share.
enum Rules {
    static let nonNegativeText = "must be greater than or equal to 0"

    /// The number at the path is not below zero.
    static func nonNegative(_ object: JSON?, _ keys: [String], _ path: FieldPath) -> [FieldError] {
        keys.compactMap { key in
            guard let value = object?[key]?.int, value < 0 else { return nil }
            return .invalid(path.child(key), .int(value), nonNegativeText)
        }
    }

    /// The member is one of the values; an empty one is missing.
    static func oneOf(
        _ object: JSON?, _ key: String, _ supported: [String], _ path: FieldPath, required: Bool = true
    ) -> [FieldError] {
        let value = object?[key]?.string ?? ""
        if value.isEmpty { return required ? [.required(path.child(key))] : [] }
        return supported.contains(value) ? [] : [.notSupported(path.child(key), .string(value), supported)]
    }

    /// The member did not change.
    static func immutable(_ object: JSON?, _ old: JSON?, _ key: String, _ path: FieldPath) -> [FieldError] {
        object?[key] == old?[key] ? [] : [.invalid(path.child(key), object?[key] ?? .null, "field is immutable")]
    }

    static func isIP(_ text: String) -> Bool { IPAddress(text) != nil }

    static let ipText = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"

    /// A port number, or the name of a container's port.
    static func portOrName(_ value: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        switch value {
        case .string(let name)?: errors.invalid(path, .string(name), Names.portName(name))
        default:
            let number = value?.int ?? 0
            errors.invalid(path, .int(number), Names.portNumber(number))
        }
        return errors
    }

    /// A selector as Deployments have it.
    static func labelSelector(_ selector: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors = MetadataRules.labels(selector?["matchLabels"], path.child("matchLabels"))
        for (index, requirement) in (selector?["matchExpressions"]?.array ?? []).enumerated() {
            let path = path.child("matchExpressions")[index]
            let values = requirement["values"]?.array ?? []
            let operation = requirement["operator"]?.string ?? ""
            switch operation {
            case "In", "NotIn":
                if values.isEmpty {
                    errors.append(
                        .required(
                            path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"))
                }
            case "Exists", "DoesNotExist":
                if !values.isEmpty {
                    errors.append(
                        .forbidden(
                            path.child("values"),
                            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
                }
            default:
                errors.append(.invalid(path.child("operator"), .string(operation), "not a valid selector operator"))
            }
            let key = requirement["key"]?.string ?? ""
            errors.invalid(path.child("key"), .string(key), Names.qualifiedName(key))
            for (index, value) in values.enumerated() {
                errors.invalid(path.child("values")[index], value, Names.labelValue(value.string ?? ""))
            }
        }
        return errors
    }

    /// The number of a string like "25%"; nil for anything else.
    static func percentage(_ value: JSON?) -> Int? {
        guard case .string(let text)? = value, text.hasSuffix("%"), !text.hasPrefix("+"), !text.hasPrefix("-") else {
            return nil
        }
        return Int(text.dropLast())
    }

    /// A count that is not negative, or a percentage.
    static func intOrPercent(_ value: JSON?, _ path: FieldPath) -> [FieldError] {
        switch value {
        case .string(let text)? where percentage(value) == nil:
            return [
                .invalid(
                    path, .string(text),
                    "a valid percent string must be a numeric string followed by an ending '%' "
                        + "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')")
            ]
        case .int(let number)? where number < 0: return [.invalid(path, .int(number), nonNegativeText)]
        default: return []
        }
    }

    /// 0 or 0%.
    static func isZero(_ value: JSON?) -> Bool { value?.int == 0 || percentage(value) == 0 }

    /// Whether two objects agree in all members but some.
    static func same(_ object: JSON?, _ old: JSON?, except keys: [String]) -> Bool {
        var (now, before) = (object ?? [:], old ?? [:])
        for key in keys {
            now[key] = nil
            before[key] = nil
        }
        return now == before
    }
}

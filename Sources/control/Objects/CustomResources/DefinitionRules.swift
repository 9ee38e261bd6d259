// The rules of a CustomResourceDefinition beside those of its schemas (StructuralRules): names, versions, subresources,
// columns, conversion, what may not change. Words and paths are those of k8s.io/apiextensions-apiserver.

enum DefinitionRules {
    static func validate(_ object: JSON) -> [FieldError] {
        let spec = object["spec"]
        let name = object.at("metadata", "name")?.string ?? ""
        let group = spec?["group"]?.string ?? ""
        let plural = spec?.at("names", "plural")?.string ?? ""
        var errors: [FieldError] = []
        if !name.isEmpty, name != "\(plural).\(group)" {
            errors.append(.invalid("metadata.name", .string(name), "must be spec.names.plural+\".\"+spec.group"))
        }
        return errors + self.spec(spec ?? [:], "spec")
    }

    static func validateCreate(_ object: JSON) -> [FieldError] { validate(object) + DefinitionApproval.errors(object) }

    static func validateUpdate(_ object: JSON, old: JSON) -> [FieldError] {
        var errors = validate(object)
        let new = object["spec"]
        let before = old["spec"]
        if CustomDefinition(old).isEstablished {
            errors += Rules.immutable(new, before, "scope", "spec")
            errors += Rules.immutable(new?["names"], before?["names"], "kind", "spec.names")
        }
        errors += Rules.immutable(new, before, "group", "spec")
        errors += Rules.immutable(new?["names"], before?["names"], "plural", "spec.names")
        if DefinitionApproval.problem(old) == nil { errors += DefinitionApproval.errors(object) }
        return errors + storedVersions(object)
    }

    static func validateStatus(_ object: JSON) -> [FieldError] { storedVersions(object) }

    private static func storedVersions(_ object: JSON) -> [FieldError] {
        let names = Set((object.at("spec", "versions")?.array ?? []).compactMap { $0["name"]?.string })
        let stored = object.at("status", "storedVersions")?.strings ?? []
        if stored.isEmpty { return [.required("status.storedVersions", "must have at least one stored version")] }
        return stored.enumerated().filter { !names.contains($0.element) }.map {
            .invalid(
                FieldPath("status.storedVersions").index($0.offset), .string($0.element),
                "must appear in spec.versions")
        }
    }

    // MARK: - Spec

    private static func spec(_ spec: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        let group = spec["group"]?.string ?? ""
        let problems = Names.dns1123Subdomain(group)
        if group.isEmpty {
            errors.append(.required(path.child("group")))
        } else if !problems.isEmpty {
            errors.append(.invalid(path.child("group"), .string(group), problems.joined(separator: ",")))
        } else if !group.contains(".") {
            errors.append(.invalid(path.child("group"), .string(group), "should be a domain with at least one dot"))
        }
        errors += Rules.oneOf(spec, "scope", ["Cluster", "Namespaced"], path)
        if spec["preserveUnknownFields"]?.bool == true {
            errors.append(
                .invalid(
                    path.child("preserveUnknownFields"), true,
                    "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
                        + "spec.versions[*].schema instead"))
        }
        errors += names(spec["names"], path.child("names"))
        errors += versions(spec, path.child("versions"))
        return errors + conversion(spec["conversion"], path.child("conversion"))
    }

    private static func names(_ names: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        for key in ["plural", "singular", "kind", "listKind"] {
            let text = names?[key]?.string ?? ""
            if text.isEmpty {
                errors.append(.required(path.child(key)))
                continue
            }
            let mixed = key == "kind" || key == "listKind"
            let problems = Names.dns1035Label(mixed ? text.lowercased() : text)
            if problems.isEmpty { continue }
            let prefix = mixed ? "may have mixed case, but should otherwise match: " : ""
            errors.append(.invalid(path.child(key), .string(text), prefix + problems.joined(separator: ",")))
        }
        for key in ["shortNames", "categories"] {
            for (index, text) in (names?[key]?.strings ?? []).enumerated() {
                let problems = Names.dns1035Label(text)
                if problems.isEmpty { continue }
                errors.append(
                    .invalid(path.child(key).index(index), .string(text), problems.joined(separator: ",")))
            }
        }
        if let kind = names?["kind"]?.string, !kind.isEmpty, kind == names?["listKind"]?.string {
            errors.append(.invalid(path.child("listKind"), .string(kind), "kind and listKind may not be the same"))
        }
        return errors
    }

    private static func versions(_ spec: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        let versions = spec["versions"]?.array ?? []
        let names = versions.map { $0["name"]?.string ?? "" }
        if versions.count(where: { $0["storage"]?.bool == true }) != 1 {
            errors.append(
                .invalid(
                    path, .array(names.map(JSON.string)),
                    "must have exactly one version marked as storage version"))
        }
        if Set(names).count != names.count {
            errors.append(.invalid(path, .array(names.map(JSON.string)), "must contain unique version names"))
        }
        for (index, version) in versions.enumerated() { errors += self.version(version, path.index(index)) }
        return errors
    }

    private static func version(_ version: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        let name = version["name"]?.string ?? ""
        errors.invalid(path.child("name"), .string(name), Names.dns1035Label(name))
        let schemaPath = path.child("schema", "openAPIV3Schema")
        if let schema = version.at("schema", "openAPIV3Schema") {
            errors += StructuralRules.check(schema, schemaPath).errors
        } else {
            errors.append(.required(schemaPath, "schemas are required"))
        }
        if version["deprecated"]?.bool != true, version["deprecationWarning"] != nil {
            errors.append(
                .invalid(
                    path.child("deprecationWarning"), version["deprecationWarning"],
                    "can only be set for deprecated versions"))
        }
        errors += scale(version.at("subresources", "scale"), path.child("subresources", "scale"))
        for (index, column) in (version["additionalPrinterColumns"]?.array ?? []).enumerated() {
            errors += self.column(column, path.child("additionalPrinterColumns").index(index))
        }
        return errors + selectable(version, path)
    }

    private static func scale(_ scale: JSON?, _ path: FieldPath) -> [FieldError] {
        guard let scale else { return [] }
        var errors: [FieldError] = []
        for (key, root, isRequired) in [
            ("specReplicasPath", ".spec", true), ("statusReplicasPath", ".status", true),
            ("labelSelectorPath", ".status", false),
        ] {
            let text = scale[key]?.string ?? ""
            let place = path.child(key)
            if text.isEmpty {
                if isRequired { errors.append(.required(place)) }
                continue
            }
            let roots = key == "labelSelectorPath" ? [".status.", ".spec."] : [root + "."]
            if let detail = simplePath(text) {
                errors.append(.invalid(place, .string(text), detail))
            } else if !roots.contains(where: { text.hasPrefix($0) }) {
                let places = roots.count > 1 ? "either .spec or .status" : "\(root)"
                let detail = "should be a json path under \(places)"
                errors.append(.invalid(place, .string(text), detail))
            }
        }
        return errors
    }

    /// A path of names only.
    private static func simplePath(_ text: String) -> String? {
        guard text.hasPrefix(".") else { return "must be a simple json path starting with ." }
        guard let path = try? JSONPath(text), path.names != nil else {
            return "must be a json path in the dot notation"
        }
        return nil
    }

    private static func column(_ column: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        if (column["name"]?.string ?? "").isEmpty { errors.append(.required(path.child("name"))) }
        errors += Rules.oneOf(column, "type", ["boolean", "date", "integer", "number", "string"], path)
        let formats = ["byte", "date", "date-time", "double", "float", "int32", "int64", "name", "password"]
        errors += Rules.oneOf(column, "format", formats, path, required: false)
        let text = column["jsonPath"]?.string ?? ""
        let place = path.child("jsonPath")
        if text.isEmpty {
            errors.append(.required(place))
        } else if !text.hasPrefix(".") {
            errors.append(.invalid(place, .string(text), "must be a simple json path starting with ."))
        } else {
            do throws(JSONPath.Failure) {
                _ = try JSONPath(text)
            } catch {
                errors.append(.invalid(place, .string(text), "is an invalid jsonpath: \(error)"))
            }
        }
        return errors
    }

    private static func selectable(_ version: JSON, _ path: FieldPath) -> [FieldError] {
        let fields = version["selectableFields"]?.array ?? []
        let list = path.child("selectableFields")
        var errors: [FieldError] = []
        if fields.count > 8 { errors.append(.tooMany(list, actual: fields.count, limit: 8)) }
        var seen: Set<String> = []
        for (index, field) in fields.enumerated() {
            let text = field["jsonPath"]?.string ?? ""
            let place = list.index(index).child("jsonPath")
            guard !text.isEmpty else {
                errors.append(.required(place))
                continue
            }
            guard simplePath(text) == nil, let names = (try? JSONPath(text))?.names else {
                errors.append(.invalid(place, .string(text), simplePath(text) ?? "is an invalid path"))
                continue
            }
            if !seen.insert(text).inserted { errors.append(.duplicate(place, .string(text))) }
            if names.first == "metadata" {
                errors.append(.invalid(place, .string(text), "must not point to fields in metadata"))
                continue
            }
            var schema = version.at("schema", "openAPIV3Schema")
            for name in names { schema = schema?.at("properties", name) }
            let type = schema?["type"]?.string ?? ""
            if schema == nil {
                errors.append(.invalid(place, .string(text), "is an invalid path: does not refer to a valid field"))
            } else if !["string", "boolean", "integer"].contains(type) {
                errors.append(
                    .invalid(place, .string(text), "must point to a field of type string, boolean or integer"))
            }
        }
        return errors
    }

    private static func conversion(_ conversion: JSON?, _ path: FieldPath) -> [FieldError] {
        guard let conversion else { return [] }
        var errors = Rules.oneOf(conversion, "strategy", ["None", "Webhook"], path)
        let webhook = conversion["webhook"]
        if conversion["strategy"]?.string != "Webhook" {
            if webhook != nil {
                errors.append(
                    .forbidden(path.child("webhook"), "should not be set when strategy is not set to Webhook"))
            }
            return errors
        }
        let place = path.child("webhook")
        let client = webhook?["clientConfig"]
        if client == nil {
            errors.append(
                .required(place.child("clientConfig"), "required when strategy is set to Webhook"))
        } else if (client?["url"] == nil) == (client?["service"] == nil) {
            errors.append(.required(place.child("clientConfig"), "exactly one of url or service is required"))
        }
        if (webhook?["conversionReviewVersions"]?.strings ?? []).isEmpty {
            errors.append(.required(place.child("conversionReviewVersions"), "must specify at least one version"))
        }
        return errors
    }
}

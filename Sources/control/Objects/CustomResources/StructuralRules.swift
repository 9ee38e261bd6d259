// The rules for an openAPIV3Schema: it must be structural (every place has a type; groups of schemas only add value
// rules), say nothing this server would have to ignore, and its defaults must themselves be valid.
//
// Paths and words are those of k8s.io/apiextensions-apiserver (pkg/apis/apiextensions/validation and
// pkg/apiserver/schema). One walk; schemas of a megabyte pass through here when an operator is installed.

struct StructuralRules {
    private enum Level { case root, item, field }

    /// At most this many are told.
    static let limit = 100
    /// Schemas below schemas: the walk recurses, so this bounds the stack. Kubernetes' own bodies are bounded likewise.
    static let depthLimit = 200

    private(set) var errors: [FieldError] = []
    /// Formats nobody knows, and rules that are kept but not enforced: for warnings, as paths.
    private(set) var unknownFormats: [String] = []
    private(set) var celRules: [String] = []
    private var patterns: [String: Pattern.Failure?] = [:]
    private var depth = 0

    /// Everything wrong with the schema at `path`.
    static func check(_ schema: JSON, _ path: FieldPath) -> StructuralRules {
        var rules = StructuralRules()
        rules.place(schema, path, .root)
        if rules.errors.isEmpty { rules.checkDefaults(schema, path) }
        return rules
    }

    private mutating func add(_ error: FieldError) { if errors.count < Self.limit { errors.append(error) } }

    private static let forbidden: [(key: String, detail: String)] = [
        ("id", "id is not supported"), ("additionalItems", "additionalItems is not supported"),
        ("patternProperties", "patternProperties is not supported"),
        ("definitions", "definitions is not supported"), ("dependencies", "dependencies is not supported"),
        ("$ref", "$ref is not supported"), ("$schema", "$schema is not supported"),
    ]

    /// What holds for every schema, structural place or not.
    private mutating func common(_ schema: JSON, _ path: FieldPath) {
        for (key, detail) in Self.forbidden where !Self.isEmpty(schema[key]) {
            add(.forbidden(path.child(key), detail))
        }
        if schema["type"]?.string == "null" {
            add(.forbidden(path.child("type"), "type cannot be set to null, use nullable as an alternative"))
        }
        if schema["uniqueItems"]?.bool == true {
            add(
                .forbidden(
                    path.child("uniqueItems"),
                    "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"))
        }
        if schema["items"]?.array != nil {
            add(.forbidden(path.child("items"), "items must be a schema object and not an array"))
        }
        if let pattern = schema["pattern"]?.string, !pattern.isEmpty {
            if patterns[pattern] == nil {
                do throws(Pattern.Failure) {
                    _ = try Pattern(pattern)
                    patterns[pattern] = .some(nil)
                } catch {
                    patterns[pattern] = .some(error)
                }
            }
            if let known = patterns[pattern], let failure = known {
                add(
                    .invalid(
                        path.child("pattern"), .string(pattern),
                        "must be a valid regular expression, but isn't: \(failure)"))
            }
        }
        if let format = schema["format"]?.string, !format.isEmpty, !ValueFormat.isKnown(format),
            unknownFormats.count < Self.limit
        {
            unknownFormats.append("\(path.child("format")): unrecognized format \(Quote.go(format))")
        }
        for index in (schema["x-kubernetes-validations"]?.array ?? []).indices where celRules.count < 10_000 {
            celRules.append(path.child("x-kubernetes-validations").index(index).description)
        }
        for key in ["enum"] where schema[key] != nil && schema[key]?.array?.isEmpty == true {
            add(.required(path.child(key), "must not be empty"))
        }
    }

    private static func isEmpty(_ value: JSON?) -> Bool {
        switch value {
        case nil, .null?: true
        case .string(let text)?: text.isEmpty
        case .object(let object)?: object.isEmpty
        case .array(let array)?: array.isEmpty
        default: false
        }
    }

    /// Begins with a schema, a level further down. False when it is none or too deep,
    /// which is said; then there is nothing to leave.
    private mutating func enter(_ schema: JSON, _ path: FieldPath) -> Bool {
        guard schema.object != nil else {
            add(.typeInvalid(path, .string(schema.typeName), "must be a schema"))
            return false
        }
        guard depth < Self.depthLimit else {
            add(.forbidden(path, "schemas may nest at most \(Self.depthLimit) deep"))
            return false
        }
        depth += 1
        common(schema, path)
        return true
    }

    // MARK: - Structural places

    private mutating func place(_ schema: JSON, _ path: FieldPath, _ level: Level) {
        guard enter(schema, path) else { return }
        defer { depth -= 1 }
        checkType(schema, path, level)
        checkExtensions(schema, path)
        checkList(schema, path)
        if let items = schema["items"], items.array == nil { place(items, path.child("items"), .item) }
        let isResource = level == .root || schema["x-kubernetes-embedded-resource"]?.bool == true
        for (name, below) in schema["properties"]?.object ?? JSONObject() {
            let place = path.child("properties").key(name)
            if isResource, name == "kind" || name == "apiVersion" {
                if below["type"]?.string != "string" {
                    add(.invalid(place.child("type"), below["type"] ?? "", "must be string"))
                }
                common(below, place)
            } else if isResource, name == "metadata" {
                metadata(below, place, isRoot: level == .root)
            } else {
                self.place(below, place, .field)
            }
        }
        switch schema["additionalProperties"] {
        case nil, .null?: break
        case let additional?:
            if level == .root {
                add(.forbidden(path.child("additionalProperties"), "must not be used at the root"))
            }
            if !Self.isEmpty(schema["properties"]), additional.bool != true {
                add(
                    .forbidden(
                        path.child("additionalProperties"), "additionalProperties and properties are mutual exclusive"))
            }
            if case .object(let object) = additional, !object.isEmpty {
                place(additional, path.child("additionalProperties"), .field)
            } else if additional.bool == nil, additional.object == nil {
                add(
                    .typeInvalid(
                        path.child("additionalProperties"), .string(additional.typeName),
                        "must be a schema or a boolean"))
            }
        }
        groups(schema, path, schema)
    }

    private static let types = ["array", "boolean", "integer", "number", "object", "string"]

    private mutating func checkType(_ schema: JSON, _ path: FieldPath, _ level: Level) {
        let type = schema["type"]?.string ?? ""
        let path = path.child("type")
        let mixes = schema["x-kubernetes-int-or-string"]?.bool == true
        let keeps = schema["x-kubernetes-preserve-unknown-fields"]?.bool == true
        if !type.isEmpty, type != "null", !Self.types.contains(type) {
            add(.notSupported(path, .string(type), Self.types))
        }
        if schema["x-kubernetes-embedded-resource"]?.bool == true, type != "object" {
            let detail = "must be object if x-kubernetes-embedded-resource is true"
            add(type.isEmpty ? .required(path, detail) : .invalid(path, .string(type), detail))
        } else if type.isEmpty, !mixes, !keeps {
            switch level {
            case .root: add(.required(path, "must not be empty at the root"))
            case .item: add(.required(path, "must not be empty for specified array items"))
            case .field: add(.required(path, "must not be empty for specified object fields"))
            }
        }
        if mixes, !type.isEmpty {
            add(.invalid(path, .string(type), "must be empty if x-kubernetes-int-or-string is true"))
        }
        if level == .root, !type.isEmpty, type != "object" {
            add(.invalid(path, .string(type), "must be object at the root"))
        }
    }

    private mutating func checkExtensions(_ schema: JSON, _ path: FieldPath) {
        let mixes = schema["x-kubernetes-int-or-string"]?.bool == true
        let detail = "must be false if x-kubernetes-int-or-string is true"
        let keeps = schema["x-kubernetes-preserve-unknown-fields"]?.bool
        if mixes {
            for key in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"]
            where schema[key]?.bool == true {
                add(.invalid(path.child(key), true, detail))
            }
        }
        if keeps == false {
            add(.invalid(path.child("x-kubernetes-preserve-unknown-fields"), false, "must be true or undefined"))
        }
        let mapType = schema["x-kubernetes-map-type"]?.string ?? ""
        if !mapType.isEmpty {
            let place = path.child("x-kubernetes-map-type")
            if !["atomic", "granular"].contains(mapType) {
                add(.notSupported(place, .string(mapType), ["atomic", "granular"]))
            }
            if schema["type"]?.string != "object" {
                add(
                    .invalid(
                        path.child("type"), schema["type"] ?? "",
                        "must be object if x-kubernetes-map-type is specified"))
            }
        }
        if schema["x-kubernetes-embedded-resource"]?.bool == true {
            if !Self.isEmpty(schema["additionalProperties"]) {
                add(
                    .forbidden(
                        path.child("additionalProperties"),
                        "must not be used if x-kubernetes-embedded-resource is set"))
            }
            if keeps != true, Self.isEmpty(schema["properties"]) {
                add(
                    .required(
                        path.child("properties"),
                        "must not be empty if x-kubernetes-embedded-resource is true without "
                            + "x-kubernetes-preserve-unknown-fields"))
            }
        }
    }

    private mutating func checkList(_ schema: JSON, _ path: FieldPath) {
        let type = schema["type"]?.string ?? ""
        let list = schema["x-kubernetes-list-type"]?.string ?? ""
        let keys = schema["x-kubernetes-list-map-keys"]?.strings ?? []
        let keysPath = path.child("x-kubernetes-list-map-keys")
        if type == "array", Self.isEmpty(schema["items"]) { add(.required(path.child("items"), "must be specified")) }
        if !list.isEmpty {
            if type != "array" {
                let detail = "must be array if x-kubernetes-list-type is specified"
                let place = path.child("type")
                add(type.isEmpty ? .required(place, detail) : .invalid(place, .string(type), detail))
            }
            if !["atomic", "set", "map"].contains(list) {
                add(.notSupported(path.child("x-kubernetes-list-type"), .string(list), ["atomic", "map", "set"]))
            }
        }
        if !keys.isEmpty, list != "map" {
            let place = path.child("x-kubernetes-list-type")
            let detail = "must be map if x-kubernetes-list-map-keys is non-empty"
            add(list.isEmpty ? .required(place, detail) : .invalid(place, .string(list), detail))
        }
        guard list == "map" else { return }
        if keys.isEmpty { add(.required(keysPath, "must not be empty if x-kubernetes-list-type is map")) }
        guard let items = schema["items"], items.object != nil else {
            add(.required(path.child("items"), "must have a schema if x-kubernetes-list-type is map"))
            return
        }
        if items["type"]?.string != "object" {
            add(
                .invalid(
                    path.child("items", "type"), items["type"] ?? "",
                    "must be object if parent array's x-kubernetes-list-type is map"))
        }
        let required = Set(items["required"]?.strings ?? [])
        for (index, key) in keys.enumerated() {
            if keys[..<index].contains(key) { add(.duplicate(keysPath.index(index), .string(key))) }
            guard let property = items.at("properties", key) else {
                add(.invalid(keysPath, .string(key), "entries must all be names of item properties"))
                continue
            }
            let place = path.child("items", "properties").key(key)
            if ["array", "object"].contains(property["type"]?.string ?? "") {
                add(
                    .invalid(
                        place.child("type"), property["type"], "must be a scalar type if parent array's "
                            + "x-kubernetes-list-type is map"))
            }
            if property["nullable"]?.bool == true {
                add(
                    .forbidden(
                        place.child("nullable"),
                        "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"))
            }
            if !required.contains(key), property["default"] == nil {
                add(
                    .required(
                        place.child("default"),
                        "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required "
                            + "property"))
            }
        }
    }

    /// The metadata of the root, and of embedded resources, is ObjectMeta; a schema may only say more about names.
    private mutating func metadata(_ schema: JSON, _ path: FieldPath, isRoot: Bool) {
        common(schema, path)
        if schema["type"]?.string != "object" {
            add(.invalid(path.child("type"), schema["type"] ?? "", "must be object"))
        }
        guard isRoot else {
            for (name, below) in schema["properties"]?.object ?? JSONObject() {
                place(below, path.child("properties").key(name), .field)
            }
            return
        }
        let names = schema["properties"]?.object?.keys ?? []
        let silent: Set<String> = ["type", "properties", "description", "title"]
        if names.contains(where: { $0 != "name" && $0 != "generateName" })
            || schema.object?.keys.contains(where: { !silent.contains($0) }) ?? false
        {
            add(
                .forbidden(
                    path,
                    "must not specify anything other than name and generateName, but metadata is implicitly specified"))
        }
        for (name, below) in schema["properties"]?.object ?? JSONObject() {
            place(below, path.child("properties").key(name), .field)
        }
    }

    // MARK: - Groups of schemas

    /// allOf, anyOf, oneOf, not: value rules only, about places that the structural part has.
    private mutating func groups(_ schema: JSON, _ path: FieldPath, _ structure: JSON?) {
        let mixes = schema["x-kubernetes-int-or-string"]?.bool == true
        for key in ["allOf", "anyOf", "oneOf"] {
            for (index, group) in (schema[key]?.array ?? []).enumerated() {
                if key == "anyOf", mixes, ValueRules.isIntOrString(schema[key]) { break }
                if key == "allOf", mixes, index == 0, ValueRules.isIntOrString(group["anyOf"]) { continue }
                nested(group, path.child(key).index(index), structure)
            }
        }
        if let not = schema["not"], not.object != nil { nested(not, path.child("not"), structure) }
    }

    private static let mustBeUndefined: [(key: String, detail: String)] = [
        ("type", "must be empty to be structural"), ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"), ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"), ("externalDocs", "must be undefined to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ]
    private static let mustBeFalse = [
        "nullable", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
    ]

    private mutating func nested(_ schema: JSON, _ path: FieldPath, _ structure: JSON?) {
        guard enter(schema, path) else { return }
        defer { depth -= 1 }
        for (key, detail) in Self.mustBeUndefined where !Self.isEmpty(schema[key]) {
            add(.forbidden(path.child(key), detail))
        }
        for key in Self.mustBeFalse where schema[key]?.bool == true {
            add(.forbidden(path.child(key), "must be false to be structural"))
        }
        for (name, below) in schema["properties"]?.object ?? JSONObject() {
            let place = path.child("properties").key(name)
            if name == "metadata" { add(.forbidden(place, "must not be specified in a nested context")) }
            let there =
                structure?.at("properties", name)
                ?? structure?["additionalProperties"].flatMap { $0.object == nil ? nil : $0 }
            if there == nil, structure != nil, structure?["x-kubernetes-preserve-unknown-fields"]?.bool != true {
                add(.required(Self.structural(place), "because it is defined in \(place)"))
            }
            nested(below, place, there)
        }
        if let items = schema["items"], items.object != nil {
            if structure != nil, structure?["items"] == nil {
                add(.required(Self.structural(path.child("items")), "because it is defined in \(path.child("items"))"))
            }
            nested(items, path.child("items"), structure?["items"])
        }
        groups(schema, path, structure)
    }

    /// Where a place inside a group belongs in the structural part: the path without its groups.
    private static func structural(_ path: FieldPath) -> FieldPath {
        let steps = path.description.split(separator: ".", omittingEmptySubsequences: false)
        let kept = steps.filter { step in
            !["allOf[", "anyOf[", "oneOf["].contains { step.hasPrefix($0) } && step != "not"
        }
        return FieldPath(kept.joined(separator: "."))
    }

    // MARK: - Defaults

    /// Every default is pruned and valid by its own schema.
    private mutating func checkDefaults(_ schema: JSON, _ path: FieldPath) {
        if let value = schema["default"] {
            var patterns: [String: Pattern] = [:]
            let compiled = ValueSchema(schema, &patterns)
            let place = path.child("default")
            for error in ValueCheck.errors(of: value, compiled) {
                let field = error.field.description
                let inner = field.isEmpty ? place : FieldPath("\(place)\(field.hasPrefix("[") ? "" : ".")\(field)")
                add(FieldError(error.kind, inner, value: error.value, detail: error.detail))
            }
            var pruned = value
            var coercion = ValueCoercion()
            do throws(TypeMismatch) {
                try coercion.apply(value: &pruned, compiled)
                for name in coercion.unknown {
                    add(.invalid(place, value, "must not have unknown fields: \(name)"))
                }
            } catch {
                add(.invalid(place, value, error.description))
            }
        }
        if let items = schema["items"], items.object != nil { checkDefaults(items, path.child("items")) }
        if let additional = schema["additionalProperties"], additional.object != nil {
            checkDefaults(additional, path.child("additionalProperties"))
        }
        for (name, below) in schema["properties"]?.object ?? JSONObject() {
            checkDefaults(below, path.child("properties").key(name))
        }
    }
}

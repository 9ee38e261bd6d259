// One place of a custom resource's structural schema, compiled from its openAPIV3Schema.
//
//   openAPIV3Schema ──StructuralRules──> refused, or
//                   ──ValueSchema──────> decoded with  (ValueCoercion: prune and default, one walk)
//                                        checked with  (ValueCheck: one walk)
//                   ──CustomCatalog────> patched and applied with (SchemaCatalog, as for built-in kinds)
//                   ──CustomOpenAPI────> published
//
// Why not a SchemaCatalog alone: that one describes what Go's decoder knows of a type; a structural schema also says
// what values are right. Fields are sorted by the bytes of their names, so a walk is a merge of two sorted lists.
// Built from a schema that StructuralRules has passed; what those refuse is left out here, never trapped on.

/// A compiled schema. References instead of indices, because a structural schema is a tree.
final class ValueSchema: Sendable {
    enum Kind: String, Sendable {
        case any, object, array, string, integer, number, boolean, intOrString
    }

    struct Field: Sendable {
        let name: String
        let schema: ValueSchema
    }

    enum ListKind: Sendable {
        case atomic, set
        case map(keys: [String])
    }

    let kind: Kind
    let isNullable: Bool
    /// x-kubernetes-preserve-unknown-fields
    let preservesUnknown: Bool
    /// x-kubernetes-embedded-resource: has apiVersion, kind and metadata of its own.
    let isEmbedded: Bool
    /// Sorted by the bytes of their names.
    let fields: [Field]
    /// additionalProperties: the schema of every other key; `allowsAdditional` alone means any value.
    let additional: ValueSchema?
    let allowsAdditional: Bool
    let items: ValueSchema?
    let list: ListKind
    let isAtomicMap: Bool
    /// With the defaults below it filled in.
    let defaultValue: JSON?
    /// This place, or one below it, has a default for something that may be missing.
    let hasDefaults: Bool
    let rules: ValueRules?

    init(_ json: JSON, _ patterns: inout [String: Pattern], isNested: Bool = false) {
        let type = json["type"]?.string ?? ""
        let mixes = json["x-kubernetes-int-or-string"]?.bool ?? false
        kind = mixes ? .intOrString : Kind(rawValue: type) ?? .any
        isNullable = json["nullable"]?.bool ?? false
        preservesUnknown = json["x-kubernetes-preserve-unknown-fields"]?.bool ?? false
        isEmbedded = json["x-kubernetes-embedded-resource"]?.bool ?? false
        // Both are sorted the same way.
        var fields: [Field] = []
        for (name, schema) in json["properties"]?.object ?? JSONObject() {
            fields.append(Field(name: name, schema: ValueSchema(schema, &patterns, isNested: isNested)))
        }
        self.fields = fields
        switch json["additionalProperties"] {
        case .bool(let allowed)?:
            additional = nil
            allowsAdditional = allowed
        case .object(let object)?:
            additional = object.isEmpty ? nil : ValueSchema(.object(object), &patterns, isNested: isNested)
            allowsAdditional = true
        default:
            additional = nil
            allowsAdditional = false
        }
        items = json["items"]?.object.map { ValueSchema(.object($0), &patterns, isNested: isNested) }
        switch json["x-kubernetes-list-type"]?.string {
        case "set": list = .set
        case "map": list = .map(keys: json["x-kubernetes-list-map-keys"]?.strings ?? [])
        default: list = .atomic
        }
        isAtomicMap = json["x-kubernetes-map-type"]?.string == "atomic"
        rules = ValueRules(json, &patterns)
        let below =
            fields.contains { $0.schema.hasDefaults || $0.schema.defaultValue != nil }
            || additional?.hasDefaults ?? false || items?.hasDefaults ?? false
        hasDefaults = below && !isNested
        var value = json["default"]
        if value != nil, below { ValueCoercion.fill(&value!, fields, additional, items) }
        defaultValue = value
    }

    func field(_ name: String) -> ValueSchema? {
        var low = 0
        var high = fields.count
        while low < high {
            let middle = (low + high) / 2
            if fields[middle].name == name { return fields[middle].schema }
            if Bytes.less(fields[middle].name, name) { low = middle + 1 } else { high = middle }
        }
        return nil
    }
}

/// What a value must be like, beyond its type. Absent where a schema says nothing.
final class ValueRules: Sendable {
    let choices: [JSON]
    let minimum: JSON?
    let maximum: JSON?
    let excludesMinimum: Bool
    let excludesMaximum: Bool
    let multipleOf: JSON?
    /// Code points.
    let minLength: Int64?
    let maxLength: Int64?
    let pattern: (text: String, pattern: Pattern)?
    let format: String?
    let minItems: Int64?
    let maxItems: Int64?
    let minProperties: Int64?
    let maxProperties: Int64?
    let required: [String]
    let all: [ValueSchema]
    let any: [ValueSchema]
    let one: [ValueSchema]
    let not: ValueSchema?

    init?(_ json: JSON, _ patterns: inout [String: Pattern]) {
        choices = json["enum"]?.array ?? []
        minimum = json["minimum"]
        maximum = json["maximum"]
        excludesMinimum = json["exclusiveMinimum"]?.bool ?? false
        excludesMaximum = json["exclusiveMaximum"]?.bool ?? false
        multipleOf = json["multipleOf"]
        minLength = json["minLength"]?.int
        maxLength = json["maxLength"]?.int
        pattern = Self.pattern(json["pattern"]?.string, &patterns)
        format = json["format"]?.string
        minItems = json["minItems"]?.int
        maxItems = json["maxItems"]?.int
        minProperties = json["minProperties"]?.int
        maxProperties = json["maxProperties"]?.int
        required = json["required"]?.strings ?? []
        func nested(_ key: String) -> [ValueSchema] {
            (json[key]?.array ?? []).map { ValueSchema($0, &patterns, isNested: true) }
        }
        // {integer, string} beside x-kubernetes-int-or-string only repeats it.
        let mixes = json["x-kubernetes-int-or-string"]?.bool ?? false
        all = nested("allOf")
        any = mixes && Self.isIntOrString(json["anyOf"]) ? [] : nested("anyOf")
        one = nested("oneOf")
        not = json["not"]?.object.map { ValueSchema(.object($0), &patterns, isNested: true) }
        let isEmpty =
            choices.isEmpty && minimum == nil && maximum == nil && multipleOf == nil && minLength == nil
            && maxLength == nil && pattern == nil && (format ?? "").isEmpty && minItems == nil && maxItems == nil
            && minProperties == nil && maxProperties == nil && required.isEmpty
        if isEmpty, all.isEmpty, any.isEmpty, one.isEmpty, not == nil { return nil }
    }

    static func isIntOrString(_ json: JSON?) -> Bool {
        json == [["type": "integer"], ["type": "string"]]
    }

    private static func pattern(_ text: String?, _ patterns: inout [String: Pattern]) -> (String, Pattern)? {
        guard let text, !text.isEmpty else { return nil }
        if let known = patterns[text] { return (text, known) }
        guard let pattern = try? Pattern(text) else { return nil }
        patterns[text] = pattern
        return (text, pattern)
    }
}

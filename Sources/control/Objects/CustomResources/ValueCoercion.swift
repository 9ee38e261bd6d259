// Bringing a custom object into the shape of its schema: what the schema does not know goes, what is missing and has a
// default comes. One walk, in place; types are not judged here (ValueCheck does, later: admission may change the object
// in between).
//
// Fails only on metadata that is no ObjectMeta, with the message of Kubernetes' decoder, as for built-in kinds.

struct ValueCoercion {
    /// Paths of what was taken away, at most 100, as `spec.replicsa`.
    private(set) var unknown: [String] = []
    /// Something was taken away or filled in.
    private(set) var hasChanged = false
    private var path: [ValueStep] = []

    private static let typeFields: Set<String> = ["apiVersion", "kind", "metadata"]
    private static let metadata: Schema? = Declarations.builtIn.catalog.schema("meta.v1.ObjectMeta")

    /// The whole object: its root is a resource like an embedded one.
    mutating func apply(root value: inout JSON, _ schema: ValueSchema) throws(TypeMismatch) {
        try apply(&value, schema, isResource: true)
    }

    /// A value somewhere in an object: a default.
    mutating func apply(value: inout JSON, _ schema: ValueSchema) throws(TypeMismatch) {
        try apply(&value, schema, isResource: schema.isEmbedded)
    }

    private mutating func apply(_ value: inout JSON, _ schema: ValueSchema, isResource: Bool) throws(TypeMismatch) {
        switch value {
        case .object: try applyFields(&value, schema, isResource: isResource)
        case .array(var elements):
            guard let items = schema.items else { return }
            value = .null
            for index in elements.indices {
                path.append(.index(index))
                try apply(&elements[index], items, isResource: items.isEmbedded)
                path.removeLast()
            }
            value = .array(elements)
        default: break
        }
    }

    private mutating func applyFields(
        _ value: inout JSON, _ schema: ValueSchema, isResource: Bool
    ) throws(TypeMismatch) {
        guard case .object(var object) = value else { return }
        value = .null
        let fields = schema.fields
        var position = 0
        var remove: [Int] = []
        for index in object.entries.indices {
            let key = object.entries[index].key
            while position < fields.count, Bytes.less(fields[position].name, key) { position += 1 }
            if isResource, Self.typeFields.contains(key) {
                if key == "metadata" { try checkMetadata(&object.entries[index].value) }
                continue
            }
            path.append(.name(key))
            defer { path.removeLast() }
            if position < fields.count, fields[position].name == key {
                let field = fields[position].schema
                // A null that may not be one gives way to the default.
                if object.entries[index].value.isNull, !field.isNullable, field.defaultValue != nil {
                    remove.append(index)
                    continue
                }
                try apply(&object.entries[index].value, field, isResource: field.isEmbedded)
            } else if let additional = schema.additional {
                try apply(&object.entries[index].value, additional, isResource: additional.isEmbedded)
            } else if !schema.preservesUnknown, !schema.allowsAdditional {
                if unknown.count < 100 { unknown.append(ValueStep.print(path)) }
                remove.append(index)
            }
        }
        if !remove.isEmpty { hasChanged = true }
        for index in remove.reversed() { object.entries.remove(at: index) }
        if schema.hasDefaults {
            for field in fields {
                guard let defaultValue = field.schema.defaultValue, !object.contains(field.name) else { continue }
                object[field.name] = defaultValue
                hasChanged = true
            }
        }
        value = .object(object)
    }

    private mutating func checkMetadata(_ value: inout JSON) throws(TypeMismatch) {
        guard let schema = Self.metadata else { return }
        let prefix = ValueStep.print(path + [.name("metadata")])
        let before = value
        let found = try schema.check(&value)
        for path in found where unknown.count < 100 { unknown.append("\(prefix).\(path)") }
        if before != value { hasChanged = true }
    }

    /// Defaults below a default, once, when the schema is compiled.
    static func fill(
        _ value: inout JSON, _ fields: [ValueSchema.Field], _ additional: ValueSchema?, _ items: ValueSchema?
    ) {
        switch value {
        case .object(var object):
            value = .null
            for field in fields {
                if !object.contains(field.name) {
                    guard let defaultValue = field.schema.defaultValue else { continue }
                    object[field.name] = defaultValue
                } else if field.schema.hasDefaults {
                    fill(&object[field.name]!, field.schema.fields, field.schema.additional, field.schema.items)
                }
            }
            if let additional, additional.hasDefaults {
                for index in object.entries.indices {
                    fill(&object.entries[index].value, additional.fields, additional.additional, additional.items)
                }
            }
            value = .object(object)
        case .array(var elements):
            guard let items, items.hasDefaults else { return }
            value = .null
            for index in elements.indices { fill(&elements[index], items.fields, items.additional, items.items) }
            value = .array(elements)
        default: break
        }
    }
}

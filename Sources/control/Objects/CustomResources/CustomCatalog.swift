// A custom resource's schema as a SchemaCatalog, which is what patches and server-side apply walk: list keys, sets,
// atomic maps, types. What values are right is in ValueSchema and not repeated here.
//
// The root is definition 0. The definitions of ObjectMeta are copied in from the built-in ones, so that references stay
// indices of one catalog.

struct CustomCatalog {
    private var definitions: [SchemaDefinition] = []
    /// Where a built-in definition was copied to.
    private var copies: [Int: Int] = [:]

    /// - Parameter name: of the root, such as `com.example.v1.Widget`.
    static func make(_ root: ValueSchema, name: String, kind: String, required: [String]) -> SchemaCatalog {
        var builder = CustomCatalog()
        _ = builder.add(root, name, short: kind, isResource: true)
        return SchemaCatalog(definitions: builder.definitions)
    }

    private mutating func add(_ schema: ValueSchema, _ name: String, short: String, isResource: Bool) -> Int {
        let index = definitions.count
        definitions.append(Self.definition(name, short, schema, []))
        var fields: [SchemaField] = []
        for field in schema.fields where !(isResource && Self.typeFields.contains(field.name)) {
            fields.append(self.field(field.name, field.schema, name))
        }
        if isResource {
            fields.append(Self.plain("apiVersion", .string))
            fields.append(Self.plain("kind", .string))
            fields.append(Self.plain("metadata", objectMeta()))
            fields.sort { Bytes.less($0.name, $1.name) }
        }
        definitions[index] = Self.definition(name, short, schema, fields)
        return index
    }

    private static let typeFields: Set<String> = ["apiVersion", "kind", "metadata"]

    private static func definition(
        _ name: String, _ short: String, _ schema: ValueSchema, _ fields: [SchemaField]
    ) -> SchemaDefinition {
        SchemaDefinition(
            name: name, openAPIName: name, shortName: short, required: schema.rules?.required ?? [],
            isAtomic: schema.isAtomicMap, preservesUnknown: schema.preservesUnknown, fields: fields, hasDefaults: false)
    }

    private static func plain(_ name: String, _ type: FieldType) -> SchemaField {
        SchemaField(
            name: name, type: type, listKeys: [], isSet: false, isAtomic: false, mergeKey: nil, retainKeys: false,
            defaultValue: nil)
    }

    private mutating func field(_ name: String, _ schema: ValueSchema, _ owner: String) -> SchemaField {
        var keys: [String] = []
        var isSet = false
        switch schema.list {
        case .atomic: break
        case .set: isSet = true
        case .map(let names): keys = names
        }
        return SchemaField(
            name: name, type: type(schema, "\(owner).\(name)"), listKeys: keys, isSet: isSet,
            isAtomic: schema.isAtomicMap, mergeKey: nil, retainKeys: false, defaultValue: schema.defaultValue)
    }

    private mutating func type(_ schema: ValueSchema, _ name: String) -> FieldType {
        switch schema.kind {
        case .string: return .string
        case .integer: return .int64
        case .number: return .double
        case .boolean: return .bool
        // Wider than the int32 of built-in kinds.
        case .intOrString: return .any
        case .array: return .list(schema.items.map { type($0, name) } ?? .any)
        case .any where schema.fields.isEmpty: return .any
        case .object, .any:
            if schema.fields.isEmpty, !schema.isEmbedded {
                if let additional = schema.additional { return .map(type(additional, name)) }
                if schema.allowsAdditional || schema.preservesUnknown { return .any }
            }
            let short = String(name.split(separator: ".").last ?? "")
            return .object(add(schema, name, short: short, isResource: schema.isEmbedded))
        }
    }

    // MARK: - Copies of built-in definitions

    private mutating func objectMeta() -> FieldType {
        let catalog = Declarations.builtIn.catalog
        guard let schema = catalog.schema("meta.v1.ObjectMeta") else { return .any }
        return .object(copy(schema.index, catalog))
    }

    private mutating func copy(_ source: Int, _ catalog: SchemaCatalog) -> Int {
        if let known = copies[source] { return known }
        let index = definitions.count
        let original = catalog.definitions[source]
        copies[source] = index
        definitions.append(original)
        let fields = original.fields.map { field in
            SchemaField(
                name: field.name, type: copy(field.type, catalog), listKeys: field.listKeys, isSet: field.isSet,
                isAtomic: field.isAtomic, mergeKey: field.mergeKey, retainKeys: field.retainKeys,
                defaultValue: field.defaultValue)
        }
        definitions[index] = SchemaDefinition(
            name: original.name, openAPIName: original.openAPIName, shortName: original.shortName,
            required: original.required, isAtomic: original.isAtomic, preservesUnknown: original.preservesUnknown,
            fields: fields, hasDefaults: original.hasDefaults)
        return index
    }

    private mutating func copy(_ type: FieldType, _ catalog: SchemaCatalog) -> FieldType {
        switch type {
        case .object(let index): .object(copy(index, catalog))
        case .list(let element): .list(copy(element, catalog))
        case .map(let element): .map(copy(element, catalog))
        default: type
        }
    }
}

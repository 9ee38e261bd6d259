// The defaults that schemas declare. Those that Kubernetes applies by code are in Defaults/.

extension Schema {
    /// Fills in what the schema gives a default for, below every object that is there. Types must have been checked.
    public func applyDefaults(_ object: inout JSON) {
        Self.apply(&object, .object(index), catalog)
    }

    private static func apply(_ value: inout JSON, _ type: FieldType, _ catalog: SchemaCatalog) {
        switch type {
        case .object(let index):
            let definition = catalog.definitions[index]
            guard definition.hasDefaults, value.object != nil else { return }
            for field in definition.fields {
                if value[field.name] == nil {
                    guard let defaultValue = field.defaultValue else { continue }
                    value[field.name] = defaultValue
                }
                if mayHaveDefaults(field.type, catalog) { apply(&value[field.name]!, field.type, catalog) }
            }
        case .list(let element):
            guard mayHaveDefaults(element, catalog), case .array(var elements) = value else { return }
            value = .null
            for index in elements.indices { apply(&elements[index], element, catalog) }
            value = .array(elements)
        case .map(let element):
            guard mayHaveDefaults(element, catalog), case .object(var object) = value else { return }
            value = .null
            for index in object.entries.indices { apply(&object.entries[index].value, element, catalog) }
            value = .object(object)
        default: break
        }
    }

    private static func mayHaveDefaults(_ type: FieldType, _ catalog: SchemaCatalog) -> Bool {
        switch type {
        case .object(let index): catalog.definitions[index].hasDefaults
        case .list(let element), .map(let element): mayHaveDefaults(element, catalog)
        default: false
        }
    }
}

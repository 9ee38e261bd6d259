// What a version of a CustomResourceDefinition adds to a ResourceDeclaration: its
// compiled schema, columns, scale paths.
//
//   write:  decode (prune, default) ─> admission ─> ValueCheck ─> toStorage (the storage version's shape) ─> store
//   read:   store ─> WatchCache.object (refresh: the storage version's present shape) ─> cache ─> fromStorage ─> answer
//
// Conversion between versions is "None": only apiVersion differs, and each version prunes and defaults by its own
// schema. A CRD that wants its webhook asked is served in its storage version alone (`refusal`), because converting it
// otherwise would be a guess.

internal import System

public final class CustomResource: Sendable {
    /// A printer column.
    struct Column: Sendable {
        let path: JSONPath
        let type: String
    }

    public struct ScalePaths: Sendable {
        public let replicas: [String]
        public let statusReplicas: [String]
        public let selector: [String]?
    }

    public let gvk: GroupVersionKind
    /// Of the storage version.
    let storageVersion: GroupVersionKind
    let schema: ValueSchema
    let catalog: SchemaCatalog
    let columns: [Column]
    public let scale: ScalePaths?
    /// Dotted paths, as field selectors name them.
    let selectable: [String]
    /// The version's openAPIV3Schema, encoded: it is big and seldom asked for.
    let published: [UInt8]
    /// For a Warning header with every answer of a deprecated version.
    public let deprecation: String?
    /// Set when requests of this version cannot be answered.
    public let refusal: String?
    /// The definition is being deleted: nothing new is created.
    public let isTerminating: Bool
    /// The storage version of the same definition; nil for itself.
    let storage: CustomResource?

    init(
        gvk: GroupVersionKind, version: JSON, schema: ValueSchema, storage: CustomResource?, deprecation: String?,
        refusal: String?, isTerminating: Bool
    ) {
        self.gvk = gvk
        self.schema = schema
        self.storage = storage
        storageVersion = storage?.gvk ?? gvk
        self.deprecation = deprecation
        self.refusal = refusal
        self.isTerminating = isTerminating
        let source = version.at("schema", "openAPIV3Schema") ?? [:]
        published = source.encode()
        let reversed = gvk.group.split(separator: ".").reversed().joined(separator: ".")
        catalog = CustomCatalog.make(
            schema, name: "\(reversed).\(gvk.version).\(gvk.kind)", kind: gvk.kind, required: [])
        columns = (version["additionalPrinterColumns"]?.array ?? []).compactMap { column in
            guard let path = try? JSONPath(column["jsonPath"]?.string ?? "") else { return nil }
            return Column(path: path, type: column["type"]?.string ?? "string")
        }
        scale = Self.scale(version.at("subresources", "scale"))
        selectable = (version["selectableFields"]?.array ?? []).compactMap { field in
            field["jsonPath"]?.string.map { String($0.drop { $0 == "." }) }
        }
    }

    private static func scale(_ json: JSON?) -> ScalePaths? {
        func path(_ key: String) -> [String]? {
            guard let text = json?[key]?.string, !text.isEmpty else { return nil }
            return (try? JSONPath(text))?.names
        }
        guard let replicas = path("specReplicasPath"), let status = path("statusReplicasPath") else { return nil }
        return ScalePaths(replicas: replicas, statusReplicas: status, selector: path("labelSelectorPath"))
    }

    // MARK: - Shape

    /// Prunes and fills in defaults. The kind is judged by `validate`, as Kubernetes does for custom resources.
    func decode(
        _ body: JSON, _ duplicates: [String], _ validation: FieldValidation
    ) throws(APIStatus) -> ResourceDeclaration.Decoded {
        guard body.object != nil, let kind = body["kind"]?.string, !kind.isEmpty else {
            throw .badRequest("Object 'Kind' is missing in \(Quote.go(String(body.text.prefix(1024))))")
        }
        let given = body["apiVersion"]?.string ?? ""
        guard given == gvk.apiVersion else {
            throw .badRequest(
                "the API version in the data (\(given)) does not match the expected API version (\(gvk.apiVersion))")
        }
        var object = body
        var coercion = ValueCoercion()
        let prefix = "\(gvk.kind) in version \"\(gvk.version)\" cannot be handled as a \(gvk.kind): "
        do throws(TypeMismatch) {
            try coercion.apply(root: &object, schema)
        } catch {
            throw .badRequest(prefix + error.description)
        }
        var problems = coercion.unknown.map { "unknown field \"\($0)\"" }
        problems += duplicates.map { "duplicate field \"\($0)\"" }
        if validation == .strict, !problems.isEmpty {
            throw .badRequest(prefix + "strict decoding error: " + problems.joined(separator: ", "))
        }
        return ResourceDeclaration.Decoded(object: object, warnings: validation == .warn ? problems : [])
    }

    /// Brings a stored object to the storage version's present shape; false when it was in it. Metadata was right when
    /// it was written; whatever is wrong with it now stays visible.
    public func refresh(_ object: inout JSON) -> Bool {
        if let storage { return storage.refresh(&object) }
        var coercion = ValueCoercion()
        try? coercion.apply(root: &object, schema)
        var hasChanged = coercion.hasChanged
        if object["apiVersion"]?.string != gvk.apiVersion {
            object["apiVersion"] = .string(gvk.apiVersion)
            hasChanged = true
        }
        return hasChanged
    }

    func toStorage(_ object: JSON) -> JSON {
        guard let storage else { return object }
        var stored = object
        _ = storage.refresh(&stored)
        return stored
    }

    func fromStorage(_ stored: JSON) -> JSON {
        guard storage != nil else { return stored }
        var object = stored
        object["apiVersion"] = .string(gvk.apiVersion)
        var coercion = ValueCoercion()
        try? coercion.apply(root: &object, schema)
        return object
    }

    // MARK: - Rules

    func validate(_ object: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        if object["kind"]?.string != gvk.kind {
            errors.append(.invalid(FieldPath("kind"), object["kind"], "must be \(gvk.kind)"))
        }
        return errors + ValueCheck.errors(object, schema)
    }

    // MARK: - Table

    /// The cells of a row: the name and the columns, or the name and the age.
    func cells(_ object: JSON, now: Timestamp) -> [JSON] {
        let name = TableRow.name(object)
        if columns.isEmpty { return [name, TableRow.age(object, now)] }
        return [name] + columns.map { Self.cell($0, object, now) }
    }

    private static func cell(_ column: Column, _ object: JSON, _ now: Timestamp) -> JSON {
        let values = column.path.values(in: object)
        guard let first = values.first else { return .null }
        switch column.type {
        case "integer": return first.int.map { .int($0) } ?? .null
        case "number": return first.double.map { .double($0) } ?? .null
        case "boolean": return first.bool.map { .bool($0) } ?? .null
        case "date":
            guard let text = first.string, let time = Timestamp(rfc3339: text) else { return "<invalid>" }
            return .string(HumanDuration.text(since: time, now: now))
        default:
            // What client-go prints for several values: one after the other.
            return .string(values.map { $0.string ?? ($0.isNull ? "<nil>" : $0.text) }.joined(separator: " "))
        }
    }

    static func tableColumns(_ version: JSON) -> [TableColumn] {
        let name = TableColumn(
            name: "Name", type: "string", format: "name",
            description: "The name, unique for its kind in its namespace.")
        let columns = version["additionalPrinterColumns"]?.array ?? []
        if columns.isEmpty {
            return [name, TableColumn(name: "Age", type: "date", description: "How long ago the object was created.")]
        }
        return [name]
            + columns.map {
                TableColumn(
                    name: $0["name"]?.string ?? "", type: $0["type"]?.string ?? "string",
                    format: $0["format"]?.string ?? "", priority: Int($0["priority"]?.int ?? 0),
                    description: $0["description"]?.string ?? "")
            }
    }
}

/// What is special about objects of a custom resource: they follow their schema.
struct CustomStrategy: ResourceStrategy {
    let custom: CustomResource

    func validate(_ object: JSON) -> [FieldError] { custom.validate(object) }
    func toStorage(_ object: JSON) -> JSON { custom.toStorage(object) }
    func fromStorage(_ object: JSON) -> JSON { custom.fromStorage(object) }
    var fieldLabels: [String] { custom.selectable }
    /// Without a resourceVersion nobody says which object was meant to be replaced.
    var allowsUnconditionalUpdate: Bool { false }
    var statusKeepsMetadata: Bool { true }
}

extension ResourceDeclaration {
    /// The Scale that shows an object; a custom resource says where it keeps its numbers.
    public func scale(of object: JSON) -> JSON {
        var scale = ScaleView.scale(of: object)
        guard let paths = custom?.scale else { return scale }
        scale.set("spec", "replicas", to: .int(object.at(paths.replicas)?.int ?? 0))
        scale.set("status", "replicas", to: .int(object.at(paths.statusReplicas)?.int ?? 0))
        let selector = paths.selector.flatMap { object.at($0)?.string } ?? ""
        scale.set("status", "selector", to: selector.isEmpty ? nil : .string(selector))
        return scale
    }
}

// OpenAPI documents, made from the registry: v3, one document a group version, and v2, one for all.
//
// kubectl reads v3 for `explain` (it finds a kind through the GET of a path, then the schema with the same
// x-kubernetes-group-version-kind), to learn that PATCH takes fieldValidation and dryRun, and for the merge keys of
// strategic merge patches. Descriptions are noded's own (declarations/descriptions.json).
// Pure functions; making all documents takes a few milliseconds, so the API server does it once a registry.

public enum OpenAPI {
    /// One document of v3.
    public struct Document: Sendable {
        /// "api/v1", "apis/apps/v1"
        public let path: String
        /// Encoded JSON.
        public let bytes: [UInt8]
        /// Changes with the content; for ETag and the index's URLs.
        public let hash: String
    }

    /// - Parameter version: of the server, "v1.36.1".
    public static func v3(_ registry: Registry, version: String) -> [Document] {
        registry.groups.flatMap { group in
            group.versions.map { v3(registry, group: group.name, groupVersion: $0, version: version) }
        }
    }

    /// The document of one group version.
    public static func v3(_ registry: Registry, group: String, groupVersion: String, version: String) -> Document {
        let bytes = document(registry, group, groupVersion, version).encode()
        var hash = Fingerprint()
        hash.add(bytes)
        return Document(path: v3Path(group, groupVersion), bytes: bytes, hash: hash.hex)
    }

    public static func v3Path(_ group: String, _ groupVersion: String) -> String {
        group.isEmpty ? "api/\(groupVersion)" : "apis/\(group)/\(groupVersion)"
    }

    /// `/openapi/v3`
    public static func v3Index(_ documents: [Document]) -> JSON {
        var paths = JSONObject()
        for document in documents {
            paths[document.path] = [
                "serverRelativeURL": .string("/openapi/v3/\(document.path)?hash=\(document.hash)")
            ]
        }
        return ["paths": .object(paths)]
    }

    /// `/openapi/v2`
    public static func v2(_ registry: Registry, version: String) -> JSON {
        var paths = JSONObject()
        var schemas = SchemaWriter(registry: registry, prefix: "#/definitions/", isV2: true)
        for declaration in registry.declarations {
            for (path, item) in OpenAPIPaths.paths(declaration, &schemas) { paths[path] = item }
        }
        schemas.addStatus()
        return [
            "swagger": "2.0", "info": info(version), "paths": .object(paths), "definitions": .object(schemas.finish()),
        ]
    }

    private static func document(
        _ registry: Registry, _ group: String, _ groupVersion: String, _ version: String
    ) -> JSON {
        var paths = JSONObject()
        var schemas = SchemaWriter(registry: registry, prefix: "#/components/schemas/", isV2: false)
        for declaration in registry.declarations
        where declaration.id.group == group
            && declaration.id.version == groupVersion
        {
            for (path, item) in OpenAPIPaths.paths(declaration, &schemas) { paths[path] = item }
        }
        schemas.addStatus()
        return [
            "openapi": "3.0.0", "info": info(version), "paths": .object(paths),
            "components": ["schemas": .object(schemas.finish())],
        ]
    }

    private static func info(_ version: String) -> JSON { ["title": "Kubernetes", "version": .string(version)] }
}

/// Writes definitions as OpenAPI schemas, with everything they refer to.
struct SchemaWriter {
    let registry: Registry
    /// What references begin with.
    let prefix: String
    let isV2: Bool
    private var written = JSONObject()
    private var pending: [(SchemaCatalog, Int)] = []
    private var scalars: Set<String> = []
    private let kinds: [String: [GroupVersionKind]]
    /// Custom resources by the names of their definitions.
    let customs: [String: CustomResource]

    init(registry: Registry, prefix: String, isV2: Bool) {
        self.registry = registry
        self.prefix = prefix
        self.isV2 = isV2
        customs = Dictionary(
            registry.declarations.compactMap { declaration in
                declaration.custom.map { (declaration.schema.openAPIName, $0) }
            }, uniquingKeysWith: { first, _ in first })
        kinds = Self.kinds(registry)
    }

    /// The kinds whose objects a definition describes, by the definition's name.
    private static func kinds(_ registry: Registry) -> [String: [GroupVersionKind]] {
        var result: [String: [GroupVersionKind]] = [:]
        func add(_ kind: GroupVersionKind, _ name: String) {
            if result[name]?.contains(kind) != true { result[name, default: []].append(kind) }
        }
        for declaration in registry.declarations { add(declaration.gvk, declaration.schema.name) }
        for kind in registry.declarations.flatMap(\.subresources).map(\.kind) {
            if let name = Registry.schema(of: kind)?.name { add(kind, name) }
        }
        return result
    }

    /// A reference to a definition, which will be written.
    mutating func reference(_ schema: Schema) -> JSON {
        pending.append((schema.catalog, schema.index))
        return ["$ref": .string(prefix + schema.openAPIName)]
    }

    /// A reference to the list kind of a resource.
    mutating func listReference(_ declaration: ResourceDeclaration) -> JSON {
        let name = declaration.schema.openAPIName + "List"
        if written[name] == nil {
            var properties: JSON = [
                "apiVersion": string("meta.v1.ObjectMeta", "apiVersion"),
                "kind": string("meta.v1.ObjectMeta", "kind"),
                "items": ["type": "array", "items": reference(declaration.schema)],
            ]
            if let metadata = Declarations.builtIn.catalog.schema("meta.v1.ListMeta") {
                properties["metadata"] = reference(metadata)
            }
            written[name] = [
                "type": "object", "required": ["items"], "properties": properties,
                "description": .string("A list of \(declaration.kind) objects."),
                "x-kubernetes-group-version-kind": [
                    Self.gvk(
                        GroupVersionKind(
                            group: declaration.id.group, version: declaration.id.version, kind: declaration.listKind))
                ],
            ]
        }
        return ["$ref": .string(prefix + name)]
    }

    mutating func addStatus() {
        for name in ["meta.v1.Status", "meta.v1.DeleteOptions"] {
            if let schema = Declarations.builtIn.catalog.schema(name) { _ = reference(schema) }
        }
    }

    /// All definitions that were referred to, directly or not.
    mutating func finish() -> JSONObject {
        while let (catalog, index) = pending.popLast() {
            let definition = catalog.definitions[index]
            guard written[definition.openAPIName] == nil else { continue }
            if let custom = customs[definition.openAPIName] {
                written[definition.openAPIName] = write(custom)
            } else {
                written[definition.openAPIName] = write(definition, catalog)
            }
        }
        for name in scalars { written[name] = Self.scalarSchema(name, isV2: isV2) }
        return written
    }

    private mutating func write(_ custom: CustomResource) -> JSON {
        let metadata = Declarations.builtIn.catalog.schema("meta.v1.ObjectMeta").map { reference($0) } ?? [:]
        return custom.openAPI(metadata: metadata, isV2: isV2)
    }

    private mutating func write(_ definition: SchemaDefinition, _ catalog: SchemaCatalog) -> JSON {
        var schema: JSON = ["type": "object"]
        if let text = Declarations.builtIn.descriptions[definition.name] { schema["description"] = .string(text) }
        var properties = JSONObject()
        for field in definition.fields { properties[field.name] = property(field, definition, catalog) }
        if !properties.isEmpty { schema["properties"] = .object(properties) }
        if !definition.required.isEmpty { schema["required"] = .array(definition.required.map(JSON.string)) }
        if definition.isAtomic { schema["x-kubernetes-map-type"] = "atomic" }
        if definition.preservesUnknown { schema["x-kubernetes-preserve-unknown-fields"] = .bool(true) }
        if let kinds = kinds[definition.name] {
            schema["x-kubernetes-group-version-kind"] = .array(kinds.map(Self.gvk))
        }
        return schema
    }

    static func gvk(_ kind: GroupVersionKind) -> JSON {
        ["group": .string(kind.group), "kind": .string(kind.kind), "version": .string(kind.version)]
    }

    private func string(_ owner: String, _ field: String) -> JSON {
        var schema: JSON = ["type": "string"]
        if let text = description(owner, field) { schema["description"] = .string(text) }
        return schema
    }

    private func description(_ owner: String, _ field: String) -> String? {
        Declarations.builtIn.descriptions["\(owner).\(field)"] ?? Declarations.builtIn.descriptions["*.\(field)"]
    }

    private mutating func property(
        _ field: SchemaField, _ definition: SchemaDefinition, _ catalog: SchemaCatalog
    ) -> JSON {
        var schema = type(field.type, catalog)
        let isKind = definition.fields.contains { $0.name == "apiVersion" } && definition.field("metadata") != nil
        let text =
            Declarations.builtIn.descriptions["\(definition.name).\(field.name)"]
            ?? (isKind ? description(definition.name, field.name) : nil)
        // Nothing may stand beside $ref, so it moves into allOf.
        if schema["$ref"] != nil, text != nil || field.retainKeys || field.defaultValue != nil, !isV2 {
            schema = ["allOf": [schema]]
        }
        if let text { schema["description"] = .string(text) }
        if let value = field.defaultValue { schema["default"] = value }
        if case .list = field.type {
            if !field.listKeys.isEmpty {
                schema["x-kubernetes-list-type"] = "map"
                schema["x-kubernetes-list-map-keys"] = .array(field.listKeys.map(JSON.string))
            } else {
                schema["x-kubernetes-list-type"] = field.isSet ? "set" : "atomic"
            }
        }
        if field.isAtomic, case .map = field.type { schema["x-kubernetes-map-type"] = "atomic" }
        let strategies = (field.mergeKey == nil ? [] : ["merge"]) + (field.retainKeys ? ["retainKeys"] : [])
        if !strategies.isEmpty { schema["x-kubernetes-patch-strategy"] = .string(strategies.joined(separator: ",")) }
        if let key = field.mergeKey, !key.isEmpty { schema["x-kubernetes-patch-merge-key"] = .string(key) }
        return schema
    }

    private mutating func type(_ type: FieldType, _ catalog: SchemaCatalog) -> JSON {
        switch type {
        case .string: return ["type": "string"]
        case .int32: return ["type": "integer", "format": "int32"]
        case .int64: return ["type": "integer", "format": "int64"]
        case .double: return ["type": "number", "format": "double"]
        case .bool: return ["type": "boolean"]
        case .bytes: return ["type": "string", "format": "byte"]
        case .time: return scalar("io.k8s.apimachinery.pkg.apis.meta.v1.Time")
        case .microTime: return scalar("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime")
        case .quantity: return scalar("io.k8s.apimachinery.pkg.api.resource.Quantity")
        case .intOrString: return scalar("io.k8s.apimachinery.pkg.util.intstr.IntOrString")
        case .raw: return scalar("io.k8s.apimachinery.pkg.runtime.RawExtension")
        // Not {}: kubectl explain takes an empty schema for a missing one.
        case .any: return ["x-kubernetes-preserve-unknown-fields": true]
        case .object(let index): return reference(Schema(catalog: catalog, index: index))
        case .list(let element): return ["type": "array", "items": self.type(element, catalog)]
        case .map(let element): return ["type": "object", "additionalProperties": self.type(element, catalog)]
        }
    }

    private mutating func scalar(_ name: String) -> JSON {
        scalars.insert(name)
        return ["$ref": .string(prefix + name)]
    }

    private static func scalarSchema(_ name: String, isV2: Bool) -> JSON {
        switch name.split(separator: ".").last ?? "" {
        case "Time", "MicroTime": ["type": "string", "format": "date-time"]
        case "Quantity": isV2 ? ["type": "string"] : ["oneOf": [["type": "string"], ["type": "number"]]]
        case "IntOrString":
            isV2
                ? ["type": "string", "format": "int-or-string"]
                : ["format": "int-or-string", "oneOf": [["type": "integer"], ["type": "string"]]]
        default: ["type": "object"]
        }
    }
}

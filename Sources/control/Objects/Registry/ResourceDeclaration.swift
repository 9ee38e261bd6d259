// One resource: its declaration (names, scope, verbs, schema, subresources, columns) and its strategy, and the steps an
// object goes through on its way to the store. The API server calls them in this order:
//
//   create:  decode -> prepareForCreate -> (names, namespace, admission) -> validateCreate -> store
//   update:  decode (of the body, or of the patched object) -> prepareForUpdate(old) -> validateUpdate(old) -> store
//
// All steps are pure. decode throws the 400 that kube-apiserver answers; the validations return field errors for a 422.

public import System

/// Immutable. A class, because every request hands it on many times, and its parts are many.
public final class ResourceDeclaration: Sendable {
    /// How long a write must live.
    public enum Durability: String, Sendable {
        /// On disk before it is acknowledged.
        case durable
        /// In memory only: heartbeats.
        case volatile
        /// In a bounded memory ring that is flushed now and then: events.
        case ring
    }

    public struct Subresource: Sendable {
        /// "status"
        public let name: String
        public let verbs: [String]
        /// What requests and answers carry: Deployment v1 apps for status, Scale v1 autoscaling for scale, ...
        public let kind: GroupVersionKind
    }

    public let id: ResourceID
    /// "Pod"
    public let kind: String
    /// "pod"
    public let singular: String
    public let isNamespaced: Bool
    public let verbs: [String]
    public let shortNames: [String]
    public let categories: [String]
    public let schema: Schema
    public let subresources: [Subresource]
    public let columns: [TableColumn]
    public let durability: Durability
    /// Changes of anything outside metadata and status raise metadata.generation.
    public let countsGenerations: Bool
    public let strategy: any ResourceStrategy
    /// The resource whose stored objects these are; differs from `id` for another view of the same objects
    /// (events.k8s.io events are core events).
    public let storage: ResourceID
    /// Set for a version of a custom resource.
    public let custom: CustomResource?
    let customListKind: String?

    public var gvk: GroupVersionKind { GroupVersionKind(group: id.group, version: id.version, kind: kind) }
    /// "PodList"
    public var listKind: String { customListKind ?? kind + "List" }

    /// The object has a status that only /status may write.
    public var hasStatus: Bool { subresource("status") != nil }
    /// Objects of it exist; the others are only created (reviews, bindings) or only looked at (componentstatuses).
    public let isStored: Bool

    public func subresource(_ name: String) -> Subresource? { subresources.first { $0.name == name } }

    /// A built-in resource: everything but the strategy comes from its declaration file.
    public init(
        _ id: ResourceID, strategy: any ResourceStrategy = PlainStrategy(), storedAs storage: ResourceID? = nil
    ) {
        guard let json = Declarations.builtIn.resources[id]?.json else {
            fatalError("resource \(id) has no declaration; see scripts/declare")
        }
        guard let schema = Declarations.builtIn.catalog.schema(json["schema"]?.string ?? "") else {
            fatalError("resource \(id) names a schema that is not declared")
        }
        self.id = id
        kind = json["kind"]?.string ?? ""
        singular = json["singular"]?.string ?? ""
        isNamespaced = json["scope"]?.string == "Namespaced"
        verbs = json["verbs"]?.strings ?? []
        shortNames = json["shortNames"]?.strings ?? []
        categories = json["categories"]?.strings ?? []
        self.schema = schema
        subresources = (json["subresources"]?.array ?? []).map {
            Subresource(
                name: $0["name"]?.string ?? "", verbs: $0["verbs"]?.strings ?? [],
                kind: GroupVersionKind(
                    group: $0["group"]?.string ?? id.group, version: $0["version"]?.string ?? id.version,
                    kind: $0["kind"]?.string ?? ""))
        }
        let hasPrinter = TableRow.hasPrinter(GroupVersionKind(group: id.group, version: id.version, kind: kind))
        columns = hasPrinter ? (json["columns"]?.array ?? []).map(TableColumn.init(declaration:)) : TableColumn.plain
        durability = Durability(rawValue: json["durability"]?.string ?? "") ?? .durable
        countsGenerations = json["generation"]?.bool ?? false
        self.strategy = strategy
        self.storage = storage ?? id
        custom = nil
        customListKind = nil
        isStored = verbs.contains("create") && verbs.contains("get")
    }

    /// A version of a custom resource.
    init(_ custom: CustomResource, _ definition: CustomDefinition, _ version: JSON) {
        let json = definition.json
        let names = json.at("status", "acceptedNames", "plural") == nil
            ? json.at("spec", "names") : json.at("status", "acceptedNames")
        id = ResourceID(group: custom.gvk.group, version: custom.gvk.version, resource: definition.plural)
        kind = custom.gvk.kind
        singular = names?["singular"]?.string ?? kind.lowercased()
        customListKind = names?["listKind"]?.string
        isNamespaced = definition.isNamespaced
        verbs = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
        shortNames = names?["shortNames"]?.strings ?? []
        categories = names?["categories"]?.strings ?? []
        schema = Schema(catalog: custom.catalog, index: 0)
        var subresources: [Subresource] = []
        let verbs = ["get", "patch", "update"]
        if version.at("subresources", "status") != nil {
            subresources.append(Subresource(name: "status", verbs: verbs, kind: custom.gvk))
        }
        if custom.scale != nil {
            let scale = GroupVersionKind(group: "autoscaling", version: "v1", kind: "Scale")
            subresources.append(Subresource(name: "scale", verbs: verbs, kind: scale))
        }
        self.subresources = subresources
        columns = CustomResource.tableColumns(version)
        durability = .durable
        countsGenerations = true
        strategy = CustomStrategy(custom: custom)
        storage = ResourceID(
            group: custom.gvk.group, version: custom.storageVersion.version, resource: definition.plural)
        self.custom = custom
        isStored = true
    }

    // MARK: Decode

    /// An object that has the schema's shape and its defaults.
    public struct Decoded: Sendable {
        public var object: JSON
        /// For Warning headers: unknown and duplicate fields, and what the strategy warns of.
        public var warnings: [String]
    }

    /// Checks kind and types, treats unknown fields as asked, prunes, fills in defaults.
    /// - Parameter duplicates: paths of the duplicate fields that the JSON parser found.
    /// - Throws: 400 BadRequest with kube-apiserver's message.
    public func decode(
        _ body: JSON, duplicates: [String] = [], validation: FieldValidation = .strict
    ) throws(APIStatus) -> Decoded {
        if let custom { return try custom.decode(body, duplicates, validation) }
        var decoded = try Self.shape(body, gvk, schema, duplicates, validation)
        schema.applyDefaults(&decoded.object)
        strategy.setDefaults(&decoded.object)
        if validation != .ignore { decoded.warnings += strategy.warnings(decoded.object) }
        return decoded
    }

    /// The same for what a subresource takes (Scale, Binding, Eviction); those of this resource's own kind are decoded
    /// by `decode`.
    public func decode(
        _ body: JSON, subresource: Subresource, duplicates: [String] = [], validation: FieldValidation = .strict
    ) throws(APIStatus) -> Decoded {
        if subresource.kind == gvk {
            return try decode(body, duplicates: duplicates, validation: validation)
        }
        guard let schema = Registry.schema(of: subresource.kind) else {
            throw APIStatus.badRequest("no schema for \(subresource.kind)")
        }
        return try Self.shape(body, subresource.kind, schema, duplicates, validation)
    }

    /// Checks any kind that has a declared definition (DeleteOptions, Binding, ...) against it.
    public static func shape(
        _ body: JSON, _ gvk: GroupVersionKind, _ schema: Schema, _ duplicates: [String], _ validation: FieldValidation
    ) throws(APIStatus) -> Decoded {
        guard body.object != nil else {
            throw APIStatus.badRequest(
                "couldn't get version/kind; json parse error: json: cannot unmarshal "
                    + "\(body.array == nil ? body.typeName : "array") into Go value of type struct "
                    + "{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string "
                    + "\"json:\\\"kind,omitempty\\\"\" }")
        }
        try checkKind(body, gvk)
        var object = body
        let prefix = "\(gvk.kind) in version \"\(gvk.version)\" cannot be handled as a \(gvk.kind): "
        let unknown: [String]
        do throws(TypeMismatch) {
            unknown = try schema.check(&object)
        } catch {
            throw APIStatus.badRequest(prefix + error.description)
        }
        var problems = unknown.map { "unknown field \"\($0)\"" }
        problems += duplicates.map { "duplicate field \"\($0)\"" }
        if validation == .strict, !problems.isEmpty {
            throw APIStatus.badRequest(prefix + "strict decoding error: " + problems.joined(separator: ", "))
        }
        object["apiVersion"] = .string(gvk.apiVersion)
        object["kind"] = .string(gvk.kind)
        return Decoded(object: object, warnings: validation == .warn ? problems : [])
    }

    private static func checkKind(_ body: JSON, _ gvk: GroupVersionKind) throws(APIStatus) {
        let apiVersion = body["apiVersion"]?.string ?? ""
        let kind = body["kind"]?.string ?? ""
        if (apiVersion.isEmpty || apiVersion == gvk.apiVersion) && (kind.isEmpty || kind == gvk.kind) { return }
        let given = kind.isEmpty ? gvk.kind : kind
        if apiVersion.isEmpty || apiVersion == gvk.apiVersion {
            let other = GroupVersionKind(group: gvk.group, version: gvk.version, kind: given)
            let package = gvk.group.isEmpty ? "core" : String(gvk.group.split(separator: ".")[0])
            throw APIStatus.badRequest(
                "\(given) in version \"\(gvk.version)\" cannot be handled as a \(gvk.kind): "
                    + (Registry.schema(of: other) == nil
                        ? "no kind \"\(given)\" is registered for version \"\(gvk.apiVersion)\""
                        : "converting (\(gvk.version).\(given)) to (\(package).\(gvk.kind)): unknown conversion"))
        }
        throw APIStatus.badRequest(
            "the API version in the data (\(apiVersion)) does not match the expected API version (\(gvk.apiVersion))")
    }

    // MARK: Create

    /// Sets what the server decides for a new object: uid, creationTimestamp, generation, and what the strategy says.
    /// A name is made from generateName when there is none (five characters behind it, at most 63 in all).
    public func prepareForCreate(_ object: inout JSON, uid: String, now: Timestamp) {
        var metadata = object["metadata"] ?? .object(JSONObject())
        object["metadata"] = nil
        for key in ["deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink", "generation"] {
            metadata[key] = nil
        }
        metadata["uid"] = .string(uid)
        metadata["creationTimestamp"] = .string(now.rfc3339)
        if metadata["name"]?.string ?? "" == "", let prefix = metadata["generateName"]?.string, !prefix.isEmpty {
            metadata["name"] = .string(Self.generatedName(prefix))
        }
        object["metadata"] = metadata
        if countsGenerations { object.set("metadata", "generation", to: .int(1)) }
        if hasStatus, !strategy.keepsStatusOnCreate { object["status"] = nil }
        strategy.prepareForCreate(&object)
    }

    static func generatedName(_ prefix: String) -> String {
        String(decoding: Array(prefix.utf8.prefix(63 - 5)), as: UTF8.self) + Random.nameSuffix(5)
    }

    /// All errors of a new object.
    public func validateCreate(_ object: JSON) -> [FieldError] {
        MetadataRules.validate(object["metadata"], isNamespaced: isNamespaced, rule: strategy.nameRule, kind: kind)
            + strategy.validate(object)
    }

    // MARK: Update

    /// Keeps what an update may not write: identity and deletion always, the status through the main face, everything
    /// but the status through /status; raises the generation when something else than metadata and status changed.
    public func prepareForUpdate(_ object: inout JSON, old: JSON, target: WriteTarget = .main) {
        var metadata = object["metadata"] ?? .object(JSONObject())
        object["metadata"] = nil
        let kept = old["metadata"] ?? .object(JSONObject())
        for key in ["generation", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"] {
            metadata[key] = kept[key]
        }
        // Left out means "the one I know": Kubernetes fills both in for updates.
        if metadata["creationTimestamp"] == nil { metadata["creationTimestamp"] = kept["creationTimestamp"] }
        if metadata["uid"]?.string ?? "" == "" { metadata["uid"] = kept["uid"] }
        object["metadata"] = metadata
        if hasStatus {
            if target.writesStatus { keepAllButStatus(&object, old) } else { object["status"] = old["status"] }
        }
        strategy.prepareForUpdate(&object, old: old, target: target)
        if countsGenerations, contentChanged(object, old) {
            object.set("metadata", "generation", to: .int((kept["generation"]?.int ?? 0) + 1))
        }
    }

    private func keepAllButStatus(_ object: inout JSON, _ old: JSON) {
        var result = old
        result["status"] = object["status"]
        var metadata = object["metadata"] ?? .object(JSONObject())
        // Of metadata a status write keeps labels and annotations as given (Kubernetes resets only some of the rest).
        var kept = ["ownerReferences"]
        if strategy.statusKeepsMetadata { kept += ["labels", "annotations", "finalizers"] }
        for key in kept { metadata[key] = old.at("metadata", key) }
        result["metadata"] = metadata
        object = result
    }

    private func contentChanged(_ object: JSON, _ old: JSON) -> Bool {
        // A custom resource without the subresource has a status like any other field.
        let ignored: Set<String> =
            custom == nil || hasStatus
            ? ["metadata", "status", "apiVersion", "kind"] : ["metadata", "apiVersion", "kind"]
        let before = (old.object ?? JSONObject()).filter { !ignored.contains($0.key) }
        let after = (object.object ?? JSONObject()).filter { !ignored.contains($0.key) }
        return before.count != after.count
            || zip(before, after).contains { $0.key != $1.key || $0.value != $1.value }
    }

    /// All errors of a change.
    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget = .main) -> [FieldError] {
        MetadataRules.validateUpdate(object["metadata"], old: old["metadata"])
            + strategy.validateUpdate(object, old: old, target: target)
    }

    // MARK: Delete

    /// The grace period of a deletion: nil when the object goes at once.
    public func gracePeriod(_ object: JSON, requested: Int64?) -> Int64? {
        strategy.gracePeriod(object, requested: requested)
    }

    /// Marks an object as being deleted: `grace` seconds are left, from now on.
    public static func markDeleted(_ object: inout JSON, grace: Int64, now: Timestamp) {
        object.set("metadata", "deletionTimestamp", to: .string(now.advanced(by: .seconds(grace)).rfc3339))
        object.set("metadata", "deletionGracePeriodSeconds", to: .int(grace))
        if let generation = object.at("metadata", "generation")?.int, generation > 0 {
            object.set("metadata", "generation", to: .int(generation + 1))
        }
    }

    // MARK: Table

    /// The cells of an object's row, in the order of `columns`.
    public func cells(_ object: JSON, now: Timestamp) -> [JSON] {
        custom?.cells(object, now: now) ?? TableRow.cells(for: gvk, object, now: now)
    }

    // MARK: Selection

    /// The labels a field selector may use.
    public var fieldLabels: [String] {
        (isNamespaced ? ["metadata.name", "metadata.namespace"] : ["metadata.name"]) + strategy.fieldLabels
    }

    public func supportsField(_ label: String) -> Bool { fieldLabels.contains(label) }

    /// The value a field selector compares; "" when the object has none.
    public func fieldValue(_ label: String, of object: JSON) -> String {
        label == "metadata.name" || label == "metadata.namespace"
            ? object.fieldText(label) : strategy.fieldValue(label, of: object)
    }

    /// All values, by label.
    public func fieldValues(of object: JSON) -> [String: String] {
        Dictionary(uniqueKeysWithValues: fieldLabels.map { ($0, fieldValue($0, of: object)) })
    }
}

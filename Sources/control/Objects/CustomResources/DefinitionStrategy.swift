// What is special about CustomResourceDefinitions: defaults of their names, a status that the server starts, rules.
// Making resources of them is the API server's (APIServer/CustomResources).

public struct DefinitionStrategy: ResourceStrategy {
    public var statusKeepsMetadata: Bool { true }
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        guard var spec = object["spec"] else { return }
        object["spec"] = .null
        let kind = spec.at("names", "kind")?.string ?? ""
        if spec["names"] != nil, !kind.isEmpty {
            spec["names"]!.setDefault("singular", .string(kind.lowercased()))
            spec["names"]!.setDefault("listKind", .string(kind + "List"))
        }
        if spec["conversion"] == nil { spec["conversion"] = ["strategy": "None"] }
        object["spec"] = spec
    }

    public func prepareForCreate(_ object: inout JSON) {
        object["status"] = [
            "acceptedNames": ["kind": "", "plural": ""], "conditions": .array([]),
            "storedVersions": .array([.string(CustomDefinition(object).storageVersion)]),
        ]
    }

    public func prepareForUpdate(_ object: inout JSON, old: JSON, target: WriteTarget) {
        guard !target.isStatus else { return }
        // A version that objects may have been stored in stays listed until somebody says they were rewritten.
        let storage = CustomDefinition(object).storageVersion
        var stored = object.at("status", "storedVersions")?.strings ?? []
        guard !storage.isEmpty, !stored.contains(storage) else { return }
        stored.append(storage)
        object.set("status", "storedVersions", to: .array(stored.map(JSON.string)))
    }

    public func validate(_ object: JSON) -> [FieldError] { DefinitionRules.validateCreate(object) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        // A status does not make a schema wrong, and a schema may have a megabyte.
        if target.isStatus { return DefinitionRules.validateStatus(object) }
        if object["spec"] == old["spec"] { return [] }
        return DefinitionRules.validateUpdate(object, old: old)
    }

    public func warnings(_ object: JSON) -> [String] {
        var warnings: [String] = []
        let path = FieldPath("spec.versions")
        for (index, version) in (object.at("spec", "versions")?.array ?? []).enumerated() {
            guard let schema = version.at("schema", "openAPIV3Schema") else { continue }
            let rules = StructuralRules.check(schema, path.index(index).child("schema", "openAPIV3Schema"))
            warnings += rules.unknownFormats.prefix(10)
            if let warning = Self.notEnforced(rules.celRules) { warnings.append(warning) }
        }
        if object.at("spec", "conversion", "strategy")?.string == "Webhook",
            (object.at("spec", "versions")?.array ?? []).count(where: { $0["served"]?.bool == true }) > 1
        {
            warnings.append(
                "spec.conversion.webhook: conversion webhooks are not called by this server yet: "
                    + "only the storage version answers requests")
        }
        return warnings
    }

    /// A header holds a few kilobytes: the first rules by name, the others by number.
    private static func notEnforced(_ rules: [String]) -> String? {
        guard !rules.isEmpty else { return nil }
        let named = rules.prefix(20)
        let rest = rules.count - named.count
        return "CEL rules are not enforced by this server yet: \(named.joined(separator: ", "))"
            + (rest > 0 ? " and \(rest) more" : "")
    }
}

// A CustomResourceDefinition as the server reads it: its names, and the resources it makes.
//
// Only definitions that passed DefinitionRules come here; one that another server stored and whose schema this one
// cannot compile gives resources that refuse requests with the reason, so that nothing of it is lost.

public struct CustomDefinition: Sendable {
    public let json: JSON
    public var name: String { json.at("metadata", "name")?.string ?? "" }
    public var uid: String { json.at("metadata", "uid")?.string ?? "" }
    public var group: String { json.at("spec", "group")?.string ?? "" }
    public var plural: String { json.at("spec", "names", "plural")?.string ?? "" }
    public var isNamespaced: Bool { json.at("spec", "scope")?.string == "Namespaced" }
    public var isTerminating: Bool { json.at("metadata", "deletionTimestamp")?.string != nil }
    public var versions: [JSON] { json.at("spec", "versions")?.array ?? [] }

    /// The finalizer that keeps a definition until its objects are gone.
    public static let cleanup = "customresourcecleanup.apiextensions.k8s.io"

    public init(_ json: JSON) { self.json = json }

    public var storageVersion: String {
        versions.first { $0["storage"]?.bool == true }?["name"]?.string ?? ""
    }

    /// The status of a condition, "True" or "False"; nil when it is not there.
    public func condition(_ type: String) -> String? {
        (json.at("status", "conditions")?.array ?? []).first { $0["type"]?.string == type }?["status"]?.string
    }

    public var isEstablished: Bool { condition("Established") == "True" }

    /// The resources of this definition, the storage version first; those that are not served are left out, but the
    /// storage version is always made (`stored`), because objects are kept in it.
    public func declarations() -> (stored: ResourceDeclaration, served: [ResourceDeclaration])? {
        guard let storageJSON = versions.first(where: { $0["storage"]?.bool == true }) else { return nil }
        var patterns: [String: Pattern] = [:]
        let storage = custom(storageJSON, storage: nil, &patterns)
        let stored = ResourceDeclaration(storage, self, storageJSON)
        var served: [ResourceDeclaration] = []
        for version in CustomDefinition.byPriority(versions) where version["served"]?.bool == true {
            if version["name"]?.string == storageVersion {
                served.append(stored)
            } else {
                served.append(ResourceDeclaration(custom(version, storage: storage, &patterns), self, version))
            }
        }
        return (stored, served)
    }

    private func custom(
        _ version: JSON, storage: CustomResource?, _ patterns: inout [String: Pattern]
    ) -> CustomResource {
        let kind = json.at("status", "acceptedNames", "kind")?.string ?? json.at("spec", "names", "kind")?.string ?? ""
        let gvk = GroupVersionKind(group: group, version: version["name"]?.string ?? "", kind: kind)
        let schema = ValueSchema(version.at("schema", "openAPIV3Schema") ?? [:], &patterns)
        var deprecation: String?
        if version["deprecated"]?.bool == true {
            deprecation = version["deprecationWarning"]?.string ?? warning(gvk)
        }
        var refusal: String?
        if storage != nil, json.at("spec", "conversion", "strategy")?.string == "Webhook" {
            refusal =
                "conversion webhook for \(gvk.apiVersion), Kind=\(kind) is not called by this server yet: "
                + "use the storage version \(storageVersion)"
        }
        return CustomResource(
            gvk: gvk, version: version, schema: schema, storage: storage, deprecation: deprecation, refusal: refusal,
            isTerminating: isTerminating)
    }

    /// What is said of a deprecated version that does not say it itself.
    private func warning(_ gvk: GroupVersionKind) -> String {
        let better = CustomDefinition.byPriority(versions).first { version in
            version["served"]?.bool == true && version["deprecated"]?.bool != true
                && CustomDefinition.rank(version["name"]?.string ?? "", before: gvk.version)
        }
        let advice = better.map { "; use \(group)/\($0["name"]?.string ?? "") \(gvk.kind)" } ?? ""
        return "\(gvk.apiVersion) \(gvk.kind) is deprecated\(advice)"
    }

    /// Versions as Kubernetes ranks them (v2, v1, v1beta2, v1beta1, v1alpha1, then others by name).
    static func byPriority(_ versions: [JSON]) -> [JSON] {
        versions.sorted { rank($0["name"]?.string ?? "", before: $1["name"]?.string ?? "") }
    }

    /// Whether a version's name comes before another's.
    public static func rank(_ left: String, before right: String) -> Bool {
        switch (VersionRank(left), VersionRank(right)) {
        case (let a?, let b?): a.key > b.key
        case (_?, nil): true
        case (nil, _?): false
        case (nil, nil): left < right
        }
    }
}

/// `v2beta1` as numbers that compare: stability, major, minor.
private struct VersionRank {
    let key: (Int, Int, Int)

    init?(_ name: String) {
        guard name.hasPrefix("v") else { return nil }
        let digits = name.dropFirst().prefix { $0.isASCII && $0.isNumber }
        guard let major = Int(digits) else { return nil }
        let rest = name.dropFirst(1 + digits.count)
        if rest.isEmpty {
            key = (2, major, 0)
        } else if rest.hasPrefix("beta"), let minor = Int(rest.dropFirst(4)) {
            key = (1, major, minor)
        } else if rest.hasPrefix("alpha"), let minor = Int(rest.dropFirst(5)) {
            key = (0, major, minor)
        } else {
            return nil
        }
    }
}

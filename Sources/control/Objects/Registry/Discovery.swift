// Discovery documents: what the server offers, for clients to find resources by name and short name.
//
//   /api, /apis                   APIVersions, APIGroupList; or, for clients that accept it, the aggregated form
//   /apis/GROUP                   APIGroup
//   /api/v1, /apis/GROUP/VERSION  APIResourceList
//
// Pure functions of a registry; the API server encodes their result once for each registry and adds ETags.

public enum Discovery {
    /// `/api`. The server address is host:port as clients reach it.
    public static func coreVersions(_ registry: Registry, serverAddress: String) -> JSON {
        let versions = registry.groups.first { $0.name.isEmpty }?.versions ?? []
        return [
            "kind": "APIVersions", "versions": .array(versions.map(JSON.string)),
            "serverAddressByClientCIDRs": [["clientCIDR": "0.0.0.0/0", "serverAddress": .string(serverAddress)]],
        ]
    }

    /// `/apis`
    public static func groups(_ registry: Registry) -> JSON {
        let groups = registry.groups.filter { !$0.name.isEmpty }.map { groupBody($0.name, $0.versions) }
        return ["kind": "APIGroupList", "apiVersion": "v1", "groups": .array(groups)]
    }

    /// `/apis/GROUP`; nil when there is no such group.
    public static func group(_ registry: Registry, _ name: String) -> JSON? {
        guard !name.isEmpty, let group = registry.groups.first(where: { $0.name == name }) else { return nil }
        var body = groupBody(group.name, group.versions)
        body["kind"] = "APIGroup"
        body["apiVersion"] = "v1"
        return body
    }

    private static func groupBody(_ name: String, _ versions: [String]) -> JSON {
        func entry(_ version: String) -> JSON {
            ["groupVersion": .string("\(name)/\(version)"), "version": .string(version)]
        }
        return [
            "name": .string(name), "versions": .array(versions.map(entry)), "preferredVersion": entry(versions[0]),
        ]
    }

    /// `/api/v1` (group "") and `/apis/GROUP/VERSION`; nil when there is no such version.
    public static func resources(_ registry: Registry, group: String, version: String) -> JSON? {
        let declarations = registry.declarations.filter { $0.id.group == group && $0.id.version == version }
        guard let first = declarations.first else { return nil }
        var entries: [JSON] = []
        for declaration in declarations.sorted(by: { $0.id < $1.id }) {
            var entry: JSON = [
                "name": .string(declaration.id.resource), "singularName": .string(declaration.singular),
                "namespaced": .bool(declaration.isNamespaced), "kind": .string(declaration.kind),
                "verbs": strings(declaration.verbs),
            ]
            if !declaration.shortNames.isEmpty { entry["shortNames"] = strings(declaration.shortNames) }
            if !declaration.categories.isEmpty { entry["categories"] = strings(declaration.categories) }
            if declaration.verbs.contains("get") {
                entry["storageVersionHash"] = .string(storageVersionHash(declaration))
            }
            entries.append(entry)
            for sub in declaration.subresources.sorted(by: { $0.name < $1.name }) {
                var entry: JSON = [
                    "name": .string("\(declaration.id.resource)/\(sub.name)"), "singularName": "",
                    "namespaced": .bool(declaration.isNamespaced), "kind": .string(sub.kind.kind),
                    "verbs": strings(sub.verbs),
                ]
                if sub.kind.group != group || sub.kind.version != version {
                    entry["group"] = .string(sub.kind.group)
                    entry["version"] = .string(sub.kind.version)
                }
                entries.append(entry)
            }
        }
        return [
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": .string(first.id.apiVersion),
            "resources": .array(entries),
        ]
    }

    /// Everything at once (apidiscovery.k8s.io/v2 APIGroupDiscoveryList): of the core group for `/api`, of all others
    /// for `/apis`.
    public static func aggregated(_ registry: Registry, core: Bool) -> JSON {
        let items = registry.groups.filter { $0.name.isEmpty == core }.map { group -> JSON in
            let versions = group.versions.map { version -> JSON in
                let declarations = registry.declarations.filter {
                    $0.id.group == group.name && $0.id.version == version
                }
                return [
                    "version": .string(version), "freshness": "Current",
                    "resources": .array(declarations.sorted { $0.id < $1.id }.map(aggregatedResource)),
                ]
            }
            let metadata: JSON = group.name.isEmpty ? [:] : ["name": .string(group.name)]
            return ["metadata": metadata, "versions": .array(versions)]
        }
        return [
            "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": [:],
            "items": .array(items),
        ]
    }

    private static func aggregatedResource(_ declaration: ResourceDeclaration) -> JSON {
        var entry: JSON = [
            "resource": .string(declaration.id.resource), "responseKind": kind(declaration.gvk),
            "scope": declaration.isNamespaced ? "Namespaced" : "Cluster",
            "singularResource": .string(declaration.singular), "verbs": strings(declaration.verbs),
        ]
        if !declaration.shortNames.isEmpty { entry["shortNames"] = strings(declaration.shortNames) }
        if !declaration.categories.isEmpty { entry["categories"] = strings(declaration.categories) }
        if !declaration.subresources.isEmpty {
            entry["subresources"] = .array(
                declaration.subresources.sorted { $0.name < $1.name }.map {
                    ["subresource": .string($0.name), "responseKind": kind($0.kind), "verbs": strings($0.verbs)]
                })
        }
        return entry
    }

    private static func kind(_ gvk: GroupVersionKind) -> JSON {
        ["group": .string(gvk.group), "version": .string(gvk.version), "kind": .string(gvk.kind)]
    }

    private static func strings(_ texts: [String]) -> JSON { .array(texts.map(JSON.string)) }

    /// Opaque to clients; the same for resources that store the same objects.
    private static func storageVersionHash(_ declaration: ResourceDeclaration) -> String {
        var hash = Fingerprint()
        hash.add(Array("\(declaration.storage.group)/\(declaration.storage.version)/\(declaration.kind)".utf8))
        return hash.base64
    }
}

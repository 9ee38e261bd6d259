// A container's environment: Services' links, envFrom, env in order (later ones win and may refer to earlier ones).
//
// Fails with the kubelet's words when a ConfigMap, a Secret or a key of theirs is missing and not optional: the
// container then waits with CreateContainerConfigError and is tried again.

import Objects

/// Reads ConfigMaps and Secrets of one pod.
struct Lookups: Sendable {
    var object: @Sendable (_ resource: ResourceID, _ name: String) async throws -> JSON?
    var services: [JSON] = []
    var token: @Sendable (TokenQuestion) async throws -> [UInt8] = { _ in
        throw KubeletError.unsupported("service account tokens need an API server")
    }
}

struct EnvironmentBuilder {
    let view: PodView
    let container: JSON
    let lookups: Lookups

    private(set) var order: [String] = []
    private(set) var values: [String: String] = [:]

    init(view: PodView, container: JSON, lookups: Lookups) {
        self.view = view
        self.container = container
        self.lookups = lookups
    }

    var pairs: [(String, String)] { order.map { ($0, values[$0] ?? "") } }

    private mutating func put(_ name: String, _ value: String) {
        if values.updateValue(value, forKey: name) == nil { order.append(name) }
    }

    /// `image` are the KEY=VALUE defaults of the image; they are not visible to $(VAR).
    mutating func build(image: [String]) async throws -> [(String, String)] {
        let namespace = view.pod.child("metadata").text("namespace") ?? ""
        let links = view.pod.child("spec")["enableServiceLinks"]?.bool ?? true
        for (name, value) in ServiceLinks.variables(lookups.services, namespace: namespace, all: links) {
            put(name, value)
        }
        for source in container.list("envFrom") { try await add(from: source) }
        for item in container.list("env") { try await add(item) }
        var defaults: [(String, String)] = []
        for text in image {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = parts.first.map(String.init), values[name] == nil else { continue }
            defaults.append((name, parts.count > 1 ? String(parts[1]) : ""))
        }
        return defaults + pairs
    }

    private mutating func add(from source: JSON) async throws {
        let prefix = source.text("prefix") ?? ""
        for (field, resource) in [("configMapRef", ResourceID.configMaps), ("secretRef", .secrets)] {
            guard let reference = source[field] else { continue }
            let name = reference.text("name") ?? ""
            guard let object = try await lookups.object(resource, name) else {
                if reference.flag("optional") { continue }
                throw Self.missing(resource, name)
            }
            for (key, value) in ObjectData.entries(object) where EnvironmentBuilder.isName(prefix + key) {
                put(prefix + key, String(decoding: value, as: UTF8.self))
            }
        }
    }

    private mutating func add(_ item: JSON) async throws {
        let name = item.text("name") ?? ""
        guard let source = item["valueFrom"], !source.isNull else {
            put(name, Expansion.expand(item.text("value") ?? "", values))
            return
        }
        if let field = source["fieldRef"] {
            put(name, try view.field(field.text("fieldPath") ?? ""))
        } else if let resource = source["resourceFieldRef"] {
            let wanted = resource.text("containerName") ?? container.text("name") ?? ""
            let spec = view.pod.child("spec")
            let target = (spec.list("containers") + spec.list("initContainers")).first { $0.text("name") == wanted }
            put(name, try view.resource(resource, in: target ?? container))
        } else if let reference = source["configMapKeyRef"] {
            if let value = try await key(reference, .configMaps, "ConfigMap") { put(name, value) }
        } else if let reference = source["secretKeyRef"] {
            if let value = try await key(reference, .secrets, "Secret") { put(name, value) }
        } else {
            throw KubeletError.container(
                reason: "CreateContainerConfigError", "env \(name): this kind of valueFrom is not supported yet")
        }
    }

    private func key(_ reference: JSON, _ resource: ResourceID, _ kind: String) async throws -> String? {
        let name = reference.text("name") ?? ""
        let key = reference.text("key") ?? ""
        let optional = reference.flag("optional")
        guard let object = try await lookups.object(resource, name) else {
            if optional { return nil }
            throw Self.missing(resource, name)
        }
        if let value = ObjectData.value(object, key) { return String(decoding: value, as: UTF8.self) }
        if optional { return nil }
        let namespace = view.pod.child("metadata").text("namespace") ?? ""
        throw KubeletError.container(
            reason: "CreateContainerConfigError", "couldn't find key \(key) in \(kind) \(namespace)/\(name)")
    }

    static func missing(_ resource: ResourceID, _ name: String) -> KubeletError {
        let kind = resource == .secrets ? "secret" : "configmap"
        return .container(reason: "CreateContainerConfigError", "\(kind) \"\(name)\" not found")
    }

    /// Printable ASCII without "=" (Kubernetes' relaxed rule for names of variables).
    static func isName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "=") }
    }
}

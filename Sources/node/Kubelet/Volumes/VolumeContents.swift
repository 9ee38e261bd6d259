// The files of configMap, secret, downwardAPI and projected volumes, computed from objects: no disk here.
//
// Missing objects and keys fail unless they are optional, in the kubelet's words; the pod waits and is tried again.

import Objects
import System

struct VolumeFile: Sendable, Hashable {
    var bytes: [UInt8]
    /// Permission bits.
    var mode: UInt32
    /// Who owns it; root when nil.
    var owner: UInt32?
}

struct VolumeContents {
    static let kinds = ["configMap", "secret", "downwardAPI", "projected"]

    let view: PodView
    let lookups: Lookups

    /// Relative path -> file. `volume` is one entry of spec.volumes.
    func files(_ volume: JSON) async throws -> [String: VolumeFile] {
        for kind in Self.kinds {
            guard let source = volume[kind] else { continue }
            let mode = UInt32(clamping: source.integer("defaultMode") ?? 0o644)
            guard kind == "projected" else {
                return try await files(
                    kind, source, name: source.text(kind == "secret" ? "secretName" : "name") ?? "", mode)
            }
            var all: [String: VolumeFile] = [:]
            for item in source.list("sources") {
                for (path, file) in try await projected(item, mode) { all[path] = file }
            }
            return all
        }
        return [:]
    }

    private func projected(_ item: JSON, _ mode: UInt32) async throws -> [String: VolumeFile] {
        for kind in ["configMap", "secret", "downwardAPI"] {
            guard let source = item[kind] else { continue }
            return try await files(kind, source, name: source.text("name") ?? "", mode)
        }
        if let source = item["serviceAccountToken"] { return try await token(source, mode) }
        let kind = item.object?.keys.first ?? "source"
        if item.child(kind).flag("optional") { return [:] }
        throw KubeletError.unsupported("projected \(kind) sources are not supported yet")
    }

    /// Read by nobody but the group (fsGroup) or the one user that all containers run as, where there is such; else the
    /// volume's mode counts.
    private func token(_ source: JSON, _ mode: UInt32) async throws -> [String: VolumeFile] {
        let spec = view.pod.child("spec")
        let question = TokenQuestion(
            account: spec.text("serviceAccountName") ?? "default", audience: source.text("audience") ?? "",
            seconds: source.integer("expirationSeconds") ?? 3600)
        let owner = Self.user(spec)
        let isGroups = spec.child("securityContext")["fsGroup"] != nil
        let bytes = try await lookups.token(question)
        let file = VolumeFile(bytes: bytes, mode: isGroups || owner != nil ? 0o600 : mode, owner: owner)
        return [try checked(source.text("path") ?? ""): file]
    }

    /// The runAsUser of all containers, when each has one and it is the same.
    private static func user(_ spec: JSON) -> UInt32? {
        let common = spec.child("securityContext").integer("runAsUser")
        let users = Set(
            (spec.list("initContainers") + spec.list("containers")).map {
                $0.child("securityContext").integer("runAsUser") ?? common
            })
        guard users.count == 1, let user = users.first ?? nil else { return nil }
        return UInt32(exactly: user)
    }

    private func files(
        _ kind: String, _ source: JSON, name: String, _ mode: UInt32
    ) async throws -> [String: VolumeFile] {
        if kind == "downwardAPI" { return try downward(source, mode) }
        let resource: ResourceID = kind == "secret" ? .secrets : .configMaps
        let optional = source.flag("optional")
        guard let object = try await lookups.object(resource, name) else {
            if optional { return [:] }
            throw KubeletError.notFound("\(kind == "secret" ? "secret" : "configmap") \"\(name)\" not found")
        }
        let items = source.list("items")
        var out: [String: VolumeFile] = [:]
        guard !items.isEmpty else {
            for (key, value) in ObjectData.entries(object) { out[key] = VolumeFile(bytes: value, mode: mode) }
            return out
        }
        for item in items {
            let key = item.text("key") ?? ""
            guard let value = ObjectData.value(object, key) else {
                if optional { continue }
                throw KubeletError.notFound(
                    "references non-existent \(kind == "secret" ? "secret" : "config") key: \(key)")
            }
            out[try checked(item.text("path") ?? key)] = VolumeFile(
                bytes: value, mode: item.integer("mode").map { UInt32(clamping: $0) } ?? mode)
        }
        return out
    }

    private func downward(_ source: JSON, _ mode: UInt32) throws -> [String: VolumeFile] {
        let spec = view.pod.child("spec")
        var out: [String: VolumeFile] = [:]
        for item in source.list("items") {
            var text = ""
            if let field = item["fieldRef"] {
                text = try view.field(field.text("fieldPath") ?? "")
            } else if let resource = item["resourceFieldRef"] {
                let name = resource.text("containerName") ?? ""
                guard let container = spec.list("containers").first(where: { $0.text("name") == name }) else {
                    throw KubeletError.notFound("container \(name) not found")
                }
                text = try view.resource(resource, in: container)
            }
            out[try checked(item.text("path") ?? "")] = VolumeFile(
                bytes: Array(text.utf8), mode: item.integer("mode").map { UInt32(clamping: $0) } ?? mode)
        }
        return out
    }

    /// The API refuses such paths; a volume must not be the place where that is found to be untrue.
    private func checked(_ path: String) throws -> String {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard !path.isEmpty, !path.hasPrefix("/"), !parts.contains(".."), !path.hasPrefix("..") else {
            throw KubeletError.badRequest("invalid path \"\(path)\" in a volume")
        }
        return parts.filter { !$0.isEmpty && $0 != "." }.joined(separator: "/")
    }
}

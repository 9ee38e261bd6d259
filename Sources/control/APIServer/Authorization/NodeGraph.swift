// Which node may see which object: those that a pod bound to it refers to.
//
//   node <── pod ──> secrets, configmaps, claims, service account, resource claims
//
// Counted per node, so that a check is one look-up. Followed from the first request of a node on: a cluster whose only
// node is in this process never asks, and pays nothing for it.

internal import Objects
internal import Synchronization

final class NodeGraph: Sendable {
    struct Reference: Hashable, Sendable {
        enum Kind: UInt8, Sendable { case pod, secret, configMap, claim, serviceAccount, resourceClaim }

        let kind: Kind
        let namespace: String
        let name: String
    }

    private struct Pod {
        let node: String
        let references: [Reference]
    }

    private struct State {
        var pods: [String: Pod] = [:]
        var counts: [String: [Reference: Int]] = [:]
    }

    private let state = Mutex(State())
    /// Held while the graph is filled: a second asker waits for it.
    private let isFollowing = Mutex(false)

    /// Whether a pod on the node refers to the object; for a pod, whether it is on the node.
    func connects(_ node: String, _ reference: Reference, _ core: APICore) -> Bool {
        follow(core)
        return state.withLock { ($0.counts[node]?[reference] ?? 0) > 0 }
    }

    private func follow(_ core: APICore) {
        isFollowing.withLock { isFollowing in
            guard !isFollowing, let declaration = try? core.declaration(.pods), let cache = try? core.cache(declaration)
            else { return }
            CacheFollower(cache) { [self] key, object, tree in set(key, object == nil ? nil : tree()) }
            isFollowing = true
        }
    }

    private func set(_ key: String, _ pod: JSON?) {
        let node = pod?.at("spec", "nodeName")?.string ?? ""
        let new = pod.flatMap { node.isEmpty ? nil : Pod(node: node, references: PodReferences.all($0)) }
        state.withLock { state in
            let old = state.pods[key]
            state.pods[key] = new
            // The new ones first, so that what stays is never missing.
            for reference in new?.references ?? [] { state.counts[node, default: [:]][reference, default: 0] += 1 }
            guard let old else { return }
            for reference in old.references {
                let count = (state.counts[old.node]?[reference] ?? 1) - 1
                state.counts[old.node]?[reference] = count > 0 ? count : nil
            }
            if state.counts[old.node]?.isEmpty == true { state.counts[old.node] = nil }
        }
    }
}

/// What a pod refers to by name.
enum PodReferences {
    private static let mirror = "kubernetes.io/config.mirror"

    static func all(_ pod: JSON) -> [NodeGraph.Reference] {
        let namespace = pod.at("metadata", "namespace")?.string ?? ""
        let name = pod.at("metadata", "name")?.string ?? ""
        var found: Set<NodeGraph.Reference> = [.init(kind: .pod, namespace: namespace, name: name)]
        // A mirror pod is the node's own word: it gives access to nothing.
        if pod.at("metadata", "annotations", mirror) != nil { return Array(found) }
        func add(_ kind: NodeGraph.Reference.Kind, _ name: JSON?) {
            guard let name = name?.string, !name.isEmpty else { return }
            found.insert(.init(kind: kind, namespace: namespace, name: name))
        }
        let spec = pod["spec"]
        add(.serviceAccount, spec?["serviceAccountName"])
        for secret in spec?["imagePullSecrets"]?.array ?? [] { add(.secret, secret["name"]) }
        for list in ["containers", "initContainers", "ephemeralContainers"] {
            for container in spec?[list]?.array ?? [] { environment(container, add) }
        }
        for volume in spec?["volumes"]?.array ?? [] { self.volume(volume, pod: name, add) }
        for claim in spec?["resourceClaims"]?.array ?? [] { add(.resourceClaim, claim["resourceClaimName"]) }
        for claim in pod.at("status", "resourceClaimStatuses")?.array ?? [] {
            add(.resourceClaim, claim["resourceClaimName"])
        }
        return Array(found)
    }

    private typealias Add = (NodeGraph.Reference.Kind, JSON?) -> Void

    private static func environment(_ container: JSON, _ add: Add) {
        for variable in container["env"]?.array ?? [] {
            add(.secret, variable.at("valueFrom", "secretKeyRef", "name"))
            add(.configMap, variable.at("valueFrom", "configMapKeyRef", "name"))
        }
        for source in container["envFrom"]?.array ?? [] {
            add(.secret, source.at("secretRef", "name"))
            add(.configMap, source.at("configMapRef", "name"))
        }
    }

    private static func volume(_ volume: JSON, pod: String, _ add: Add) {
        add(.secret, volume.at("secret", "secretName"))
        add(.configMap, volume.at("configMap", "name"))
        add(.claim, volume.at("persistentVolumeClaim", "claimName"))
        if volume["ephemeral"] != nil { add(.claim, .string("\(pod)-\(volume["name"]?.string ?? "")")) }
        for source in volume.at("projected", "sources")?.array ?? [] {
            add(.secret, source.at("secret", "name"))
            add(.configMap, source.at("configMap", "name"))
        }
        add(.secret, volume.at("csi", "nodePublishSecretRef", "name"))
        add(.secret, volume.at("azureFile", "secretName"))
        for kind in ["cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"] {
            add(.secret, volume.at(kind, "secretRef", "name"))
        }
    }
}

// How many pods the controllers of some pods want, all together: what percentages and maxUnavailable of a budget refer
// to. Controllers are Deployments, ReplicaSets, ReplicationControllers, StatefulSets and custom resources with a scale.

import Client
import Objects

struct WorkloadScales: Sendable {
    private let client: any APIClient
    private let directory: (any ResourceDirectory)?
    private let resourceOfKind: [String: ResourceID]
    private let scaled: [String: (kind: String, informer: Informer)]

    /// `apps/Deployment`: any version of the group will do.
    private static func name(_ group: String, _ kind: String) -> String { "\(group)/\(kind)" }

    init(_ context: ControllerContext) {
        client = context.client
        directory = context.directory
        resourceOfKind = context.resourceOfKind
        let kinds: [(ResourceID, String)] = [
            (.deployments, "Deployment"), (.replicaSets, "ReplicaSet"), (.statefulSets, "StatefulSet"),
            (.replicationControllers, "ReplicationController"),
        ]
        scaled = Dictionary(
            uniqueKeysWithValues: kinds.map { resource, kind in
                (Self.name(resource.group, kind), (kind, context.informers.informer(resource)))
            })
    }

    var informers: [Informer] { scaled.values.map(\.informer) }

    /// The replicas of all controllers of `pods`, each once, at most what the budget's status can say (an int32), and
    /// the names of pods that have none.
    func total(_ pods: [JSON]) async throws(APIStatus) -> (replicas: Int64, unmanaged: [String]) {
        var seen: Set<String> = []
        var replicas: Int64 = 0
        var unmanaged: [String] = []
        for pod in pods {
            guard let owner = Ownership.controller(of: pod) else {
                unmanaged.append(pod.at("metadata", "name")?.string ?? "")
                continue
            }
            // Pods of one owner are asked about once.
            guard seen.insert(owner["uid"]?.string ?? "").inserted else { continue }
            let key = ObjectKey(pod)
            guard let (uid, count) = try await scale(of: owner, in: key.namespace) else {
                throw .internalError("found no controllers for pod \(Quote.go(key.name))")
            }
            // Replica sets of one deployment count as that deployment.
            if uid == owner["uid"]?.string || seen.insert(uid).inserted {
                replicas = Self.sum(replicas, count)
            }
        }
        return (replicas, unmanaged)
    }

    /// A custom resource's count is whatever its schema lets through.
    static func sum(_ replicas: Int64, _ count: Int64) -> Int64 {
        min(replicas + Int64(Int32(clamping: max(0, count))), Int64(Int32.max))
    }

    /// Who decides on the number of pods, and the number; nil when the owner is not there.
    private func scale(of owner: JSON, in namespace: String) async throws(APIStatus) -> (uid: String, count: Int64)? {
        let uid = owner["uid"]?.string ?? ""
        let kind = owner["kind"]?.string ?? ""
        let apiVersion = owner["apiVersion"]?.string ?? ""
        let key = ObjectKey(namespace: namespace, name: owner["name"]?.string ?? "")
        let group = apiVersion.contains("/") ? String(apiVersion.prefix { $0 != "/" }) : ""
        guard let known = scaled[Self.name(group, kind)] else {
            return try await customScale(apiVersion, kind, key, uid)
        }
        guard let object = known.informer.object(key), object.at("metadata", "uid")?.string == uid else { return nil }
        if known.kind == "ReplicaSet", let above = Ownership.controller(of: object),
            above["kind"]?.string == "Deployment"
        {
            return try await scale(of: above, in: namespace)
        }
        return (uid, object.at("spec", "replicas")?.int ?? 1)
    }

    private func customScale(
        _ apiVersion: String, _ kind: String, _ key: ObjectKey, _ uid: String
    ) async throws(APIStatus) -> (uid: String, count: Int64)? {
        guard let entry = directory?.customResources.first(where: { $0.matches(apiVersion: apiVersion, kind: kind) })
        else {
            let name = resourceOfKind["\(apiVersion)/\(kind)"]?.groupResource ?? "\(apiVersion) \(kind)"
            throw .internalError("\(name) does not implement the scale subresource")
        }
        guard let path = entry.replicasPath else {
            throw .internalError("\(entry.resource.groupResource) does not implement the scale subresource")
        }
        do throws(APIStatus) {
            let object = try await client.get(entry.resource, key)
            guard object.at("metadata", "uid")?.string == uid else { return nil }
            return (uid, object.at(path)?.int ?? 0)
        } catch {
            guard error.isNotFound else { throw error }
            return nil
        }
    }
}

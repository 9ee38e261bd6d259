// Takes the finalizer kubernetes.io/pvc-protection off a claim that is to go and that no pod uses, and puts it on one
// that lacks it. A pod uses a claim from its binding to a node until its object is gone.

import Client
import Logging
import Objects
import Reconcile

struct ClaimProtectionController: Controller {
    static let name = "pvc-protection-controller"
    static let finalizer = "kubernetes.io/pvc-protection"

    private let client: any APIClient
    private let claims: Informer
    private let users: Index
    private let pods: Informer
    private let queue: WorkQueue<ObjectKey>

    init(_ context: ControllerContext) {
        client = context.client
        claims = context.informers.informer(.persistentVolumeClaims)
        pods = context.informers.informer(.pods)
        users = Index(pods, Self.claims)
        queue = WorkQueue(Self.name, logger: context.logger)
    }

    func run() async {
        await queue.run(
            watching: [
                KeySource(claims) { key, _, new in
                    new.map { Finalizers.needsWork($0, Self.finalizer) } == true ? [key] : []
                },
                KeySource(pods) { key, old, new in
                    // Only the end of a use can set a claim free.
                    let now = Set(new.map(Self.claims) ?? [])
                    return (old.map(Self.claims) ?? []).filter { !now.contains($0) }.map {
                        ObjectKey(namespace: key.namespace, name: String($0.dropFirst(key.namespace.count + 1)))
                    }
                },
            ], reconcile)
    }

    /// "namespace/name" of the claims that a pod uses.
    static func claims(_ pod: JSON) -> [String] {
        guard pod["spec"]?["nodeName"]?.string?.isEmpty == false else { return [] }
        let namespace = pod["metadata"]?["namespace"]?.string ?? ""
        let name = pod["metadata"]?["name"]?.string ?? ""
        let phase = pod["status"]?["phase"]?.string
        let hasEnded = phase == "Succeeded" || phase == "Failed"
        return (pod["spec"]?["volumes"]?.array ?? []).compactMap { volume in
            if let claim = volume.at("persistentVolumeClaim", "claimName")?.string { return "\(namespace)/\(claim)" }
            guard volume["ephemeral"] != nil, !hasEnded else { return nil }
            return "\(namespace)/\(name)-\(volume["name"]?.string ?? "")"
        }
    }

    private func reconcile(_ key: ObjectKey) async throws -> Outcome {
        guard let claim = claims.object(key) else { return .done }
        let isLeaving = claim["metadata"]?["deletionTimestamp"] != nil
        if isLeaving, !users.objects("\(key.namespace)/\(key.name)").isEmpty { return .done }
        return try await Finalizers.set(
            Self.finalizer, present: !isLeaving, on: claim, .persistentVolumeClaims, client)
    }
}

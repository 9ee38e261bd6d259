// A kubelet (user system:node:NAME of group system:nodes) may write what belongs to its node and nothing else: its
// Node, Lease and CSINode, the status of pods bound to it, mirror pods, tokens for its pods. So a stolen node is not a
// stolen cluster.
//
// Reading is the Node authorizer's business. noded's own kubelet in the same process is not such a user.

internal import Objects

struct NodeRestriction: AdmissionStep {
    private static let restricted: Set<ResourceID> = [
        .pods, .nodes, .persistentVolumeClaims, .serviceAccounts, .leases, .csiNodes, .resourceSlices,
    ]

    func concerns(_ site: AdmissionSite) -> Bool { NodeRestriction.restricted.contains(site.resource) }

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        let user = request.options.user
        guard user.groups.contains("system:nodes"), user.name.hasPrefix("system:node:") else { return }
        let node = String(user.name.dropFirst("system:node:".count))
        if node.isEmpty {
            throw request.forbidden("could not determine node from user \(Quote.go(user.name))")
        }
        switch request.declaration.id {
        case .pods: try pod(node, request, core)
        case .nodes: try self.node(node, request)
        case .persistentVolumeClaims: try claim(node, request)
        case .serviceAccounts: try token(node, request, core)
        case .leases: try lease(node, request)
        case .csiNodes: try csiNode(node, request)
        case .resourceSlices: try slice(node, request)
        default: break
        }
    }

    // MARK: - Pods

    private func pod(_ node: String, _ request: AdmissionRequest, _ core: APICore) throws(APIStatus) {
        let quoted = Quote.go(node)
        switch (request.target, request.operation) {
        case (.main, .create): try mirrorPod(node, request, core)
        case (.main, .delete):
            guard request.object.at("spec", "nodeName")?.string == node else {
                throw request.forbidden("node \(quoted) can only delete pods with spec.nodeName set to itself")
            }
        case (.main, .update):
            throw request.forbidden(
                "unexpected operation \"UPDATE\", node \(quoted) can only create and delete mirror pods")
        case (.subresource("status"), .update):
            guard request.old?.at("spec", "nodeName")?.string == node else {
                throw request.forbidden(
                    "node \(quoted) can only update pod status for pods with spec.nodeName set to itself")
            }
            guard same(request, "metadata", "labels") else {
                throw request.forbidden("node \(quoted) cannot update labels through pod status")
            }
            guard same(request, "status", "resourceClaimStatuses") else {
                throw request.forbidden("node \(quoted) cannot update resource claim statues")
            }
        case (.subresource("eviction"), .create):
            let pod = core.peek(.pods, namespace: request.namespace, name: request.name)?.tree()
            guard let pod else { throw .notFound(.pods, request.name) }
            guard pod.at("spec", "nodeName")?.string == node else {
                throw request.forbidden("node \(node) can only evict pods with spec.nodeName set to itself")
            }
        case (.subresource(let name), _):
            throw request.forbidden(
                "unexpected pod subresource \(Quote.go(name)), only 'status' and 'eviction' are allowed")
        }
    }

    private func mirrorPod(_ node: String, _ request: AdmissionRequest, _ core: APICore) throws(APIStatus) {
        let quoted = Quote.go(node)
        let metadata = request.object["metadata"]
        let mirror = ServiceAccountAdmission.mirrorAnnotation
        guard metadata?.at("annotations", mirror) != nil else {
            throw request.forbidden(
                "pod does not have \(Quote.go(mirror)) annotation, node \(quoted) can only create mirror pods")
        }
        let spec = request.object["spec"]
        guard spec?["nodeName"]?.string == node else {
            throw request.forbidden("node \(quoted) can only create pods with spec.nodeName set to itself")
        }
        let owners = metadata?["ownerReferences"]?.array ?? []
        if owners.count > 1 {
            throw request.forbidden(
                "node \(quoted) can only create pods with a single owner reference set to itself")
        }
        guard let owner = owners.first, owner["apiVersion"] == "v1", owner["kind"] == "Node",
            owner["name"]?.string == node
        else {
            throw request.forbidden("node \(quoted) can only create pods with an owner reference set to itself")
        }
        guard owner["controller"]?.bool == true else {
            throw request.forbidden(
                "node \(quoted) can only create pods with a controller owner reference set to itself")
        }
        if owner["blockOwnerDeletion"]?.bool == true {
            throw request.forbidden("node \(quoted) must not set blockOwnerDeletion on an owner reference")
        }
        guard let present = core.peek(.nodes, name: node)?.tree() else { throw .notFound(.nodes, node) }
        let uid = present.at("metadata", "uid")?.string ?? ""
        guard owner["uid"]?.string == uid else {
            throw request.forbidden("node \(node) UID mismatch: expected \(owner["uid"]?.string ?? "") got \(uid)")
        }
        if let what = NodeRestriction.reference(in: spec) {
            throw request.forbidden("node \(quoted) can not create pods that reference \(what)")
        }
    }

    /// The first kind of API object that a pod leans on; nil when it leans on none.
    private static func reference(in spec: JSON?) -> String? {
        if !(spec?["serviceAccountName"]?.string ?? "").isEmpty { return "a service account" }
        let volumes = spec?["volumes"]?.array ?? []
        let sources = volumes.flatMap { $0.at("projected", "sources")?.array ?? [] }
        let containers = ["containers", "initContainers", "ephemeralContainers"].flatMap { spec?[$0]?.array ?? [] }
        let environment = containers.flatMap { $0["env"]?.array ?? [] }.compactMap { $0["valueFrom"] }
        let bulk = containers.flatMap { $0["envFrom"]?.array ?? [] }
        func uses(_ volume: String, _ key: String, _ reference: String) -> Bool {
            volumes.contains { $0[volume] != nil } || sources.contains { $0[volume] != nil }
                || environment.contains { $0[key] != nil } || bulk.contains { $0[reference] != nil }
        }
        if uses("secret", "secretKeyRef", "secretRef") || !(spec?["imagePullSecrets"]?.array ?? []).isEmpty {
            return "secrets"
        }
        if uses("configMap", "configMapKeyRef", "configMapRef") { return "configmaps" }
        if sources.contains(where: { $0["clusterTrustBundle"] != nil }) { return "clustertrustbundles" }
        if volumes.contains(where: { $0["persistentVolumeClaim"] != nil }) { return "persistentvolumeclaims" }
        if !(spec?["resourceClaims"]?.array ?? []).isEmpty { return "resourceclaims" }
        return nil
    }

    // MARK: - Nodes

    private func node(_ node: String, _ request: AdmissionRequest) throws(APIStatus) {
        let quoted = Quote.go(node)
        guard request.name == node else {
            throw request.forbidden("node \(quoted) is not allowed to modify node \(Quote.go(request.name))")
        }
        let labels = request.object.at("metadata", "labels")?.stringMap ?? [:]
        switch request.operation {
        case .create:
            let bad = KubeletLabels.forbidden(from: [:], to: labels)
            if !bad.isEmpty {
                throw request.forbidden(
                    "node \(quoted) is not allowed to set the following labels: \(bad.joined(separator: ", "))")
            }
        case .update:
            guard same(request, "spec", "taints") else {
                throw request.forbidden("node \(quoted) is not allowed to modify taints")
            }
            guard same(request, "metadata", "ownerReferences") else {
                throw request.forbidden("node \(quoted) is not allowed to modify ownerReferences")
            }
            let old = request.old?.at("metadata", "labels")?.stringMap ?? [:]
            let bad = KubeletLabels.forbidden(from: old, to: labels)
            if !bad.isEmpty {
                throw request.forbidden("is not allowed to modify labels: \(bad.joined(separator: ", "))")
            }
        case .delete: break
        }
    }

    // MARK: - The rest

    private func claim(_ node: String, _ request: AdmissionRequest) throws(APIStatus) {
        guard request.target.isStatus, let old = request.old else {
            throw request.forbidden("may only update PVC status")
        }
        func bare(_ claim: JSON) -> JSON {
            var claim = claim
            for field in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
                claim.set("status", field, to: nil)
            }
            claim.set("metadata", "resourceVersion", to: nil)
            claim.set("metadata", "managedFields", to: nil)
            return claim
        }
        guard bare(old) == bare(request.object) else {
            throw request.forbidden(
                "node \(Quote.go(node)) is not allowed to update fields other than status.capacity and "
                    + "status.conditions")
        }
    }

    /// A node gets tokens for its own pods only.
    private func token(_ node: String, _ request: AdmissionRequest, _ core: APICore) throws(APIStatus) {
        guard request.target == .subresource("token"), request.operation == .create else { return }
        let reference = request.object.at("spec", "boundObjectRef")
        let name = reference?["name"]?.string ?? ""
        guard reference?["apiVersion"] == "v1", reference?["kind"] == "Pod", !name.isEmpty else {
            throw request.forbidden("node requested token not bound to a pod")
        }
        let uid = reference?["uid"]?.string ?? ""
        guard !uid.isEmpty else {
            throw request.forbidden("node requested token with a pod binding without a uid")
        }
        guard let pod = core.peek(.pods, namespace: request.namespace, name: name)?.tree() else {
            throw .notFound(.pods, name)
        }
        guard pod.at("metadata", "uid")?.string == uid else {
            throw request.forbidden(
                "the UID in the bound object reference (\(uid)) does not match the UID in record. The object might "
                    + "have been deleted and then recreated")
        }
        guard pod.at("spec", "nodeName")?.string == node else {
            throw request.forbidden("node requested token bound to a pod scheduled on a different node")
        }
        try TokenAudiences.check(request, pod: pod, core)
    }

    private func lease(_ node: String, _ request: AdmissionRequest) throws(APIStatus) {
        guard request.namespace == "kube-node-lease" else {
            throw request.forbidden("can only access leases in the \"kube-node-lease\" system namespace")
        }
        guard request.name == node else {
            throw request.forbidden("can only access node lease with the same name as the requesting node")
        }
    }

    private func csiNode(_ node: String, _ request: AdmissionRequest) throws(APIStatus) {
        guard request.name == node else {
            throw request.forbidden("can only access CSINode with the same name as the requesting node")
        }
    }

    private func slice(_ node: String, _ request: AdmissionRequest) throws(APIStatus) {
        let slice = request.old ?? request.object
        guard slice.at("spec", "nodeName")?.string == node else {
            throw request.forbidden(
                request.operation == .create
                    ? "can only create ResourceSlice with the same NodeName as the requesting node"
                    : "can only update or delete ResourceSlice with the same NodeName as the requesting node")
        }
    }

    private func same(_ request: AdmissionRequest, _ parent: String, _ field: String) -> Bool {
        let before = request.old?.at(parent, field)
        let after = request.object.at(parent, field)
        if before == after { return true }
        // Empty is the same as missing.
        func isEmpty(_ value: JSON?) -> Bool {
            (value?.array ?? []).isEmpty && (value?.object ?? JSONObject()).isEmpty
        }
        return isEmpty(before) && isEmpty(after)
    }
}

/// Which labels of its Node a kubelet may set: its own, and everybody's; not what places workloads.
enum KubeletLabels {
    private static let own: Set<String> = [
        "kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch", "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
    ]

    /// The changed labels that a kubelet may not change, sorted.
    static func forbidden(from old: [String: String], to new: [String: String]) -> [String] {
        let changed = Set(old.keys).union(new.keys).filter { old[$0] != new[$0] }
        return changed.filter(isForbidden).sorted()
    }

    private static func isForbidden(_ label: String) -> Bool {
        guard let slash = label.firstIndex(of: "/") else { return false }
        let domain = label[..<slash]
        func isIn(_ root: String) -> Bool { domain == root || domain.hasSuffix("." + root) }
        if isIn("node-restriction.kubernetes.io") { return true }
        guard isIn("kubernetes.io") || isIn("k8s.io") else { return false }
        return !own.contains(label) && !isIn("kubelet.kubernetes.io") && !isIn("node.kubernetes.io")
    }
}

// The Node authorizer: a node (user system:node:NAME in group system:nodes) sees what its own pods need, and no more
// (Kubernetes, "Using Node Authorization").
//
// What a node writes about itself is held in by admission (NodeRestriction); here is who may ask at all. Requests that
// are not special follow the rules of the default role system:node, which no binding gives to anybody.

internal import Objects

struct NodeAuthorizer: Authorizer {
    static let userPrefix = "system:node:"
    static let group = "system:nodes"

    private static let rules: [PolicyRule] =
        DefaultPolicy.objects.first {
            $0["kind"]?.string == "ClusterRole" && $0.at("metadata", "name")?.string == "system:node"
        }.map(PolicyRule.rules) ?? []

    /// The node a user is; nil for everybody else.
    static func nodeName(_ user: UserInfo) -> String? {
        guard user.name.hasPrefix(userPrefix), user.groups.contains(group) else { return nil }
        let name = user.name.dropFirst(userPrefix.count)
        return name.isEmpty ? nil : String(name)
    }

    func decide(_ user: UserInfo, _ request: AccessRequest, _ core: APICore) -> AccessDecision {
        guard let node = NodeAuthorizer.nodeName(user) else { return .noOpinion(reason: "") }
        guard request.path == nil else { return byRules(request) }
        switch (request.group, request.resource) {
        case ("", "secrets"): return read(node, .secret, request, core)
        case ("", "configmaps"): return read(node, .configMap, request, core)
        case ("", "persistentvolumeclaims"): return claim(node, request, core)
        case ("", "persistentvolumes"): return volume(node, request, core)
        case ("resource.k8s.io", "resourceclaims"): return get(node, .resourceClaim, request, core)
        case ("", "serviceaccounts"): return token(node, request, core)
        case ("", "nodes"): return ownNode(node, request)
        case ("", "pods"): return pod(node, request, core)
        case ("coordination.k8s.io", "leases"): return lease(node, request)
        case ("storage.k8s.io", "csinodes"): return csiNode(node, request)
        case ("storage.k8s.io", "volumeattachments"): return attachment(node, request, core)
        default: return byRules(request)
        }
    }

    private func byRules(_ request: AccessRequest) -> AccessDecision {
        NodeAuthorizer.rules.contains { $0.allows(request) } ? .allow(reason: "") : .noOpinion(reason: "")
    }

    private func related(
        _ node: String, _ kind: NodeGraph.Reference.Kind, _ request: AccessRequest, _ core: APICore
    ) -> AccessDecision {
        guard !request.name.isEmpty else { return .noOpinion(reason: "No Object name found") }
        let reference = NodeGraph.Reference(kind: kind, namespace: request.namespace, name: request.name)
        if core.nodeGraph.connects(node, reference, core) { return .allow(reason: "") }
        return .noOpinion(reason: "no relationship found between node '\(node)' and this object")
    }

    /// get, list and watch of one named object.
    private func read(
        _ node: String, _ kind: NodeGraph.Reference.Kind, _ request: AccessRequest, _ core: APICore
    ) -> AccessDecision {
        guard request.isReadOnly else { return .noOpinion(reason: "can only read resources of this type") }
        guard request.subresource.isEmpty else { return .noOpinion(reason: "cannot read subresource") }
        guard !request.namespace.isEmpty else {
            return .noOpinion(reason: "can only read namespaced object of this type")
        }
        return related(node, kind, request, core)
    }

    private func get(
        _ node: String, _ kind: NodeGraph.Reference.Kind, _ request: AccessRequest, _ core: APICore
    ) -> AccessDecision {
        guard request.verb == "get" else { return .noOpinion(reason: "can only get individual resources of this type") }
        guard request.subresource.isEmpty else { return .noOpinion(reason: "cannot get subresource") }
        return related(node, kind, request, core)
    }

    private func claim(_ node: String, _ request: AccessRequest, _ core: APICore) -> AccessDecision {
        guard request.subresource == "status" else { return get(node, .claim, request, core) }
        guard ["update", "patch"].contains(request.verb) else {
            return .noOpinion(reason: "can only get/update/patch this type")
        }
        return related(node, .claim, request, core)
    }

    /// A volume is a node's when the claim it is bound to is.
    private func volume(_ node: String, _ request: AccessRequest, _ core: APICore) -> AccessDecision {
        guard request.verb == "get", request.subresource.isEmpty else {
            return .noOpinion(reason: "can only get individual resources of this type")
        }
        let claim = core.peek(.persistentVolumes, name: request.name)?.tree().at("spec", "claimRef")
        var question = request
        question.namespace = claim?["namespace"]?.string ?? ""
        question.name = claim?["name"]?.string ?? "-"
        return related(node, .claim, question, core)
    }

    private func attachment(_ node: String, _ request: AccessRequest, _ core: APICore) -> AccessDecision {
        guard request.verb == "get", request.subresource.isEmpty else {
            return .noOpinion(reason: "can only get individual resources of this type")
        }
        let object = core.peek(.volumeAttachments, name: request.name)?.tree()
        guard object?.at("spec", "nodeName")?.string == node else {
            return .noOpinion(reason: "no relationship found between node '\(node)' and this object")
        }
        return .allow(reason: "")
    }

    private func token(_ node: String, _ request: AccessRequest, _ core: APICore) -> AccessDecision {
        guard request.subresource == "token" else { return byRules(request) }
        guard request.verb == "create" else {
            return .noOpinion(reason: "can only create tokens for individual service accounts")
        }
        guard !request.name.isEmpty else {
            return .noOpinion(reason: "can only create tokens for individual service accounts")
        }
        return related(node, .serviceAccount, request, core)
    }

    private func ownNode(_ node: String, _ request: AccessRequest) -> AccessDecision {
        guard request.subresource.isEmpty, request.isReadOnly else { return byRules(request) }
        if request.name == node { return .allow(reason: "") }
        return .noOpinion(
            reason: request.name.isEmpty
                ? "node '\(node)' cannot read all nodes, only its own Node object"
                : "node '\(node)' cannot read '\(request.name)', only its own Node object")
    }

    private func pod(_ node: String, _ request: AccessRequest, _ core: APICore) -> AccessDecision {
        guard request.subresource.isEmpty, request.isReadOnly else { return byRules(request) }
        if request.verb == "get" { return related(node, .pod, request, core) }
        if request.fields["spec.nodeName"] == node { return .allow(reason: "") }
        if !request.name.isEmpty { return related(node, .pod, request, core) }
        return .noOpinion(reason: "can only list/watch pods with spec.nodeName field selector")
    }

    private func lease(_ node: String, _ request: AccessRequest) -> AccessDecision {
        guard ["get", "create", "update", "patch", "delete"].contains(request.verb) else {
            return .noOpinion(reason: "can only get, create, update, patch, or delete a node lease")
        }
        guard request.namespace == "kube-node-lease" else {
            return .noOpinion(reason: "can only access leases in the \"kube-node-lease\" system namespace")
        }
        // At create the name is in the body; NodeRestriction looks at it.
        guard request.verb == "create" || request.name == node else {
            return .noOpinion(reason: "can only access node lease with the same name as the requesting node")
        }
        return .allow(reason: "")
    }

    private func csiNode(_ node: String, _ request: AccessRequest) -> AccessDecision {
        guard ["get", "create", "update", "patch", "delete"].contains(request.verb), request.subresource.isEmpty else {
            return .noOpinion(reason: "can only get, create, update, patch, or delete a CSINode")
        }
        guard request.verb == "create" || request.name == node else {
            return .noOpinion(reason: "can only access CSINode with the same name as the requesting node")
        }
        return .allow(reason: "")
    }
}

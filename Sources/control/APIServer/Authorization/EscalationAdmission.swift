// Nobody grants what he does not have: whoever writes a role must hold its rules, or the verb `escalate` on it; whoever
// binds a role must hold its rules, or the verb `bind` on it (Kubernetes, "Privilege escalation prevention").

internal import Objects

struct RoleEscalation: AdmissionStep {
    private static let concerned: Set<ResourceID> = [.roles, .clusterRoles, .roleBindings, .clusterRoleBindings]

    func concerns(_ site: AdmissionSite) -> Bool {
        Self.concerned.contains(site.resource) && site.operation != .delete
    }

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        guard !request.options.user.isMaster else { return }
        switch request.declaration.id {
        case .roles, .clusterRoles: try role(request, core)
        case .roleBindings, .clusterRoleBindings: try binding(request, core)
        default: return
        }
    }

    private func role(_ request: AdmissionRequest, _ core: APICore) throws(APIStatus) {
        let object = request.object
        if let old = request.old, old["rules"] == object["rules"], old["aggregationRule"] == object["aggregationRule"] {
            return
        }
        let user = request.options.user
        let question = AccessRequest(
            "escalate", request.declaration.id, namespace: request.namespace, name: request.name)
        if core.authorization.allows(user, question, core) { return }
        if !Aggregation.isEmpty(object["aggregationRule"]) {
            guard Aggregation.mayUse(core.authorization.index.rules(user, namespace: "")) else {
                throw .forbidden(
                    request.declaration.id, request.name,
                    "must have cluster-admin privileges to use an aggregationRule")
            }
        }
        try confirm(PolicyRule.rules(of: object), request, core)
    }

    private func binding(_ request: AdmissionRequest, _ core: APICore) throws(APIStatus) {
        let object = request.object
        if let old = request.old, old["subjects"] == object["subjects"], old["roleRef"] == object["roleRef"] { return }
        let user = request.options.user
        let name = object.at("roleRef", "name")?.string ?? ""
        let isCluster = object.at("roleRef", "kind")?.string == "ClusterRole"
        let resource = isCluster ? ResourceID.clusterRoles : .roles
        let question = AccessRequest("bind", resource, namespace: request.namespace, name: name)
        if core.authorization.allows(user, question, core) { return }
        let key = RBACIndex.RoleKey(namespace: isCluster ? "" : request.namespace, name: name)
        guard let rules = core.authorization.index.role(key) else { throw .notFound(resource, name) }
        try confirm(rules, request, core)
    }

    private func confirm(_ rules: [PolicyRule], _ request: AdmissionRequest, _ core: APICore) throws(APIStatus) {
        let user = request.options.user
        let held = core.authorization.index.rules(user, namespace: request.namespace)
        guard RuleCoverage.count(rules) <= RuleCoverage.limit else {
            throw .forbidden(
                request.declaration.id, request.name,
                "its rules say more than \(RuleCoverage.limit) combinations of verbs, groups, resources and names, too "
                    + "many to compare with the permissions of user \(Quote.go(user.name)); use \"*\" or several roles")
        }
        let missing = RuleCoverage.missing(rules, held: held)
        guard !missing.isEmpty else { return }
        let lines = RuleCoverage.compacted(missing).map(\.compactText)
        throw .forbidden(
            request.declaration.id, request.name,
            "user \(Quote.go(user.name)) (groups=\(Go.list(user.groups))) is attempting to grant RBAC permissions not "
                + "currently held:\n\(lines.joined(separator: "\n"))")
    }

    /// A role that gathers others may come to hold anything.
    private enum Aggregation {
        static func isEmpty(_ rule: JSON?) -> Bool { (rule?["clusterRoleSelectors"]?.array ?? []).isEmpty }

        static func mayUse(_ held: [PolicyRule]) -> Bool {
            let all = [
                PolicyRule(verbs: ["*"], groups: ["*"], resources: ["*"]), PolicyRule(verbs: ["*"], paths: ["*"]),
            ]
            return RuleCoverage.missing(all, held: held).isEmpty
        }
    }
}

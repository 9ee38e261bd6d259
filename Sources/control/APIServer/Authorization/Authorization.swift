// May they: the first of a literal list of authorizers that allows decides.
//
//   paths that are always open -> system:masters -> Node -> RBAC -> 403 in Kubernetes' words
//
// Nothing here reads the store: roles, bindings and the nodes' pods are indexed as the caches change.

internal import HTTP
internal import Objects

enum AccessDecision: Sendable, Equatable {
    case allow(reason: String)
    /// Not by me; why, or "".
    case noOpinion(reason: String)
}

protocol Authorizer: Sendable {
    func decide(_ user: UserInfo, _ request: AccessRequest, _ core: APICore) -> AccessDecision
    /// Whether the answer is `allow`, without the words.
    func allows(_ user: UserInfo, _ request: AccessRequest, _ core: APICore) -> Bool
}

extension Authorizer {
    func allows(_ user: UserInfo, _ request: AccessRequest, _ core: APICore) -> Bool {
        if case .allow = decide(user, request, core) { return true }
        return false
    }
}

/// Probes need no name: health must answer before the roles are there.
struct OpenPaths: Authorizer {
    static let paths: Set<String> = ["/healthz", "/livez", "/readyz"]

    func decide(_ user: UserInfo, _ request: AccessRequest, _ core: APICore) -> AccessDecision {
        request.path.map(OpenPaths.paths.contains) == true ? .allow(reason: "") : .noOpinion(reason: "")
    }
}

struct Masters: Authorizer {
    func decide(_ user: UserInfo, _ request: AccessRequest, _ core: APICore) -> AccessDecision {
        user.isMaster ? .allow(reason: "") : .noOpinion(reason: "")
    }
}

struct RBACAuthorizer: Authorizer {
    let index: RBACIndex

    func decide(_ user: UserInfo, _ request: AccessRequest, _ core: APICore) -> AccessDecision {
        let (allowed, reason) = index.explain(user, request)
        return allowed ? .allow(reason: reason) : .noOpinion(reason: reason)
    }

    func allows(_ user: UserInfo, _ request: AccessRequest, _ core: APICore) -> Bool { index.allows(user, request) }
}

final class Authorization: Sendable {
    let index = RBACIndex()
    private let authorizers: [any Authorizer]

    init() {
        authorizers = [
            OpenPaths(),
            Masters(),
            NodeAuthorizer(),
            RBACAuthorizer(index: index),
        ]
    }

    /// Fills the index from the caches and keeps it from then on. Once, when the caches are filled.
    func follow(_ core: APICore) throws(APIStatus) {
        for resource in [ResourceID.clusterRoles, .roles] {
            CacheFollower(try core.cache(try core.declaration(resource))) { [index] key, object, tree in
                index.setRole(RBACIndex.RoleKey(cacheKey: key), object.map { _ in PolicyRule.rules(of: tree()) })
            }
        }
        for resource in [ResourceID.clusterRoleBindings, .roleBindings] {
            CacheFollower(try core.cache(try core.declaration(resource))) { [index] key, object, tree in
                index.setBinding(RBACIndex.RoleKey(cacheKey: key), object.map { _ in RBACIndex.Binding(tree()) })
            }
        }
    }

    func allows(_ user: UserInfo, _ request: AccessRequest, _ core: APICore) -> Bool {
        authorizers.contains { $0.allows(user, request, core) }
    }

    /// With the words that an access review shows.
    func decide(_ user: UserInfo, _ request: AccessRequest, _ core: APICore) -> AccessDecision {
        var reasons: [String] = []
        for authorizer in authorizers {
            switch authorizer.decide(user, request, core) {
            case .allow(let reason): return .allow(reason: reason)
            case .noOpinion(let reason): if !reason.isEmpty { reasons.append(reason) }
            }
        }
        return .noOpinion(reason: reasons.joined(separator: "\n"))
    }

    /// - Throws: 403 in Kubernetes' words; 503 while the roles are not there yet.
    func check(_ user: UserInfo, _ request: AccessRequest, _ core: APICore) throws(APIStatus) {
        if allows(user, request, core) { return }
        guard core.isBootstrapped else { throw .unavailable("the API server is starting") }
        guard case .noOpinion(let reason) = decide(user, request, core) else { return }
        throw request.refusal(user, reason)
    }
}

extension RBACIndex.RoleKey {
    /// "namespace/name" or "name". Names of roles may hold colons, never slashes.
    init(cacheKey: String) {
        let parts = cacheKey.split(separator: "/", maxSplits: 1).map(String.init)
        self.init(namespace: parts.count == 2 ? parts[0] : "", name: parts.last ?? "")
    }
}

// Roles and bindings by subject, so that a check looks at the few bindings of the asking user and of his groups and
// never at all of them.
//
//   subject (namespace, user or group) ──> bindings ──> role ──> rules
//
// Kept by the caches' own changes. Decisions are remembered until the next change of any role or binding: roles change
// rarely, and an answer must never be older than an acknowledged change of them.

internal import Objects
internal import Synchronization

final class RBACIndex: Sendable {
    struct RoleKey: Hashable, Sendable {
        /// "" for a ClusterRole.
        var namespace: String
        var name: String
    }

    struct Binding: Sendable {
        /// "" for a ClusterRoleBinding.
        let namespace: String
        let name: String
        let role: RoleKey
        let subjects: [Subject]

        init(_ json: JSON) {
            let metadata = json["metadata"]
            namespace = metadata?["namespace"]?.string ?? ""
            name = metadata?["name"]?.string ?? ""
            let isCluster = json.at("roleRef", "kind")?.string == "ClusterRole"
            role = RoleKey(namespace: isCluster ? "" : namespace, name: json.at("roleRef", "name")?.string ?? "")
            subjects = (json["subjects"]?.array ?? []).map(Subject.init)
        }

        func describe(_ subject: Subject) -> String {
            let kind = namespace.isEmpty ? "ClusterRoleBinding" : "RoleBinding"
            let own = namespace.isEmpty ? name : "\(name)/\(namespace)"
            let roleKind = role.namespace.isEmpty ? "ClusterRole" : "Role"
            return "\(kind) \(Quote.go(own)) of \(roleKind) \(Quote.go(role.name)) to \(subject.text)"
        }
    }

    struct Subject: Hashable, Sendable {
        let kind: String
        let name: String
        let namespace: String

        init(_ json: JSON) {
            kind = json["kind"]?.string ?? ""
            name = json["name"]?.string ?? ""
            namespace = json["namespace"]?.string ?? ""
        }

        /// As which user or group it is found.
        var principal: Principal? {
            switch kind {
            case "User": Principal(isGroup: false, name: name)
            case "Group": Principal(isGroup: true, name: name)
            case "ServiceAccount": Principal(isGroup: false, name: ServiceAccountName.user(namespace, name))
            default: nil
            }
        }

        var text: String {
            kind == "ServiceAccount"
                ? "ServiceAccount \(Quote.go("\(name)/\(namespace)"))" : "\(kind) \(Quote.go(name))"
        }
    }

    struct Principal: Hashable, Sendable {
        let isGroup: Bool
        let name: String
    }

    private struct Place: Hashable {
        /// "" for bindings that hold everywhere.
        let namespace: String
        let principal: Principal
    }

    private struct Question: Hashable {
        let user: String
        let groups: [String]
        let request: AccessRequest
    }

    private struct State {
        var roles: [RoleKey: [PolicyRule]] = [:]
        var bindings: [RoleKey: Binding] = [:]
        var places: [Place: Set<String>] = [:]
        var decisions: [Question: Bool] = [:]
    }

    private static let decisionLimit = 4096

    private let state = Mutex(State())

    // MARK: - Following

    func setRole(_ key: RoleKey, _ rules: [PolicyRule]?) {
        state.withLock { state in
            state.roles[key] = rules
            state.decisions.removeAll(keepingCapacity: true)
        }
    }

    func setBinding(_ key: RoleKey, _ binding: Binding?) {
        state.withLock { state in
            for place in RBACIndex.places(state.bindings[key]) {
                state.places[place]?.remove(key.name)
                if state.places[place]?.isEmpty == true { state.places[place] = nil }
            }
            state.bindings[key] = binding
            for place in RBACIndex.places(binding) { state.places[place, default: []].insert(key.name) }
            state.decisions.removeAll(keepingCapacity: true)
        }
    }

    private static func places(_ binding: Binding?) -> [Place] {
        guard let binding else { return [] }
        return binding.subjects.compactMap(\.principal).map { Place(namespace: binding.namespace, principal: $0) }
    }

    // MARK: - Asking

    func allows(_ user: UserInfo, _ request: AccessRequest) -> Bool {
        var plain = request
        plain.fields = [:]
        plain.version = ""
        let question = Question(user: user.name, groups: user.groups, request: plain)
        return state.withLock { state in
            if let known = state.decisions[question] { return known }
            var allowed = false
            RBACIndex.visit(state, user, request.namespace) { _, _, rules in
                allowed = rules?.contains { $0.allows(request) } ?? false
                return !allowed
            }
            if state.decisions.count >= RBACIndex.decisionLimit { state.decisions.removeAll(keepingCapacity: true) }
            state.decisions[question] = allowed
            return allowed
        }
    }

    /// Why a request is allowed, or what stood in the way: for access reviews and messages.
    func explain(_ user: UserInfo, _ request: AccessRequest) -> (allowed: Bool, reason: String) {
        state.withLock { state in
            var missing: [String] = []
            var source: String?
            RBACIndex.visit(state, user, request.namespace) { binding, subject, rules in
                guard let rules else {
                    let kind = binding.role.namespace.isEmpty ? "clusterrole" : "role"
                    missing.append("\(kind).rbac.authorization.k8s.io \(Quote.go(binding.role.name)) not found")
                    return true
                }
                if rules.contains(where: { $0.allows(request) }) { source = binding.describe(subject) }
                return source == nil
            }
            if let source { return (true, "RBAC: allowed by \(source)") }
            if missing.isEmpty { return (false, "") }
            return (false, "RBAC: " + (missing.count == 1 ? missing[0] : "[\(missing.joined(separator: ", "))]"))
        }
    }

    /// Every rule the user holds in the namespace; "": at the cluster scope.
    func rules(_ user: UserInfo, namespace: String) -> [PolicyRule] {
        state.withLock { state in
            var all: [PolicyRule] = []
            RBACIndex.visit(state, user, namespace) { _, _, rules in
                all += rules ?? []
                return true
            }
            return all
        }
    }

    func role(_ key: RoleKey) -> [PolicyRule]? { state.withLock { $0.roles[key] } }

    /// The user's bindings, those that hold everywhere first, until `body` returns false. Rules are nil when the role
    /// does not exist.
    private static func visit(
        _ state: State, _ user: UserInfo, _ namespace: String, _ body: (Binding, Subject, [PolicyRule]?) -> Bool
    ) {
        let principals =
            [Principal(isGroup: false, name: user.name)] + user.groups.map { Principal(isGroup: true, name: $0) }
        for scope in namespace.isEmpty ? [""] : ["", namespace] {
            for principal in principals {
                guard let names = state.places[Place(namespace: scope, principal: principal)] else { continue }
                for name in names.count > 1 ? names.sorted() : Array(names) {
                    guard let binding = state.bindings[RoleKey(namespace: scope, name: name)],
                        let subject = binding.subjects.first(where: { $0.principal == principal })
                    else { continue }
                    guard body(binding, subject, state.roles[binding.role]) else { return }
                }
            }
        }
    }
}

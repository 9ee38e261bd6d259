// Which APIServices there should be: a pure function of the built-in groups and of definitions.

import Objects

struct APIServicePlan: Hashable, Sendable {
    let group: String
    let version: String
    /// Order among groups, and of a group's versions: larger comes first (APIService v1 spec).
    let groupPriority: Int64
    let versionPriority: Int64

    /// `v1.apps`, `v1.` for the core group.
    var name: String { "\(version).\(group)" }

    /// The priorities with which Kubernetes registers its groups; every other built-in group comes behind them.
    private static let priorities: [String: Int64] = [
        "": 18000, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700, "authorization.k8s.io": 17600,
        "autoscaling": 17500, "batch": 17400, "certificates.k8s.io": 17300, "networking.k8s.io": 17200, "policy": 17100,
        "rbac.authorization.k8s.io": 17000, "storage.k8s.io": 16800, "apiextensions.k8s.io": 16700,
        "admissionregistration.k8s.io": 16700, "scheduling.k8s.io": 16600, "coordination.k8s.io": 16500,
        "node.k8s.io": 16300, "discovery.k8s.io": 16200, "flowcontrol.apiserver.k8s.io": 16100,
        "resource.k8s.io": 15900,
    ]

    /// By name. The group of APIServices itself has none, as in Kubernetes.
    static let builtIn: [String: APIServicePlan] = {
        var plans: [String: APIServicePlan] = [:]
        for (group, versions) in Registry.standard.groups where group != "apiregistration.k8s.io" {
            for (index, version) in versions.enumerated() {
                let plan = APIServicePlan(
                    group: group, version: version, groupPriority: priorities[group] ?? 15000,
                    versionPriority: group.isEmpty ? 1 : 15 * Int64(versions.count - index))
                plans[plan.name] = plan
            }
        }
        return plans
    }()

    private init(group: String, version: String, groupPriority: Int64, versionPriority: Int64) {
        self.group = group
        self.version = version
        self.groupPriority = groupPriority
        self.versionPriority = versionPriority
    }

    /// What a definition wants by that name; nil when it serves no such version.
    init?(name: String, of definition: JSON) {
        guard APIServicePlan.names(of: definition).contains(name), let group = definition.at("spec", "group")?.string
        else { return nil }
        // As Kubernetes registers those of custom resources.
        self.init(
            group: group, version: String(name.dropLast(group.count + 1)), groupPriority: 1000, versionPriority: 100)
    }

    /// The names that a definition's served versions have once it is established.
    static func names(of definition: JSON) -> [String] {
        let custom = CustomDefinition(definition)
        guard custom.isEstablished else { return [] }
        return (definition.at("spec", "versions")?.array ?? []).compactMap { version in
            guard version["served"]?.bool == true, let name = version["name"]?.string else { return nil }
            return "\(name).\(custom.group)"
        }.filter { builtIn[$0] == nil }
    }

    func object(label: (String, String)) -> JSON {
        [
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": ["name": .string(name), "labels": [label.0: .string(label.1)]],
            "spec": [
                "group": .string(group), "version": .string(version), "groupPriorityMinimum": .int(groupPriority),
                "versionPriority": .int(versionPriority),
            ],
        ]
    }
}

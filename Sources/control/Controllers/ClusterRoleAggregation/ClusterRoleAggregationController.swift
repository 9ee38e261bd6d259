// A ClusterRole with an aggregationRule holds the rules of every ClusterRole its selectors match (Kubernetes,
// "Aggregated ClusterRoles"): admin, edit and view grow with what operators bring.

import Client
import Logging
import Objects
import Reconcile

struct ClusterRoleAggregationController: Controller {
    static let name = "clusterrole-aggregation-controller"

    private let client: any APIClient
    private let roles: Informer
    private let queue: WorkQueue<String>

    init(_ context: ControllerContext) {
        client = context.client
        roles = context.informers.informer(.clusterRoles)
        queue = WorkQueue(Self.name, logger: context.logger)
    }

    func run() async {
        // Any role may be a part of any aggregate; there are few aggregates, and a pass over all roles is cheap.
        let anyRole = KeySource<String>(roles) { _, _, _ in
            roles.objects.filter { $0.value["aggregationRule"] != nil }.map(\.key.name)
        }
        await queue.run(watching: [anyRole], reconcile)
    }

    private func reconcile(_ name: String) async throws -> Outcome {
        guard let role = roles.object(ObjectKey(name: name)), role["aggregationRule"] != nil else { return .done }
        let rules = Self.rules(of: role, from: roles.objects.values)
        guard rules != role["rules"]?.array ?? [] else { return .done }
        var changed = role
        changed["rules"] = .array(rules)
        let aggregated = changed
        return try await Writes.settle { _ = try await client.update(.clusterRoles, aggregated) }
    }

    /// The rules of all matching roles, in the order of their names, each once.
    static func rules(of aggregate: JSON, from roles: some Sequence<JSON>) -> [JSON] {
        let selectors = (aggregate.at("aggregationRule", "clusterRoleSelectors")?.array ?? []).compactMap {
            try? LabelSelector($0)
        }
        let name = aggregate.at("metadata", "name")?.string
        let matching = roles.filter { role in
            guard role.at("metadata", "name")?.string != name else { return false }
            let labels = role.at("metadata", "labels")?.stringMap ?? [:]
            return selectors.contains { $0.matches(labels) }
        }.sorted { ($0.at("metadata", "name")?.string ?? "") < ($1.at("metadata", "name")?.string ?? "") }
        var rules: [JSON] = []
        var seen: Set<JSON> = []
        for rule in matching.flatMap({ $0["rules"]?.array ?? [] }) where seen.insert(rule).inserted {
            rules.append(rule)
        }
        return rules
    }
}

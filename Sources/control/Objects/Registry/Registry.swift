// The inventory of resources. To add a kind: rerun scripts/declare, a line here, and a strategy when it is special.

/// A set of resources to serve, with the lookups that requests need.
public struct Registry: Sendable {
    /// The resources built into noded, in the order discovery lists their groups.
    public static let builtIn: [ResourceDeclaration] = [
        ResourceDeclaration(.bindings, strategy: BindingStrategy()),
        ResourceDeclaration(.componentStatuses),
        ResourceDeclaration(.configMaps, strategy: ConfigMapStrategy()),
        ResourceDeclaration(.endpoints),
        ResourceDeclaration(.events, strategy: EventStrategy()),
        ResourceDeclaration(.limitRanges),
        ResourceDeclaration(.namespaces, strategy: NamespaceStrategy()),
        ResourceDeclaration(.nodes, strategy: NodeStrategy()),
        ResourceDeclaration(.persistentVolumeClaims),
        ResourceDeclaration(.persistentVolumes),
        ResourceDeclaration(.pods, strategy: PodStrategy()),
        ResourceDeclaration(.podTemplates),
        ResourceDeclaration(.replicationControllers),
        ResourceDeclaration(.resourceQuotas),
        ResourceDeclaration(.secrets, strategy: SecretStrategy()),
        ResourceDeclaration(.serviceAccounts, strategy: ServiceAccountStrategy()),
        ResourceDeclaration(.services, strategy: ServiceStrategy()),
        ResourceDeclaration(.apiServices),
        ResourceDeclaration(.controllerRevisions),
        ResourceDeclaration(.daemonSets),
        ResourceDeclaration(.deployments, strategy: DeploymentStrategy()),
        ResourceDeclaration(.replicaSets, strategy: ReplicaSetStrategy()),
        ResourceDeclaration(.statefulSets),
        ResourceDeclaration(.groupEvents, strategy: GroupEventStrategy(), storedAs: .events),
        ResourceDeclaration(.selfSubjectReviews),
        ResourceDeclaration(.tokenReviews),
        ResourceDeclaration(.localSubjectAccessReviews),
        ResourceDeclaration(.selfSubjectAccessReviews),
        ResourceDeclaration(.selfSubjectRulesReviews),
        ResourceDeclaration(.subjectAccessReviews),
        ResourceDeclaration(.horizontalPodAutoscalers, strategy: AutoscalerStrategy()),
        ResourceDeclaration(
            .horizontalPodAutoscalersV1, strategy: AutoscalerV1Strategy(), storedAs: .horizontalPodAutoscalers),
        ResourceDeclaration(.cronJobs),
        ResourceDeclaration(.jobs),
        ResourceDeclaration(.certificateSigningRequests),
        ResourceDeclaration(.ingressClasses),
        ResourceDeclaration(.ingresses),
        ResourceDeclaration(.ipAddresses),
        ResourceDeclaration(.networkPolicies),
        ResourceDeclaration(.serviceCIDRs),
        ResourceDeclaration(.podDisruptionBudgets, strategy: DisruptionBudgetStrategy()),
        ResourceDeclaration(.clusterRoleBindings),
        ResourceDeclaration(.clusterRoles),
        ResourceDeclaration(.roleBindings),
        ResourceDeclaration(.roles),
        ResourceDeclaration(.csiDrivers),
        ResourceDeclaration(.csiNodes),
        ResourceDeclaration(.csiStorageCapacities),
        ResourceDeclaration(.storageClasses),
        ResourceDeclaration(.volumeAttachments),
        ResourceDeclaration(.volumeAttributesClasses),
        ResourceDeclaration(.mutatingAdmissionPolicies),
        ResourceDeclaration(.mutatingAdmissionPolicyBindings),
        ResourceDeclaration(.mutatingWebhookConfigurations),
        ResourceDeclaration(.validatingAdmissionPolicies),
        ResourceDeclaration(.validatingAdmissionPolicyBindings),
        ResourceDeclaration(.validatingWebhookConfigurations),
        ResourceDeclaration(.customResourceDefinitions),
        ResourceDeclaration(.priorityClasses),
        ResourceDeclaration(.leases, strategy: LeaseStrategy()),
        ResourceDeclaration(.runtimeClasses),
        ResourceDeclaration(.endpointSlices, strategy: EndpointSliceStrategy()),
        ResourceDeclaration(.deviceClasses),
        ResourceDeclaration(.resourceClaims),
        ResourceDeclaration(.resourceClaimTemplates),
        ResourceDeclaration(.resourceSlices),
        ResourceDeclaration(.flowSchemas),
        ResourceDeclaration(.priorityLevelConfigurations),
    ]

    /// The built-in resources.
    public static let standard = Registry(builtIn)

    public let declarations: [ResourceDeclaration]
    private let indices: [ResourceID: Int]
    private let kinds: [GroupVersionKind: Int]

    public init(_ declarations: [ResourceDeclaration] = Registry.builtIn) {
        self.declarations = declarations
        indices = Dictionary(declarations.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { first, _ in first })
        kinds = Dictionary(declarations.enumerated().map { ($1.gvk, $0) }, uniquingKeysWith: { first, _ in first })
    }

    public func find(_ id: ResourceID) -> ResourceDeclaration? { indices[id].map { declarations[$0] } }

    public func find(group: String, version: String, resource: String) -> ResourceDeclaration? {
        find(ResourceID(group: group, version: version, resource: resource))
    }

    public func find(_ gvk: GroupVersionKind) -> ResourceDeclaration? { kinds[gvk].map { declarations[$0] } }

    /// The groups with their versions, the core group ("") first, then in declaration order.
    public var groups: [(name: String, versions: [String])] {
        var result: [(name: String, versions: [String])] = []
        for id in declarations.map(\.id) {
            if let index = result.firstIndex(where: { $0.name == id.group }) {
                if !result[index].versions.contains(id.version) { result[index].versions.append(id.version) }
            } else {
                result.append((id.group, [id.version]))
            }
        }
        return result.filter { $0.name.isEmpty } + result.filter { !$0.name.isEmpty }
    }

    /// The declared definition of a kind that is no resource by itself: Scale, Eviction, Binding, DeleteOptions, ...
    /// Options are in every group and version.
    public static func schema(of gvk: GroupVersionKind) -> Schema? {
        let catalog = Declarations.builtIn.catalog
        let group = gvk.group.isEmpty ? "core" : String(gvk.group.split(separator: ".")[0])
        return catalog.schema("\(group).\(gvk.version).\(gvk.kind)") ?? catalog.schema("meta.v1.\(gvk.kind)")
    }
}

// The inventory of resources. To add a kind: rerun scripts/declare, a line here, and a strategy when it is special.

/// A set of resources to serve, with the lookups that requests need.
public struct Registry: Sendable {
    /// The resources built into noded, in the order discovery lists their groups.
    public static let builtIn: [ResourceDeclaration] = [
        ResourceDeclaration(.bindings, strategy: BindingStrategy()),
        ResourceDeclaration(.componentStatuses),
        ResourceDeclaration(.configMaps, strategy: ConfigMapStrategy()),
        ResourceDeclaration(.endpoints, strategy: EndpointsStrategy()),
        ResourceDeclaration(.events, strategy: EventStrategy()),
        ResourceDeclaration(.limitRanges, strategy: LimitRangeStrategy()),
        ResourceDeclaration(.namespaces, strategy: NamespaceStrategy()),
        ResourceDeclaration(.nodes, strategy: NodeStrategy()),
        ResourceDeclaration(.persistentVolumeClaims, strategy: PersistentVolumeClaimStrategy()),
        ResourceDeclaration(.persistentVolumes, strategy: PersistentVolumeStrategy()),
        ResourceDeclaration(.pods, strategy: PodStrategy()),
        ResourceDeclaration(.podTemplates, strategy: PodTemplateStrategy()),
        ResourceDeclaration(.replicationControllers, strategy: ReplicationControllerStrategy()),
        ResourceDeclaration(.resourceQuotas, strategy: ResourceQuotaStrategy()),
        ResourceDeclaration(.secrets, strategy: SecretStrategy()),
        ResourceDeclaration(.serviceAccounts, strategy: ServiceAccountStrategy()),
        ResourceDeclaration(.services, strategy: ServiceStrategy()),
        ResourceDeclaration(.apiServices, strategy: APIServiceStrategy()),
        ResourceDeclaration(.controllerRevisions, strategy: ControllerRevisionStrategy()),
        ResourceDeclaration(.daemonSets, strategy: DaemonSetStrategy()),
        ResourceDeclaration(.deployments, strategy: DeploymentStrategy()),
        ResourceDeclaration(.replicaSets, strategy: ReplicaSetStrategy()),
        ResourceDeclaration(.statefulSets, strategy: StatefulSetStrategy()),
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
        ResourceDeclaration(.cronJobs, strategy: CronJobStrategy()),
        ResourceDeclaration(.jobs, strategy: JobStrategy()),
        ResourceDeclaration(.certificateSigningRequests, strategy: CertificateSigningRequestStrategy()),
        ResourceDeclaration(.ingressClasses, strategy: IngressClassStrategy()),
        ResourceDeclaration(.ingresses, strategy: IngressStrategy()),
        ResourceDeclaration(.ipAddresses, strategy: IPAddressStrategy()),
        ResourceDeclaration(.networkPolicies, strategy: NetworkPolicyStrategy()),
        ResourceDeclaration(.serviceCIDRs, strategy: ServiceCIDRStrategy()),
        ResourceDeclaration(.podDisruptionBudgets, strategy: DisruptionBudgetStrategy()),
        ResourceDeclaration(.clusterRoleBindings, strategy: RoleBindingStrategy(isNamespaced: false)),
        ResourceDeclaration(.clusterRoles, strategy: ClusterRoleStrategy()),
        ResourceDeclaration(.roleBindings, strategy: RoleBindingStrategy(isNamespaced: true)),
        ResourceDeclaration(.roles, strategy: RoleStrategy()),
        ResourceDeclaration(.csiDrivers, strategy: CSIDriverStrategy()),
        ResourceDeclaration(.csiNodes, strategy: CSINodeStrategy()),
        ResourceDeclaration(.csiStorageCapacities, strategy: CSIStorageCapacityStrategy()),
        ResourceDeclaration(.storageClasses, strategy: StorageClassStrategy()),
        ResourceDeclaration(.volumeAttachments, strategy: VolumeAttachmentStrategy()),
        ResourceDeclaration(.volumeAttributesClasses, strategy: VolumeAttributesClassStrategy()),
        ResourceDeclaration(.mutatingAdmissionPolicies, strategy: AdmissionPolicyStrategy()),
        ResourceDeclaration(
            .mutatingAdmissionPolicyBindings, strategy: AdmissionPolicyBindingStrategy(isMutating: true)),
        ResourceDeclaration(.mutatingWebhookConfigurations, strategy: WebhookStrategy(isMutating: true)),
        ResourceDeclaration(.validatingAdmissionPolicies, strategy: AdmissionPolicyStrategy()),
        ResourceDeclaration(
            .validatingAdmissionPolicyBindings, strategy: AdmissionPolicyBindingStrategy(isMutating: false)),
        ResourceDeclaration(.validatingWebhookConfigurations, strategy: WebhookStrategy(isMutating: false)),
        ResourceDeclaration(.customResourceDefinitions, strategy: DefinitionStrategy()),
        ResourceDeclaration(.priorityClasses, strategy: PriorityClassStrategy()),
        ResourceDeclaration(.leases, strategy: LeaseStrategy()),
        ResourceDeclaration(.runtimeClasses, strategy: RuntimeClassStrategy()),
        ResourceDeclaration(.endpointSlices, strategy: EndpointSliceStrategy()),
        ResourceDeclaration(.deviceClasses, strategy: DeviceClassStrategy()),
        ResourceDeclaration(.resourceClaims, strategy: ResourceClaimStrategy()),
        ResourceDeclaration(.resourceClaimTemplates, strategy: ResourceClaimTemplateStrategy()),
        ResourceDeclaration(.resourceSlices, strategy: ResourceSliceStrategy()),
        ResourceDeclaration(.flowSchemas, strategy: FlowSchemaStrategy()),
        ResourceDeclaration(.priorityLevelConfigurations, strategy: PriorityLevelStrategy()),
    ]

    /// The built-in resources.
    public static let standard = Registry(builtIn)

    public let declarations: [ResourceDeclaration]
    private let resources: [ResourceID: ResourceDeclaration]
    private let kinds: [GroupVersionKind: ResourceDeclaration]

    public init(_ declarations: [ResourceDeclaration] = Registry.builtIn) {
        self.declarations = declarations
        resources = Dictionary(declarations.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        kinds = Dictionary(declarations.map { ($0.gvk, $0) }, uniquingKeysWith: { first, _ in first })
    }

    public func find(_ id: ResourceID) -> ResourceDeclaration? { resources[id] }

    public func find(group: String, version: String, resource: String) -> ResourceDeclaration? {
        find(ResourceID(group: group, version: version, resource: resource))
    }

    public func find(_ gvk: GroupVersionKind) -> ResourceDeclaration? { kinds[gvk] }

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
        for index in result.indices { result[index].versions.sort { CustomDefinition.rank($0, before: $1) } }
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

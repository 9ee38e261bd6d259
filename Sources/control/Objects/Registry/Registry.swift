// The inventory of resources. To add a kind: a line in scripts/declare, a line here, and a strategy when it is special.

/// A set of resources to serve, with the lookups that requests need.
public struct Registry: Sendable {
    /// The resources built into noded, in the order discovery lists their groups.
    public static let builtIn: [ResourceDeclaration] = [
        ResourceDeclaration(.bindings, strategy: BindingStrategy()),
        ResourceDeclaration(.configMaps, strategy: ConfigMapStrategy()),
        ResourceDeclaration(.events, strategy: EventStrategy()),
        ResourceDeclaration(.namespaces, strategy: NamespaceStrategy()),
        ResourceDeclaration(.nodes, strategy: NodeStrategy()),
        ResourceDeclaration(.pods, strategy: PodStrategy()),
        ResourceDeclaration(.secrets, strategy: SecretStrategy()),
        ResourceDeclaration(.serviceAccounts, strategy: ServiceAccountStrategy()),
        ResourceDeclaration(.services, strategy: ServiceStrategy()),
        ResourceDeclaration(.deployments, strategy: DeploymentStrategy()),
        ResourceDeclaration(.replicaSets, strategy: ReplicaSetStrategy()),
        ResourceDeclaration(.groupEvents, strategy: GroupEventStrategy(), storedAs: .events),
        ResourceDeclaration(.leases, strategy: LeaseStrategy()),
        ResourceDeclaration(.endpointSlices, strategy: EndpointSliceStrategy()),
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

extension ResourceID {
    public static let bindings = ResourceID(group: "", version: "v1", resource: "bindings")
    /// Events as events.k8s.io shows them; the same objects as `events`.
    public static let groupEvents = ResourceID(group: "events.k8s.io", version: "v1", resource: "events")
}

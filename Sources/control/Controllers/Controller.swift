// What a controller is, and the array that lists them all. To add one: a folder with a type that conforms, and a
// line in `all`.
//
// Every controller is level-triggered: it watches through shared informers, puts keys into a `WorkQueue` and
// makes the present state look like the wanted one. None holds state that a restart would lose.

public import Client
public import Logging
public import Objects

/// What controllers are made of.
public struct ControllerContext: Sendable {
    public let client: any APIClient
    public let informers: InformerSet
    /// Every namespaced resource that can be listed and deleted.
    public let namespacedResources: [ResourceID]
    /// Every resource whose objects can own or be owned.
    public let ownableResources: [ResourceID]
    /// The resource of an owner reference's `apiVersion/kind`.
    public let resourceOfKind: [String: ResourceID]
    /// Custom resources, which come and go; nil when there is no way to know them.
    public let directory: (any ResourceDirectory)?
    /// PEM of the CA that pods check the API server with; empty when it serves without TLS.
    public let rootCA: String
    public let logger: Logger
    /// Fills token Secrets; without one they stay empty.
    public var tokenMinter: (any SecretTokenMinter)?
    /// Signs approved certificate requests; without one they wait.
    public var certificateSigner: (any CertificateSigner)?

    public init(
        client: any APIClient, informers: InformerSet, namespacedResources: [ResourceID],
        ownableResources: [ResourceID], resourceOfKind: [String: ResourceID],
        directory: (any ResourceDirectory)? = nil, rootCA: String = "", logger: Logger
    ) {
        self.client = client
        self.informers = informers
        self.namespacedResources = namespacedResources
        self.ownableResources = ownableResources
        self.resourceOfKind = resourceOfKind
        self.directory = directory
        self.rootCA = rootCA
        self.logger = logger
    }
}

/// A loop that keeps one kind of promise of the API.
public protocol Controller: Sendable {
    /// As it appears in events and logs, e.g. `deployment-controller`.
    static var name: String { get }
    init(_ context: ControllerContext)
    /// Works until the task is cancelled.
    func run() async
}

public enum Controllers {
    /// All controllers. Their order carries no meaning.
    public static let all: [any Controller.Type] = [
        DeploymentController.self,
        ReplicaSetController.self,
        ReplicationControllerController.self,
        EndpointSliceController.self,
        EndpointsController.self,
        EndpointSliceMirroringController.self,
        NamespaceController.self,
        GarbageCollector.self,
        ServiceAccountController.self,
        RootCAController.self,
        NodeTaintController.self,
        TaintEvictionController.self,
        DisruptionController.self,
        StaleDisruptionController.self,
        ClaimProtectionController.self,
        VolumeProtectionController.self,
        ServiceAccountTokenController.self,
        ClusterRoleAggregationController.self,
        CertificateApprover.self,
        CertificateSigningController.self,
        CertificateCleaner.self,
        APIServiceController.self,
    ]

    /// Runs every controller until the task is cancelled.
    public static func run(_ context: ControllerContext) async {
        await withDiscardingTaskGroup { group in
            for type in all {
                let controller = type.init(context)
                group.addTask { await controller.run() }
            }
        }
    }
}

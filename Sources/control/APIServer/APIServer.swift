// The API server: an HTTPHandler over a store.
//
//   let server = APIServer(store: …, registry: .standard, configuration: …, nodeBackend: …, logger: …)
//   try await server.open()          // store opened, caches filled, bootstrap objects there: /readyz turns ok
//   try await server.run()           // upkeep, until cancelled
//   HTTPServer(…, handler: server)   // before or after open; resources answer 503 until then
//   server.client                    // the same API for callers in this process
//
// Nothing here listens or knows TLS; Transport does.

public import Client
public import HTTP
public import Logging
public import Objects
public import Store
internal import Synchronization
internal import System

public final class APIServer: HTTPHandler {
    let core: APICore
    let front: HTTPFront

    public init(
        store: any ObjectStore, registry: Registry = .standard, configuration: APIServerConfiguration,
        nodeBackend: any NodeBackend, logger: Logger
    ) {
        let core = APICore(store: store, registry: registry, configuration: configuration, logger: logger)
        let health = Health(
            [
                HealthCheck(name: "ping", isLiveness: true) { nil },
                HealthCheck(name: "store") { core.isReady ? nil : "the store is not open yet" },
                HealthCheck(name: "watch-cache") { core.isReady ? nil : "the caches are not filled yet" },
                HealthCheck(name: "bootstrap-objects") {
                    core.isBootstrapped ? nil : "the bootstrap objects are not there yet"
                },
            ], logger: logger)
        self.core = core
        let components = Components([
            HealthCheck(name: "store") {
                core.isReady ? core.storeProblem.withLock { $0 } : "the store is not open yet"
            }
        ])
        let authentication = Authentication(staticTokens: configuration.staticTokens)
        front = HTTPFront(
            core: core, access: Access(authentication: authentication, core: core),
            issuer: IssuerDocuments(core.tokens, serverAddress: configuration.serverAddress), health: health,
            components: components, node: nodeBackend, logger: logger,
            inFlight: InFlight(
                writeLimit: configuration.maxMutatingRequests, readLimit: configuration.maxReadingRequests),
            sessions: Sessions(limit: configuration.maxSessions, userLimit: configuration.maxUserSessions))
    }

    /// Opens the store, fills the caches and makes the bootstrap objects. Once.
    /// - Throws: StoreError when the store cannot be opened, APIStatus when a bootstrap object cannot be made.
    public func open() async throws {
        try await core.open()
        try core.authorization.follow(core)
        await core.customResources.settle(core)
        try await Bootstrap.run(core)
        core.finishBootstrap()
    }

    /// The upkeep of caches and watches: about once a minute, old changes are forgotten and quiet watches get a
    /// bookmark; and of the statuses of ResourceQuotas and of the API's own Service; deletions of
    /// custom resources go on. Returns when cancelled.
    public func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask { [core] in await QuotaStatus.run(core) }
            group.addTask { [core] in await core.customResources.run(core) }
            group.addTask { [core] in await Bootstrap.keepKubernetesService(core) }
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(60))
                core.tick()
            }
        }
    }

    /// The same API for callers in this process: no TLS, no authentication, every other rule. What they write is
    /// "noded"'s in managedFields.
    public var client: InProcessClient { client(as: "noded") }

    /// The same for one part of noded, by the name of the Kubernetes component whose work it does: tools that read
    /// managedFields know kube-controller-manager, kube-scheduler and kubelet.
    public func client(as manager: String) -> InProcessClient { InProcessClient(core, manager: manager) }

    /// The token of a Secret of type kubernetes.io/service-account-token: without an end,
    /// good while the Secret holds it.
    public func secretToken(account: ObjectKey, uid: String, secret: String) throws(APIStatus) -> String {
        var claims = ServiceAccountClaims(namespace: account.namespace, account: .init(name: account.name, uid: uid))
        claims.secret = .init(name: secret, uid: "")
        claims.isLegacy = true
        return try core.tokens.issue(claims)
    }

    /// The custom resources that are served, for controllers that must see every kind.
    public var directory: any ResourceDirectory { ServedDirectory(core: core) }

    /// Adds a named check to /readyz and /healthz (and /livez).
    public func addHealthCheck(_ check: HealthCheck) { front.health.add(check) }

    /// Names a part of the control plane that /api/v1/componentstatuses shows.
    public func addComponent(_ check: HealthCheck) { front.components.add(check) }

    public func handle(_ request: HTTPRequest) -> HTTPReply { front.handle(request) }

    public func forwards(path: String) -> Bool { HTTPFront.forwards(path) }

    /// Who asks and whether they may is known by the head: nobody else makes the server read a large body.
    public func screen(_ head: HTTPRequest) -> BodyScreening { front.screen(head) }
}

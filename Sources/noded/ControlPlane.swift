// The control plane of this process: store, API server with its TLS front, scheduler, controllers.
//
// `start` opens the store, makes or renews keys and listens; only then does `run` let anything act. A failure in
// `start` leaves nothing running.

import APIServer
import Client
import Controllers
import HTTP
import Logging
import Objects
import PKI
import Scheduler
import Store
import System
import Transport

struct ControlPlane: Sendable {
    let server: APIServer
    let informers: InformerSet
    let port: Int
    private let store: SQLiteStore
    private let control: StoreControl
    private let front: HTTPServer
    private let authority: CertificateAuthority
    private let names: [CertificateAuthority.Name]
    private let logs: LogFactory
    private let logger: Logger
    private let parts = PartHealth()

    struct Settings: Sendable {
        var dataDirectory: String
        var listen: String
        var port: Int
        var nodeName: String
        var nodeAddress: IPAddress
        var serviceCIDR: CIDR
        var clusterDomain: String
        var backend: any NodeBackend
        /// Bytes; nil leaves it to the store.
        var storeLimit: Int64?
        /// Bearer tokens out of the file that --token-auth-file names.
        var staticTokens: [StaticToken] = []
    }

    static func start(_ settings: Settings, logs: LogFactory) async throws -> ControlPlane {
        let logger = logs("control-plane")
        let authority = try CertificateAuthority.loadOrCreate(directory: "\(settings.dataDirectory)/pki")
        let names = Self.names(settings)
        let identity = try authority.issueServer(commonName: "noded", names: names)
        try Files.makeDirectory(StorePlace.folder(settings.dataDirectory), mode: 0o700)
        var storage = SQLiteStore.Configuration(path: StorePlace.file(settings.dataDirectory))
        if let limit = settings.storeLimit { storage.limits.fileBytes = limit }
        let store = SQLiteStore(storage, logger: logs("store"))
        var configuration = APIServerConfiguration(advertiseAddress: settings.nodeAddress)
        configuration.port = settings.port
        configuration.serviceCIDRs = [settings.serviceCIDR]
        configuration.issuer = "https://kubernetes.default.svc.\(settings.clusterDomain)"
        configuration.tokenSigner = try ServiceAccountSigner.loadOrCreate(directory: "\(settings.dataDirectory)/pki")
        configuration.certificateSigner = AuthoritySigner(authority: authority)
        configuration.staticTokens = settings.staticTokens
        let server = APIServer(
            store: store, registry: .standard, configuration: configuration, nodeBackend: settings.backend,
            logger: logs("api"))
        let front = try HTTPServer(
            HTTPServerConfiguration(
                address: settings.listen, port: settings.port,
                tls: .init(identity: identity, clientAuthorityPEM: authority.certificatePEM)),
            handler: server, logger: logs("http"))
        // The port first: whoever holds it may hold the store too, and says so more clearly.
        let port = try await front.start()
        let control: StoreControl
        do {
            try await server.open()
            control = try StoreControl(dataDirectory: settings.dataDirectory, store: store, logger: logs("store"))
        } catch {
            await front.shutdown(grace: .zero)
            throw error
        }
        let plane = ControlPlane(
            server: server, informers: InformerSet(client: server.client, logger: logs("informer")), port: port,
            store: store, control: control, front: front, authority: authority, names: names, logs: logs,
            logger: logger)
        for name in ["scheduler", "controller-manager"] { server.addComponent(plane.parts.check(name)) }
        try plane.writeKubeconfig(settings)
        return plane
    }

    /// The names and addresses under which clients may call the API.
    private static func names(_ settings: Settings) -> [CertificateAuthority.Name] {
        let domain = settings.clusterDomain
        var names: [CertificateAuthority.Name] = [
            .dns("localhost"), .dns(settings.nodeName), .dns("kubernetes"), .dns("kubernetes.default"),
            .dns("kubernetes.default.svc"), .dns("kubernetes.default.svc.\(domain)"),
        ]
        let addresses = ["127.0.0.1", "::1"].compactMap { IPAddress($0) }
            + [settings.nodeAddress, settings.serviceCIDR.address.advanced(by: 1)].compactMap { $0 }
            + (IPAddress(settings.listen).map { [$0] } ?? [])
        for address in Set(addresses).sorted() { names.append(.address(address)) }
        return names
    }

    private func writeKubeconfig(_ settings: Settings) throws {
        let admin = try authority.issueClient(commonName: "admin", organizations: ["system:masters"])
        // The loopback only answers where the server listens on it.
        let listensEverywhere = settings.listen == "0.0.0.0" || settings.listen == "::"
        let host = listensEverywhere ? "127.0.0.1" : settings.listen
        let text = Kubeconfig.text(
            server: "https://\(host.contains(":") ? "[\(host)]" : host):\(port)",
            authorityPEM: authority.certificatePEM, user: "admin", identity: admin)
        try Files.writeAtomically("\(settings.dataDirectory)/admin.kubeconfig", Array(text.utf8), mode: 0o600)
    }

    /// Runs everything until the task is cancelled.
    func run() async {
        let context = controllerContext()
        let scheduler = Scheduler(
            client: server.client(as: "kube-scheduler"), informers: informers, logger: logs("scheduler"))
        await withDiscardingTaskGroup { group in
            group.addTask { await server.run() }
            group.addTask { await control.run() }
            group.addTask { await informers.run() }
            group.addTask { await parts.run("scheduler") { await scheduler.run() } }
            group.addTask { await parts.run("controller-manager") { await Controllers.run(context) } }
            group.addTask { await renewCertificates() }
        }
    }

    private func controllerContext() -> ControllerContext {
        // A view of another resource (events.k8s.io) is not an object of its own.
        let stored = Registry.builtIn.filter { $0.storage == $0.id && $0.verbs.contains("delete") }
        var context = ControllerContext(
            client: server.client(as: "kube-controller-manager"), informers: informers,
            namespacedResources: stored.filter(\.isNamespaced).map(\.id),
            ownableResources: stored.map(\.id).filter { $0 != .events && $0 != .leases },
            resourceOfKind: Dictionary(
                Registry.builtIn.map { ("\($0.id.apiVersion)/\($0.kind)", $0.id) },
                uniquingKeysWith: { first, _ in first }),
            directory: server.directory, rootCA: authority.certificatePEM, logger: logs("controllers"))
        context.tokenMinter = SecretTokens(server: server, authorityPEM: authority.certificatePEM)
        context.certificateSigner = AuthoritySigner(authority: authority)
        return context
    }

    /// A fresh server certificate at a third of its life, without a restart.
    private func renewCertificates() async {
        while !Task.isCancelled {
            guard (try? await Task.sleep(for: .seconds(86_400 * 30))) != nil else { return }
            do {
                try front.replaceIdentity(try authority.issueServer(commonName: "noded", names: names))
            } catch {
                logger.error("cannot renew the server certificate", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Ends connections, then the store: whatever was acknowledged is on disk already.
    func stop() async {
        await front.shutdown(grace: .seconds(2))
        do {
            try await store.close()
        } catch {
            logger.error("the store did not close cleanly", metadata: ["error": "\(error)"])
        }
    }
}

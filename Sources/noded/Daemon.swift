// The running noded: starts its parts in order, tells the service manager, waits for the end, stops in order.

import APIServer
import Logging
import System

struct DaemonSettings: Sendable {
    let dataDirectory: String
    let runDirectory: String
    let cgroup: String
    let ranges: ClusterOptions.Ranges
    let clusterDomain: String
    let listen: String
    let port: Int
    let nodeName: String
    let nodeAddress: IPAddress
    let resolvConf: String
    /// Standalone mode: the folder of manifests.
    let manifests: String?
    /// Bytes; nil leaves it to the store.
    var storeLimit: Int64?
    /// Bearer tokens out of the file that --token-auth-file names.
    var staticTokens: [StaticToken] = []
}

struct Daemon: Sendable {
    let settings: DaemonSettings
    let logs: LogFactory

    func run() async throws {
        let logger = logs("noded")
        OOMScore.protect(logger)
        logger.info(
            "starting",
            metadata: [
                "version": "\(Noded.version)", "node": "\(settings.nodeName)", "data": "\(settings.dataDirectory)",
            ])
        if let manifests = settings.manifests {
            let node = try await Node.standalone(settings, logs: logs)
            try await untilStopped(logger) {
                try await node.runManifests(manifests)
            }
            return
        }
        let backend = LocalNode()
        let plane = try await ControlPlane.start(
            ControlPlane.Settings(
                dataDirectory: settings.dataDirectory, listen: settings.listen, port: settings.port,
                nodeName: settings.nodeName, nodeAddress: settings.nodeAddress, serviceCIDR: settings.ranges.services,
                clusterDomain: settings.clusterDomain, backend: backend, storeLimit: settings.storeLimit,
                staticTokens: settings.staticTokens),
            logs: logs)
        logger.info(
            "the API listens",
            metadata: [
                "address": "\(settings.listen)", "port": "\(plane.port)",
                "kubeconfig": "\(settings.dataDirectory)/admin.kubeconfig",
            ])
        do {
            let node = try await Node.member(
                settings, client: plane.server.client(as: "kubelet"), informers: plane.informers, logs: logs)
            backend.attach(node.kubelet)
            try await untilStopped(logger) {
                try await withThrowingDiscardingTaskGroup { group in
                    group.addTask { await plane.run() }
                    group.addTask { try await node.run() }
                    group.addTask {
                        await node.waitUntilReady(plane.informers)
                        logger.info("the node is ready")
                        ServiceManager.notify("READY=1")
                    }
                }
            }
        } catch {
            await plane.stop()
            throw error
        }
        await plane.stop()
        logger.info("stopped; containers keep running")
    }

    /// Runs `body` until it fails or SIGTERM or SIGINT comes; then everything in it is cancelled.
    private func untilStopped(_ logger: Logger, _ body: @escaping @Sendable () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await body()
                return false
            }
            group.addTask {
                let signal = await StopSignals.wait()
                logger.info("stopping", metadata: ["signal": "\(signal)"])
                ServiceManager.notify("STOPPING=1")
                return true
            }
            _ = try await group.next()
            group.cancelAll()
        }
    }
}

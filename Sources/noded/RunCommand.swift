// `noded run`: control plane and node in one process, until SIGTERM.
//
//      check -> lock -> control plane listens -> node prepares network -> READY=1 -> ... -> SIGTERM -> STOPPING=1
//      -> everything is cancelled (containers, rules and resolver stay) -> store closed -> exit 0
//
// Anything that keeps it from starting is one line on stderr and exit code 1, before anything is changed.

import APIServer
import ArgumentParser
import Kernel
import Logging
import Objects
import System
import Transport

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run a cluster of one node, or with --standalone just the pods of a folder.")

    @OptionGroup var paths: PathOptions
    @OptionGroup var cluster: ClusterOptions

    @Flag(help: "No control plane: run the pods of the YAML files in --manifests.")
    var standalone = false

    @Option(help: "Folder of pod manifests (*.yaml, *.json) for --standalone; changes are noticed.")
    var manifests: String?

    @Option(help: "Address on which the API listens.")
    var listen = "0.0.0.0"

    @Option(help: "Port on which the API listens.")
    var port = 6443

    @Option(help: "Name of this node. Default: the host name.")
    var nodeName: String?

    @Option(name: .customLong("node-ip"), help: "Address of this node. Default: that of the default route.")
    var nodeIP: String?

    @Option(help: "Where the machine's resolvers are listed; names outside the cluster are asked there.")
    var resolvConf = machineResolvConf

    private static let machineResolvConf = "/etc/resolv.conf"

    @Option(
        help: "Bytes that objects may take on disk, such as 4Gi. Beyond, only deletes and small updates are accepted.")
    var storeLimit = "4Gi"

    @Option(
        name: .customLong("token-auth-file"),
        help: """
            File of bearer tokens, one TOKEN,USER,UID[,"GROUP,GROUP"] a line; read at start. Only root should read it.
            """)
    var tokenAuthFile: String?

    @Option(help: "trace, debug, info, notice, warning, error or critical.")
    var logLevel = "info"

    @Option(help: "text or json.")
    var logFormat = "text"

    func validate() throws {
        if standalone, manifests == nil { throw ValidationError("--standalone needs --manifests DIR") }
        if !standalone, manifests != nil { throw ValidationError("--manifests only goes with --standalone") }
        guard (1...65535).contains(port) else { throw ValidationError("--port \(port): must be 1 to 65535") }
        guard IPAddress(listen) != nil else { throw ValidationError("--listen \(listen): must be an IP address") }
        if let nodeIP, IPAddress(nodeIP) == nil { throw ValidationError("--node-ip \(nodeIP): must be an IP address") }
        guard storeLimitBytes != nil else {
            throw ValidationError("--store-limit \(storeLimit): must be an amount of at least 16Mi, such as 4Gi")
        }
        guard Logger.Level(rawValue: logLevel) != nil else {
            throw ValidationError(
                "--log-level \(logLevel): must be trace, debug, info, notice, warning, error or critical")
        }
        guard LogFormat(rawValue: logFormat) != nil else {
            throw ValidationError("--log-format \(logFormat): must be text or json")
        }
        if let nodeName, !DomainName.isValid(nodeName) {
            throw ValidationError("--node-name \(nodeName): must be lower case letters, digits, '-' and '.'")
        }
    }

    private var storeLimitBytes: Int64? {
        guard let bytes = try? Quantity(parsing: storeLimit).value, bytes >= 16 << 20 else { return nil }
        return bytes
    }

    func run() async throws {
        let logs = LogFactory(
            format: LogFormat(rawValue: logFormat) ?? .text, level: Logger.Level(rawValue: logLevel) ?? .info)
        do {
            try Preflight.require()
            OpenFiles.raiseLimit()
            let settings = try settings()
            // Before the port: another noded on this directory has that, too, and is the better explanation.
            try InstanceLocks.checkData(paths)
            if !standalone { try await HTTPServer.check(address: listen, port: port) }
            let locks = try InstanceLocks(paths)
            defer { withExtendedLifetime(locks) {} }
            try await Daemon(settings: settings, logs: logs).run()
        } catch {
            fail(error)
        }
    }

    private func staticTokens() throws -> [StaticToken] {
        guard let tokenAuthFile else { return [] }
        do {
            return try StaticToken.parse(String(decoding: try Files.read(tokenAuthFile, limit: 1 << 20), as: UTF8.self))
        } catch let error as StaticTokenError {
            throw StartFailure("--token-auth-file \(tokenAuthFile), \(error)")
        }
    }

    private func settings() throws -> DaemonSettings {
        let address: IPAddress
        if let given = nodeIP.flatMap({ IPAddress($0) }) {
            guard try NodeAddress.isOurs(given) else {
                throw StartFailure("--node-ip \(given) is no address of this machine (see `ip address`)")
            }
            address = given
        } else {
            address = try NodeAddress.find()
        }
        let ranges = try cluster.ranges()
        for (flag, range) in [("--pod-cidr", ranges.pods), ("--service-cidr", ranges.services)]
        where range.contains(address) {
            throw StartFailure("\(flag) \(range) holds this node's own address \(address): give another range")
        }
        // The machine's own may come later; one that somebody names is there.
        guard resolvConf == Self.machineResolvConf || Files.exists(resolvConf) else {
            throw StartFailure("--resolv-conf \(resolvConf): there is no such file")
        }
        if let manifests, !Files.isDirectory(manifests) {
            throw StartFailure("--manifests \(manifests) is no directory")
        }
        return DaemonSettings(
            dataDirectory: paths.dataDirectory, runDirectory: paths.runDirectory, cgroup: paths.cgroup,
            ranges: try cluster.ranges(), clusterDomain: cluster.clusterDomain, listen: listen, port: port,
            nodeName: nodeName ?? NodeName.ofThisMachine(), nodeAddress: address, resolvConf: resolvConf,
            manifests: manifests, storeLimit: storeLimitBytes, staticTokens: try staticTokens())
    }
}

// The cluster's DNS on this node, noded's side: it keeps a resolver process running, holds copies of its sockets, and
// feeds it the Services straight from the informers.
//
//   run: adopt the running resolver, or start one ──> wait for the informers ──> snapshot ──> changes as they come
//            ^                                                                                      │ it ends
//            └───── start again with the held sockets: queries wait in them, none is lost <─────────┘
//
// The resolver serves on when run() is cancelled or noded dies. A snapshot is sent only when both informers have
// everything, so an adopted resolver never forgets a name for a moment. A resolver of another protocol version, of a
// replaced binary or with other addresses is restarted; the sockets stay open where the addresses stay the same.
//
// run() throws only what nothing can be done about: a domain that is no name. What may pass (the address is not on lo
// yet, the executable is missing) is logged and tried again.

public import Client
public import Kernel
public import Logging
import Objects
import Synchronization
public import System

public struct ClusterDNSConfig: Sendable {
    /// Where it answers, one of each family: on lo already (PodNetwork puts them there).
    public var addresses: [IPAddress]
    public var port: UInt16
    /// "cluster.local"
    public var domain: String
    /// Exists, mode 0700; holds resolver.sock and resolver.log.
    public var runDirectory: String
    /// The program and what comes before the resolver's own arguments: noded, ["dns-resolver"].
    public var executable: String
    public var arguments: [String]
    public var resolvConfPath: String
    /// When not empty, these are asked instead of resolv.conf's servers; loopback is allowed here.
    public var upstreams: [InternetEndpoint]
    /// Ranges of pods' addresses: for names like 10-1-2-3.NAMESPACE.pod.DOMAIN.
    public var clusterCIDRs: [CIDR]
    /// With those of the pods: whose reverse names never leave the cluster.
    public var serviceCIDRs: [CIDR]

    public init(
        addresses: [IPAddress], port: UInt16 = 53, domain: String = "cluster.local", runDirectory: String,
        executable: String = "/proc/self/exe", arguments: [String] = [ResolverProcess.subcommand],
        resolvConfPath: String = "/etc/resolv.conf", upstreams: [InternetEndpoint] = [], clusterCIDRs: [CIDR] = [],
        serviceCIDRs: [CIDR] = []
    ) {
        (self.addresses, self.port, self.domain, self.runDirectory) = (addresses, port, domain, runDirectory)
        (self.executable, self.arguments, self.resolvConfPath) = (executable, arguments, resolvConfPath)
        (self.upstreams, self.clusterCIDRs, self.serviceCIDRs) = (upstreams, clusterCIDRs, serviceCIDRs)
    }

    static func controlPath(_ runDirectory: String) -> String { "\(runDirectory)/resolver.sock" }

    var control: String { Self.controlPath(runDirectory) }

    var resolver: ResolverConfig {
        ResolverConfig(
            zone: ZoneConfig(
                domain: domain, addresses: addresses, podCIDRs: clusterCIDRs,
                reverseCIDRs: clusterCIDRs + serviceCIDRs),
            resolvConf: resolvConfPath, upstreams: upstreams)
    }

    /// What must be listened on.
    var endpoints: Set<InternetEndpoint> { Set(addresses.map { InternetEndpoint($0, port) }) }
}

/// A configuration that can never work.
public struct ClusterDNSError: Error, CustomStringConvertible {
    public let description: String
}

public final class ClusterDNS: Sendable {
    private struct State {
        var dirty: Set<ObjectKey> = []
        /// Services of which the log has said that they have too many names.
        var tooLarge: Set<ObjectKey> = []
        /// What the resolver has from this connection.
        var sequence: UInt64 = 0
        var applied: UInt64 = 0
        var child: ProcessHandle?
        var sockets: [SharedDescriptor] = []
        var resolver: Int32?
        /// Wakes the feeder of the present connection. One stream each: a cancelled iteration ends its stream for good.
        var wake: AsyncStream<Void>.Continuation?
    }

    private let config: ClusterDNSConfig
    private let services: Informer
    private let slices: Informer
    private let slicesOf: Index
    private let logger: Logger
    private let state = Mutex(State())

    /// - Parameter informers: shared ones, run by their owner.
    public init(_ config: ClusterDNSConfig, informers: InformerSet, logger: Logger) {
        self.config = config
        self.logger = logger
        services = informers.informer(.services)
        slices = informers.informer(.endpointSlices)
        slicesOf = Index(slices) { Self.owner($0).map { ["\($0)"] } ?? [] }
        services.onChange { [weak self] key, _, _ in self?.mark([key]) }
        slices.onChange { [weak self] _, old, new in
            self?.mark([old, new].compactMap { $0.flatMap(Self.owner) })
        }
    }

    /// The running resolver's pid, as far as known: for status pages and tests.
    public var resolverPID: Int32? { state.withLock { $0.resolver } }

    /// Everything that was known at some moment after the last change has reached the resolver.
    public var isCurrent: Bool {
        state.withLock { $0.dirty.isEmpty && $0.sequence > 0 && $0.applied == $0.sequence }
    }

    private static func owner(_ slice: JSON) -> ObjectKey? {
        guard let metadata = slice["metadata"],
            let service = metadata["labels"]?["kubernetes.io/service-name"]?.string
        else { return nil }
        return ObjectKey(namespace: metadata["namespace"]?.string ?? "", name: service)
    }

    private func mark(_ keys: [ObjectKey]) {
        guard !keys.isEmpty else { return }
        let wake = state.withLock { state in
            state.dirty.formUnion(keys)
            return state.wake
        }
        wake?.yield()
    }

    private func names(_ key: ObjectKey) -> ServiceNames? {
        services.object(key).flatMap {
            ServiceNames(Service($0), slices: slicesOf.objects("\(key)").map { EndpointSlice($0) })
        }
    }

    // MARK: Running

    /// Serves until the task is cancelled, which leaves the resolver running.
    public func run() async throws {
        guard DNSName(config.domain) != nil, !config.domain.isEmpty else {
            throw ClusterDNSError(description: "cluster DNS: \"\(config.domain)\" is no domain name")
        }
        guard !config.addresses.isEmpty else {
            throw ClusterDNSError(description: "cluster DNS: no address is configured")
        }
        var pause = Duration.milliseconds(20)
        while !Task.isCancelled {
            do {
                let link = try await BlockingPool.shared.run { [self] in try connect() }
                let fedSince = ContinuousClock.now
                defer { if ContinuousClock.now - fedSince > .seconds(10) { pause = .milliseconds(20) } }
                try await feed(link)
            } catch {
                if Task.isCancelled { return }
                // At a first start its address comes to lo a moment later; only what lasts is worth a warning.
                logger.log(
                    level: pause < .milliseconds(640) ? .debug : .warning,
                    "the DNS resolver is not connected, trying again", metadata: ["error": "\(error)"])
            }
            reap()
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, .seconds(5))
        }
    }

    private func reap() {
        guard let child = state.withLock({ $0.child }), let exit = try? child.reap() else { return }
        state.withLock { $0.child = nil }
        logger.warning(
            "the DNS resolver has ended", metadata: [
                "pid": "\(child.pid)", "exit": "\(exit)", "log": "\(config.runDirectory)/resolver.log",
            ])
    }

    /// The running resolver, if it is the right one; else a new one, with the sockets that are still right.
    private func connect() throws -> ResolverLink {
        if let link = try? ResolverLink(path: config.control) {
            let wrong = mismatch(link)
            state.withLock { $0.sockets = link.sockets }
            if wrong == nil {
                state.withLock { $0.resolver = link.process.pid }
                logger.info("adopted the running DNS resolver", metadata: ["pid": "\(link.process.pid)"])
                return link
            }
            logger.info("restarting the DNS resolver", metadata: ["pid": "\(link.process.pid)", "reason": "\(wrong!)"])
            Self.end(link.process)
        }
        if let child = state.withLock({ $0.child }), child.isRunning {
            // It runs and cannot be reached: a resolver that nobody can feed goes stale for ever.
            Self.end(child)
        }
        reap()
        let sockets = try boundSockets()
        state.withLock { $0.sockets = sockets }
        let process = try DetachedProcess.start(
            executable: config.executable,
            arguments: config.arguments + ["--control", config.control, "--sockets", "\(sockets.count)"],
            descriptors: sockets.map(\.raw), log: "\(config.runDirectory)/resolver.log")
        state.withLock { ($0.child, $0.resolver) = (process, process.pid) }
        logger.info("started the DNS resolver", metadata: ["pid": "\(process.pid)"])
        var failure: any Error = ControlError(what: "the resolver did not come up")
        for _ in 0..<500 where process.isRunning {
            do {
                return try ResolverLink(path: config.control)
            } catch {
                failure = error
            }
            var none: [Poll.Entry] = []
            try Poll.wait(&none, milliseconds: 10)
        }
        throw failure
    }

    private func mismatch(_ link: ResolverLink) -> String? {
        if link.version != ControlMessage.version { return "it speaks version \(link.version)" }
        if Files.symlinkTarget("/proc/\(link.process.pid)/exe")?.hasSuffix(" (deleted)") == true {
            return "its binary was replaced"
        }
        let listening = Set(link.sockets.compactMap { try? InternetSocket.local($0.raw) })
        return listening == config.endpoints && link.sockets.count == 2 * listening.count
            ? nil : "it listens on \(listening.map(\.description).sorted())"
    }

    /// Those held that are still wanted, and new ones for what is missing.
    private func boundSockets() throws -> [SharedDescriptor] {
        let held = state.withLock { $0.sockets }
        var sockets: [SharedDescriptor] = []
        for endpoint in config.endpoints.sorted(by: { $0.address < $1.address }) {
            for kind in [InternetSocket.Kind.udp, .tcp] {
                let old = try held.first {
                    try InternetSocket.local($0.raw) == endpoint && InternetSocket.kind($0.raw) == kind
                }
                sockets.append(try old ?? SharedDescriptor(InternetSocket.bound(kind, endpoint)))
            }
        }
        return sockets
    }

    private func feed(_ link: ResolverLink) async throws {
        let (signals, wake) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        state.withLock { $0.wake = wake }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await link.read { self.heard($0) } }
            group.addTask {
                try await link.send([.hello(version: ControlMessage.version, pid: 0), .configure(self.config.resolver)])
                while !(self.services.hasSynced && self.slices.hasSynced) {
                    try await Task.sleep(for: .milliseconds(20))
                }
                try await self.sendSnapshot(link)
                for await _ in signals { try await self.sendChanges(link) }
                throw CancellationError()
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private func heard(_ message: ControlMessage) {
        switch message {
        case .applied(let sequence): state.withLock { $0.applied = sequence }
        case .notice(let text): logger.notice("DNS resolver: \(text)")
        default: break
        }
    }

    private func sendSnapshot(_ link: ResolverLink) async throws {
        // What changes from here on is marked again and follows.
        let sequence = state.withLock { state in
            state.dirty = []
            state.sequence += 1
            state.applied = 0
            return state.sequence
        }
        try await link.send([.begin])
        try await sendNames(services.objects.keys, link)
        try await link.send([.commit(sequence)])
        // What was marked before this connection's stream was there, or meanwhile.
        state.withLock { $0.wake }?.yield()
    }

    private func sendChanges(_ link: ResolverLink) async throws {
        let (keys, sequence) = state.withLock { state -> (Set<ObjectKey>, UInt64) in
            defer { state.dirty = [] }
            if !state.dirty.isEmpty { state.sequence += 1 }
            return (state.dirty, state.sequence)
        }
        guard !keys.isEmpty else { return }
        try await sendNames(keys, link)
        try await link.send([.commit(sequence)])
    }

    /// In pieces: ten thousand Services are not encoded at once.
    private func sendNames(_ keys: some Sequence<ObjectKey>, _ link: ResolverLink) async throws {
        var frames: [UInt8] = []
        for key in keys.sorted() {
            frames += frame(key)
            guard frames.count > 256 << 10 else { continue }
            try await link.send(frames)
            frames = []
        }
        try await link.send(frames)
    }

    /// What the resolver must know of a Service now.
    private func frame(_ key: ObjectKey) -> [UInt8] {
        let update = names(key).map { ControlMessage.update($0) }
        let isNew = state.withLock { state in
            guard update?.tooLarge != nil else {
                state.tooLarge.remove(key)
                return false
            }
            return state.tooLarge.insert(key).inserted
        }
        if isNew, let bytes = update?.tooLarge {
            logger.error(
                "the cluster DNS answers SERVFAIL for a Service that has too many endpoints and ports",
                metadata: [
                    "service": "\(key)", "bytes": "\(bytes)", "limit": "\(ControlMessage.largestService)",
                    "remedy": "split it into several Services",
                ])
        }
        return update?.frame ?? ControlMessage.remove(namespace: key.namespace, name: key.name).encoded()
    }

    // MARK: Ending

    private static func end(_ process: ProcessHandle) {
        try? process.signal(Signal.terminate)
        for number in 0..<200 where process.isRunning {
            if number == 100 { try? process.signal(Signal.kill) }
            var none: [Poll.Entry] = []
            _ = try? Poll.wait(&none, milliseconds: 10)
        }
    }

    /// Ends the resolver, after run() has ended, and removes its files. Needs no memory; without a resolver it does
    /// nothing. Blocks for up to two seconds.
    public func teardown() {
        Self.teardown(runDirectory: config.runDirectory)
        reap()
        state.withLock { ($0.sockets, $0.resolver) = ([], nil) }
    }

    /// The same for `noded reset`, which has no ClusterDNS.
    public static func teardown(runDirectory: String) {
        let path = ClusterDNSConfig.controlPath(runDirectory)
        if let link = try? ResolverLink(path: path, patience: 1000) { end(link.process) }
        for file in [path, "\(runDirectory)/resolver.log"] { _ = try? Files.remove(file) }
    }
}

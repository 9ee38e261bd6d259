// The pod network of a node: a front that brings its verbs, one after the other, onto a worker thread (HostNetwork does
// the work), deletes links on a second one, because that takes the kernel 21 to 42 ms each, and watches over its table.
//
//     attach    1 to 2 ms: veth with both ends in one message, addresses, permanent neighbours, routes
//               then a moment until the link passes packets, for which no other pod waits
//               a link that somebody else removes is noticed and told: the pod's worker attaches it again
//     detach    the host route goes at once: nothing reaches the pod, and its own packets fail the source check;
//               the link follows in the background, and only then is the address free
//
// Errors are PodNetworkError, NetlinkError (which operation, what the kernel said), NftError, SystemError.

public import Kernel
public import Logging
internal import Netlink
internal import Nftables
internal import Synchronization
public import System

public final class PodNetwork: PodNetworking {
    private struct State {
        var attached: [String: PodAddresses] = [:]
        /// Pods whose link is being deleted.
        var departing: [String: Int] = [:]
        var monitor: RulesetMonitor?
        var links: LinkMonitor?
        /// Until the kernel was read, the address book does not know which addresses live pods have.
        var isRecovered = false
    }

    private let config: PodNetworkConfig
    private let logger: Logger
    private let namespace: SharedDescriptor?
    private let host: HostNetwork
    private let worker = WorkerThread(name: "pod-network")
    private let deleter = WorkerThread(name: "link-deleter")
    private let state = Mutex(State())
    public let lostLinks: AsyncStream<String>
    private let tellLost: AsyncStream<String>.Continuation
    private let passesPackets: @Sendable (RouteSocket) throws -> Bool
    private let patience: Duration

    /// Opens sockets and the state folder; changes nothing else.
    /// - Parameter namespace: the node's network namespace; nil: the process's own.
    public convenience init(config: PodNetworkConfig, namespace: SharedDescriptor? = nil, logger: Logger) throws {
        try self.init(
            config: config, namespace: namespace, logger: logger, patience: .seconds(2),
            passesPackets: PodLink.passesPackets)
    }

    /// - Parameters:
    ///   - patience: how long `attach` waits at most for a new link to pass packets.
    ///   - passesPackets: whether it does, asked by a socket in the pod's namespace.
    init(
        config: PodNetworkConfig, namespace: SharedDescriptor?, logger: Logger, patience: Duration,
        passesPackets: @escaping @Sendable (RouteSocket) throws -> Bool
    ) throws {
        guard !config.podCIDRs.isEmpty, config.podCIDRs.count == Set(config.podCIDRs.map(\.isV6)).count else {
            throw PodNetworkError.config("needs one pod range per family, got \(config.podCIDRs)")
        }
        guard config.podCIDRs.allSatisfy({ $0.count >= 4 }) else {
            throw PodNetworkError.config("a pod range needs at least 4 addresses, got \(config.podCIDRs)")
        }
        for range in config.serviceCIDRs {
            if let other = config.clusterCIDRs.first(where: range.overlaps) {
                throw PodNetworkError.config("Service range \(range) and pod range \(other) overlap")
            }
        }
        self.config = config
        self.namespace = namespace
        self.logger = logger
        self.patience = patience
        self.passesPackets = passesPackets
        (lostLinks, tellLost) = AsyncStream.makeStream()
        host = try HostNetwork(config: config, namespace: namespace, logger: logger)
    }

    public func prepareNode() async throws {
        try await worker.run { [self] in
            // The monitor first: a flush between installing and watching would go unnoticed.
            if state.withLock({ $0.monitor == nil }) {
                let monitor = try openMonitor()
                state.withLock { $0.monitor = monitor }
            }
            // Before links are read or made, for the same reason.
            if state.withLock({ $0.links == nil }) {
                let links = try openLinkMonitor()
                state.withLock { $0.links = links }
            }
            try host.prepare()
        }
    }

    private func openMonitor() throws -> RulesetMonitor {
        weak let network = self
        let open: @Sendable () throws -> RulesetMonitor = { [worker] in
            try RulesetMonitor(tables: [NodeRules.table.name]) {
                worker.submit { network?.repair() }
            }
        }
        guard let namespace else { return try open() }
        return try NetworkNamespace.runBlocking(fd: namespace, open)
    }

    private func openLinkMonitor() throws -> LinkMonitor {
        weak let network = self
        let open: @Sendable () throws -> LinkMonitor = { [worker] in
            // Every link of the machine that goes comes by here; the few that matter are looked for on the worker.
            try LinkMonitor {
                name in worker.submit { network?.linkRemoved(name) }
            } onFailure: { error in
                network?.logger.error(
                    "cannot watch links any more: a pod's link that is removed from now on is not made again",
                    metadata: ["error": "\(error)"])
            }
        }
        guard let namespace else { return try open() }
        return try NetworkNamespace.runBlocking(fd: namespace, open)
    }

    /// - Parameter name: nil when messages were lost: whichever it may have been.
    private func linkRemoved(_ name: String?) {
        let suspects = state.withLock { state in
            state.attached.filter { name == nil || $0.value.hostInterface == name }
        }
        for (podUID, addresses) in suspects.sorted(by: { $0.key < $1.key }) {
            do {
                // One that was replaced is there again.
                if try host.hasLink(podUID: podUID) { continue }
            } catch {
                logger.error("cannot look for a pod's link", metadata: ["pod": "\(podUID)", "error": "\(error)"])
                continue
            }
            logger.debug("a pod's link is gone", metadata: ["pod": "\(podUID)", "link": "\(addresses.hostInterface)"])
            state.withLock { $0.attached[podUID] = nil }
            tellLost.yield(podUID)
        }
    }

    private func repair() {
        guard state.withLock({ $0.monitor != nil }) else { return }
        do {
            try host.install(NodeRules.ruleset(config))
            logger.warning("another process removed rules of the pod network; they are back")
        } catch {
            logger.error("cannot restore the rules of the pod network", metadata: ["error": "\(error)"])
        }
    }

    public func attach(podUID: String, process: ProcessHandle) async throws -> PodAddresses {
        // The deleter works in order: when this empty piece is done, so is a deletion begun before.
        while state.withLock({ $0.departing[podUID] != nil }) {
            try await deleter.run {}
            try await worker.run {}
        }
        let attachment = try await worker.run { [self] in
            guard state.withLock({ $0.isRecovered }) else { throw PodNetworkError.notRecovered(podUID: podUID) }
            let attachment = try host.attach(podUID: podUID, process: process)
            state.withLock { $0.attached[podUID] = attachment.addresses }
            return attachment
        }
        if let pod = attachment.freshEnd { await awaitPackets(pod, podUID: podUID, attachment.addresses) }
        return attachment.addresses
    }

    /// Waits until a new link passes packets. The worker only looks and is everybody's in between, for a container may
    /// hold its link down as long as it likes. The link is complete: who does not wait to the end loses no more than
    /// the pod's first packets.
    private func awaitPackets(_ pod: RouteSocket, podUID: String, _ addresses: PodAddresses) async {
        let deadline = ContinuousClock.now + patience
        var pause = Duration.milliseconds(1)
        // Until it was detached, or lost.
        while state.withLock({ $0.attached[podUID] == addresses }) {
            let why: String
            do {
                if try await worker.run({ [passesPackets] in try passesPackets(pod) }) { return }
                why = "it is down"
            } catch {
                why = "\(error)"
            }
            guard ContinuousClock.now < deadline else {
                return logger.warning(
                    "the pod's link does not pass packets yet: its first ones may be lost",
                    metadata: ["pod": "\(podUID)", "link": "\(addresses.hostInterface)", "why": "\(why)"])
            }
            guard (try? await Task.sleep(for: pause)) != nil else { return }
            pause = min(pause * 2, .milliseconds(16))
        }
    }

    public func detach(podUID: String) async {
        // The pool never fails by itself; what can fail is inside.
        try? await worker.run { [self] in
            state.withLock { $0.attached[podUID] = nil }
            do {
                try host.cutOff(podUID: podUID)
            } catch {
                logger.warning("cannot cut the pod off", metadata: ["pod": "\(podUID)", "error": "\(error)"])
            }
            beginDeletion(of: PodLink.name(podUID: podUID), podUID: podUID)
        }
    }

    private func beginDeletion(of link: String, podUID: String?) {
        if let podUID { state.withLock { $0.departing[podUID, default: 0] += 1 } }
        deleter.submit { [self] in
            var failure: (any Error)?
            do { try deleteLink(link) } catch { failure = error }
            worker.submit { [self, failure] in
                if let failure {
                    // The address stays taken: whoever has the link has the address.
                    logger.error("cannot delete a pod's link", metadata: ["link": "\(link)", "error": "\(failure)"])
                } else if let podUID {
                    host.release(podUID: podUID)
                }
                guard let podUID else { return }
                state.withLock { state in
                    state.departing[podUID]! -= 1
                    if state.departing[podUID] == 0 { state.departing[podUID] = nil }
                }
            }
        }
    }

    private func deleteLink(_ name: String) throws {
        let delete: @Sendable () throws -> Void = { try RouteSocket().deleteLink(named: name) }
        if let namespace { try NetworkNamespace.runBlocking(fd: namespace, delete) } else { try delete() }
    }

    public func recover(live: [String]) async throws {
        try await worker.run { [self] in
            // The caller's list may be old: what was attached or detached since is known better here.
            let living = state.withLock { state in
                Set(live).union(state.attached.keys).subtracting(state.departing.keys)
            }
            let found = try host.recover(live: living)
            state.withLock { state in
                state.attached = found.attached
                state.isRecovered = true
            }
            for (podUID, link) in found.garbage { beginDeletion(of: link, podUID: podUID) }
            logger.info(
                "pod network recovered",
                metadata: ["attached": "\(found.attached.count)", "removed": "\(found.garbage.count)"])
        }
    }

    public var isRecovered: Bool { state.withLock { $0.isRecovered } }

    public func addresses(of podUID: String) -> PodAddresses? { state.withLock { $0.attached[podUID] } }

    /// Waits until every deletion begun so far is done: for an orderly stop, and for tests.
    public func settle() async throws {
        try await worker.run {}
        try await deleter.run {}
        try await worker.run {}
    }

    public func teardown() async throws {
        try await settle()
        try await worker.run { [self] in
            // The monitor goes first, or it would put the table back.
            state.withLock { state in
                state.monitor = nil
                state.links = nil
                state.attached = [:]
                state.isRecovered = false
            }
            try host.teardown()
        }
    }
}

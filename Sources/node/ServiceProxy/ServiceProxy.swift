// Services of the API, in the kernel. Informers of Services and EndpointSlices mark Services as dirty; one loop
// computes what those ask (a value) and hands it to the engine on its worker thread. Changes are applied at once; those
// that arrive while a commit is under way travel together in the next.
//
// The rules do not need this process: when it stops they stay, when it starts it reads its table once and changes only
// what differs, and only after both informers have everything. Somebody else's flush is noticed and undone.
//
// Fails only when libnftables or netlink cannot be opened; a refused commit is logged and tried again, ever more rarely
// (up to 10 s; a single Service that nft refuses, up to a minute).

public import Client
internal import Kernel
public import Logging
internal import Netlink
internal import Nftables
internal import Objects
internal import Synchronization
public import System

public struct ServiceProxyConfig: Sendable {
    /// This node, for traffic policy Local.
    public var nodeName: String
    /// Packets to these ranges that no Service takes are rejected.
    public var serviceCIDRs: [CIDR]
    /// Addresses in them that this node answers itself.
    public var clusterDNS: [IPAddress]

    public init(nodeName: String, serviceCIDRs: [CIDR], clusterDNS: [IPAddress] = []) {
        self.nodeName = nodeName
        self.serviceCIDRs = serviceCIDRs
        self.clusterDNS = clusterDNS
    }
}

public final class ServiceProxy: Sendable {
    private struct State {
        var slices: [ObjectKey: [ObjectKey: EndpointSlice]] = [:]
        var dirty: Set<ObjectKey> = []
        var distrust = false
        /// Steps that failed, one after the other.
        var failures = 0
        /// Services that nft refuses, and when they are tried again.
        var leftOut: Set<ObjectKey> = []
        var leftOutDelay = Duration.seconds(1)
        /// Whether `ready` says all: before the first whole commit the kernel has the rules of an earlier life.
        var isComplete = false
        /// How often each address is a ready backend in what is committed.
        var ready: [IPAddress: Int] = [:]
        var readyOf: [String: Set<IPAddress>] = [:]
        var waiting: [UInt64: (address: IPAddress, continuation: CheckedContinuation<Bool, Never>)] = [:]
        var nextWait: UInt64 = 0
        var warned: Set<String> = []
    }

    private let config: ServiceProxyConfig
    private let services: Informer
    private let slices: Informer
    private let namespace: SharedDescriptor?
    private let logger: Logger
    private let engine: ProxyEngine
    private let worker = WorkerThread(name: "service-proxy")
    private let state = Mutex(State())
    private let signal: AsyncStream<Void>.Continuation
    private let signals: AsyncStream<Void>

    /// - Parameters:
    ///   - informers: shared ones, run by their owner.
    ///   - namespace: the node's network namespace; nil: the process's own.
    public init(
        informers: InformerSet, config: ServiceProxyConfig, namespace: SharedDescriptor? = nil, logger: Logger
    ) {
        self.config = config
        self.namespace = namespace
        self.logger = logger
        services = informers.informer(.services)
        slices = informers.informer(.endpointSlices)
        engine = ProxyEngine(
            ranges: config.serviceCIDRs, own: config.clusterDNS, namespace: namespace, logger: logger)
        (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        services.onChange { [weak self] key, _, _ in self?.mark(key) }
        slices.onChange { [weak self] key, old, new in self?.note(slice: key, old, new) }
    }

    // MARK: what changed

    private func mark(_ key: ObjectKey) {
        state.withLock { _ = $0.dirty.insert(key) }
        signal.yield()
    }

    private func note(slice key: ObjectKey, _ old: JSON?, _ new: JSON?) {
        func service(_ json: JSON) -> ObjectKey? {
            let name = EndpointSlice(json).metadata.labels["kubernetes.io/service-name"]
            return name.map { ObjectKey(namespace: key.namespace, name: $0) }
        }
        state.withLock { state in
            if let owner = old.flatMap(service) {
                state.slices[owner]?[key] = nil
                if state.slices[owner]?.isEmpty == true { state.slices[owner] = nil }
                state.dirty.insert(owner)
            }
            if let new, let owner = service(new) {
                state.slices[owner, default: [:]][key] = EndpointSlice(new)
                state.dirty.insert(owner)
            }
        }
        signal.yield()
    }

    private func wanted(_ key: ObjectKey) -> ProxyService? {
        guard let json = services.object(key) else { return nil }
        let slices = state.withLock { $0.slices[key].map { Array($0.values) } ?? [] }
        let service = ProxyService(Service(json), slices: slices, nodeName: config.nodeName)
        for text in service.unsupported where state.withLock({ $0.warned.insert("\(key) \(text)").inserted }) {
            logger.warning("not supported", metadata: ["service": "\(key)", "what": "\(text)"])
        }
        return service
    }

    // MARK: the loop

    /// Follows the API until the task is cancelled. The rules stay in force afterwards.
    public func run() async throws {
        let monitor = try await worker.run { [self] in try openMonitor() }
        defer { withExtendedLifetime(monitor) {} }
        guard await services.waitForSync(), await slices.waitForSync() else { return }
        let (leftOutDue, leftOut) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let (garbageDue, garbage) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let (untidyDue, untidy) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        await withDiscardingTaskGroup { group in
            group.addTask { [self] in
                var fails = false
                // A packet that read a mark before the change reads its endpoint within microseconds.
                for await _ in garbageDue {
                    try? await Task.sleep(for: .milliseconds(20))
                    await persist("delete what Services left behind", &fails) { try $0.collect() }
                }
            }
            // On its own: flows that cannot be ended must not keep garbage in the kernel.
            group.addTask { [self] in
                var fails = false
                for await _ in untidyDue {
                    await persist("end what is with departed backends", &fails) { try $0.tidy() }
                }
            }
            group.addTask { [self] in
                for await _ in leftOutDue {
                    try? await Task.sleep(for: state.withLock { $0.leftOutDelay })
                    state.withLock { state in
                        state.leftOutDelay = min(state.leftOutDelay * 2, .seconds(60))
                        state.dirty.formUnion(state.leftOut)
                    }
                    signal.yield()
                }
            }
            state.withLock { $0.distrust = true }
            signal.yield()
            for await _ in signals {
                await step()
                garbage.yield()
                untidy.yield()
                if state.withLock({ !$0.leftOut.isEmpty }) { leftOut.yield() }
            }
            garbage.finish()
            untidy.finish()
            leftOut.finish()
        }
    }

    private func step() async {
        let (dirty, distrust) = state.withLock { state in
            defer { (state.dirty, state.distrust) = ([], false) }
            return (state.dirty, state.distrust)
        }
        let done = await attempt("program Services") { [self] in
            if distrust { engine.distrust() }
            if engine.needsAll {
                let keys = Set(services.objects.keys).union(dirty)
                var all: [String: ProxyService] = [:]
                for key in keys { all[key.description] = wanted(key) }
                try engine.reconcile(all)
                publish(all, keys, complete: true)
                logger.info("Services are in the kernel", metadata: ["services": "\(all.count)"])
            } else {
                let changes = Dictionary(uniqueKeysWithValues: dirty.map { ($0.description, wanted($0)) })
                let count = try engine.apply(changes)
                publish(changes, dirty, complete: false)
                logger.debug("Services changed", metadata: ["services": "\(changes.count)", "elements": "\(count)"])
            }
        }
        let delay: Duration? = state.withLock { state in
            if done {
                state.failures = 0
                return nil
            }
            state.dirty.formUnion(dirty)
            state.distrust = true
            state.failures += 1
            return min(.milliseconds(100) * (1 << min(state.failures, 7)), .seconds(10))
        }
        guard let delay else { return }
        try? await Task.sleep(for: delay)
        signal.yield()
    }

    /// Work after a step, for as long as it takes. Its first failure and its recovery are told, not each try.
    private func persist(
        _ what: String, _ fails: inout Bool, _ work: @escaping @Sendable (ProxyEngine) throws -> Void
    ) async {
        var delay = Duration.milliseconds(200)
        while !Task.isCancelled {
            do {
                let isTrusted = try await worker.run { [self] in
                    // The step that reads the kernel anew is followed by this again.
                    guard !engine.needsAll else { return false }
                    defer {
                        if engine.needsAll {
                            state.withLock { $0.distrust = true }
                            signal.yield()
                        }
                    }
                    try work(engine)
                    return true
                }
                if isTrusted, fails {
                    fails = false
                    logger.notice("can \(what) again")
                }
                return
            } catch {
                logger.log(
                    level: fails ? .debug : .error, "cannot \(what); trying again, ever more rarely",
                    metadata: ["error": "\(error)"])
                fails = true
            }
            try? await Task.sleep(for: delay)
            delay = min(delay * 2, .seconds(30))
        }
    }

    @discardableResult
    private func attempt(_ what: String, _ body: @escaping @Sendable () throws -> Void) async -> Bool {
        do {
            try await worker.run(body)
            return true
        } catch {
            logger.error("cannot \(what)", metadata: ["error": "\(error)"])
            return false
        }
    }

    private func openMonitor() throws -> RulesetMonitor {
        weak let proxy = self
        let open: @Sendable () throws -> RulesetMonitor = {
            try RulesetMonitor(tables: [ProxyRules.table.name]) {
                guard let proxy else { return }
                proxy.logger.warning("another process removed Service rules; putting them back")
                proxy.state.withLock { $0.distrust = true }
                proxy.signal.yield()
            }
        }
        guard let namespace else { return try open() }
        return try NetworkNamespace.runBlocking(fd: namespace, open)
    }

    // MARK: what others wait for

    /// On the worker thread. What is left out has what it had before, so of that nothing is said.
    private func publish(_ changes: [String: ProxyService?], _ keys: Set<ObjectKey>, complete: Bool) {
        let refused = engine.leftOut
        let released = state.withLock { state -> [CheckedContinuation<Bool, Never>] in
            state.leftOut = state.leftOut.union(keys).filter { refused[$0.description] != nil }
            if state.leftOut.isEmpty { state.leftOutDelay = .seconds(1) }
            var changes = changes.filter { refused[$0.key] == nil }
            if complete {
                state.isComplete = true
                for name in state.readyOf.keys where changes[name] == nil && refused[name] == nil {
                    changes[name] = .some(nil)
                }
            }
            for (name, service) in changes {
                let new = service?.ready ?? []
                let old = state.readyOf.updateValue(new, forKey: name) ?? []
                if new.isEmpty { state.readyOf[name] = nil }
                for address in new.subtracting(old) { state.ready[address, default: 0] += 1 }
                for address in old.subtracting(new) {
                    state.ready[address]! -= 1
                    if state.ready[address] == 0 { state.ready[address] = nil }
                }
            }
            guard state.isComplete else { return [] }
            let done = state.waiting.filter { state.ready[$0.value.address] == nil }
            for id in done.keys { state.waiting[id] = nil }
            return done.values.map(\.continuation)
        }
        for continuation in released { continuation.resume(returning: true) }
    }

    /// Waits until no Service on this node sends new flows to `address` as a ready endpoint: before SIGTERM, so
    /// that no request goes to a pod that is leaving. An endpoint kept only because nothing better is left does not
    /// count. What an earlier life left in the kernel counts until all Services have been committed once.
    /// - Returns: false when `timeout` passed first (or the task was cancelled).
    public func waitUntilRemoved(address: IPAddress, timeout: Duration) async -> Bool {
        let id = state.withLock { state in
            state.nextWait += 1
            return state.nextWait
        }
        return await withTaskGroup(of: Bool.self) { group in
            group.addTask { [self] in
                await withTaskCancellationHandler {
                    await withCheckedContinuation { continuation in
                        let now: Bool? = state.withLock { state in
                            if state.isComplete, state.ready[address] == nil { return true }
                            if Task.isCancelled { return false }
                            state.waiting[id] = (address, continuation)
                            return nil
                        }
                        if let now { continuation.resume(returning: now) }
                    }
                } onCancel: {
                    state.withLock { $0.waiting.removeValue(forKey: id) }?.continuation.resume(returning: false)
                }
            }
            group.addTask {
                try? await Task.sleep(for: timeout)
                return false
            }
            defer { group.cancelAll() }
            return await group.next() ?? false
        }
    }

    /// Removes this machine's Service table, whoever made it: teardown without memory.
    public static func removeRules() throws {
        _ = try NftContext().delete(ProxyRules.table)
    }

    /// Removes the Service table. `run` must have ended.
    public func teardown() async throws {
        try await worker.run { [engine] in try engine.teardown() }
    }
}

// Cluster addresses and node ports of Services: given out once, never twice.
//
// The truth is the Services themselves: at start and with every change the sets are brought up to date from them, so
// nothing is stored apart and nothing can drift. What a write that is not yet committed was given is held beside them
// until the write is done or undone.
//
// Addresses are chosen at random in the upper part of the range; the lower part (16 to 256 addresses, as Kubernetes
// splits it) is for those who ask for an address by name, and is used for others when the upper part is full. The
// first address is the API's own Service, the tenth the cluster's DNS.

internal import Objects
internal import Synchronization
internal import System

final class ServiceAddresses: Sendable {
    private struct Pool<Value: Hashable> {
        var used: [Value: Int] = [:]

        mutating func add(_ value: Value) { used[value, default: 0] += 1 }

        mutating func remove(_ value: Value) {
            guard let count = used[value] else { return }
            used[value] = count > 1 ? count - 1 : nil
        }
    }

    private struct State {
        var addresses = Pool<IPAddress>()
        var ports = Pool<Int>()
    }

    /// Service ranges, the primary family first; one or two.
    let ranges: [CIDR]
    let nodePorts: ClosedRange<Int>
    private let state = Mutex(State())

    init(ranges: [CIDR], nodePorts: ClosedRange<Int>) {
        self.ranges = ranges
        self.nodePorts = nodePorts
    }

    /// The address of Service default/kubernetes.
    var kubernetes: IPAddress { ranges[0].address(at: 1) }

    // MARK: - What Services hold

    /// A Service changed, came or went. Store's writer thread.
    func observe(old: JSON?, new: JSON?) {
        let before = old.map(ServiceAddresses.held) ?? ([], [])
        let after = new.map(ServiceAddresses.held) ?? ([], [])
        state.withLock { state in
            for address in after.0 { state.addresses.add(address) }
            for port in after.1 { state.ports.add(port) }
            for address in before.0 { state.addresses.remove(address) }
            for port in before.1 { state.ports.remove(port) }
        }
    }

    static func held(_ service: JSON) -> (addresses: Set<IPAddress>, ports: Set<Int>) {
        let spec = service["spec"]
        var texts = spec?["clusterIPs"]?.strings ?? []
        if let first = spec?["clusterIP"]?.string { texts.append(first) }
        var ports = (spec?["ports"]?.array ?? []).compactMap { $0["nodePort"]?.int.map(Int.init) }
        if let health = spec?["healthCheckNodePort"]?.int { ports.append(Int(health)) }
        return (Set(texts.compactMap { IPAddress($0) }), Set(ports.filter { $0 > 0 }))
    }

    // MARK: - Holding for a write

    enum Refusal: Equatable { case taken, outside, full }

    /// Holds this address until `release`. nil when that worked.
    func reserve(_ address: IPAddress) -> Refusal? {
        guard let range = ranges.first(where: { $0.contains(address) }), isUsable(address, range) else {
            return .outside
        }
        return state.withLock { state in
            guard state.addresses.used[address] == nil else { return .taken }
            state.addresses.add(address)
            return nil
        }
    }

    /// Holds a free address of a family until `release`; nil when there is none.
    func reserve(family isV6: Bool) -> IPAddress? {
        guard let range = ranges.first(where: { $0.isV6 == isV6 }) else { return nil }
        // A /64 or wider is used as if it had 65,536 addresses.
        let size = min(range.count, 1 << 16)
        let split = min(max(16, size / 16), 256)
        let dns = range.address(at: 10)
        return state.withLock { state in
            for (low, high) in [(split, size), (1, split)] where high > low {
                let start = Random.uniform(below: high - low)
                for step in 0..<(high - low) {
                    let address = range.address(at: low + (start + step) % (high - low))
                    guard isUsable(address, range), address != dns, address != range.address(at: 1),
                        state.addresses.used[address] == nil
                    else { continue }
                    state.addresses.add(address)
                    return address
                }
            }
            return nil
        }
    }

    func release(_ address: IPAddress) { state.withLock { $0.addresses.remove(address) } }

    func reserve(port: Int) -> Refusal? {
        guard nodePorts.contains(port) else { return .outside }
        return state.withLock { state in
            guard state.ports.used[port] == nil else { return .taken }
            state.ports.add(port)
            return nil
        }
    }

    /// Holds a free node port until `release`; nil when there is none.
    func reservePort() -> Int? {
        state.withLock { state in
            // The lowest 86 ports are for those who name one, as in Kubernetes; used last.
            let split = min(max(16, nodePorts.count / 32), 128)
            for range in [(nodePorts.lowerBound + split)...nodePorts.upperBound, nodePorts] where !range.isEmpty {
                let start = Int(Random.uniform(below: UInt64(range.count)))
                for step in 0..<range.count {
                    let port = range.lowerBound + (start + step) % range.count
                    guard state.ports.used[port] == nil else { continue }
                    state.ports.add(port)
                    return port
                }
            }
            return nil
        }
    }

    func release(port: Int) { state.withLock { $0.ports.remove(port) } }

    /// Not the network's own address and not the broadcast address.
    private func isUsable(_ address: IPAddress, _ range: CIDR) -> Bool {
        address != range.address && (range.isV6 || address != range.last)
    }
}

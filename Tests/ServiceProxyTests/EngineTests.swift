// What the engine does when something is refused: by nft, on the real kernel, and by the table of flows, on a fake one.

import Kernel
import Logging
import Nftables
import Objects
import Synchronization
import System
import Testing

@testable import Netlink
@testable import ServiceProxy

/// A table of flows that fails as often as it is told to.
private final class FakeFlows: FlowTable {
    struct State {
        var failures = 0
        var errno = Errno.ENOMEM
        var entries: [ConntrackEntry] = []
        var questions: [FlowFilter] = []
    }

    let state = Mutex(State())

    func entries(_ filter: FlowFilter) throws(NetlinkError) -> [ConntrackEntry] {
        let found: Result<[ConntrackEntry], NetlinkError> = state.withLock { state in
            state.questions.append(filter)
            if state.failures > 0 {
                state.failures -= 1
                return .failure(NetlinkError("list conntrack entries", state.errno))
            }
            return .success(state.entries.filter(filter.matches))
        }
        return try found.get()
    }

    func delete(_ entry: ConntrackEntry) throws(NetlinkError) -> Bool {
        state.withLock { state in
            let there = state.entries.contains(entry)
            state.entries.removeAll { $0 == entry }
            return there
        }
    }

    var count: Int { state.withLock { $0.entries.count } }
}

@Suite(.serialized) struct EngineTests {
    private func engine(_ node: TestNode, _ flows: FakeFlows = FakeFlows()) -> ProxyEngine {
        ProxyEngine(
            ranges: [CIDR("10.43.0.0/16")!], own: [], namespace: node.namespace, logger: Logger(label: "test"),
            openFlows: { flows })
    }

    private func web(_ number: Int, _ pods: [String], _ more: [String: JSON] = [:]) -> ProxyService {
        spec(service("web\(number)", ["10.43.0.\(number)"], more), slice("web\(number)", endpoints(pods)))
    }

    /// No object of the API is known that leads to one: an IPv6 backend where IPv4 ones belong.
    private func poisoned(_ number: Int) -> ProxyService {
        var service = ProxyService()
        service.frontends[.address(.v4(0x0a2b_0000 + UInt32(number)), .tcp, port: 80)] = Target(
            name: "bad\(number)", isV6: false, backends: [Backend(address: .v6(hi: 1, lo: 1), port: 80)], affinity: nil)
        return service
    }

    private func addresses(_ node: TestNode) throws -> Set<String> {
        let words = try node.output("nft list map inet noded_services services4").split { " \n,{}".contains($0) }
        return Set(words.filter { $0.hasPrefix("10.43.") }.map(String.init))
    }

    @Test func aServiceThatNftRefusesHarmsNobodyElse() throws {
        let node = try TestNode()
        let engine = engine(node)
        var all = Dictionary(uniqueKeysWithValues: (1...20).map { ("s\($0)", web($0, ["10.42.0.\($0)"])) })
        all["s1"] = web(1, ["10.42.0.1"], ["sessionAffinity": "ClientIP"])
        try engine.reconcile(all)
        let marks = try node.output("nft list map inet noded_services affine4").split { " \n".contains($0) }
        let mark = try #require(marks.last { $0.hasPrefix("0x") })
        try node.command(
            "nft", "add element inet noded_services affinity4 { 192.0.2.9 . \(mark) timeout 1h : 10.42.0.1 . 8080 }")
        func remembers() throws -> Bool {
            try node.output("nft list map inet noded_services affinity4").contains("192.0.2.9")
        }
        #expect(try remembers())

        all["bad66"] = poisoned(66)
        #expect(throws: NftError.self) { try engine.apply(["bad66": poisoned(66)]) }
        #expect(engine.needsAll)
        try engine.reconcile(all)
        #expect(!engine.needsAll && engine.leftOut.keys.sorted() == ["bad66"])
        let sound = Set((1...20).map { "10.43.0.\($0)" })
        #expect(try addresses(node) == sound)
        // The table is the one it was: nobody was forgotten.
        #expect(try remembers())
        // Again, beside a sound one, and in a fresh process.
        try engine.apply(["bad66": poisoned(66), "s21": web(21, ["10.42.0.21"])])
        #expect(!engine.needsAll)
        #expect(try addresses(node) == sound.union(["10.43.0.21"]))
        let second = self.engine(node)
        all["s21"] = web(21, ["10.42.0.21"])
        #expect(throws: NftError.self) { try second.reconcile(all) }
        try second.reconcile(all)
        #expect(try addresses(node) == sound.union(["10.43.0.21"]))
        #expect(try remembers())
        try second.apply(["bad66": web(66, ["10.42.0.66"])])
        #expect(second.leftOut.isEmpty)
        #expect(try addresses(node) == sound.union(["10.43.0.21", "10.43.0.66"]))
        try second.teardown()
    }

    @Test func whenAlmostAllAreRefusedTheTableStaysAsItWas() throws {
        let node = try TestNode()
        let engine = engine(node)
        try engine.reconcile(["s1": web(1, ["10.42.0.1"])])
        let bad = Dictionary(uniqueKeysWithValues: (100..<150).map { ("bad\($0)", poisoned($0)) })
        for _ in 0..<4 {
            #expect(throws: NftError.self) { try engine.reconcile(bad) }
            #expect(try addresses(node) == ["10.43.0.1"])
        }
        try engine.reconcile(["s2": web(2, ["10.42.0.2"])])
        #expect(try addresses(node) == ["10.43.0.2"])
        try engine.teardown()
    }

    @Test func aForeignMapInTheWayIsRemovedWithTheTable() throws {
        let node = try TestNode()
        let engine = engine(node)
        let one = web(1, ["10.42.0.1"])
        try engine.reconcile(["s1": one])
        try node.command("nft", "add map inet noded_services endpoints4_3 { type mark : mark; }")
        let three = web(3, ["10.42.0.3", "10.42.0.4", "10.42.0.5"])
        #expect(throws: NftError.self) { try engine.apply(["s3": three]) }
        try engine.reconcile(["s1": one, "s3": three])
        #expect(engine.leftOut.isEmpty)
        #expect(try addresses(node) == ["10.43.0.1", "10.43.0.3"])
        try engine.teardown()
    }

    private func dns(_ pods: [String]) -> ProxyService {
        spec(
            service("dns", ["10.43.0.7"], ports: [("dns", 53, "UDP")]),
            slice("dns", endpoints(pods), ports: [("dns", 53, "UDP")]))
    }

    /// A flow from a client to `address`, which went to that pod.
    private func entry(_ pod: String, to address: String = "10.43.0.7") -> ConntrackEntry {
        let client = IPAddress("10.42.0.9")!
        return ConntrackEntry(
            original: .init(source: client, destination: IPAddress(address)!, sourcePort: 5, destinationPort: 53),
            reply: .init(source: IPAddress(pod)!, destination: client, sourcePort: 53, destinationPort: 5),
            protocolNumber: 17, rawOriginal: [], family: 2, id: [])
    }

    @Test func flowsThatCouldNotBeEndedAreTriedAgain() throws {
        let node = try TestNode()
        let flows = FakeFlows()
        let engine = engine(node, flows)
        try engine.reconcile(["dns": dns(["10.42.0.1", "10.42.0.2"])])
        let others = [entry("10.42.0.2"), entry("192.0.2.1", to: "192.0.2.1")]
        flows.state.withLock { state in
            state.entries = [entry("10.42.0.1")] + others
            (state.failures, state.questions) = (2, [])
        }
        try engine.apply(["dns": dns(["10.42.0.2"])])
        #expect(throws: NetlinkError.self) { try engine.tidy() }
        // Garbage does not wait for them.
        try engine.collect()
        #expect(flows.count == 3)
        try engine.tidy()
        #expect(flows.state.withLock { $0.entries } == others)
        // Done: nothing is asked again, and what was asked were this Service's flows only.
        let asked = flows.state.withLock { $0.questions }
        try engine.tidy()
        #expect(flows.state.withLock { $0.questions } == asked)
        #expect(asked.allSatisfy { $0.destination == IPAddress("10.43.0.7")! && $0.destinationPort == 53 })
        try engine.teardown()
    }

    @Test(arguments: [Errno.EINVAL, .EOPNOTSUPP])
    func aKernelThatCannotListFlowsIsAskedOncePerChange(_ errno: Errno) throws {
        let node = try TestNode()
        let flows = FakeFlows()
        let engine = engine(node, flows)
        try engine.reconcile(["dns": dns(["10.42.0.1", "10.42.0.2"])])
        flows.state.withLock { state in
            state.entries = [entry("10.42.0.1"), entry("10.42.0.2")]
            (state.failures, state.errno, state.questions) = (1, errno, [])
        }
        try engine.apply(["dns": dns(["10.42.0.2"])])
        try engine.tidy()
        try engine.tidy()
        #expect(flows.state.withLock { $0.questions.count } == 1)
        #expect(flows.count == 2)
        // The next change finds a kernel that can.
        try engine.apply(["dns": dns(["10.42.0.3"])])
        #expect(flows.state.withLock { $0.entries.isEmpty })
        try engine.teardown()
    }
}

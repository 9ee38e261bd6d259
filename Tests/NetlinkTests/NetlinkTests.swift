import Glibc
import Kernel
import Nftables
import Synchronization
import System
import Testing

@testable import Netlink

@Suite(.serialized) struct NetlinkTests {
    /// A veth pair between two fresh namespaces; everything goes with the descriptors.
    private func pair() throws -> (a: SharedDescriptor, b: SharedDescriptor) {
        let (a, b) = (try NetworkNamespace.create(), try NetworkNamespace.create())
        try NetworkNamespace.runBlocking(fd: a) {
            try RouteSocket().createVeth(
                name: "left", mac: MACAddress(2, 0, 0, 0, 0, 1), peerName: "right",
                peerMAC: MACAddress(2, 0, 0, 0, 0, 2),
                peerNamespace: b.raw, mtu: 1300)
        }
        return (a, b)
    }

    @Test func bothEndsInOneMessage() throws {
        let (a, b) = try pair()
        let left = try NetworkNamespace.runBlocking(fd: a) { try RouteSocket().link(named: "left") }
        let right = try NetworkNamespace.runBlocking(fd: b) { try RouteSocket().link(named: "right") }
        #expect(left?.kind == "veth" && left?.mtu == 1300 && left?.mac?.description == "02:00:00:00:00:01")
        #expect(right?.mtu == 1300 && right?.mac?.description == "02:00:00:00:00:02")
        #expect(left?.peerIndex == right?.index && right?.peerIndex == left?.index)
    }

    @Test func linksAddressesRoutesReadBackAsWritten() throws {
        let (a, b) = try pair()
        defer { withExtendedLifetime(b) {} }
        try NetworkNamespace.runBlocking(fd: a) {
            let socket = try RouteSocket()
            let link = try #require(try socket.link(named: "left"))
            var settings = RouteSocket.LinkSettings()
            settings.isUp = true
            settings.alias = "a pod's uid"
            settings.strictSource = true
            settings.withoutLinkLocal = true
            try socket.set(link: link.index, settings)
            let now = try #require(try socket.links().first { $0.name == "left" })
            #expect(now.isUp && now.alias == "a pod's uid")
            #expect(try Files.readText("/proc/sys/net/ipv4/conf/left/rp_filter") == "1\n")

            for text in ["10.9.0.1", "fd09::1"] {
                let address = IPAddress(text)!
                try socket.add(address: address, link: link.index)
                try socket.add(address: address, link: link.index)
                #expect(
                    try socket.addresses().contains { $0.address == address && $0.prefixLength == address.bitWidth })
                let route = Route(
                    to: CIDR(address.isV6 ? "fd0a::/64" : "10.10.0.0/24")!, link: link.index, source: address)
                try socket.add(route)
                #expect(try socket.routes().filter { $0.origin == Route.noded }.contains(route))
                try socket.setNeighbour(address.advanced(by: 1), mac: MACAddress(2, 0, 0, 0, 0, 9), link: link.index)
                #expect(try socket.delete(route))
                #expect(try !socket.delete(route))
                #expect(try socket.delete(address: address, link: link.index))
                #expect(try !socket.delete(address: address, link: link.index))
            }
            #expect(try socket.deleteLink(named: "left"))
            #expect(try !socket.deleteLink(named: "left"))
            #expect(try socket.link(named: "left") == nil)
        }
    }

    @Test func anErrorSaysWhatOnWhatAndWhy() throws {
        let (a, b) = try pair()
        try NetworkNamespace.runBlocking(fd: a) {
            let socket = try RouteSocket()
            let error = #expect(throws: NetlinkError.self) {
                try socket.createVeth(
                    name: "left", mac: MACAddress(2, 0, 0, 0, 0, 1), peerName: "other",
                    peerMAC: MACAddress(2, 0, 0, 0, 0, 2), peerNamespace: b.raw, mtu: 1300)
            }
            #expect(error?.errno == .EEXIST)
            #expect(error?.description == "netlink: create link left: File exists")
            let missing = #expect(throws: NetlinkError.self) {
                try socket.add(Route(to: CIDR("10.10.0.0/24")!, link: 4711))
            }
            #expect(missing?.description.hasPrefix("netlink: add route 10.10.0.0/24 dev #4711: No such device") == true)
        }
    }

    @Test func malformedMessagesYieldLessNeverMore() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let bytes = (0..<Int.random(in: 0...64, using: &generator)).map { _ in
                UInt8.random(in: 0...40, using: &generator)
            }
            let attributes = NetlinkAttributes(bytes[...])
            #expect(attributes.reduce(0) { $0 + 4 + $1.value.count } <= bytes.count)
            _ = attributes.number(1)
            _ = attributes.string(2)
            _ = attributes.nested(3).address(4)
        }
    }

    @Test func transactionsTakeEffectTogetherOrNotAtAll() throws {
        let namespace = try NetworkNamespace.create()
        try NetworkNamespace.runBlocking(fd: namespace) {
            let table = NftTable("inet", "test")
            let map = NftSet("m", "type ipv4_addr . inet_proto . inet_service : mark")
            let nft = try NftContext()
            let ruleset = NftRuleset(
                table, sets: [map],
                chains: [NftChain("c", hook: "type filter hook input priority 0", rules: ["accept"])])
            #expect(try nft.elements(of: map, in: table) == nil)
            try nft.apply(ruleset.installation)
            var transaction = NftTransaction(table)
            transaction.add(
                [NftElement("10.0.0.1 . tcp . 80", "0x1"), NftElement("10.0.0.2 . udp . 53", "4098")], to: "m")
            try nft.apply(transaction)
            let read = try #require(try nft.elements(of: map, in: table))
            #expect(
                Set(read) == [
                    NftElement("10.0.0.1 . 6 . 80", "0x00000001"), NftElement("10.0.0.2 . 17 . 53", "0x00001002"),
                ])
            // The second command fails, so the first has no effect.
            var half = NftTransaction(table)
            half.delete(["10.0.0.1 . tcp . 80"], from: "m")
            half.delete(["10.0.0.9 . tcp . 80"], from: "m")
            let failure = #expect(throws: NftError.self) { try nft.apply(half) }
            #expect(failure?.isMissing == true)
            #expect(try nft.elements(of: map, in: table)?.count == 2)
            // Installing again keeps the elements and does not double the rules.
            try nft.apply(ruleset.installation)
            #expect(try nft.elements(of: map, in: table)?.count == 2)
            #expect(
                try nft.list(table)?.split(separator: "\n").filter { $0.contains("accept") && !$0.contains("policy") }
                    .count == 1)
            #expect(try nft.delete(table))
            #expect(try !nft.delete(table))
        }
    }

    @Test func theKernelAnswersWithTheFlowsThatWereAskedFor() throws {
        let namespace = try NetworkNamespace.create()
        try NetworkNamespace.runBlocking(fd: namespace) {
            // A rule that asks for the state turns connection tracking on.
            #expect(
                system(
                    "ip link set lo up; nft 'add table inet t; add chain inet t c { type filter hook output priority 0; }; "
                        + "add rule inet t c ct state new accept'") == 0)
            for word in [
                "udp/127.0.0.1/5301", "udp/127.0.0.1/5302", "udp/127.0.0.2/5301", "tcp/127.0.0.1/5301", "udp/::1/5301",
            ] {
                _ = system("bash -c 'echo x >/dev/\(word)' 2>/dev/null")
            }
            let socket = try ConntrackSocket()
            func asked(_ filter: FlowFilter) throws -> Set<String> {
                // Without a second look: these are the kernel's own answers.
                let answers = try socket.dump(filter)
                #expect(answers == (try socket.entries(filter)))
                return Set(
                    answers.map { "\($0.protocolNumber) \($0.original.destination) \($0.original.destinationPort)" })
            }
            let udp = FlowFilter(isV6: false, protocolNumber: 17)
            #expect(try asked(udp) == ["17 127.0.0.1 5301", "17 127.0.0.1 5302", "17 127.0.0.2 5301"])
            var narrow = udp
            narrow.destinationPort = 5301
            #expect(try asked(narrow) == ["17 127.0.0.1 5301", "17 127.0.0.2 5301"])
            narrow.destination = IPAddress("127.0.0.2")!
            #expect(try asked(narrow) == ["17 127.0.0.2 5301"])
            #expect(try asked(FlowFilter(isV6: true, protocolNumber: 17)) == ["17 ::1 5301"])
            narrow = FlowFilter(isV6: true, protocolNumber: 17, destination: IPAddress("::1")!, destinationPort: 5301)
            #expect(try socket.entries(narrow).map(\.original.destinationPort) == [5301])
            narrow.destination = IPAddress("::2")!
            #expect(try socket.entries(narrow).isEmpty)
            narrow = FlowFilter(isV6: true, protocolNumber: 17, destinationPort: 5302)
            #expect(try asked(narrow).isEmpty)
        }
    }

    @Test func theMonitorTellsForeignRemovalsFromOurs() async throws {
        let namespace = try NetworkNamespace.create()
        let counter = Counter()
        let table = NftTable("inet", "watched")
        let set = NftSet("s", "type ipv4_addr")
        let (monitor, nft) = try NetworkNamespace.runBlocking(fd: namespace) {
            (try RulesetMonitor(tables: ["watched"]) { counter.increment() }, try NftContext())
        }
        try NetworkNamespace.runBlocking(fd: namespace) {
            try nft.apply(NftRuleset(table, sets: [set], chains: []).installation)
            var add = NftTransaction(table)
            add.add([NftElement("10.0.0.1"), NftElement("10.0.0.2")], to: "s")
            try nft.apply(add)
            var delete = NftTransaction(table)
            delete.delete(["10.0.0.1"], from: "s")
            try nft.apply(delete)
        }
        try await Task.sleep(for: .milliseconds(50))
        #expect(counter.value == 0)
        try NetworkNamespace.runBlocking(fd: namespace) {
            #expect(system("nft add table inet other; nft add chain inet other c; nft delete table inet other") == 0)
        }
        try await Task.sleep(for: .milliseconds(50))
        #expect(counter.value == 0)
        try NetworkNamespace.runBlocking(fd: namespace) {
            #expect(system("nft delete element inet watched s '{ 10.0.0.2 }'") == 0)
        }
        for _ in 0..<6000 where counter.value < 1 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(counter.value == 1)
        try NetworkNamespace.runBlocking(fd: namespace) { #expect(system("nft flush ruleset") == 0) }
        for _ in 0..<6000 where counter.value < 2 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(counter.value == 2)
        withExtendedLifetime(monitor) {}
    }
}

@Suite(.timeLimit(.minutes(1))) struct LinkMonitorTests {
    @Test func linksThatGoAreTold() async throws {
        let namespace = try NetworkNamespace.create()
        let (names, told) = AsyncStream<String?>.makeStream()
        let monitor = try NetworkNamespace.runBlocking(fd: namespace) {
            try LinkMonitor { told.yield($0) } onFailure: { Issue.record("\($0)") }
        }
        try NetworkNamespace.runBlocking(fd: namespace) {
            #expect(system("ip link add one type veth peer uno && ip link add two type veth peer dos && ip link set two up") == 0)
            #expect(system("ip link set one up && ip link set one down && ip link set two alias x") == 0)
            #expect(system("ip link del two && ip link del one") == 0)
        }
        var seen: [String?] = []
        for await name in names {
            // The other ends go with them, before or after.
            if name != "uno", name != "dos" { seen.append(name) }
            if name == "one" { break }
        }
        #expect(seen == ["two", "one"])
        withExtendedLifetime(monitor) {}
    }
}

private final class Counter: Sendable {
    private let count = Mutex(0)
    func increment() { count.withLock { $0 += 1 } }
    var value: Int { count.withLock { $0 } }
}

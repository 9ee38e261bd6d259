// The pod network on the real kernel: packets between namespaces, restarts, foreign hands, the end.

import Glibc
import Kernel
import Logging
import Netlink
import System
import TestSupport
import Testing

@testable import PodNetwork

@Suite(.serialized) struct PodNetworkKernelTests {
    static let dns = IPAddress("10.43.0.10")!

    func config(_ node: TestNode, _ ranges: [String] = ["10.42.7.0/24"]) -> PodNetworkConfig {
        let services = ranges.contains { $0.contains(":") } ? ["10.43.0.0/16", "fd00:43::/112"] : ["10.43.0.0/16"]
        return PodNetworkConfig(
            podCIDRs: ranges.map { CIDR($0)! },
            clusterCIDRs: [CIDR("10.42.0.0/16")!] + (ranges.count > 1 ? [CIDR("fd00:42::/56")!] : []),
            serviceCIDRs: services.map { CIDR($0)! }, clusterDNS: [Self.dns],
            stateDirectory: node.directory + "/network")
    }

    func network(_ node: TestNode, _ ranges: [String] = ["10.42.7.0/24"]) throws -> PodNetwork {
        try PodNetwork(config: config(node, ranges), namespace: node.namespace, logger: Logger(label: "test"))
    }

    /// One that has prepared its node and found no pods there.
    func ready(_ node: TestNode, _ ranges: [String] = ["10.42.7.0/24"]) async throws -> PodNetwork {
        let network = try network(node, ranges)
        try await network.prepareNode()
        try await network.recover(live: [])
        return network
    }

    @Test func podsReachEachOtherTheNodeAndTheNodeThem() async throws {
        let node = try TestNode()
        let network = try network(node, ["10.42.7.0/24", "fd00:42:0:7::/64"])
        try await network.prepareNode()
        try await network.prepareNode()
        try await network.recover(live: [])
        let (a, b) = (try TestPod(), try TestPod())
        let addressesA = try await network.attach(podUID: a.uid, process: a.process)
        let addressesB = try await network.attach(podUID: b.uid, process: b.process)
        #expect(try await network.attach(podUID: a.uid, process: a.process) == addressesA)
        #expect(network.addresses(of: a.uid) == addressesA)
        #expect(addressesA.ips.count == 2 && Set(addressesA.ips).isDisjoint(with: addressesB.ips))

        let servers = [
            try TestServer(in: b.namespace, port: 8080, "b"), try TestServer(in: node.namespace, port: 9090, "node"),
        ]
        defer { servers.forEach { $0.stop() } }
        for (index, nodeAddress) in ["10.42.7.0", "fd00:42:0:7::"].enumerated() {
            let from = addressesA.ips[index]
            #expect(try askTCP(from: a.namespace, addressesB.ips[index], 8080, seconds: 20) == "b \(from)")
            #expect(try askUDP(from: a.namespace, addressesB.ips[index], 8080, seconds: 20) == "b \(from)")
            #expect(try askTCP(from: node.namespace, addressesB.ips[index], 8080, seconds: 20) == "b \(nodeAddress)")
            #expect(try askTCP(from: a.namespace, IPAddress(nodeAddress)!, 9090, seconds: 20) == "node \(from)")
        }
        try await network.teardown()
    }

    /// Of the pod, at once and never repeated: the kernel brings the pod's end of the link to life a moment later.
    @Test func thePodsFirstPacketIsNotLost() async throws {
        let node = try TestNode()
        let network = try await ready(node)
        let server = try TestServer(in: node.namespace, port: 9090, "node")
        defer { server.stop() }
        for _ in 0..<20 {
            let pod = try TestPod()
            let given = try await network.attach(podUID: pod.uid, process: pod.process)
            #expect(try askUDP(from: pod.namespace, IPAddress("10.42.7.0")!, 9090, seconds: 5) == "node \(given.ips[0])")
            await network.detach(podUID: pod.uid)
        }
        try await network.teardown()
    }

    @Test func aPodOfTheNodesOwnNamespaceIsRefused() async throws {
        let node = try TestNode()
        let network = try await ready(node)
        let pid = try node.run { try spawn(["sleep", "600"]) }
        defer {
            kill(pid, SIGKILL)
            _ = try? waitFor(pid)
        }
        let process = try ProcessHandle(pid: pid)
        await #expect(throws: PodNetworkError.self) { try await network.attach(podUID: "x", process: process) }
        try await network.teardown()
    }

    @Test func detachCutsOffAtOnceAndTheAddressRests() async throws {
        let node = try TestNode()
        let network = try await ready(node)
        let (a, b) = (try TestPod(), try TestPod())
        let gone = try await network.attach(podUID: a.uid, process: a.process)
        let server = try TestServer(in: a.namespace, port: 8080, "a")
        defer { server.stop() }
        #expect(try askTCP(from: node.namespace, gone.ips[0], 8080, seconds: 20) == "a 10.42.7.0")
        await network.detach(podUID: a.uid)
        #expect(network.addresses(of: a.uid) == nil)
        #expect(try askTCP(from: node.namespace, gone.ips[0], 8080, seconds: 1) != "a 10.42.7.0")
        await network.detach(podUID: a.uid)
        let next = try await network.attach(podUID: b.uid, process: b.process)
        #expect(next.ips != gone.ips)
        // The same pod again, while its old link is still being deleted.
        await network.detach(podUID: b.uid)
        let again = try await network.attach(podUID: b.uid, process: b.process)
        #expect(again.ips != next.ips && again.hostInterface == next.hostInterface)
        try await network.settle()
        #expect(try node.run { try RouteSocket().link(named: gone.hostInterface) } == nil)
        #expect(try node.run { try RouteSocket().link(named: again.hostInterface) } != nil)
        try await network.teardown()
    }

    @Test func afterKillNineTheKernelIsTheRecord() async throws {
        let node = try TestNode()
        let pods = try (0..<6).map { _ in try TestPod() }
        var addresses: [String: PodAddresses] = [:]
        let first = try await ready(node)
        for pod in pods { addresses[pod.uid] = try await first.attach(podUID: pod.uid, process: pod.process) }
        // Cut off in the middle of an attach: a link without alias or route.
        try node.command("ip", "link", "add", "nd0123456789abc", "type", "veth", "peer", "name", "torn0")

        // `first` is forgotten here, without a word; the state file is torn as well.
        try Files.writeAtomically(node.directory + "/network/addresses", "10.42.7")
        let second = try network(node)
        try await second.prepareNode()
        try await second.recover(live: pods.dropLast(2).map(\.uid))
        for pod in pods.dropLast(2) { #expect(second.addresses(of: pod.uid) == addresses[pod.uid]) }
        for pod in pods.suffix(2) { #expect(second.addresses(of: pod.uid) == nil) }
        var seen = Set(pods.dropLast(2).flatMap { addresses[$0.uid]!.ips })
        let held = seen
        for _ in 0..<20 {
            let pod = try TestPod()
            let given = try await second.attach(podUID: pod.uid, process: pod.process)
            #expect(held.isDisjoint(with: given.ips))
            seen.formUnion(given.ips)
            await second.detach(podUID: pod.uid)
        }
        #expect(seen.count == held.count + 20)
        try await second.settle()
        let links = try node.run { try RouteSocket().links() }.filter { $0.name.hasPrefix("nd") }
        #expect(Set(links.map(\.name)) == Set(pods.dropLast(2).map { addresses[$0.uid]!.hostInterface }))
        try await second.teardown()
    }

    @Test func noAddressIsGivenOutBeforeTheKernelWasRead() async throws {
        let node = try TestNode()
        let (old, new) = (try TestPod(), try TestPod())
        let first = try await ready(node)
        let given = try await first.attach(podUID: old.uid, process: old.process)

        let second = try network(node)
        try await second.prepareNode()
        await #expect(throws: PodNetworkError.self) { try await second.attach(podUID: new.uid, process: new.process) }
        #expect(second.addresses(of: new.uid) == nil)
        try await second.recover(live: [old.uid])
        #expect(second.addresses(of: old.uid) == given)
        #expect(try await second.attach(podUID: new.uid, process: new.process).ips != given.ips)
        try await second.teardown()
    }

    /// The kubelet repeats a failed recovery with the list of pods it made at its start.
    @Test func anOldListOfPodsTakesNothingFromThoseAttachedSince() async throws {
        let node = try TestNode()
        let network = try await ready(node)
        let (stays, goes) = (try TestPod(), try TestPod())
        let given = try await network.attach(podUID: stays.uid, process: stays.process)
        _ = try await network.attach(podUID: goes.uid, process: goes.process)
        await network.detach(podUID: goes.uid)
        try await network.recover(live: [goes.uid])
        try await network.settle()
        #expect(network.addresses(of: stays.uid) == given)
        #expect(network.addresses(of: goes.uid) == nil)
        #expect(try node.run { try RouteSocket().link(named: given.hostInterface) } != nil)
        let server = try TestServer(in: stays.namespace, port: 8080, "here")
        defer { server.stop() }
        #expect(try askTCP(from: node.namespace, given.ips[0], 8080, seconds: 20) == "here 10.42.7.0")
        let next = try TestPod()
        #expect(try await network.attach(podUID: next.uid, process: next.process).ips != given.ips)
        try await network.teardown()
    }

    /// Somebody removes a pod's link, from either end: it is told, and made again with what the pod had.
    @Test(.timeLimit(.minutes(2))) func aLinkThatIsRemovedIsToldAndMadeAgain() async throws {
        let node = try TestNode()
        let network = try await ready(node, ["10.42.7.0/24", "fd00:42:0:7::/64"])
        let (goes, other, pod) = (try TestPod(), try TestPod(), try TestPod())
        _ = try await network.attach(podUID: goes.uid, process: goes.process)
        _ = try await network.attach(podUID: other.uid, process: other.process)
        let given = try await network.attach(podUID: pod.uid, process: pod.process)
        let server = try TestServer(in: pod.namespace, port: 8080, "pod")
        defer { server.stop() }
        var losses = network.lostLinks.makeAsyncIterator()
        // Own removals are no losses: of a pod that is detached, and of a stranger's link.
        await network.detach(podUID: goes.uid)
        try await network.settle()
        #expect(try node.command("ip", "link", "add", "nd0000000000000", "type", "veth", "peer", "far") == 0)
        #expect(try node.command("ip", "link", "del", "nd0000000000000") == 0)
        // Kept, for a link goes with its pod.
        var others: [TestPod] = []
        for end in 0..<2 {
            if end == 0 {
                #expect(try node.command("ip", "link", "del", given.hostInterface) == 0)
            } else {
                let code = try NetworkNamespace.runBlocking(fd: pod.namespace) {
                    try waitFor(spawn(["ip", "link", "del", "eth0"]))
                }
                #expect(code == 0)
            }
            #expect(await losses.next() == pod.uid)
            #expect(network.addresses(of: pod.uid) == nil)
            // Nobody else gets them meanwhile, however many come.
            let next = try TestPod()
            others.append(next)
            #expect(try await network.attach(podUID: next.uid, process: next.process).ips != given.ips)
            #expect(try await network.attach(podUID: pod.uid, process: pod.process) == given)
            #expect(network.addresses(of: pod.uid) == given)
            for (index, nodeAddress) in ["10.42.7.0", "fd00:42:0:7::"].enumerated() {
                #expect(try askTCP(from: node.namespace, given.ips[index], 8080, seconds: 20) == "pod \(nodeAddress)")
                #expect(try askUDP(from: pod.namespace, given.ips[index], 8080, seconds: 20) == "pod \(given.ips[index])")
            }
        }
        // The host's end is moved away: the pod's own end is in the way.
        #expect(try node.command("ip", "link", "set", given.hostInterface, "netns", "\(other.pid)") == 0)
        #expect(await losses.next() == pod.uid)
        #expect(try await network.attach(podUID: pod.uid, process: pod.process) == given)
        #expect(try askTCP(from: node.namespace, given.ips[0], 8080, seconds: 20) == "pod 10.42.7.0")
        try await network.teardown()
        withExtendedLifetime(others) {}
    }

    /// The pid is a stranger's by the time the pod is attached.
    @Test func aProcessThatHasEndedGetsNoLink() async throws {
        let node = try TestNode()
        let network = try await ready(node)
        let process: ProcessHandle
        do {
            let pod = try TestPod()
            process = pod.process
        }
        await #expect(throws: SystemError.self) { try await network.attach(podUID: "x", process: process) }
        #expect(network.addresses(of: "x") == nil)
        #expect(try node.run { try RouteSocket().link(named: PodLink.name(podUID: "x")) } == nil)
        try await network.teardown()
    }

    @Test func aForgedSourceIsDropped() async throws {
        let node = try TestNode()
        let network = try await ready(node, ["10.42.7.0/24", "fd00:42:0:7::/64"])
        let (a, b) = (try TestPod(), try TestPod())
        let own = try await network.attach(podUID: a.uid, process: a.process)
        let target = try await network.attach(podUID: b.uid, process: b.process)
        // Addresses begin anywhere in the range: what is forged must be neither pod's.
        let taken = own.ips + target.ips
        let free = try #require((200...204).first { !taken.contains(IPAddress("10.42.7.\($0)")!) })
        let server = try TestServer(in: b.namespace, port: 8080, "b")
        defer { server.stop() }
        try NetworkNamespace.runBlocking(fd: a.namespace) {
            let route = try RouteSocket()
            let eth0 = try route.link(named: "eth0")!
            for text in ["10.42.7.\(free)", "fd00:42:0:7::f:200"] {
                let forged = IPAddress(text)!
                try route.add(address: forged, link: eth0.index)
                try route.add(
                    Route(
                        to: CIDR(forged.isV6 ? .v6(hi: 0, lo: 0) : .v4(0), prefixLength: 0), link: eth0.index,
                        gateway: PodLink.gateway(for: forged), source: forged, onLink: true))
            }
        }
        for ip in target.ips {
            let answer = try askTCP(from: a.namespace, ip, 8080, seconds: 1)
            #expect(!answer.hasPrefix("b "), "\(answer)")
        }
        try await network.teardown()
    }

    @Test func whatLeavesTheClusterGoesOutAsTheNode() async throws {
        let node = try TestNode()
        let outside = try TestNode()
        try outside.run {
            let route = try RouteSocket()
            try route.createVeth(
                name: "out0", mac: MACAddress(2, 0, 0, 0, 0, 1), peerName: "up0", peerMAC: MACAddress(2, 0, 0, 0, 0, 2),
                peerNamespace: node.namespace.raw, mtu: 1400)
            var up = RouteSocket.LinkSettings()
            up.isUp = true
            let link = try route.link(named: "out0")!
            try route.set(link: link.index, up)
            try route.add(address: IPAddress("192.0.2.1")!, prefixLength: 24, link: link.index)
        }
        try node.run {
            let route = try RouteSocket()
            var up = RouteSocket.LinkSettings()
            up.isUp = true
            let link = try route.link(named: "up0")!
            try route.set(link: link.index, up)
            try route.add(address: IPAddress("192.0.2.2")!, prefixLength: 24, link: link.index)
            try route.add(Route(to: CIDR("0.0.0.0/0")!, link: link.index, gateway: IPAddress("192.0.2.1")!, origin: 4))
        }
        let network = try await ready(node)
        let pod = try TestPod()
        let given = try await network.attach(podUID: pod.uid, process: pod.process)
        let server = try TestServer(in: outside.namespace, port: 80, "outside")
        defer { server.stop() }
        #expect(try askTCP(from: pod.namespace, IPAddress("192.0.2.1")!, 80) == "outside 192.0.2.2")
        // The link follows the uplink's MTU.
        #expect(try node.run { try RouteSocket().link(named: given.hostInterface)?.mtu } == 1400)
        try await network.teardown()
        #expect(try node.run { try RouteSocket().routes() }.contains { $0.gateway == IPAddress("192.0.2.1")! })
    }

    @Test func clusterDNSIsAnsweredOutsideConntrack() async throws {
        let node = try TestNode()
        let network = try await ready(node)
        let pod = try TestPod()
        let given = try await network.attach(podUID: pod.uid, process: pod.process)
        let server = try TestServer(in: node.namespace, port: 53, address: Self.dns, "dns")
        defer { server.stop() }
        #expect(try askUDP(from: pod.namespace, Self.dns, 53, seconds: 20) == "dns \(given.ips[0])")
        #expect(try askTCP(from: pod.namespace, Self.dns, 53, seconds: 20) == "dns \(given.ips[0])")
        #expect(try askUDP(from: node.namespace, Self.dns, 53, seconds: 20) == "dns \(Self.dns)")
        let tracked = try node.run {
            try [17, 6].flatMap { try ConntrackSocket().entries(FlowFilter(isV6: false, protocolNumber: $0)) }
        }
        #expect(!tracked.contains { $0.original.destination == Self.dns })
        try await network.teardown()
    }

    @Test("CVE-2020-8558: the node's loopback addresses are nobody else's to reach")
    func loopbackStaysLocal() async throws {
        let node = try TestNode()
        let network = try await ready(node)
        let pod = try TestPod()
        let given = try await network.attach(podUID: pod.uid, process: pod.process)
        let loopback = try #require(IPAddress("127.0.0.1"))
        let server = try TestServer(in: node.namespace, port: 10255, address: loopback, "private")
        defer { server.stop() }
        #expect(try askUDP(from: node.namespace, loopback, 10255) == "private 127.0.0.1")
        // A pod that routes 127/8 over its link, as an attacker beside the node would.
        try NetworkNamespace.runBlocking(fd: pod.namespace) {
            for line in [
                "sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.eth0.route_localnet=1",
                "ip route del local 127.0.0.0/8 table local",
                "ip route add 127.0.0.0/8 via 169.254.1.1 src \(given.ips[0])",
                "ip addr flush dev lo",
            ] { _ = try waitFor(spawn(["sh", "-c", line])) }
        }
        for line in [
            "add table inet watch", "add chain inet watch in '{ type filter hook prerouting priority -310; }'",
            "add rule inet watch in iifname != lo ip daddr 127.0.0.1 counter",
        ] { #expect(try node.command("sh", "-c", "nft \"\(line.replacing("'", with: ""))\"") == 0) }
        // Other software turns this on, and with it the kernel's own refusal off.
        try node.command("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
        try node.command("sysctl", "-qw", "net.ipv4.conf.\(given.hostInterface).route_localnet=1")
        #expect(try !askUDP(from: pod.namespace, loopback, 10255, seconds: 1).contains("private"))
        // They did come as far as the rule.
        #expect(try !node.output("nft", "list", "table", "inet", "watch").contains("packets 0 "))
        try await network.teardown()
    }

    @Test func aForeignFlushIsUndone() async throws {
        let node = try TestNode()
        let network = try await ready(node)
        let before = try node.output("nft", "list", "table", "inet", "noded_pods")
        #expect(before.contains("notrack") && before.contains("masquerade"))
        try node.command("nft", "flush", "ruleset")
        #expect(try await eventually { try node.output("nft", "list", "table", "inet", "noded_pods") == before })
        try await network.teardown()
    }

    @Test func teardownLeavesNothingAndNeedsNoMemory() async throws {
        let node = try TestNode()
        func picture() throws -> String {
            try node.output("ip -o link | wc -l; ip route; ip -6 route; ip -o -4 addr; nft list ruleset")
        }
        try node.command("ip", "link", "set", "lo", "up")
        let before = try picture()
        let first = try await ready(node)
        let pods = try (0..<3).map { _ in try TestPod() }
        for pod in pods { _ = try await first.attach(podUID: pod.uid, process: pod.process) }
        #expect(try picture() != before)
        let second = try network(node)
        // The first one's watch over the table would put it back.
        try await first.teardown()
        try await second.teardown()
        try await second.teardown()
        #expect(try picture() == before)
    }

    @Test func teardownRemovesAddressesOfOtherRanges() async throws {
        let node = try TestNode()
        func addresses() throws -> String { try node.output("ip -o address show dev lo") }
        let old = try PodNetwork(
            config: PodNetworkConfig(
                podCIDRs: [CIDR("10.99.7.0/24")!, CIDR("fd00:99::/64")!], serviceCIDRs: [CIDR("10.98.0.0/16")!],
                clusterDNS: [IPAddress("10.98.0.10")!], stateDirectory: node.directory + "/network"),
            namespace: node.namespace, logger: Logger(label: "test"))
        try await old.prepareNode()
        try node.command("ip", "address", "add", "10.97.0.1/32", "dev", "lo")
        #expect(try addresses().contains("10.99.7.0") && addresses().contains("10.98.0.10"))
        let reset = try network(node)
        try await reset.teardown()
        #expect(try !addresses().contains("10.99.") && !addresses().contains("10.98."))
        #expect(try !addresses().contains("fd00:99:"))
        // Somebody else's.
        #expect(try addresses().contains("10.97.0.1"))
        withExtendedLifetime(old) {}
    }

    /// A full or read-only disk: pods get their network all the same, only a reset will know less.
    @Test func parametersThatCannotBeNotedAreChangedAllTheSame() throws {
        let node = try TestNode()
        try node.command("sysctl", "-qw", "net.ipv4.ip_forward=0")
        let (problem, value) = try node.run {
            let problem = try SavedSysctls.change(
                [(name: "net/ipv4/ip_forward", value: "1")], notedIn: node.directory + "/missing/sysctls")
            return (problem, try Sysctl.read("net/ipv4/ip_forward"))
        }
        #expect(problem?.errno == .ENOENT && value == "1")
    }

    @Test func theMachineForwardsAsBefore() async throws {
        let node = try TestNode()
        let names = ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.default.accept_ra"]
        func values() throws -> [String] { try node.run { try names.map { try Sysctl.read($0) } } }
        try node.command("sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
        let before = try values()
        let ranges = ["10.42.7.0/24", "fd00:42:0:7::/64"]
        for _ in 0..<2 {
            // Killed, and started again: what it then finds is its own.
            let network = try network(node, ranges)
            try await network.prepareNode()
            #expect(try values() == ["1", "1", "2"])
        }
        try await network(node, ranges).teardown()
        #expect(try values() == before)
        try await network(node, ranges).teardown()

        // What somebody else wanted in between stays, and what was so before noded, too.
        try node.command("sysctl", "-qw", "net.ipv4.ip_forward=1")
        let other = try network(node, ranges)
        try await other.prepareNode()
        try node.command("sysctl", "-qw", "net.ipv6.conf.default.accept_ra=0")
        try await other.teardown()
        #expect(try values() == ["1", "0", "0"])

        // A file of another boot says nothing about this one.
        try Files.writeAtomically(
            node.directory + "/network/sysctls", "origin 1-2-3 net:[1]\nnet/ipv4/ip_forward 0 1\n")
        try await network(node, ranges).teardown()
        #expect(try values() == ["1", "0", "0"])
    }
}

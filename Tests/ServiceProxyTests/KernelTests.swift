// Services on the real kernel: a client in a pod, a Service, servers in pods, every packet through the host's hooks.

import Client
import Glibc
import Kernel
import Logging
import Netlink
import Nftables
import Objects
import PodNetwork
import System
import Testing

@testable import ServiceProxy

/// A node with pods that answer with their names, an API and a running proxy.
private final class Cluster: Sendable {
    let node: TestNode
    let network: PodNetwork
    let api = MemoryAPI()
    let pods: [TestPod]
    let addresses: [PodAddresses]
    let servers: [TestServer]
    static let dns = IPAddress("10.43.0.10")!

    init(pods count: Int) async throws {
        node = try TestNode()
        network = try PodNetwork(
            config: PodNetworkConfig(
                podCIDRs: [CIDR("10.42.7.0/24")!, CIDR("fd00:42:0:7::/64")!],
                serviceCIDRs: [CIDR("10.43.0.0/16")!, CIDR("fd00:43::/112")!], clusterDNS: [Self.dns],
                stateDirectory: node.directory + "/network"),
            namespace: node.namespace, logger: Logger(label: "test"))
        try await network.prepareNode()
        try await network.recover(live: [])
        pods = try (0..<count).map { _ in try TestPod() }
        var addresses: [PodAddresses] = []
        for pod in pods { addresses.append(try await network.attach(podUID: pod.uid, process: pod.process)) }
        self.addresses = addresses
        servers = try pods.enumerated().map { try TestServer(in: $1.namespace, port: 8080, "pod\($0)") }
    }

    func ip(_ index: Int, v6: Bool = false) -> String { "\(addresses[index].ips[v6 ? 1 : 0])" }

    /// One that is not run yet.
    func proxy() -> (InformerSet, ServiceProxy) {
        let informers = InformerSet(client: api, logger: Logger(label: "test"))
        let proxy = ServiceProxy(
            informers: informers,
            config: ServiceProxyConfig(
                nodeName: "this", serviceCIDRs: [CIDR("10.43.0.0/16")!, CIDR("fd00:43::/112")!], clusterDNS: [Self.dns]),
            namespace: node.namespace, logger: Logger(label: "test"))
        return (informers, proxy)
    }

    func withProxy<T: Sendable>(_ body: @Sendable (ServiceProxy) async throws -> T) async throws -> T {
        let (informers, proxy) = proxy()
        return try await withThrowingTaskGroup(of: T?.self) { group in
            group.addTask {
                await informers.run(); return nil
            }
            group.addTask {
                try await proxy.run(); return nil
            }
            defer { group.cancelAll() }
            return try await body(proxy)
        }
    }

    /// The names of the pods that answer, over `count` new connections; errors as they are.
    func answers(_ from: SharedDescriptor, _ address: String, _ port: UInt16 = 80, count: Int = 48) throws -> Set<
        String
    > {
        Set(
            try (0..<count).map { _ in
                String(try askTCP(from: from, IPAddress(address)!, port, seconds: 10).prefix { $0 != " " })
            })
    }

    func reaches(_ from: SharedDescriptor, _ address: String, _ wanted: Set<String>) async throws -> Bool {
        try await eventually { try answers(from, address) == wanted }
    }

    func end(_ proxy: ServiceProxy) async throws {
        try await proxy.teardown()
        servers.forEach { $0.stop() }
        try await network.teardown()
    }
}

@Suite(.serialized) struct ServiceProxyKernelTests {
    @Test func aServiceReachesAllItsPodsOverTCPAndUDPAndBothFamilies() async throws {
        let cluster = try await Cluster(pods: 4)
        let client = cluster.pods[3]
        let ports = [("http", 80, "TCP"), ("udp", 80, "UDP")]
        let targets = [("http", 8080, "TCP"), ("udp", 8080, "UDP")]
        try await cluster.withProxy { proxy in
            cluster.api.put(.services, service("web", ["10.43.0.7", "fd00:43::7"], ports: ports))
            cluster.api.put(.endpointSlices, slice("web", endpoints((0..<3).map { cluster.ip($0) }), ports: targets))
            cluster.api.put(
                .endpointSlices,
                slice(
                    "web", endpoints((0..<3).map { cluster.ip($0, v6: true) }), suffix: "6", ports: targets,
                    type: "IPv6"))
            let all: Set<String> = ["pod0", "pod1", "pod2"]
            for address in ["10.43.0.7", "fd00:43::7"] {
                #expect(try await cluster.reaches(client.namespace, address, all), "\(address) from a pod")
                let answers = try cluster.answers(cluster.node.namespace, address)
                #expect(answers == all, "\(address) from the node")
                // The client keeps its address.
                let own = cluster.ip(3, v6: address.contains(":"))
                #expect(try askTCP(from: client.namespace, IPAddress(address)!, 80).hasSuffix(" \(own)"))
                let udp = Set(try (0..<96).map { _ in try askUDP(from: client.namespace, IPAddress(address)!, 80) })
                #expect(udp == Set(all.map { "\($0) \(own)" }))
            }
            // 300 requests, none lost.
            let answers = try (0..<300).map { _ in try askTCP(from: client.namespace, IPAddress("10.43.0.7")!, 80) }
            #expect(answers.allSatisfy { $0.hasPrefix("pod") })
            try await cluster.end(proxy)
        }
    }

    @Test func aPodReachesItselfThroughItsService() async throws {
        let cluster = try await Cluster(pods: 1)
        try await cluster.withProxy { proxy in
            cluster.api.put(.services, service("web", ["10.43.0.7", "fd00:43::7"]))
            cluster.api.put(.endpointSlices, slice("web", endpoints([cluster.ip(0)])))
            cluster.api.put(
                .endpointSlices, slice("web", endpoints([cluster.ip(0, v6: true)]), suffix: "6", type: "IPv6"))
            #expect(try await cluster.reaches(cluster.pods[0].namespace, "10.43.0.7", ["pod0"]))
            #expect(try await cluster.reaches(cluster.pods[0].namespace, "fd00:43::7", ["pod0"]))
            try await cluster.end(proxy)
        }
    }

    @Test func withoutEndpointsTheAnswerIsARefusal() async throws {
        let cluster = try await Cluster(pods: 2)
        let refused = "\(Errno(ECONNREFUSED))"
        try await cluster.withProxy { proxy in
            cluster.api.put(.services, service("web", ["10.43.0.7", "fd00:43::7"]))
            cluster.api.put(.endpointSlices, slice("web", endpoints([cluster.ip(0)])))
            #expect(try await cluster.reaches(cluster.pods[1].namespace, "10.43.0.7", ["pod0"]))
            cluster.api.put(.endpointSlices, slice("web", [TestEndpoint(address: cluster.ip(0), ready: false)]))
            #expect(
                try await eventually {
                    try askTCP(from: cluster.pods[1].namespace, IPAddress("10.43.0.7")!, 80) == refused
                })
            for from in [cluster.pods[1].namespace, cluster.node.namespace] {
                for address in ["10.43.0.7", "10.43.9.9", "fd00:43::7", "fd00:43::99"] {
                    #expect(try askTCP(from: from, IPAddress(address)!, 80) == refused, "\(address)")
                    // In the output hook the reject is send's own error, as with every reject there.
                    let answer = try askUDP(from: from, IPAddress(address)!, 80)
                    #expect([refused, "\(Errno.EPERM)"].contains(answer), "\(address): \(answer)")
                }
            }
            cluster.api.put(.endpointSlices, slice("web", endpoints([cluster.ip(1)])))
            #expect(try await cluster.reaches(cluster.pods[0].namespace, "10.43.0.7", ["pod1"]))
            try await cluster.end(proxy)
        }
    }

    @Test func rulesStayInForceWithoutTheProxyAndAreAdopted() async throws {
        let cluster = try await Cluster(pods: 3)
        let client = cluster.pods[2].namespace
        cluster.api.put(.services, service("web", ["10.43.0.7"]))
        cluster.api.put(.services, service("old", ["10.43.0.8"]))
        cluster.api.put(.endpointSlices, slice("web", endpoints([cluster.ip(0), cluster.ip(1)])))
        cluster.api.put(.endpointSlices, slice("old", endpoints([cluster.ip(0)])))
        try await cluster.withProxy { (_: ServiceProxy) async throws in
            #expect(try await cluster.reaches(client, "10.43.0.7", ["pod0", "pod1"]))
            #expect(try await cluster.reaches(client, "10.43.0.8", ["pod0"]))
        }
        // Away: the informers and the proxy are gone, traffic is not.
        #expect(try cluster.answers(client, "10.43.0.7") == ["pod0", "pod1"])
        let before = try cluster.node.output("nft", "list", "map", "inet", "noded_services", "services4")
        // Meanwhile the API moved on.
        cluster.api.remove(.services, "old")
        try await cluster.withProxy { proxy in
            #expect(
                try await eventually {
                    try askTCP(from: client, IPAddress("10.43.0.8")!, 80) == "\(Errno(ECONNREFUSED))"
                })
            #expect(
                try await eventually {
                    try cluster.node.output("nft", "list", "map", "inet", "noded_services", "endpoints4_1").contains(
                        "elements") == false
                })
            let after = try cluster.node.output("nft", "list", "map", "inet", "noded_services", "services4")
            // Same id, same N: what stayed right was not touched.
            let mark = before.split(separator: "\n").first { $0.contains("10.43.0.7") }?.split(separator: ":").last?
                .prefix(11)
            #expect(after.contains("10.43.0.7") && after.contains(mark ?? "?"))
            #expect(try cluster.answers(client, "10.43.0.7") == ["pod0", "pod1"])
            try await cluster.end(proxy)
        }
    }

    @Test func noRequestFailsWhileEndpointsChange() async throws {
        let cluster = try await Cluster(pods: 5)
        let client = cluster.pods[4].namespace
        try await cluster.withProxy { proxy in
            cluster.api.put(.services, service("web", ["10.43.0.7"]))
            cluster.api.put(.endpointSlices, slice("web", endpoints([cluster.ip(0)])))
            #expect(try await cluster.reaches(client, "10.43.0.7", ["pod0"]))
            let failures = try await withThrowingTaskGroup(of: [String].self) { group in
                group.addTask {
                    for round in 0..<200 {
                        let chosen = (0..<4).shuffled().prefix(1 + round % 4).map { cluster.ip($0) }
                        cluster.api.put(.endpointSlices, slice("web", endpoints(chosen)))
                        try await Task.sleep(for: .milliseconds(5))
                    }
                    return []
                }
                group.addTask {
                    try await WorkerThread(name: "asker").run {
                        try (0..<1500).compactMap { _ in
                            let answer = try askTCP(from: client, IPAddress("10.43.0.7")!, 80, seconds: 10)
                            return answer.hasPrefix("pod") ? nil : answer
                        }
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(failures.isEmpty)
            try await cluster.end(proxy)
        }
    }

    /// IPv4 only: an IPv6 Service range is a local route, and a flow that this machine itself refuses is forgotten.
    @Test func aConnectionTriedBeforeTheRulesWereThereFindsItsPodAfterwards() async throws {
        let cluster = try await Cluster(pods: 2)
        let client = cluster.pods[1].namespace
        let address = IPAddress("10.43.0.7")!
        @Sendable func ask() throws -> String { try askTCP(from: client, address, 80, sourcePort: 5556, seconds: 1) }
        // Nothing takes it, and the kernel remembers that for two minutes, longer with each try.
        #expect(!(try ask().hasPrefix("pod")))
        let remembered = try NetworkNamespace.runBlocking(fd: cluster.node.namespace) {
            try ConntrackSocket().entries(
                FlowFilter(isV6: false, protocolNumber: 6, destination: address, destinationPort: 80))
        }
        #expect(remembered.map(\.original.sourcePort) == [5556])
        cluster.api.put(.services, service("web", ["10.43.0.7"]))
        cluster.api.put(.endpointSlices, slice("web", endpoints([cluster.ip(0)])))
        try await cluster.withProxy { proxy in
            #expect(try await eventually { try ask().hasPrefix("pod0") })
            try await cluster.end(proxy)
        }
    }

    @Test func udpFlowsLeaveADepartedPodAndFindANewService() async throws {
        let cluster = try await Cluster(pods: 3)
        let client = cluster.pods[2].namespace
        let address = IPAddress("10.43.0.7")!
        try await cluster.withProxy { proxy in
            cluster.api.put(.services, service("udp", ["10.43.0.7"], ports: [("udp", 80, "UDP")]))
            cluster.api.put(.endpointSlices, slice("udp", endpoints([cluster.ip(0)]), ports: [("udp", 8080, "UDP")]))
            // One flow: always the same source port.
            func ask() throws -> String { try askUDP(from: client, address, 80, sourcePort: 5555, seconds: 1) }
            #expect(try await eventually { try ask().hasPrefix("pod0") })
            cluster.api.put(.endpointSlices, slice("udp", endpoints([cluster.ip(1)]), ports: [("udp", 8080, "UDP")]))
            #expect(try await eventually { try ask().hasPrefix("pod1") })
            try await cluster.end(proxy)
        }
    }

    @Test func aClientWithAffinityStaysUntilItsPodGoes() async throws {
        let cluster = try await Cluster(pods: 4)
        let client = cluster.pods[3].namespace
        try await cluster.withProxy { proxy in
            cluster.api.put(.services, service("web", ["10.43.0.7"], ["sessionAffinity": "ClientIP"]))
            cluster.api.put(.endpointSlices, slice("web", endpoints((0..<2).map { cluster.ip($0) })))
            #expect(try await eventually { try askTCP(from: client, IPAddress("10.43.0.7")!, 80).hasPrefix("pod") })
            let chosen = try cluster.answers(client, "10.43.0.7")
            #expect(chosen.count == 1)
            // Another number of endpoints does not end it.
            cluster.api.put(.endpointSlices, slice("web", endpoints((0..<3).map { cluster.ip($0) })))
            try await Task.sleep(for: .milliseconds(200))
            #expect(try cluster.answers(client, "10.43.0.7") == chosen)
            let left = (0..<3).filter { !chosen.contains("pod\($0)") }
            cluster.api.put(.endpointSlices, slice("web", endpoints(left.map { cluster.ip($0) })))
            let allowed = Set(left.map { "pod\($0)" })
            #expect(try await eventually { try cluster.answers(client, "10.43.0.7", count: 8).isSubset(of: allowed) })
            try await cluster.end(proxy)
        }
    }

    @Test func affinityHoldsOnNodePortsAndIsForgottenWithItsService() async throws {
        let cluster = try await Cluster(pods: 4)
        let client = cluster.pods[3].namespace
        @Sendable func remembered() throws -> Bool {
            try cluster.node.output("nft", "list", "map", "inet", "noded_services", "affinity4").contains("elements")
        }
        try await cluster.withProxy { proxy in
            var web = service("web", ["10.43.0.7"], ["type": "NodePort", "sessionAffinity": "ClientIP"])
            web["spec"]?["ports"]?[0]?["nodePort"] = 30080
            cluster.api.put(.services, web)
            cluster.api.put(.endpointSlices, slice("web", endpoints((0..<3).map { cluster.ip($0) })))
            #expect(
                try await eventually { try askTCP(from: client, IPAddress("10.42.7.0")!, 30080).hasPrefix("pod") })
            for from in [client, cluster.node.namespace] {
                let chosen = try cluster.answers(from, "10.42.7.0", 30080)
                #expect(chosen.count == 1)
                #expect(try cluster.answers(from, "10.43.0.7").count == 1)
            }
            // Off, a rollout, on again: the pod it was with is no longer one of the Service.
            let chosen = try cluster.answers(client, "10.43.0.7")
            #expect(try remembered())
            cluster.api.put(.services, service("web", ["10.43.0.7"]))
            #expect(try await eventually { try !remembered() })
            let left = (0..<3).filter { !chosen.contains("pod\($0)") }
            cluster.api.put(.endpointSlices, slice("web", endpoints(left.map { cluster.ip($0) })))
            let allowed = Set(left.map { "pod\($0)" })
            #expect(try await cluster.reaches(client, "10.43.0.7", allowed))
            cluster.api.put(.services, web)
            // A refusal is one answer, too, as long as the port is not open again.
            #expect(
                try await eventually {
                    let found = try cluster.answers(client, "10.42.7.0", 30080, count: 8)
                    return found.count == 1 && found.isSubset(of: allowed)
                })
            #expect(try cluster.answers(client, "10.43.0.7").isSubset(of: allowed))
            #expect(try remembered())
            cluster.api.remove(.services, "web")
            #expect(try await eventually { try !remembered() })
            try await cluster.end(proxy)
        }
    }

    @Test func nodePortsAnswerOnTheNodesAddresses() async throws {
        let cluster = try await Cluster(pods: 2)
        try await cluster.withProxy { proxy in
            var web = service("web", ["10.43.0.7"], ["type": "NodePort"])
            web["spec"]?["ports"]?[0]?["nodePort"] = 30080
            cluster.api.put(.services, web)
            cluster.api.put(.endpointSlices, slice("web", endpoints([cluster.ip(0)])))
            #expect(
                try await eventually {
                    try askTCP(from: cluster.pods[1].namespace, IPAddress("10.42.7.0")!, 30080).hasPrefix("pod0")
                })
            #expect(try askTCP(from: cluster.node.namespace, IPAddress("10.42.7.0")!, 30080).hasPrefix("pod0"))
            try await cluster.end(proxy)
        }
    }

    @Test func aForeignFlushIsUndoneAtOnce() async throws {
        let cluster = try await Cluster(pods: 2)
        let client = cluster.pods[1].namespace
        try await cluster.withProxy { proxy in
            cluster.api.put(.services, service("web", ["10.43.0.7"]))
            cluster.api.put(.endpointSlices, slice("web", endpoints([cluster.ip(0)])))
            #expect(try await cluster.reaches(client, "10.43.0.7", ["pod0"]))
            for command in [
                "nft flush ruleset", "nft flush table inet noded_services", "nft delete table inet noded_services",
                "nft flush map inet noded_services services4", "nft flush chain inet noded_services pick4_1",
            ] {
                #expect(try cluster.node.command("sh", "-c", command) == 0, "\(command)")
                #expect(try await cluster.reaches(client, "10.43.0.7", ["pod0"]), "\(command)")
            }
            try await cluster.end(proxy)
        }
    }

    @Test func departureIsAwaited() async throws {
        let cluster = try await Cluster(pods: 2)
        let leaving = cluster.addresses[0].ips[0]
        try await cluster.withProxy { proxy in
            #expect(await proxy.waitUntilRemoved(address: leaving, timeout: .seconds(60)), "nobody sends there")
            cluster.api.put(.services, service("web", ["10.43.0.7"]))
            cluster.api.put(.endpointSlices, slice("web", endpoints([cluster.ip(0), cluster.ip(1)])))
            #expect(try await cluster.reaches(cluster.node.namespace, "10.43.0.7", ["pod0", "pod1"]))
            #expect(await proxy.waitUntilRemoved(address: leaving, timeout: .milliseconds(50)) == false)
            async let gone = proxy.waitUntilRemoved(address: leaving, timeout: .seconds(60))
            cluster.api.put(
                .endpointSlices,
                slice(
                    "web",
                    [
                        TestEndpoint(address: cluster.ip(0), ready: false, serving: true, terminating: true),
                        TestEndpoint(address: cluster.ip(1)),
                    ]))
            #expect(await gone)
            #expect(try cluster.answers(cluster.node.namespace, "10.43.0.7") == ["pod1"])
            try await cluster.end(proxy)
        }
    }

    @Test func afterARestartTheRulesOfTheLastLifeAreAwaitedToo() async throws {
        let cluster = try await Cluster(pods: 2)
        let leaving = cluster.addresses[0].ips[0]
        cluster.api.put(.services, service("web", ["10.43.0.7"]))
        cluster.api.put(.endpointSlices, slice("web", endpoints([cluster.ip(0), cluster.ip(1)])))
        try await cluster.withProxy { (_: ServiceProxy) async throws in
            #expect(try await cluster.reaches(cluster.node.namespace, "10.43.0.7", ["pod0", "pod1"]))
        }
        cluster.api.put(.endpointSlices, slice("web", endpoints([cluster.ip(1)])))
        let (informers, proxy) = cluster.proxy()
        try await withThrowingTaskGroup(of: Void.self) { (group) async throws -> Void in
            group.addTask { try await proxy.run() }
            // Nothing is known of the API yet, and the kernel still sends there.
            #expect(await proxy.waitUntilRemoved(address: leaving, timeout: .milliseconds(50)) == false)
            async let gone = proxy.waitUntilRemoved(address: leaving, timeout: .seconds(60))
            group.addTask { await informers.run() }
            #expect(await gone)
            #expect(try cluster.answers(cluster.node.namespace, "10.43.0.7") == ["pod1"])
            group.cancelAll()
        }
        try await cluster.end(proxy)
    }
}

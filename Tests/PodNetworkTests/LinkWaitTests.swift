// A new link that does not pass packets: its pod's attach waits for that, and nobody else does.

import Kernel
import Logging
import Netlink
import Synchronization
import System
import TestSupport
import Testing

@testable import PodNetwork

extension PodNetworkKernelTests {
    /// A pod that sets its link down as soon as it has one, as a container with NET_ADMIN may, and is being attached.
    private final class Holder: Sendable {
        let node: TestNode
        let network: PodNetwork
        let pod: TestPod
        let attach: Task<PodAddresses, any Error>
        private let over: Over

        private final class Over: Sendable {
            let isOver = Atomic(false)
            let isDown = Atomic(false)
        }

        var isWaiting: Bool { !over.isOver.load(ordering: .sequentiallyConsistent) }

        /// Returns when the link is down.
        init(_ config: (TestNode) -> PodNetworkConfig) async throws {
            let (downs, down) = AsyncStream<Void>.makeStream()
            let over = Over()
            self.over = over
            node = try TestNode()
            pod = try TestPod()
            network = try PodNetwork(
                config: config(node), namespace: node.namespace, logger: Logger(label: "test"), patience: .seconds(3600)
            ) { socket in
                if !over.isDown.exchange(true, ordering: .sequentiallyConsistent) {
                    try Self.set(up: false, socket)
                    down.finish()
                }
                return try PodLink.passesPackets(socket)
            }
            try await network.prepareNode()
            try await network.recover(live: [])
            attach = Task { [network, pod] in
                defer { over.isOver.store(true, ordering: .sequentiallyConsistent) }
                return try await network.attach(podUID: pod.uid, process: pod.process)
            }
            for await _ in downs {}
        }

        private static func set(up: Bool, _ socket: RouteSocket) throws {
            var settings = RouteSocket.LinkSettings()
            settings.isUp = up
            try socket.set(link: try #require(try socket.link(named: "eth0")).index, settings)
        }

        func setUp() throws {
            try NetworkNamespace.runBlocking(fd: pod.namespace) { try Self.set(up: true, RouteSocket()) }
        }
    }

    @Test(.timeLimit(.minutes(5))) func aPodThatHoldsItsLinkDownHoldsUpNobodyElse() async throws {
        let holder = try await Holder { config($0) }
        let network = holder.network
        let other = try TestPod()
        let given = try await network.attach(podUID: other.uid, process: other.process)
        await network.detach(podUID: other.uid)
        try await network.settle()
        #expect(holder.isWaiting)
        try holder.setUp()
        let own = try await holder.attach.value
        #expect(network.addresses(of: holder.pod.uid) == own && own.ips != given.ips)
        try await network.teardown()
    }

    /// The link is complete when the wait begins: it stays as it is.
    @Test(.timeLimit(.minutes(5))) func whoGivesUpWaitingHasAWholeLink() async throws {
        let holder = try await Holder { config($0) }
        let (network, pod) = (holder.network, holder.pod)
        holder.attach.cancel()
        let own = try await holder.attach.value
        #expect(network.addresses(of: pod.uid) == own)
        try holder.setUp()
        #expect(try await network.attach(podUID: pod.uid, process: pod.process) == own)
        await network.detach(podUID: pod.uid)
        try await network.settle()
        #expect(try holder.node.run { try RouteSocket().link(named: own.hostInterface) } == nil)
        try await network.teardown()
    }

    @Test(.timeLimit(.minutes(5))) func nobodyWaitsForALinkThatIsGone() async throws {
        let removed = try await Holder { config($0) }
        var losses = removed.network.lostLinks.makeAsyncIterator()
        let name = PodLink.name(podUID: removed.pod.uid)
        #expect(try removed.node.command("ip", "link", "del", name) == 0)
        #expect(await losses.next() == removed.pod.uid)
        let own = try await removed.attach.value
        #expect(removed.network.addresses(of: removed.pod.uid) == nil)
        #expect(try await removed.network.attach(podUID: removed.pod.uid, process: removed.pod.process) == own)
        try await removed.network.teardown()

        let detached = try await Holder { config($0) }
        await detached.network.detach(podUID: detached.pod.uid)
        _ = try await detached.attach.value
        #expect(detached.network.addresses(of: detached.pod.uid) == nil)
        try await detached.network.teardown()
    }
}

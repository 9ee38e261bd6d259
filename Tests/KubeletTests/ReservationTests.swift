// A resize of a pod with a worker: what the node keeps for it is given back when the worker holds it.

import Objects
import Synchronization
import System
import Testing

@testable import Kubelet

@Suite(.timeLimit(.minutes(5))) struct ReservationTests {
    private static func pod(_ cpu: String) throws -> JSON {
        try yaml(ResizeTests.yaml(cpu, "64Mi"))
    }

    /// One room, and what the worker held each time that something was given back.
    private final class Room: Sendable {
        struct State {
            var room = NodeRoom()
            var worker: PodWorker?
            var held: [Int64?] = []
        }

        let state = Mutex(State())

        func reserve(_ uid: String, _ wanted: ContainerResources) -> NodeRoom.Answer {
            let capacity = NodeRoom.Capacity(cpu: 1000, memory: 1 << 30)
            return state.withLock { $0.room.reserve(uid, wanted, held: [:], of: capacity) }
        }

        func release(_ reservation: NodeRoom.Reservation) async {
            let held = await state.withLock { $0.worker }?.requests?.cpuRequest
            state.withLock { state in
                state.room.release(reservation)
                state.held.append(held)
            }
        }

        var held: [Int64?] { state.withLock { $0.held } }
    }

    private func node(_ folder: String, _ runtime: FakeRuntime, _ room: Room) -> NodeServices {
        NodeServices(
            config: .node(folder), runtime: runtime, images: FakeImages(), network: FakeNetwork(), prober: FakeProber(),
            objects: ManifestObjects(source: StandaloneNode.source(folder)), sink: LogSink(logger: .quiet),
            drain: { _ in }, seccomp: { _ in [1] },
            allocatable: Allocatable(milliCPU: 1000, memory: 1 << 30, ephemeralStorage: 1 << 30, pods: 10),
            room: { room.reserve($0, $1) }, releaseRoom: { await room.release($0) }, logger: .quiet)
    }

    @Test func theAnswerIsNotTheEndOfTheReservation() async throws {
        try await withFolder { (folder: String) async throws in
            let room = Room()
            var given: [NodeRoom.Reservation?] = []
            let new = try Self.pod("200m")
            await PodResizer(node: node(folder, FakeRuntime(), room), uid: "u1", pod: new).resize(
                [], granted: { _ in nil }, done: { given.append($1) })
            #expect(given.count == 1 && given.first.flatMap { $0 } != nil)
            #expect(room.held.isEmpty)
        }
    }

    @Test func aWorkerGivesBackWhatItHolds() async throws {
        try await withFolder { (folder: String) async throws in
            let (runtime, room) = (FakeRuntime(), Room())
            let worker = PodWorker(try Self.pod("100m"), node: node(folder, runtime, room))
            room.state.withLock { $0.worker = worker }
            let running = Task { await worker.run(adopting: nil, stale: false) }
            try await until { await worker.facts("app")?.running == true }
            await worker.update(try Self.pod("200m"))
            try await until { room.held.count == 1 }
            await worker.update(try Self.pod("300m"))
            try await until { room.held.count == 2 }
            #expect(room.held == [200, 300])
            running.cancel()
            await running.value
            room.state.withLock { $0.worker = nil }
        }
    }
}

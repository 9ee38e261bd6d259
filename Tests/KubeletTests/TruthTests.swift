// After a restart the kernel and the runtime are the truth: what the API shows of an address, and what it asks for by
// now, are compared with what was found.

import APIServer
import Client
import Containers
import Objects
import Synchronization
import System
import Testing

@testable import Kubelet

@Suite struct TruthTests {
    private static let published: JSON = [
        "phase": "Running", "podIP": "10.42.0.66", "podIPs": [["ip": "10.42.0.66"]],
        "containerStatuses": [
            [
                "name": "app", "restartCount": 0, "containerID": "noded://c9", "started": true, "ready": true,
                "state": ["running": ["startedAt": "2023-11-14T22:13:00Z"]],
            ]
        ],
    ]

    private func found(_ addresses: [String]?, image: String = "") -> RecoveredPod {
        RecoveredPod(
            addresses: addresses,
            containers: [
                RecoveredContainer(
                    name: "app", id: "c9", attempt: 0, image: image,
                    startedAt: Timestamp(seconds: World.epoch - 60), termination: nil)
            ])
    }

    private static let two = header + "spec: {containers: [{name: app, image: w}, {name: other, image: w}]}"

    @Test func anAddressOfTheAPIIsNoNetwork() throws {
        var world = try World(Self.two)
        world.machine.restore(Self.published)
        world.send(.adopt(found([])))
        #expect(world.status["podIP"] == nil)
        #expect(world.log.contains(.attachNetwork))
        #expect(!world.log.contains(.resolveImage(container: "other")), "no container starts without a network")
        world.settle()
        #expect(world.status.text("podIP") == "10.42.0.7")
        #expect(world.starts == ["other"])
        #expect(world.stops.isEmpty)
        #expect(world.phase == "Running")
    }

    @Test func aLinkThatWasFoundIsNotMadeAgain() throws {
        var world = try World(Self.two)
        world.machine.restore(Self.published)
        world.send(.adopt(found(["10.42.0.9"])))
        #expect(world.status.text("podIP") == "10.42.0.9")
        #expect(!world.log.contains(.attachNetwork))
    }

    @Test func aKernelThatWasNotReadTakesNoAddressBack() throws {
        var world = try World(Self.two)
        world.machine.restore(Self.published)
        world.send(.adopt(found(nil)))
        #expect(world.status.text("podIP") == "10.42.0.66")
        #expect(world.condition("PodReadyToStartContainers") == "True")
        #expect(!world.log.contains(.attachNetwork))
        #expect(world.log.contains(.resolveImage(container: "other")))
        var linked = world
        linked.send(.networkFound(["10.42.0.66"]))
        #expect(linked.status.text("podIP") == "10.42.0.66")
        #expect(!linked.log.contains(.attachNetwork))
        world.send(.networkFound([]))
        #expect(world.status["podIP"] == nil)
        #expect(world.log.contains(.attachNetwork))
        world.settle()
        #expect(world.status.text("podIP") == "10.42.0.7")
        #expect(world.stops.isEmpty)
    }

    @Test func aDeletionDrainsAlsoWhileTheKernelIsNotRead() throws {
        var world = try World(PodMachineTests.plain)
        world.machine.restore(Self.published)
        world.send(.adopt(found(nil)))
        var plan = world.machine.plan
        plan.deletionGrace = .seconds(5)
        world.send(.desired(plan))
        #expect(world.log.contains(.drainEndpoints(limit: PodMachine.drainLimit)))
        #expect(world.stops.isEmpty)
        world.send(.drained)
        #expect(world.stops == ["app"])
        // What was read too late is nobody's any more.
        world.send(.networkFound([]))
        #expect(!world.log.contains(.attachNetwork))
    }

    /// Containers begin after the network: without one, and without an address, there is nothing to keep.
    @Test func withoutAnAddressToKeepTheNetworkIsMade() throws {
        var world = try World(Self.two)
        world.send(.adopt(found(nil)))
        #expect(world.status["podIP"] == nil)
        #expect(world.log.contains(.attachNetwork))
        #expect(!world.log.contains(.resolveImage(container: "other")))

        var bare = try World(Self.two)
        bare.machine.restore(Self.published)
        bare.send(.adopt(RecoveredPod(addresses: nil, containers: [])))
        #expect(bare.status["podIP"] == nil)
        #expect(bare.log.contains(.attachNetwork))
    }

    /// Its supervisor hangs: told, and asked again, later each time; a restart waits for the end.
    @Test func aStopThatFailsIsToldAndAskedAgain() throws {
        var world = try World(ProbeTests.probed)
        world.begin()
        for _ in 0..<3 { world.send(.probed(container: "app", id: "c1", .startup, .failure("no"))) }
        #expect(world.stops == ["app"])
        world.send(.stopFailed(container: "app", id: "c1", message: "it hangs"))
        #expect(world.reports("FailedKillPod") == ["error killing container: it hangs"])
        world.pass(.seconds(1))
        #expect(world.stops == ["app", "app"])
        world.send(.stopFailed(container: "app", id: "c1", message: "it hangs"))
        world.pass(.seconds(1))
        #expect(world.stops.count == 2)
        world.pass(.seconds(1))
        #expect(world.stops.count == 3)
        world.exit("app", 137)
        #expect(world.id("app") == "c2")
        // About the old one.
        world.send(.stopFailed(container: "app", id: "c1", message: "it hangs"))
        world.pass(.seconds(60))
        #expect(world.stops.count == 3)
    }

    @Test func aStopTriedAgainIsNotForTheNextContainer() throws {
        var world = try World(ProbeTests.probed)
        world.begin()
        for _ in 0..<3 { world.send(.probed(container: "app", id: "c1", .startup, .failure("no"))) }
        world.send(.stopFailed(container: "app", id: "c1", message: "it hangs"))
        world.exit("app", 137)
        #expect(world.id("app") == "c2")
        for _ in 0..<3 { world.send(.probed(container: "app", id: "c2", .startup, .failure("no"))) }
        #expect(world.stops.count == 2)
        world.pass(.seconds(1))
        #expect(world.stops.count == 2)
    }

    @Test func aLostLinkIsMadeAgainAndThePodGoesOn() throws {
        var world = try World(PodMachineTests.plain)
        world.begin()
        world.forgetLog()
        world.send(.linkLost)
        world.send(.linkLost)
        #expect(world.log.filter { $0 == .attachNetwork }.count == 1)
        #expect(world.reports("NetworkNotReady").count == 1)
        #expect(world.status.text("podIP") == "10.42.0.7")
        #expect(world.condition("Ready") == "True")
        world.settle()
        #expect(world.machine.trouble == nil)
        #expect(world.stops.isEmpty && world.starts.isEmpty)

        // Again and again: later each time, and at once after a quiet while.
        world.forgetLog()
        world.send(.linkLost)
        #expect(!world.log.contains(.attachNetwork))
        world.pass(.seconds(1))
        #expect(world.log.contains(.attachNetwork))
        world.forgetLog()
        world.send(.linkLost)
        world.pass(.seconds(1))
        #expect(!world.log.contains(.attachNetwork))
        world.pass(.seconds(1))
        #expect(world.log.contains(.attachNetwork))
        world.pass(.seconds(600))
        world.forgetLog()
        world.send(.linkLost)
        #expect(world.log.contains(.attachNetwork))
    }

    @Test func aLinkThatCannotBeMadeAgainIsTriedAgain() throws {
        var world = try World(PodMachineTests.plain)
        world.begin()
        world.send(.linkLost)
        world.open = []
        world.send(.networkFailed("the kernel says no"))
        #expect(world.machine.trouble == "the kernel says no")
        #expect(world.reports("NetworkNotReady").last?.contains("the kernel says no") == true)
        world.forgetLog()
        world.pass(.seconds(1))
        #expect(world.log.contains(.attachNetwork))
        #expect(world.machine.trouble == nil)
        #expect(world.status.text("podIP") == "10.42.0.7")

        // Not while it goes, and not of a pod that is gone.
        world.send(.linkLost)
        world.open = []
        world.send(.sandboxLost("its supervisor died"))
        world.send(.networkFailed("no such process"))
        world.forgetLog()
        world.settle()
        #expect(world.status.text("podIP") == "10.42.0.7")
        #expect(world.log.filter { $0 == .attachNetwork }.count == 1, "the new sandbox's")
        #expect(world.reports("NetworkNotReady").isEmpty)
    }

    @Test func anAddressIsGoneWithItsSandbox() throws {
        var world = try World(PodMachineTests.plain)
        world.machine.restore(Self.published)
        world.send(.begin)
        #expect(world.status["podIP"] == nil)
        #expect(world.phase == "Running", "a phase does not go back")
        world.settle()
        #expect(world.status.text("podIP") == "10.42.0.7")
    }

    @Test func aPodThatLosesItsSandboxStaysRunning() throws {
        var world = try World(
            header + """
                spec:
                  initContainers: [{name: setup, image: w}]
                  containers: [{name: app, image: w}]
                """)
        world.begin()
        #expect(world.phase == "Pending")
        world.exit("setup", 0)
        #expect(world.phase == "Running")
        world.send(.sandboxLost("gone"))
        #expect(world.phase == "Running")
        world.settle()
        #expect(world.starts.suffix(1) == ["setup"])
        #expect(world.phase == "Running")
        #expect(world.condition("Ready") == "False")
    }

    @Test func anImageThatChangedMeanwhileIsApplied() throws {
        var world = try World(PodMachineTests.plain)
        world.send(.adopt(found(["10.42.0.9"], image: "older")))
        world.settle()
        #expect(world.stops == ["app"])
        world.exit("app", 0)
        #expect(world.starts == ["app"])

        for image in ["", world.machine.plan.containers[0].image] {
            var same = try World(PodMachineTests.plain)
            same.send(.adopt(found(["10.42.0.9"], image: image)))
            same.settle()
            #expect(same.stops.isEmpty)
        }

        var leaving = try World(PodMachineTests.plain)
        leaving.machine.plan.deletionGrace = .seconds(5)
        leaving.send(.adopt(found(["10.42.0.9"], image: "older")))
        leaving.settle()
        #expect(leaving.stops == ["app"])
        #expect(leaving.reports("Killing") == ["Stopping container app"])
    }

    @Test func anImageThatChangesWhileTheNetworkIsMadeIsApplied() throws {
        var world = try World(PodMachineTests.plain)
        world.send(.adopt(found([])))
        var plan = world.machine.plan
        plan.containers[0].image = "newer"
        world.send(.desired(plan))
        #expect(world.stops == ["app"])
        world.settle()
        world.exit("app", 0)
        #expect(world.starts == ["app"])
    }

    /// The API forgets an address that the pod does not have any more.
    @Test(.timeLimit(.minutes(5))) func theAPIForgetsAnAddress() async throws {
        let server = try await APIModeTests.server()
        let client = server.client
        let pod = try await APIModeTests.create(
            client, .pods, header + "spec: {containers: [{name: app, image: w}]}")
        let key = ObjectKey(pod)
        let recorder = EventRecorder(client: client, component: "kubelet", host: "n1", logger: .quiet)
        let sink = APISink(client: client, recorder: recorder)
        let before: JSON = ["phase": "Running", "podIP": "10.42.0.66", "podIPs": [["ip": "10.42.0.66"]]]
        _ = try await sink.publish(before, of: pod, after: nil)
        let known = try await client.get(.pods, key)
        #expect(known.child("status").text("podIP") == "10.42.0.66")
        // Nothing but the address is different: that alone has to be told.
        _ = try await sink.publish(["phase": "Running"], of: known, after: nil)
        let status = try await client.get(.pods, key).child("status")
        #expect(status["podIP"] == nil)
        #expect(status["podIPs"] == nil)
    }
}

@Suite(.timeLimit(.minutes(5))) struct CommandTests {
    private func runner(_ runtime: FakeRuntime) -> HandlerRunner {
        HandlerRunner(runtime: runtime, prober: FakeProber(), podUID: "u1", address: nil)
    }

    private func session(exit code: Int32?, _ cancel: @escaping @Sendable () -> Void) -> ExecSession {
        ExecSession(
            stdout: AsyncStream {
                $0.yield(Array("why".utf8))
                $0.finish()
            }, stderr: AsyncStream { $0.finish() },
            actions: ExecSession.Actions(
                write: { _ in }, closeStdin: {}, resize: { _, _ in },
                wait: {
                    if let code { return code }
                    try await Task.sleep(for: .seconds(3600))
                    return 0
                }, cancel: cancel))
    }

    @Test func aCommandThatNeverStartsIsLate() async {
        let runtime = FakeRuntime()
        runtime.state.withLock {
            $0.exec = {
                try await Task.sleep(for: .seconds(3600))
                throw ContainersError.invalid("nobody waits so long")
            }
        }
        let failure = await runner(runtime).run(.exec(["x"]), container: [:], id: "c1", timeout: .milliseconds(20))
        #expect(failure?.wasAsked == false)
        #expect(failure?.text.hasPrefix("command timed out") == true)
        let loop = ProbeLoop(
            plan: ProbePlan(handler: .exec(["x"])), kind: .liveness, since: .now(), isWanted: { true },
            probe: { failure }, deliver: { _ in })
        guard case .unknown = loop.outcome(failure, late: .zero, took: .zero) else {
            Issue.record("a command that never ran was taken for the container's answer")
            return
        }
    }

    @Test func aCommandThatHangsIsCancelled() async {
        let runtime = FakeRuntime()
        let (cancels, cancelled) = AsyncStream<Void>.makeStream()
        let hanging = session(exit: nil) { cancelled.finish() }
        runtime.state.withLock { $0.exec = { hanging } }
        // A machine that starves may not come to asking within the time; it gets more.
        var (failure, limit): (HandlerFailure?, Duration) = (nil, .milliseconds(20))
        repeat {
            failure = await runner(runtime).run(.exec(["x"]), container: [:], id: "c1", timeout: limit)
            limit *= 4
        } while failure?.wasAsked == false && limit < .seconds(60)
        #expect(failure?.wasAsked == true)
        for await _ in cancels {}
    }

    /// The runtime may not notice that nobody waits any more: what it starts all the same is ended.
    @Test func aCommandThatStartsTooLateIsCancelled() async {
        let runtime = FakeRuntime()
        let (cancels, cancelled) = AsyncStream<Void>.makeStream()
        let hanging = session(exit: nil) { cancelled.finish() }
        runtime.state.withLock {
            $0.exec = {
                try? await Task.sleep(for: .seconds(3600))
                return hanging
            }
        }
        let failure = await runner(runtime).run(.exec(["x"]), container: [:], id: "c1", timeout: .milliseconds(20))
        #expect(failure?.wasAsked == false)
        for await _ in cancels {}
    }

    @Test func aCommandsEndIsItsAnswer() async {
        let runtime = FakeRuntime()
        for (code, text) in [(0, nil), (3, "why")] as [(Int32, String?)] {
            let ended = session(exit: code) {}
            runtime.state.withLock { $0.exec = { ended } }
            let failure = await runner(runtime).run(.exec(["x"]), container: [:], id: "c1", timeout: .seconds(30))
            #expect(failure?.text == text)
        }
    }
}

// Probes and hooks inside the machine, and what a restart of noded must not change.

import Objects
import Synchronization
import System
import Testing

@testable import Kubelet

@Suite struct ProbeTests {
    static let probed =
        header + """
            spec:
              containers:
              - name: app
                image: w
                startupProbe: {exec: {command: [a]}, failureThreshold: 3}
                livenessProbe: {httpGet: {port: 80}, failureThreshold: 2, terminationGracePeriodSeconds: 3}
                readinessProbe: {tcpSocket: {port: 80}, failureThreshold: 2, successThreshold: 1}
            """

    func probes(_ world: World) -> [ProbeKind] {
        world.log.compactMap { if case .startProbe(_, _, let kind, _) = $0 { kind } else { nil } }
    }

    @Test func startupGatesTheOthers() throws {
        var world = try World(Self.probed)
        world.begin()
        #expect(probes(world) == [.startup])
        #expect(world.container("app")["started"] == false)
        world.send(.probed(container: "app", id: "c1", .startup, .success))
        #expect(probes(world) == [.startup, .liveness, .readiness])
        #expect(world.container("app")["started"] == true)
        #expect(world.condition("Ready") == "False")
        world.send(.probed(container: "app", id: "c1", .readiness, .success))
        #expect(world.condition("Ready") == "True")
    }

    @Test func readinessFollowsItsThreshold() throws {
        var world = try World(Self.probed)
        world.begin()
        world.send(.probed(container: "app", id: "c1", .startup, .success))
        world.send(.probed(container: "app", id: "c1", .readiness, .success))
        world.send(.probed(container: "app", id: "c1", .readiness, .failure("refused")))
        #expect(world.condition("Ready") == "True")
        world.send(.probed(container: "app", id: "c1", .readiness, .failure("refused")))
        #expect(world.condition("Ready") == "False")
        #expect(world.stops.isEmpty)
        #expect(world.reports("Unhealthy") == ["Readiness probe failed: refused", "Readiness probe failed: refused"])
        world.send(.probed(container: "app", id: "c1", .readiness, .success))
        #expect(world.condition("Ready") == "True")
    }

    @Test func livenessRestartsWithItsOwnGrace() throws {
        var world = try World(Self.probed)
        world.begin()
        world.send(.probed(container: "app", id: "c1", .startup, .success))
        world.send(.probed(container: "app", id: "c1", .liveness, .failure("HTTP probe failed with statuscode: 500")))
        world.send(.probed(container: "app", id: "c1", .liveness, .failure("HTTP probe failed with statuscode: 500")))
        #expect(world.grace("app") == .seconds(3))
        #expect(world.reports("Killing") == ["Container app failed liveness probe, will be restarted"])
        world.exit("app", 137)
        #expect(world.machine.isRunning("app"))
        #expect(world.id("app") == "c2")
        // A late answer about the old container means nothing.
        world.send(.probed(container: "app", id: "c1", .startup, .success))
        #expect(world.container("app")["started"] == false)
    }

    @Test func startupFailureRestarts() throws {
        var world = try World(Self.probed)
        world.begin()
        for _ in 0..<3 { world.send(.probed(container: "app", id: "c1", .startup, .failure("no"))) }
        #expect(world.stops == ["app"])
    }

    @Test func lateProbesAreForgivenButNotForEver() throws {
        var world = try World(Self.probed)
        world.begin()
        world.send(.probed(container: "app", id: "c1", .startup, .success))
        for _ in 0..<3 { world.send(.probed(container: "app", id: "c1", .liveness, .unknown("late"))) }
        #expect(world.stops.isEmpty)
        #expect(world.reports("Unhealthy").isEmpty)
        for _ in 0..<2 { world.send(.probed(container: "app", id: "c1", .liveness, .unknown("late"))) }
        #expect(world.stops == ["app"])
    }

    @Test func latenessIsMeasured() {
        let plan = ProbePlan(handler: .tcp(host: nil, port: .number(1)), timeout: .seconds(2))
        let loop = ProbeLoop(plan: plan, kind: .liveness, since: .now(), isWanted: { true }, probe: { nil }, deliver: { _ in })
        #expect(loop.outcome(nil, late: .seconds(60), took: .zero) == .success)
        #expect(loop.outcome("x", late: .zero, took: .seconds(2)) == .failure("x"))
        guard case .unknown = loop.outcome("x", late: .seconds(3), took: .zero) else {
            Issue.record("a late probe was believed")
            return
        }
    }

    @Test(.timeLimit(.minutes(5))) func earlyReadinessFailuresAreQuiet() async throws {
        func outcomes(_ kind: ProbeKind, age: Duration, failures: Int) async -> [ProbeOutcome] {
            let (outcomes, told) = AsyncStream<ProbeOutcome>.makeStream()
            let left = Mutex(failures)
            let loop = ProbeLoop(
                // So long that no starved machine makes a probe late here.
                plan: ProbePlan(
                    handler: .tcp(host: nil, port: .number(1)), period: .seconds(3600), timeout: .seconds(3600)),
                kind: kind,
                since: Timestamp.now().advanced(by: .zero - age), isWanted: { true },
                probe: {
                    left.withLock { left in
                        left -= 1
                        return left < 0 ? nil : "refused"
                    }
                }, deliver: { told.yield($0) })
            let run = Task { await loop.run() }
            defer { run.cancel() }
            var seen: [ProbeOutcome] = []
            for await outcome in outcomes {
                seen.append(outcome)
                if outcome != .notYet { break }
            }
            return seen
        }
        #expect(await outcomes(.readiness, age: .zero, failures: 2) == [.notYet, .notYet, .success])
        // An old container, one that noded has found again, has no excuse.
        #expect(await outcomes(.readiness, age: .seconds(7200), failures: 2) == [.failure("refused")])
        #expect(await outcomes(.liveness, age: .seconds(7200), failures: 2) == [.failure("refused")])
        func delay(_ kind: ProbeKind, _ period: Int) -> Duration {
            let plan = ProbePlan(
                handler: .tcp(host: nil, port: .number(1)), initialDelay: .seconds(3), period: .seconds(period))
            return ProbeLoop(
                plan: plan, kind: kind, since: .now(), isWanted: { true }, probe: { nil }, deliver: { _ in }
            ).firstDelay
        }
        #expect(delay(.readiness, 10) == .seconds(3))
        #expect(delay(.liveness, 10) == .seconds(4))
        #expect(delay(.startup, 1) == .milliseconds(3500))

        var world = try World(Self.probed)
        world.begin()
        world.send(.probed(container: "app", id: "c1", .startup, .success))
        world.send(.probed(container: "app", id: "c1", .readiness, .notYet))
        #expect(world.reports("Unhealthy").isEmpty)
        #expect(world.condition("Ready") == "False")
    }

    @Test func postStartDelaysProbesAndKillsOnFailure() throws {
        var world = try World(
            header + """
                spec:
                  containers:
                  - {name: app, image: w, lifecycle: {postStart: {exec: {command: [x]}}}, readinessProbe: {tcpSocket: {port: 1}}}
                """)
        world.begin()
        #expect(probes(world).isEmpty)
        world.send(.hookFinished(container: "app", id: "c1", .postStart, failure: "PostStartHook failed: 1"))
        #expect(world.stops == ["app"])
        world.exit("app", 137)
        world.send(.hookFinished(container: "app", id: "c2", .postStart, failure: nil))
        #expect(probes(world) == [.readiness])
    }
}

@Suite struct AdoptionTests {
    func running(_ attempt: Int, id: String = "c9") -> RecoveredPod {
        RecoveredPod(
            addresses: ["10.42.0.9"],
            containers: [
                RecoveredContainer(
                    name: "app", id: id, attempt: attempt, startedAt: Timestamp(seconds: World.epoch - 60),
                    termination: nil)
            ])
    }

    @Test func nothingRestartsAndReadinessStays() throws {
        var before = try World(ProbeTests.probed)
        before.begin()
        before.send(.probed(container: "app", id: "c1", .startup, .success))
        before.send(.probed(container: "app", id: "c1", .readiness, .success))
        before.exit("app", 1)
        before.send(.probed(container: "app", id: "c2", .startup, .success))
        before.send(.probed(container: "app", id: "c2", .readiness, .success))
        let status = before.status

        var after = try World(ProbeTests.probed)
        after.machine.restore(status)
        after.send(.adopt(running(1, id: "c2")))
        after.settle()
        #expect(after.starts.isEmpty)
        #expect(after.condition("Ready") == "True")
        #expect(after.container("app").integer("restartCount") == 1)
        #expect(after.container("app").child("lastState") == before.container("app").child("lastState"))
        #expect(after.phase == "Running")
        #expect(after.status.list("conditions") == status.list("conditions"))
        let probes = after.log.compactMap { if case .startProbe(_, _, let kind, _) = $0 { kind } else { nil } }
        #expect(probes == [.liveness, .readiness])
    }

    @Test func whatEndedMeanwhileFollowsItsPolicy() throws {
        let end = Termination(exitCode: 1, finishedAt: Timestamp(seconds: World.epoch - 1))
        let found = RecoveredPod(
            addresses: ["10.42.0.9"],
            containers: [RecoveredContainer(name: "app", id: "c9", attempt: 3, startedAt: nil, termination: end)])
        var world = try World(PodMachineTests.plain)
        world.send(.adopt(found))
        world.settle()
        #expect(world.state("app") == "waiting CrashLoopBackOff")
        world.pass(.seconds(60))
        #expect(world.container("app").integer("restartCount") == 4)

        var never = try World(header + "spec: {restartPolicy: Never, containers: [{name: app, image: w}]}")
        never.send(.adopt(found))
        never.settle()
        #expect(never.starts.isEmpty)
        #expect(never.phase == "Failed")
    }

    @Test func deletionGoesOnAfterARestart() throws {
        var world = try World(PodMachineTests.plain)
        world.machine.plan.deletionGrace = .seconds(5)
        world.send(.adopt(running(0)))
        world.settle()
        #expect(world.stops == ["app"])
        world.exit("app", 143)
        #expect(world.machine.isGone)
    }

    @Test func aRebootCountsAsARestart() throws {
        var before = try World(PodMachineTests.plain)
        before.begin()
        var after = try World(PodMachineTests.plain)
        after.machine.restore(before.status)
        after.begin()
        #expect(after.container("app").integer("restartCount") == 1)
        #expect(after.state("app") == "running")

        var never = try World(header + "spec: {restartPolicy: Never, containers: [{name: app, image: w}]}")
        never.begin()
        var rebooted = try World(header + "spec: {restartPolicy: Never, containers: [{name: app, image: w}]}")
        rebooted.machine.restore(never.status)
        rebooted.begin()
        #expect(rebooted.phase == "Failed")
        #expect(rebooted.starts.isEmpty)
    }

    @Test func aFinishedPodStaysFinished() throws {
        var before = try World(header + "spec: {restartPolicy: Never, containers: [{name: app, image: w}]}")
        before.begin()
        before.exit("app", 0)
        var after = try World(header + "spec: {restartPolicy: Never, containers: [{name: app, image: w}]}")
        after.machine.restore(before.status)
        after.begin()
        #expect(after.phase == "Succeeded")
        #expect(after.starts.isEmpty)
        #expect(after.status == before.status)
    }
}

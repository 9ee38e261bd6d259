// The life of a pod, told as YAML in, actions and status out; no kernel, no clock.

import Objects
import System
import Testing

@testable import Kubelet

@Suite struct PodMachineTests {
    static let plain = header + "spec: {terminationGracePeriodSeconds: 30, containers: [{name: app, image: web}]}"

    @Test func aPlainPodComesUp() throws {
        var world = try World(Self.plain)
        #expect(world.state("app") == "waiting ContainerCreating")
        world.begin()
        #expect(world.phase == "Running")
        #expect(world.state("app") == "running")
        #expect(world.condition("Ready") == "True")
        #expect(world.condition("PodReadyToStartContainers") == "True")
        #expect(world.status.text("podIP") == "10.42.0.7")
        #expect(world.status.text("hostIP") == "192.0.2.1")
        #expect(world.container("app").text("containerID") == "noded://c1")
        #expect(world.status.integer("observedGeneration") == 1)
        #expect(world.log.prefix(3) == [.mountVolumes, .createSandbox(attempt: 0), .attachNetwork])
        #expect(world.reports("Started") == ["Container started"])
    }

    @Test func initContainersRunInOrderAndAppWaits() throws {
        var world = try World(
            header + """
                spec:
                  initContainers: [{name: one, image: i}, {name: two, image: i}]
                  containers: [{name: app, image: web}]
                """)
        world.begin()
        #expect(world.starts == ["one"])
        #expect(world.state("app") == "waiting PodInitializing")
        #expect(world.condition("Initialized") == "False")
        world.exit("one", 0)
        #expect(world.starts == ["one", "two"])
        world.exit("two", 1)
        #expect(world.starts == ["one", "two", "two"])
        world.exit("two", 0)
        #expect(world.starts.last == "app")
        #expect(world.condition("Initialized") == "True")
        #expect(world.phase == "Running")
        #expect(world.container("two").integer("restartCount") == 1)
    }

    @Test func aFailedInitContainerEndsANeverPod() throws {
        var world = try World(
            header + """
                spec: {restartPolicy: Never, initContainers: [{name: one, image: i}], containers: [{name: app, image: w}]}
                """)
        world.begin()
        world.exit("one", 3)
        #expect(world.phase == "Failed")
        #expect(world.starts == ["one"])
    }

    @Test func sidecarsStartFirstAndStopLastInReverse() throws {
        var world = try World(
            header + """
                spec:
                  restartPolicy: Never
                  initContainers:
                  - {name: s1, image: i, restartPolicy: Always}
                  - {name: setup, image: i}
                  - {name: s2, image: i, restartPolicy: Always}
                  containers: [{name: app, image: w}]
                """)
        world.begin()
        #expect(world.starts == ["s1", "setup"])
        world.exit("setup", 0)
        #expect(world.starts == ["s1", "setup", "s2", "app"])
        // A sidecar that dies comes back, also in a Never pod.
        world.exit("s1", 1)
        #expect(world.starts.last == "s1")
        world.exit("app", 0)
        #expect(world.stops == ["s2"])
        world.exit("s2", 143)
        #expect(world.stops == ["s2", "s1"])
        world.exit("s1", 143)
        #expect(world.phase == "Succeeded")
        #expect(world.log.contains(.teardown(volumes: true)))
    }

    @Test func crashesBackOffFromNothingToFiveMinutes() throws {
        var world = try World(Self.plain)
        world.begin()
        var waits: [Int64] = []
        for _ in 0..<8 {
            let before = world.time
            world.exit("app", 1)
            if world.machine.isRunning("app") {
                waits.append(0)
                continue
            }
            #expect(world.state("app") == "waiting CrashLoopBackOff")
            while !world.machine.isRunning("app") { world.pass(.seconds(1)) }
            waits.append((world.time - before).components.seconds)
        }
        #expect(waits == [0, 10, 20, 40, 80, 160, 300, 300])
        #expect(world.container("app").integer("restartCount") == 8)
        #expect(world.container("app").child("lastState").child("terminated").integer("exitCode") == 1)
        // A long run forgives everything.
        world.pass(.seconds(600))
        world.exit("app", 1)
        #expect(world.machine.isRunning("app"))
        #expect(world.phase == "Running")
        let message = world.reports("BackOff").first
        #expect(message == "Back-off restarting failed container app in pod web_default(u1)")
    }

    @Test func cleanExitsNeverWaitLongerThanTenSeconds() throws {
        var world = try World(Self.plain)
        world.begin()
        for round in 0..<6 {
            let before = world.time
            world.exit("app", 0)
            while !world.machine.isRunning("app") { world.pass(.seconds(1)) }
            #expect((world.time - before) == (round == 0 ? .zero : .seconds(10)))
        }
    }

    @Test func restartPolicies() throws {
        for (policy, code, phase) in [
            ("Never", 0, "Succeeded"), ("Never", 1, "Failed"), ("OnFailure", 0, "Succeeded"),
            ("OnFailure", 1, "Running"),
            ("Always", 0, "Running"),
        ] {
            var world = try World(header + "spec: {restartPolicy: \(policy), containers: [{name: app, image: w}]}")
            world.begin()
            world.exit("app", code)
            #expect(world.phase == phase, "\(policy) \(code)")
            if phase == "Succeeded" {
                #expect(world.state("app") == "terminated Completed")
                #expect(
                    world.status.list("conditions").first { $0.text("type") == "Ready" }?.text("reason")
                        == "PodCompleted")
                #expect(world.status.text("podIP") == "10.42.0.7")
            }
        }
    }

    @Test func oomIsNamed() throws {
        var world = try World(header + "spec: {restartPolicy: Never, containers: [{name: app, image: w}]}")
        world.begin()
        world.exit("app", 137, oom: true)
        #expect(world.state("app") == "terminated OOMKilled")
    }

    @Test func aMissingImageWaitsAndIsLookedForAgain() throws {
        var world = try World(Self.plain)
        world.missing = ["app"]
        world.begin()
        #expect(world.state("app") == "waiting ErrImagePull")
        #expect(world.phase == "Pending")
        world.pass(.seconds(1))
        #expect(world.state("app") == "waiting ImagePullBackOff")
        world.missing = []
        world.pass(.seconds(11))
        #expect(world.state("app") == "running")
    }

    @Test func configErrorsWaitAndCreateNothing() throws {
        var world = try World(Self.plain)
        world.broken["app"] = ("CreateContainerConfigError", "secret \"db\" not found")
        world.begin()
        #expect(world.state("app") == "waiting CreateContainerConfigError")
        #expect(world.container("app").child("state").child("waiting").text("message") == "secret \"db\" not found")
        #expect(world.container("app").integer("restartCount") == 0)
        world.broken = [:]
        world.pass(.seconds(1))
        #expect(world.state("app") == "running")
    }

    @Test func aStartThatIsTriedAgainSaysItsNewsOnce() throws {
        var world = try World(Self.plain)
        world.broken["app"] = ("CreateContainerConfigError", "secret \"db\" not found")
        world.begin()
        world.pass(.seconds(60))
        #expect(world.starts.count > 3)
        #expect(world.reports("Pulled").count == 1)
        #expect(world.reports("Failed") == ["Error: secret \"db\" not found"])
        // An image that went and came back is news.
        world.missing = ["app"]
        world.pass(.seconds(20))
        world.missing = []
        world.pass(.seconds(60))
        #expect(world.reports("Pulled").count == 2)
        world.broken = [:]
        world.pass(.seconds(20))
        #expect(world.state("app") == "running")
        #expect(world.reports("Pulled").count == 2)
        // So is the next start.
        world.exit("app", 1)
        #expect(world.state("app") == "running")
        #expect(world.reports("Pulled").count == 3)
    }

    @Test func aProgramThatCannotRunCountsAsARun() throws {
        var world = try World(header + "spec: {restartPolicy: Never, containers: [{name: app, image: w}]}")
        world.broken["app"] = ("RunContainerError", "exec: \"x\": not found")
        world.begin()
        #expect(world.phase == "Failed")
        let end = world.container("app").child("state").child("terminated")
        #expect(end.integer("exitCode") == 128)
        #expect(end.text("reason") == "StartError")
    }

    @Test func mountFailuresAreTriedAgain() throws {
        var world = try World(Self.plain)
        world.send(.begin)
        world.open = []
        world.send(.volumesFailed("MountVolume.SetUp failed for volume \"c\" : configmap \"c\" not found"))
        #expect(world.reports("FailedMount").count == 1)
        world.open = []
        world.pass(.seconds(2))
        #expect(world.phase == "Running")
    }

    @Test func aLostSandboxIsMadeAnew() throws {
        var world = try World(
            header + "spec: {initContainers: [{name: one, image: i}], containers: [{name: app, image: w}]}")
        world.begin()
        world.exit("one", 0)
        world.send(.sandboxLost("the pod's supervisor died"))
        world.settle()
        #expect(world.log.contains(.teardown(volumes: false)))
        #expect(world.log.contains(.createSandbox(attempt: 1)))
        world.exit("one", 0)
        #expect(world.machine.isRunning("app"))
        #expect(world.container("app").integer("restartCount") == 1)
        #expect(world.reports("SandboxChanged").count == 1)
    }

    @Test func imageChangesRestartTheContainer() throws {
        var world = try World(Self.plain)
        world.begin()
        var plan = world.machine.plan
        plan.containers[0].image = "web:2"
        world.send(.desired(plan))
        #expect(world.stops == ["app"])
        world.exit("app", 143)
        #expect(world.machine.isRunning("app"))
        #expect(world.reports("Killing") == ["Container app definition changed, will be restarted"])
    }

    @Test func activeDeadline() throws {
        var world = try World(header + "spec: {activeDeadlineSeconds: 60, containers: [{name: app, image: w}]}")
        world.begin()
        world.pass(.seconds(60))
        #expect(world.stops == ["app"])
        world.exit("app", 143)
        #expect(world.phase == "Failed")
        #expect(world.status.text("reason") == "DeadlineExceeded")
    }
}

@Suite struct StoppingTests {
    @Test func endpointsLeaveBeforeTheSignalAndInsideTheGrace() throws {
        var world = try World(PodMachineTests.plain)
        world.begin()
        world.forgetLog()
        world.delete(grace: 30)
        #expect(world.log.contains(.drainEndpoints(limit: .seconds(2))))
        #expect(world.stops.isEmpty)
        world.time += .seconds(2)
        world.send(.drained)
        #expect(world.grace("app") == .seconds(28))
        world.exit("app", 143)
        #expect(world.log.suffix(2) == [.teardown(volumes: true), .deleteObject])
        #expect(world.machine.isGone)
        world.send(.vanished)
        #expect(world.log.last == .forget)
    }

    @Test func preStopComesFirstAndLeavesTwoSeconds() throws {
        var world = try World(
            header + """
                spec:
                  terminationGracePeriodSeconds: 10
                  containers: [{name: app, image: w, lifecycle: {preStop: {sleep: {seconds: 60}}}}]
                """)
        world.begin()
        world.delete(grace: 10)
        world.settle()
        #expect(world.stops.isEmpty)
        #expect(world.log.contains(.runHook(container: "app", id: "c1", .preStop, limit: .seconds(10))))
        world.time += .seconds(10)
        world.send(.hookFinished(container: "app", id: "c1", .preStop, failure: nil))
        #expect(world.grace("app") == .seconds(2))
    }

    @Test func graceZeroKillsAtOnce() throws {
        var world = try World(PodMachineTests.plain)
        world.begin()
        world.delete(grace: 0)
        world.settle()
        #expect(world.grace("app") == .zero)
        #expect(!world.log.contains { if case .drainEndpoints = $0 { true } else { false } })
    }

    @Test func aShorterGraceOvertakesALongerOne() throws {
        var world = try World(PodMachineTests.plain)
        world.begin()
        world.delete(grace: 30)
        world.settle()
        #expect(world.grace("app") == .seconds(30))
        world.time += .seconds(5)
        world.delete(grace: 1)
        #expect(world.grace("app") == .seconds(1))
    }

    @Test func theUndeadHoldNothingUp() throws {
        var world = try World(PodMachineTests.plain)
        world.begin()
        world.delete(grace: 30)
        world.settle()
        world.pass(.seconds(39))
        #expect(!world.machine.isGone)
        world.pass(.seconds(2))
        #expect(world.machine.isGone)
        #expect(world.reports("FailedKillPod").count == 1)
    }

    @Test func deletionBeforeAnythingRanNeedsNoStop() throws {
        var world = try World(PodMachineTests.plain)
        world.send(.begin)
        world.delete(grace: 30)
        world.settle()
        #expect(world.machine.isGone)
        #expect(world.stops.isEmpty)
    }

    @Test func deletionWaitsForAStartUnderWay() throws {
        var world = try World(PodMachineTests.plain)
        world.send(.begin)
        while let index = world.open.firstIndex(where: { $0 != .start(container: "app", attempt: 0) }) {
            switch world.open.remove(at: index) {
            case .mountVolumes: world.send(.volumesReady)
            case .createSandbox: world.send(.sandboxReady)
            case .attachNetwork: world.send(.networkReady(["10.42.0.7"]))
            case .resolveImage: world.send(.imageReady(container: "app", imageID: "x", found: ""))
            default: break
            }
        }
        world.delete(grace: 30)
        world.send(.drained)
        #expect(!world.log.contains(.teardown(volumes: true)))
        world.send(.started(container: "app", id: "late", at: world.now.wall))
        #expect(world.stops == ["app"])
    }

    @Test func aPodThatVanishesIsStoppedAndNotDeletedAgain() throws {
        var world = try World(PodMachineTests.plain)
        world.begin()
        world.send(.vanished)
        world.settle()
        world.exit("app", 143)
        #expect(!world.log.contains(.deleteObject))
        #expect(world.log.last == .forget)
    }

    @Test func aPodThatVanishesBeforeItsFirstEventIsStoppedToo() throws {
        var world = try World(PodMachineTests.plain)
        world.send(.vanished)
        let found = RecoveredPod(
            addresses: ["10.42.0.9"],
            containers: [RecoveredContainer(name: "app", id: "c9", attempt: 0, startedAt: nil, termination: nil)])
        world.send(.adopt(found))
        world.settle()
        #expect(world.stops == ["app"])
        world.exit("app", 143)
        #expect(world.log.contains(.teardown(volumes: true)))
        #expect(world.log.last == .forget)
    }

    @Test func teardownIsTriedUntilItWorks() throws {
        var world = try World(PodMachineTests.plain)
        world.begin()
        world.delete(grace: 0)
        world.settle()
        world.send(.exited(container: "app", id: "c1", Termination(exitCode: 137, finishedAt: world.now.wall)))
        world.open = []
        world.send(.teardownFailed("umount2 \"/x\": Device or resource busy"))
        world.pass(.seconds(2))
        #expect(world.machine.isGone)
    }

    @Test func aCompletedPodIsOnlyRemoved() throws {
        var world = try World(header + "spec: {restartPolicy: Never, containers: [{name: app, image: w}]}")
        world.begin()
        world.exit("app", 0)
        world.forgetLog()
        world.delete(grace: 30)
        world.settle()
        #expect(world.stops.isEmpty)
        #expect(world.machine.isGone)
        #expect(world.phase == "Succeeded")
    }
}

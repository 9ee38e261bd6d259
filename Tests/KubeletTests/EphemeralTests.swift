// Ephemeral containers (kubectl debug): started once, whatever the others do, and of no account to the pod.

import Objects
import System
import Testing

@testable import Kubelet

@Suite struct EphemeralTests {
    static func yaml(_ ephemeral: String, _ rest: String = "containers: [{name: app, image: web}]") -> String {
        header + "spec: {\(rest), ephemeralContainers: [\(ephemeral)]}"
    }

    private func status(_ world: World, _ name: String) -> JSON {
        world.status.list("ephemeralContainerStatuses").first { $0.text("name") == name } ?? .null
    }

    @Test func oneIsAddedRunsOnceAndHoldsNothingUp() throws {
        var world = try World(Self.yaml(""))
        world.begin()
        #expect(world.status["ephemeralContainerStatuses"] == nil)
        world.send(.desired(try PodPlan(yaml: Self.yaml("{name: debugger, image: tools}"))))
        world.settle()
        #expect(world.starts == ["app", "debugger"])
        #expect(status(world, "debugger").child("state")["running"] != nil)
        #expect(status(world, "debugger")["ready"] == false && status(world, "debugger")["started"] == nil)
        #expect(world.condition("Ready") == "True" && world.status.list("containerStatuses").count == 1)
        world.exit("debugger", 1)
        #expect(status(world, "debugger").child("state").child("terminated").integer("exitCode") == 1)
        #expect(world.starts == ["app", "debugger"] && world.condition("Ready") == "True")
        // Nothing new: nothing happens.
        world.send(.desired(try PodPlan(yaml: Self.yaml("{name: debugger, image: tools}"))))
        world.settle()
        #expect(world.starts == ["app", "debugger"] && world.phase == "Running")
    }

    @Test func itStartsBesideAnInitContainerThatHangs() throws {
        let rest = "initContainers: [{name: setup, image: i}], containers: [{name: app, image: web}]"
        var world = try World(Self.yaml("", rest))
        world.begin()
        world.send(.desired(try PodPlan(yaml: Self.yaml("{name: debugger, image: tools}", rest))))
        world.settle()
        #expect(world.starts == ["setup", "debugger"])
        #expect(world.condition("Initialized") == "False" && world.phase == "Pending")
    }

    @Test func itEndsWithThePodAndIsNotRepeatedInANewSandbox() throws {
        var world = try World(
            Self.yaml("{name: debugger, image: tools}", "restartPolicy: Never, containers: [{name: app, image: web}]"))
        world.begin()
        #expect(Set(world.starts) == ["app", "debugger"])
        world.exit("app", 0)
        #expect(world.stops == ["debugger"])

        world = try World(Self.yaml("{name: debugger, image: tools}"))
        world.begin()
        world.send(.sandboxLost("gone"))
        world.settle()
        #expect(world.starts.filter { $0 == "debugger" }.count == 1)
        #expect(world.starts.filter { $0 == "app" }.count == 2)
    }
}

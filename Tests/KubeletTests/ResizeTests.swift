// In-place resize: grants follow the spec where there is room, restarts only where the container wants one.

import Objects
import System
import Testing

@testable import Kubelet

@Suite struct ResizeTests {
    static func yaml(_ cpu: String, _ memory: String, _ policy: String = "[]") -> String {
        header + """
            spec:
              containers:
              - name: app
                image: web
                resizePolicy: \(policy)
                resources: {requests: {cpu: \(cpu), memory: \(memory)}, limits: {cpu: \(cpu), memory: \(memory)}}
            """
    }

    private func desired(_ text: String) throws -> PodEvent {
        .desired(PodPlan(try #require(try YAML.parse(Array(text.utf8)).first)))
    }

    private func resources(_ world: World) -> String? {
        world.container("app").child("resources").child("limits").text("cpu")
    }

    @Test func aRunningContainerGetsMoreWithoutARestart() throws {
        var world = try World(Self.yaml("100m", "64Mi"))
        world.begin()
        #expect(resources(world) == "100m")
        #expect(world.container("app").child("allocatedResources").text("memory") == "64Mi")
        world.send(try desired(Self.yaml("200m", "64Mi")))
        #expect(world.condition("PodResizeInProgress") == "True")
        #expect(resources(world) == "100m")
        world.settle()
        #expect(resources(world) == "200m" && world.starts == ["app"] && world.stops.isEmpty)
        #expect(world.condition("PodResizeInProgress") == "absent" && world.condition("PodResizePending") == "absent")
        #expect(world.reports("ResizeCompleted") == ["Pod resize completed"])
        // The same again: nothing.
        world.send(try desired(Self.yaml("200m", "64Mi")))
        #expect(world.log.filter { $0 == .resize }.count == 1)
    }

    @Test func aPolicyRestartsTheContainer() throws {
        let policy = "[{resourceName: memory, restartPolicy: RestartContainer}]"
        var world = try World(Self.yaml("100m", "64Mi", policy))
        world.begin()
        world.send(try desired(Self.yaml("200m", "64Mi", policy)))
        world.settle()
        #expect(world.stops.isEmpty)
        world.send(try desired(Self.yaml("200m", "128Mi", policy)))
        world.settle()
        #expect(world.stops == ["app"])
        #expect(world.condition("PodResizeInProgress") == "True")
        world.exit("app", 143)
        #expect(world.starts == ["app", "app"])
        #expect(world.machine.granted("app")?.child("limits").text("memory") == "128Mi")
        #expect(world.condition("PodResizeInProgress") == "absent")
    }

    @Test func whatDoesNotFitWaits() throws {
        var world = try World(Self.yaml("100m", "64Mi"))
        world.begin()
        world.refusal = ResizeRefusal(isFinal: false, message: "no room")
        world.send(try desired(Self.yaml("900m", "64Mi")))
        world.settle()
        #expect(world.condition("PodResizePending") == "True" && resources(world) == "100m")
        let condition = world.status.list("conditions").first { $0.text("type") == "PodResizePending" }
        #expect(condition?.text("reason") == "Deferred" && condition?.text("message") == "no room")
        // A restart takes what is granted, not what is asked for.
        world.exit("app", 1)
        #expect(world.machine.granted("app")?.child("limits").text("cpu") == "100m")
        world.refusal = nil
        world.pass(.seconds(11))
        #expect(world.condition("PodResizePending") == "absent" && resources(world) == "900m")
        // Taking the wish back ends the waiting, too.
        world.refusal = ResizeRefusal(isFinal: true, message: "never")
        world.send(try desired(Self.yaml("9000", "64Mi")))
        world.settle()
        #expect(world.status.list("conditions").contains { $0.text("reason") == "Infeasible" })
        world.send(try desired(Self.yaml("900m", "64Mi")))
        world.settle()
        #expect(world.condition("PodResizePending") == "absent")
    }

    @Test func grantsSurviveNoded() throws {
        var world = try World(Self.yaml("100m", "64Mi"))
        world.begin()
        let status = world.status
        var next = try World(Self.yaml("200m", "64Mi"))
        next.machine.restore(status)
        #expect(next.machine.granted("app")?.child("limits").text("cpu") == "100m")
    }
}

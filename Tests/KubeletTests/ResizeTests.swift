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
        .desired(try PodPlan(yaml: text))
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

@Suite struct NodeRoomTests {
    private static func amounts(cpu: Int64, memory: Int64 = 0) -> ContainerResources {
        var amounts = ContainerResources()
        (amounts.cpuRequest, amounts.memoryRequest) = (cpu, memory)
        return amounts
    }

    private static let capacity = NodeRoom.Capacity(cpu: 1000, memory: 1000)

    private static func isFinal(_ answer: NodeRoom.Answer) -> Bool? {
        if case .refused(let refusal) = answer { return refusal.isFinal }
        return nil
    }

    /// What a worker has not been granted yet counts as soon as it was promised.
    @Test func twoAtOnceDoNotGetTheSameRoom() throws {
        var room = NodeRoom()
        let held = ["a": Self.amounts(cpu: 100), "b": Self.amounts(cpu: 100)]
        let wanted = Self.amounts(cpu: 600)
        guard case .reserved(let first) = room.reserve("a", wanted, held: held, of: Self.capacity) else {
            return #expect(Bool(false), "the first fits")
        }
        #expect(Self.isFinal(room.reserve("b", wanted, held: held, of: Self.capacity)) == false)
        // The first one failed: it holds what it held.
        room.release(first)
        #expect(Self.isFinal(room.reserve("b", wanted, held: held, of: Self.capacity)) == nil)
    }

    @Test func aLateReleaseLeavesTheNextReservation() {
        var room = NodeRoom()
        guard case .reserved(let first) = room.reserve("a", Self.amounts(cpu: 300), held: [:], of: Self.capacity) else {
            return #expect(Bool(false), "there is room")
        }
        #expect(Self.isFinal(room.reserve("a", Self.amounts(cpu: 900), held: [:], of: Self.capacity)) == nil)
        let version = room.version
        room.release(first)
        #expect(room.version == version)
        #expect(Self.isFinal(room.reserve("b", Self.amounts(cpu: 200), held: [:], of: Self.capacity)) == false)
    }

    @Test func whatShrinksHasNotGivenAnythingBackYet() {
        var room = NodeRoom()
        let held = ["a": Self.amounts(cpu: 900)]
        #expect(Self.isFinal(room.reserve("a", Self.amounts(cpu: 100), held: held, of: Self.capacity)) == nil)
        #expect(Self.isFinal(room.reserve("b", Self.amounts(cpu: 200), held: held, of: Self.capacity)) == false)
    }

    @Test func whatNoNodeHasIsRefused() {
        var room = NodeRoom()
        let all = Self.amounts(cpu: .max, memory: .max)
        #expect(Self.isFinal(room.reserve("a", all, held: ["b": all, "c": all], of: Self.capacity)) == true)
        let one = Self.amounts(cpu: 1, memory: 1)
        #expect(Self.isFinal(room.reserve("a", one, held: ["b": all, "c": all], of: Self.capacity)) == false)
    }

    /// The kubelet's own answers, on the machine of this test.
    @Test func aKubeletPromisesNothingTwice() async throws {
        try await withFolder { (folder: String) async throws in
            let kubelet = Kubelet(.node(folder))
            let all = Int64(NodeFacts.read(dataDirectory: folder).cpus) * 1000
            let wanted = Self.amounts(cpu: all / 2 + 1)
            let answers = await withTaskGroup(of: NodeRoom.Answer.self) { group in
                for uid in ["a", "b", "c"] { group.addTask { await kubelet.room(uid, wanted) } }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.count { Self.isFinal($0) == nil } == 1)
            #expect(answers.count { Self.isFinal($0) == false } == 2)
            for case .reserved(let reservation) in answers { await kubelet.releaseRoom(reservation) }
            #expect(Self.isFinal(await kubelet.room("d", wanted)) == nil)
        }
    }
}

@Suite struct PodResizerTests {
    /// A pod's group is bounded only after its containers are.
    @Test func aFirstLimitWaitsForTheContainers() {
        var (none, some, more) = (ContainerResources(), ContainerResources(), ContainerResources())
        (some.cpuLimit, some.memoryLimit) = (500, 1 << 20)
        (more.cpuLimit, more.memoryLimit) = (900, 1 << 10)
        none.cpuRequest = 100
        let first = PodResizer.larger(none, some)
        #expect(first.cpuLimit == nil && first.memoryLimit == nil)
        let both = PodResizer.larger(some, more)
        #expect(both.cpuLimit == 900 && both.memoryLimit == 1 << 20)
    }
}

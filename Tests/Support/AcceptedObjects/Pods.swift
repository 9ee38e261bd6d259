// Pods on nodes: the scheduler's sums and the kubelet's cgroups.

import Cgroups
import Objects
import System

@testable import Kubelet
@testable import Scheduler

extension AcceptedObjects {
    private static func resources(_ choices: inout Choices) -> JSON {
        func list(_ choices: inout Choices) -> JSON {
            choices.some(["cpu", "memory", "ephemeral-storage"].map { ($0, { $0.quantity() }) })
        }
        switch choices.next() % 4 {
        case 0: return ["limits": list(&choices)]
        case 1: return ["requests": list(&choices)]
        case 2:
            let both = list(&choices)
            return ["requests": both, "limits": both]
        default: return ["requests": list(&choices), "limits": list(&choices)]
        }
    }

    private static func container(_ name: String, _ choices: inout Choices) -> JSON {
        ["name": .string(name), "image": "web:1", "resources": resources(&choices)]
    }

    private static func pod(_ name: String, _ choices: inout Choices, _ findings: inout Findings) -> JSON? {
        var spec = choices.some([
            ("terminationGracePeriodSeconds", { .int($0.number()) }), ("activeDeadlineSeconds", { .int($0.number()) }),
        ])
        let apps = (0...Int(choices.next()) % 3).map { container("app-\($0)", &choices) }
        spec["containers"] = .array(apps)
        let initial = (0..<Int(choices.next()) % 3).map { index in
            var container = container("init-\(index)", &choices)
            if choices.next() % 2 == 0 { container["restartPolicy"] = "Always" }
            return container
        }
        if !initial.isEmpty { spec["initContainers"] = .array(initial) }
        return findings.create(.pods, name, ["spec": spec])
    }

    static func readPlacement(_ choices: inout Choices, _ findings: inout Findings) {
        guard let plain = findings.create(.nodes, "n1", [:]) else { return }
        var status = choices.some(
            ["capacity", "allocatable"].map { name in
                (name, { $0.some(["cpu", "memory", "ephemeral-storage", "pods"].map { ($0, { $0.quantity() }) }) })
            })
        status["conditions"] = [["type": "Ready", "status": "True"]]
        var placement = Placement()
        placement.setNode(findings.setStatus(.nodes, plain, status))
        let pods = (0...Int(choices.next()) % 4).compactMap { pod("p\($0)", &choices, &findings) }.map(PodDemand.init)
        let alone = pods.map { placement.decide($0) }
        // The sums forget nothing: what was placed and taken away has left no trace.
        for demand in pods {
            if placement.decide(demand) == .node("n1") {
                findings.hold(alone.contains(.node("n1")), "a pod fits beside others but not alone")
            }
            placement.place(demand, on: "n1")
        }
        for demand in pods { placement.remove(demand.key) }
        findings.hold(pods.map { placement.decide($0) } == alone, "a pod that is gone takes room")
    }

    static func readPods(_ choices: inout Choices, _ findings: inout Findings) {
        let pods = (0...1).compactMap { pod("p\($0)", &choices, &findings) }
        let capacity = NodeRoom.Capacity(cpu: max(0, choices.number()), memory: max(0, choices.number()))
        var room = NodeRoom()
        var held: [String: ContainerResources] = [:]
        for (index, pod) in pods.enumerated() {
            let plan = PodPlan(pod)
            for wait in [plan.grace, plan.activeDeadline ?? .zero] {
                findings.hold(.zero <= wait && wait <= .seconds(Int32.max), "a pod waits for \(wait)")
            }
            let total = readGroup(pod, capacity, &findings)
            if case .refused(let refusal) = room.reserve("\(index)", total, held: held, of: capacity) {
                let fits = (total.cpuRequest ?? 0, total.memoryRequest ?? 0) <= (0, 0)
                findings.hold(!fits || !refusal.isFinal, "a pod that asks for nothing is refused for ever")
            }
            held["\(index)"] = total
        }
        if pods.count == 2 {
            let (old, new) = (
                ContainerResources.pod(pods[0].child("spec")), ContainerResources.pod(pods[1].child("spec"))
            )
            _ = PodResizer.larger(old, new).cgroup
        }
    }

    private static func readGroup(
        _ pod: JSON, _ capacity: NodeRoom.Capacity, _ findings: inout Findings
    ) -> ContainerResources {
        let spec = pod.child("spec")
        let total = ContainerResources.pod(spec)
        let view = PodView(
            pod: pod, podIPs: [], hostIPs: [],
            allocatable: Allocatable(
                milliCPU: capacity.cpu, memory: capacity.memory, ephemeralStorage: capacity.memory, pods: 110))
        for container in spec.list("containers") {
            let own = ContainerResources(container.child("resources"))
            findings.hold(
                own.cpuRequest ?? 0 <= total.cpuRequest ?? 0 && own.memoryRequest ?? 0 <= total.memoryRequest ?? 0,
                "a pod's group has less than its container")
            for name in ["limits.cpu", "limits.memory", "requests.ephemeral-storage"] {
                let text = try? view.resource(["resource": .string(name), "divisor": "1"], in: container)
                findings.hold(text?.first?.isNumber == true, "\(name) reads \(text ?? "nothing")")
            }
            readLimits(own.cgroup, &findings)
        }
        readLimits(total.cgroup, &findings)
        let score = total.oomScore(Kubepods.QoS(spec), capacity: capacity.memory)
        findings.hold((-997...1000).contains(score), "an OOM score of \(score)")
        return total
    }

    private static func readLimits(_ group: CgroupResources, _ findings: inout Findings) {
        findings.hold((1...10_000).contains(group.cpuWeight ?? 1), "a weight of \(group.cpuWeight ?? 0)")
        if let quota = group.cpuMax?.quota {
            findings.hold((1000..<(1 << 44)).contains(quota), "a quota of \(quota) µs")
        }
        _ = group.settings.map(\.description)
    }
}

// Carries out a resize: is there room, then the groups. What grows grows from the outside in, what shrinks from the
// inside out, so that a container's group never has more than its pod's. Nothing to undo when it fails half way: it is
// tried again, and every write says where to, not how far.

import Cgroups
import Containers
import Objects

struct PodResizer {
    let node: NodeServices
    let uid: String
    let pod: JSON

    /// - Parameters:
    ///   - changes: containers whose grant differs from the spec.
    ///   - granted: what a container has now.
    ///   - done: gets the answer, and what the node keeps for this resize: to be given back once the machine, not only
    ///     its mailbox, has the answer.
    func resize(
        _ changes: [(id: String?, plan: ContainerPlan, from: JSON)], granted: (String) -> JSON?,
        isolation: isolated (any Actor)? = #isolation, done: (PodEvent, NodeRoom.Reservation?) -> Void
    ) async {
        let spec = pod.child("spec")
        let (new, old) = (ContainerResources.pod(spec), ContainerResources.pod(Self.spec(spec, granted)))
        switch await node.room(uid, new) {
        case .refused(let refusal): done(.resizeRefused(refusal), nil)
        case .reserved(let reservation): done(await carryOut(changes, from: old, to: new), reservation)
        }
    }

    private func carryOut(
        _ changes: [(id: String?, plan: ContainerPlan, from: JSON)], from old: ContainerResources,
        to new: ContainerResources
    ) async -> PodEvent {
        var unenforced: Set<String> = []
        do {
            let (runtime, uid) = (node.runtime, uid)
            unenforced.formUnion(
                try await runtime.resize(sandbox: uid, container: nil, Self.group(Self.larger(old, new))))
            for change in changes {
                // One that restarts for it finds its new limits in its new group.
                guard let id = change.id, !change.plan.restarts(from: change.from, to: change.plan.resources) else {
                    continue
                }
                unenforced.formUnion(
                    try await runtime.resize(
                        sandbox: uid, container: id, ContainerResources(change.plan.resources).cgroup))
            }
            unenforced.formUnion(try await runtime.resize(sandbox: uid, container: nil, Self.group(new)))
        } catch {
            return .resizeFailed("\(error)")
        }
        let grants = changes.map { ($0.plan.name, $0.plan.resources) }
        return .resized(Dictionary(grants) { first, _ in first }, unenforced: unenforced.sorted())
    }

    /// The spec with what is granted instead of what is asked for.
    static func spec(_ spec: JSON, _ granted: (String) -> JSON?) -> JSON {
        var copy = spec
        for list in ["containers", "initContainers"] {
            guard let containers = spec[list]?.array else { continue }
            copy[list] = .array(
                containers.map { container in
                    var container = container
                    if let has = granted(container.text("name") ?? "") { container["resources"] = has }
                    return container
                })
        }
        return copy
    }

    private static func group(_ total: ContainerResources) -> CgroupResources {
        .kubernetes(
            cpuRequest: total.cpuRequest, cpuLimit: total.cpuLimit, memoryLimit: total.memoryLimit, oomGroup: false)
    }

    /// Limits that both fit into; none where one has none: then the group stays as it is while its containers change,
    /// for a bound that comes before they keep it would hold them back.
    static func larger(_ old: ContainerResources, _ new: ContainerResources) -> ContainerResources {
        func larger(_ a: Int64?, _ b: Int64?) -> Int64? { a.flatMap { a in b.map { max(a, $0) } } }
        var both = new
        both.cpuLimit = larger(old.cpuLimit, new.cpuLimit)
        both.memoryLimit = larger(old.memoryLimit, new.memoryLimit)
        return both
    }
}

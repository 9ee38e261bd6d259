// In-place resize (pods/resize): what containers are granted follows what the spec asks for, when the node has room.
//
//     spec differs from grant ─► resize asked of the worker ─┬─► refused: PodResizePending, and asked again later
//                                                            └─► granted: groups written; PodResizeInProgress until
//                                                                every container that has to restart for it has
//
// The grant, not the spec, is what a container is started with and what its status shows, so that a restart does not
// take what the node does not have. A grant survives noded in the API's status.

public import Objects
import System

/// Why a resize is not carried out now.
public struct ResizeRefusal: Sendable, Hashable {
    /// It can never be: more than the node has. Else: not before others have gone.
    public var isFinal: Bool
    public var message: String
}

extension PodMachine {
    static let passingConditions = ["PodResizePending", "PodResizeInProgress"]
    static let resizeRetry = Duration.seconds(10)

    /// Level-triggered: asks when something differs and nobody is at work on it.
    mutating func resizeWhereNeeded() {
        guard case .active = stage, !resizing else { return }
        guard slots.contains(where: { $0.resizes }) else {
            refusal = nil
            return
        }
        resizing = true
        actions.append(.resize)
    }

    mutating func resized(_ event: PodEvent, _ now: Moment) {
        resizing = false
        guard case .active = stage else { return }
        switch event {
        case .resizeRefused(let why):
            if why != refusal {
                report(true, why.isFinal ? "ResizeInfeasible" : "ResizeDeferred", why.message)
            }
            refusal = why
            arm(.resize, PodMachine.resizeRetry)
        case .resizeFailed(let why):
            if why != resizeFailure { report(true, "ResizeError", why) }
            resizeFailure = why
            arm(.resize, PodMachine.resizeRetry)
        case .resized(let grants, let unenforced):
            refusal = nil
            resizeFailure = nil
            for (name, resources) in grants {
                guard let index = index(name) else { continue }
                grant(resources, index, now)
            }
            let limits = unenforced.isEmpty ? "" : "; not enforced on this node: \(unenforced.joined(separator: ", "))"
            report(false, "ResizeCompleted", "Pod resize completed\(limits)")
            // The spec may have changed meanwhile.
            resizeWhereNeeded()
        default: break
        }
    }

    private mutating func grant(_ resources: JSON, _ index: Int, _ now: Moment) {
        let restarts = slots[index].plan.restarts(from: slots[index].granted, to: resources)
        slots[index].granted = resources
        guard restarts, slots[index].running != nil else { return }
        slots[index].replaced = true
        slots[index].restartsForResize = true
        kill(index, grace: plan.grace, "Container \(slots[index].plan.name) resize requires restart", now)
    }

    /// What the container is to be started with; the spec's own for one that is not there.
    public func granted(_ container: String) -> JSON? { slots.first { $0.plan.name == container }?.granted }

    /// What differs between the spec and the grants, by container: what it runs with, what it asks for.
    public var resizes: [(id: String?, plan: ContainerPlan, from: JSON)] {
        slots.filter(\.resizes).map { ($0.running?.id, $0.plan, $0.granted) }
    }

    func resizeConditions(_ now: Moment) -> [(String, PodCondition)] {
        var found: [(String, PodCondition)] = []
        if let refusal {
            found.append(
                (
                    "PodResizePending",
                    PodCondition(
                        status: true, reason: refusal.isFinal ? "Infeasible" : "Deferred", message: refusal.message,
                        since: now.wall)
                ))
        }
        if let resizeFailure {
            found.append(
                (
                    "PodResizeInProgress",
                    PodCondition(status: true, reason: "Error", message: resizeFailure, since: now.wall)
                ))
        } else if slots.contains(where: \.restartsForResize) || (resizing && refusal == nil) {
            found.append(("PodResizeInProgress", PodCondition(status: true, since: now.wall)))
        }
        return found
    }
}

extension ContainerSlot {
    /// The spec asks for other resources than it has.
    var resizes: Bool { (plan.role == .app || plan.role == .sidecar) && !hasEnded && plan.resources != granted }
}

extension ContainerPlan {
    /// Whether the change is one that the container's resizePolicy wants a restart for.
    func restarts(from old: JSON, to new: JSON) -> Bool {
        restartingResources.contains { name in
            ["requests", "limits"].contains { old.child($0)[name] != new.child($0)[name] }
        }
    }
}

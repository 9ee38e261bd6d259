// What others ask a pod's worker: the kubelet for its sessions and the node's room, commands for what they show.
// Answers are the machine's word at that moment; a pod that is over, or not there yet, has an answer too.

import Containers
import Objects

extension PodWorker {
    struct ContainerFacts: Sendable {
        var id: String
        var attempt: Int
        var running: Bool
        /// It has not run for the last time.
        var willRun: Bool
    }

    func facts(_ container: String) -> ContainerFacts? {
        guard let slot = machine.slots.first(where: { $0.plan.name == container }) else { return nil }
        return ContainerFacts(
            id: slot.containerID, attempt: slot.attempt, running: slot.running != nil,
            willRun: !slot.hasEnded && !machine.isStopping && !machine.isTerminal)
    }

    /// The network namespace with the pod's sockets.
    enum NetworkPlace: Sendable { case node, sandbox }

    /// nil while the pod has no network.
    var networkPlace: NetworkPlace? {
        guard machine.sandboxExists, machine.networkReady else { return nil }
        return machine.plan.hostNetwork ? .node : .sandbox
    }

    /// What the pod holds of the node; nil once it is over.
    var requests: ContainerResources? {
        machine.isTerminal ? nil : ContainerResources.pod(PodResizer.spec(pod.child("spec"), machine.granted))
    }

    var object: JSON { pod }
    var trouble: String? { machine.trouble }
    var summary: JSON { machine.status(host: node.host, qosClass: qosClass) }
}

// A worker's hooks and probes: who runs them (HandlerRunner, ProbeLoop), and for how long. A hook's failure is an event
// like its success; a probe's loop ends by itself once the machine does not want it any more.

import Objects
import System

extension PodWorker {
    struct Probe: Hashable {
        var id: String
        var kind: ProbeKind
    }

    private var handlers: HandlerRunner {
        HandlerRunner(runtime: node.runtime, prober: node.prober, podUID: uid, address: view.podIPs.first)
    }

    func runHook(_ name: String, _ id: String, _ kind: HookKind, _ limit: Duration) async {
        guard let plan = machine.plan.containers.first(where: { $0.name == name }),
            let handler = kind == .postStart ? plan.postStart : plan.preStop
        else { return deliver(.hookFinished(container: name, id: id, kind, failure: nil)) }
        let failure = await handlers.run(handler, container: containerJSON(name), id: id, timeout: limit)
        deliver(
            .hookFinished(
                container: name, id: id, kind, failure: failure.map { "\(kind.rawValue) failed: \($0.text)" }))
    }

    func probeLoop(_ name: String, _ id: String, _ kind: ProbeKind, _ since: Timestamp) -> ProbeLoop? {
        guard let plan = machine.plan.containers.first(where: { $0.name == name })?.probes[kind] else { return nil }
        let (container, key) = (containerJSON(name), Probe(id: id, kind: kind))
        return ProbeLoop(
            plan: plan, kind: kind, since: since, isWanted: { await self.isWanted(key) },
            // Asked for each time: a pod that was found without its network has its address later.
            probe: { await self.handlers.run(plan.handler, container: container, id: id, timeout: plan.timeout) },
            deliver: { self.deliver(.probed(container: name, id: id, kind, $0)) })
    }

    private func isWanted(_ probe: Probe) -> Bool { probes.contains(probe) }
}

// When a probe runs: first after its initial delay counted from the container's start, then every period.
//
// The loop measures its own lateness. On a starved node a probe that was started late, or whose time-out was noticed
// late, says nothing about the container: its failure counts as unknown (the machine bounds how many it forgives).

import System

struct ProbeLoop: Sendable {
    let plan: ProbePlan
    /// When the container started.
    let since: Timestamp
    let isWanted: @Sendable () async -> Bool
    let probe: @Sendable () async -> String?
    let deliver: @Sendable (ProbeOutcome) -> Void

    /// How late counts as too late.
    private var tolerance: Duration { max(.seconds(1), plan.timeout) }

    func run() async {
        let clock = ContinuousClock()
        let age = Timestamp.now().since(since)
        var due = clock.now.advanced(by: max(.zero, plan.initialDelay - age))
        while !Task.isCancelled {
            try? await clock.sleep(until: due, tolerance: .milliseconds(5))
            guard !Task.isCancelled, await isWanted() else { return }
            let began = clock.now
            let failure = await probe()
            let took = began.duration(to: clock.now)
            guard !Task.isCancelled, await isWanted() else { return }
            deliver(outcome(failure, late: due.duration(to: began), took: took))
            due = max(due.advanced(by: plan.period), clock.now)
        }
    }

    func outcome(_ failure: String?, late: Duration, took: Duration) -> ProbeOutcome {
        guard let failure else { return .success }
        if late > tolerance { return .unknown("\(failure) (the probe itself started \(late) late)") }
        if took > plan.timeout + tolerance { return .unknown("\(failure) (the probe itself was held up: \(took))") }
        return .failure(failure)
    }
}

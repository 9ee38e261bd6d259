// When a probe runs: first after its initial delay counted from the container's start, then every period.
//
// Kubernetes' probes fall somewhere into the first period, so that most programs are up when they come. Here the first
// period is used better. A readiness probe comes at once and, as long as it fails, again after 0.1 s, 0.2 s … 1 s until
// the period is over: the container is ready soon after it is up, and a failure so early is not told to anybody.
// Liveness and startup probes, whose failures count, begin half a period late (1 s at most).
//
// The loop measures its own lateness. On a starved node a probe that was started late, or whose time-out was noticed
// late, or that never reached the container, says nothing about it: its failure counts as unknown (the machine bounds
// how many it forgives).

import System

struct ProbeLoop: Sendable {
    let plan: ProbePlan
    let kind: ProbeKind
    /// When the container started.
    let since: Timestamp
    let isWanted: @Sendable () async -> Bool
    let probe: @Sendable () async -> HandlerFailure?
    let deliver: @Sendable (ProbeOutcome) -> Void

    /// How late counts as too late.
    private var tolerance: Duration { max(.seconds(1), plan.timeout) }

    /// When the first probe is due, counted from the container's start.
    var firstDelay: Duration {
        kind == .readiness ? plan.initialDelay : plan.initialDelay + min(plan.period / 2, .seconds(1))
    }

    func run() async {
        let clock = ContinuousClock()
        let age = Timestamp.now().since(since)
        var due = clock.now.advanced(by: max(.zero, firstDelay - age))
        // Until then a readiness probe may fail without a word.
        let hush = clock.now.advanced(by: plan.initialDelay + plan.period - age)
        var pause = Duration.milliseconds(100)
        var early = kind == .readiness
        while !Task.isCancelled {
            try? await clock.sleep(until: due, tolerance: .milliseconds(5))
            guard !Task.isCancelled, await isWanted() else { return }
            let began = clock.now
            let failure = await probe()
            let took = began.duration(to: clock.now)
            guard !Task.isCancelled, await isWanted() else { return }
            let outcome = outcome(failure, late: due.duration(to: began), took: took)
            early = early && failure != nil && clock.now < hush
            if early {
                deliver(.notYet)
                due = min(clock.now.advanced(by: pause), hush)
                pause = min(pause * 2, .seconds(1))
                continue
            }
            deliver(outcome)
            due = max(due.advanced(by: plan.period), clock.now)
        }
    }

    func outcome(_ failure: HandlerFailure?, late: Duration, took: Duration) -> ProbeOutcome {
        guard let failure else { return .success }
        guard failure.wasAsked else { return .unknown(failure.text) }
        let text = failure.text
        if late > tolerance { return .unknown("\(text) (the probe itself started \(late) late)") }
        if took > plan.timeout + tolerance { return .unknown("\(text) (the probe itself was held up: \(took))") }
        return .failure(text)
    }
}

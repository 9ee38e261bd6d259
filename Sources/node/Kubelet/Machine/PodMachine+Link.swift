// A pod's link that somebody else removes (`ip link del` on the node, a container with NET_ADMIN inside). The pod goes on:
// it gets another link with the addresses that it had, so neither its clients nor its open connections notice more than
// a pause. What a container had added to its eth0 (routes, queueing disciplines) is lost with it.
//
// The first time at once; a link that is lost again and again, as by a container that removes its own, is waited for
// longer each time, lest the node do nothing else.

extension PodMachine {
    /// After this time without a loss the next one is the first again.
    private static let memoryOfLosses = Duration.seconds(600)

    private var needsLink: Bool {
        switch stage {
        case .active, .draining, .stopping: true
        default: false
        }
    }

    mutating func loseLink(_ now: Moment) {
        guard needsLink, sandboxExists, networkReady, !plan.hostNetwork, !linkLost else { return }
        linkLost = true
        var wait = Duration.zero
        if let last = linkLoss, now.uptime - last.at < Self.memoryOfLosses { wait = Self.longer(last.wait) }
        linkLoss = (now.uptime, wait)
        let again = wait == .zero ? "at once" : "in \(wait.components.seconds) s"
        report(
            true, "NetworkNotReady",
            "the pod's network link was removed by another process; it is made again \(again), with the same addresses")
        if wait == .zero { actions.append(.attachNetwork) } else { arm(.link, wait) }
    }

    /// Whether the event was the answer about a lost link.
    mutating func relinked(_ event: PodEvent, _ now: Moment) -> Bool {
        switch event {
        case .networkReady(let found):
            linkLost = false
            addresses = found
            trouble = nil
            return true
        case .networkFailed(let why):
            guard needsLink else { return true }
            trouble = why
            report(true, "NetworkNotReady", "the pod's network link cannot be made again: \(why)")
            let wait = Self.longer(linkLoss?.wait ?? .zero)
            linkLoss = (now.uptime, wait)
            arm(.link, wait)
            return true
        default: return false
        }
    }

    /// 1 s, 2 s … 60 s.
    private static func longer(_ wait: Duration) -> Duration {
        wait == .zero ? .seconds(1) : min(wait * 2, .seconds(60))
    }
}

// Deadlines of a connection and its streams with one timer for all of them.
//
// A request moves its connection's deadline several times, and nearly every deadline moves on before it is due; a timer
// of the event loop for each would be made and unmade with every request. So a deadline is a number, and the one timer
// looks, when it fires, for what is due and for when to look again. A timer is made anew only for a deadline before
// all others: on a busy connection every `requestTimeout`, on one that idles once. What
// is due is acted on exactly then.
//
// Everything here runs on the connection's event loop. Nothing can fail.

import NIOCore

/// The timer.
final class DeadlineClock {
    private let loop: any EventLoop
    private var deadlines: [ObjectIdentifier: Deadline] = [:]
    private var timer: (scheduled: Scheduled<Void>, at: NIODeadline)?

    init(_ loop: any EventLoop) { self.loop = loop }

    /// - Parameter act: called when the deadline is due; then it is no more, until it is set again.
    func deadline(_ act: @escaping () -> Void) -> Deadline {
        let deadline = Deadline(self, act)
        deadlines[ObjectIdentifier(deadline)] = deadline
        return deadline
    }

    fileprivate func remove(_ deadline: Deadline) {
        deadlines[ObjectIdentifier(deadline)] = nil
        guard deadlines.isEmpty else { return }
        timer?.scheduled.cancel()
        timer = nil
    }

    fileprivate func expect(_ at: NIODeadline) {
        if let timer {
            guard at < timer.at else { return }
            timer.scheduled.cancel()
        }
        let bound = NIOLoopBound(self, eventLoop: loop)
        timer = (loop.scheduleTask(deadline: at) { bound.value.ring() }, at)
    }

    private func ring() {
        timer = nil
        let now = NIODeadline.now()
        var due: [Deadline] = []
        var next: NIODeadline?
        for deadline in deadlines.values {
            guard let at = deadline.at else { continue }
            if at <= now { due.append(deadline) } else if next.map({ at < $0 }) ?? true { next = at }
        }
        if let next { expect(next) }
        for deadline in due { deadline.fire() }
    }
}

/// When something is over, unless it is moved.
final class Deadline {
    private let clock: DeadlineClock
    private let act: () -> Void
    fileprivate private(set) var at: NIODeadline?

    fileprivate init(_ clock: DeadlineClock, _ act: @escaping () -> Void) {
        self.clock = clock
        self.act = act
    }

    func set(in amount: TimeAmount) {
        let at = NIODeadline.now() + amount
        self.at = at
        clock.expect(at)
    }

    func clear() { at = nil }

    /// For good: the clock forgets it.
    func end() {
        at = nil
        clock.remove(self)
    }

    fileprivate func fire() {
        // Another one that was due at the same time may have ended this one.
        guard at != nil else { return }
        at = nil
        act()
    }
}

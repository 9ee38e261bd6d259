// The one time-out of a connection that is always running: it is moved with every request, twice, and almost never fires.
//
// Moving it costs a look at the clock: the event loop's task stays where it is and, when it comes, looks at the deadline
// and goes to sleep again if that lies ahead. (Cancelling and scheduling a task per request was a twentieth of a GET.)
// The task never lies behind the deadline, so that the time-out is exact.

import NIOCore

/// Runs an action once when nobody moves its deadline in time. Everything on one event loop.
final class ConnectionTimer {
    private let loop: any EventLoop
    /// The longest sleep. Deadlines no further ahead than this move without touching the loop's tasks.
    private let grain: TimeAmount
    private let action: () -> Void
    private var deadline: NIODeadline?
    private var task: (scheduled: Scheduled<Void>, due: NIODeadline)?

    init(_ loop: any EventLoop, grain: TimeAmount, _ action: @escaping () -> Void) {
        self.loop = loop
        self.grain = grain
        self.action = action
    }

    /// The action is due after `timeout`, whatever was set before.
    func arm(_ timeout: TimeAmount) {
        let now = NIODeadline.now()
        let deadline = now + timeout
        self.deadline = deadline
        if let task, task.due <= deadline { return }
        task?.scheduled.cancel()
        sleep(from: now, to: deadline)
    }

    /// Nothing is due until `arm`. The sleeping task stays.
    func rest() { deadline = nil }

    /// Nothing is due any more, and nothing sleeps.
    func cancel() {
        deadline = nil
        task?.scheduled.cancel()
        task = nil
    }

    private func sleep(from now: NIODeadline, to deadline: NIODeadline) {
        let due = min(deadline, now + grain)
        let bound = NIOLoopBound(self, eventLoop: loop)
        task = (loop.scheduleTask(deadline: due) { bound.value.wake() }, due)
    }

    private func wake() {
        task = nil
        guard let deadline else { return }
        let now = NIODeadline.now()
        if now < deadline { return sleep(from: now, to: deadline) }
        self.deadline = nil
        action()
    }
}

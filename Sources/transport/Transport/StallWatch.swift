// Closes a connection whose peer takes nothing of what waits for it.
//
// A peer that acknowledges and reads nothing keeps its connection for as long as it likes: neither keepalive nor
// VanishedClients finds fault with it. Whoever copies bytes to it shows every write to one of these; when something
// waits and the socket has taken nothing for `timeout`, the channel is closed. A peer to which nothing is to be said
// may be silent for ever, and a write that the socket takes at once costs a counter.
//
// Nothing can fail. On the channel's event loop only.

import NIOCore

final class StallWatch {
    private let channel: any Channel
    let clock: DeadlineClock
    let timeout: TimeAmount
    /// Writes that are under way.
    private var waiting = 0
    /// Set while something waits; made when it does for the first time.
    private var deadline: Deadline?
    private var isOver = false

    /// - Parameter clock: of the channel's event loop.
    init(_ channel: any Channel, _ clock: DeadlineClock, timeout: TimeAmount) {
        self.channel = channel
        self.clock = clock
        self.timeout = timeout
    }

    func wrote(_ written: EventLoopFuture<Void>) {
        waiting += 1
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        written.whenComplete { _ in bound.value.took() }
        // Most are complete by now.
        if waiting == 1 { expect() }
    }

    private func took() {
        waiting -= 1
        if waiting > 0 { expect() } else { deadline?.clear() }
    }

    private func expect() {
        guard !isOver else { return }
        if deadline == nil {
            let channel = channel
            deadline = clock.deadline { channel.close(promise: nil) }
        }
        deadline?.set(in: timeout)
    }

    /// For good: the channel is left in peace.
    func end() {
        isOver = true
        deadline?.end()
        deadline = nil
    }
}

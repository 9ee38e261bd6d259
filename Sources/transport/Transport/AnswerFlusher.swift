// Sends the answers of one turn of an event loop together, at its end.
//
// A loop that has many requests to answer would otherwise write to one socket after the other between two requests, and
// each write wakes a reader, which on a small machine takes the core away. The bytes wait for the rest of the turn,
// microseconds; who closes a connection must flush it first.

import NIOCore
import NIOPosix

/// The connections of one event loop with answers that are written and not flushed. On the loop only.
final class AnswerFlusher: Sendable {
    private static let current = ThreadSpecificVariable<AnswerFlusher>()

    private let channels: NIOLoopBoundBox<[any Channel]>

    private init(_ loop: any EventLoop) { channels = NIOLoopBoundBox([], eventLoop: loop) }

    /// That of the loop whose thread this is.
    static func of(_ loop: any EventLoop) -> AnswerFlusher {
        if let flusher = current.currentValue { return flusher }
        let flusher = AnswerFlusher(loop)
        current.currentValue = flusher
        return flusher
    }

    /// Flushes the channel when the loop has handled what this turn brought.
    func add(_ channel: any Channel) {
        channels.value.append(channel)
        if channels.value.count == 1 { channel.eventLoop.execute { self.flush() } }
    }

    private func flush() {
        let waiting = channels.value
        channels.value.removeAll(keepingCapacity: true)
        for channel in waiting { channel.flush() }
    }
}

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

    private let gates: NIOLoopBoundBox<[RecordGate]>
    private let loop: any EventLoop

    private init(_ loop: any EventLoop) {
        gates = NIOLoopBoundBox([], eventLoop: loop)
        self.loop = loop
    }

    /// That of the loop whose thread this is.
    static func of(_ loop: any EventLoop) -> AnswerFlusher {
        if let flusher = current.currentValue { return flusher }
        let flusher = AnswerFlusher(loop)
        current.currentValue = flusher
        return flusher
    }

    /// Flushes a connection when the loop has handled what this turn brought.
    func add(_ gate: RecordGate) {
        gates.value.append(gate)
        if gates.value.count == 1 { loop.execute { self.flush() } }
    }

    private func flush() {
        let waiting = gates.value
        gates.value.removeAll(keepingCapacity: true)
        for gate in waiting { gate.flush() }
    }
}

// Bytes between one task that receives them and one that passes them on. Bounded: the receiver waits while much is
// waiting, and with it the peer.

import Synchronization

final class PieceQueue: Sendable {
    /// Bytes that may wait.
    private static let room = 64 << 10

    private struct State {
        var pieces: [[UInt8]] = []
        var bytes = 0
        var finished = false
        var taker: CheckedContinuation<[UInt8]?, Never>?
        var giver: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    /// Waits for room. What comes after `finish` is dropped.
    func push(_ piece: [UInt8]) async {
        guard !piece.isEmpty else { return }
        await withCheckedContinuation { giver in
            let (taker, full) = state.withLock { state -> (CheckedContinuation<[UInt8]?, Never>?, Bool) in
                guard !state.finished else { return (nil, false) }
                if let taker = state.taker {
                    state.taker = nil
                    return (taker, false)
                }
                state.pieces.append(piece)
                state.bytes += piece.count
                guard state.bytes > Self.room else { return (nil, false) }
                state.giver = giver
                return (nil, true)
            }
            taker?.resume(returning: piece)
            if !full { giver.resume() }
        }
    }

    /// No more comes; what waits is still handed out.
    func finish() {
        let (taker, giver) = state.withLock { state in
            defer { (state.taker, state.giver) = (nil, nil) }
            state.finished = true
            return (state.taker, state.giver)
        }
        taker?.resume(returning: nil)
        giver?.resume()
    }

    /// nil at the end.
    func next() async -> [UInt8]? {
        await withCheckedContinuation { taker in
            let (piece, over, giver) = state.withLock { state -> ([UInt8]?, Bool, CheckedContinuation<Void, Never>?) in
                guard !state.pieces.isEmpty else {
                    if !state.finished { state.taker = taker }
                    return (nil, state.finished, nil)
                }
                let piece = state.pieces.removeFirst()
                state.bytes -= piece.count
                guard state.bytes <= Self.room else { return (piece, true, nil) }
                defer { state.giver = nil }
                return (piece, true, state.giver)
            }
            giver?.resume()
            if over || piece != nil { taker.resume(returning: piece) }
        }
    }
}

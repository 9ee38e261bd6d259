// A response's body on its way out, as a value: the pieces that are left. They are buffers that others share (the
// store's, the cache's); a copy of them is made a slice at a time, when the socket has room, so that a client that does
// not read a large list costs its slice and nothing else.

import HTTP
import NIOCore

struct BodyWriter {
    /// Bytes that a head takes at most, as a rule.
    static let headRoom = 384
    /// Bytes of a slice: with a head before it as much as a buffer holds, whose size is a power of two.
    static let slice = (128 << 10) - headRoom

    private let pieces: [ArraySlice<UInt8>]
    private var next = 0
    /// Into `pieces[next]`.
    private var offset = 0
    private(set) var remaining: Int

    /// - Parameter count: bytes of all pieces.
    init(_ pieces: [ArraySlice<UInt8>] = [], count: Int = 0) {
        self.pieces = pieces
        remaining = count
    }

    init(_ response: HTTPResponse) { self.init(response.body, count: response.contentLength) }

    /// The next bytes, at most a slice.
    mutating func take() -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(min(remaining, BodyWriter.slice))
        take(into: &buffer)
        return buffer
    }

    /// Writes the next bytes, at most a slice.
    mutating func take(into buffer: inout ByteBuffer) {
        var wanted = min(remaining, BodyWriter.slice)
        remaining -= wanted
        while wanted > 0 {
            let piece = pieces[next].dropFirst(offset)
            let part = piece.prefix(wanted)
            buffer.writeBytes(part)
            wanted -= part.count
            if part.count == piece.count {
                next += 1
                offset = 0
            } else {
                offset += part.count
            }
        }
    }
}

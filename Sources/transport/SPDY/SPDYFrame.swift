// SPDY/3.1 frames (draft-mbelshe-httpbis-spdy-00 and its 3.1 revision), as far as kubectl's tunnels speak them: bytes
// in any pieces become frames, frames become bytes. A state machine without I/O.
//
//   control  1|version 15|type 16  flags 8|length 24  payload      data  0|stream 31  flags 8|length 24  payload
//
// There is no flow control by windows: the Go implementation that all Kubernetes clients share has none.

import System

public enum SPDYFrame: Sendable, Hashable {
    /// A new stream. Names of headers are lower case. `fin`: its opener sends no more.
    case open(stream: UInt32, fin: Bool, headers: [String: String])
    /// More headers of a stream, or the answer to its opening.
    case headers(stream: UInt32, fin: Bool)
    case data(stream: UInt32, fin: Bool, [UInt8])
    case reset(stream: UInt32, status: UInt32)
    case ping(UInt32)
    case goAway(lastStream: UInt32)
    /// Settings, window updates, and what this version does not know: of no consequence here.
    case other(type: UInt16)
}

public enum SPDYError: Error, Hashable, CustomStringConvertible {
    case version(Int)
    case frameTooLarge(Int)
    case malformed(String)

    public var description: String {
        switch self {
        case .version(let version): "SPDY version \(version): only 3 is spoken here"
        case .frameTooLarge(let length): "a SPDY frame of \(length) bytes is too large"
        case .malformed(let what): "malformed SPDY: \(what)"
        }
    }
}

/// Bytes from the peer -> frames.
public struct SPDYReader: ~Copyable {
    /// Bytes of the largest frame taken.
    public static let frameLimit = 1 << 20

    private var pending: [UInt8] = []
    private var inflater = SPDYHeaderInflater()

    public init() {}

    /// The frames that are whole now. After an error the connection is lost: the header compression is out of step.
    public mutating func take(_ bytes: [UInt8]) throws(SPDYError) -> [SPDYFrame] {
        pending += bytes
        var frames: [SPDYFrame] = []
        var start = 0
        while pending.count - start >= 8 {
            let length = Int(Self.number(pending, start + 4) & 0xff_ffff)
            guard length <= Self.frameLimit else { throw .frameTooLarge(length) }
            guard pending.count - start >= 8 + length else { break }
            let payload = Array(pending[(start + 8)..<(start + 8 + length)])
            frames.append(try frame(Self.number(pending, start), pending[start + 4], payload))
            start += 8 + length
        }
        pending.removeFirst(start)
        return frames
    }

    private mutating func frame(
        _ head: UInt32, _ flags: UInt8, _ payload: [UInt8]
    ) throws(SPDYError) -> SPDYFrame {
        let fin = flags & 1 != 0
        guard head & 0x8000_0000 != 0 else { return .data(stream: head, fin: fin, payload) }
        guard head >> 16 & 0x7fff == 3 else { throw .version(Int(head >> 16 & 0x7fff)) }
        let type = UInt16(head & 0xffff)
        func need(_ count: Int) throws(SPDYError) {
            guard payload.count >= count else {
                throw .malformed("a frame of type \(type) with \(payload.count) bytes")
            }
        }
        switch type {
        case 1:
            try need(10)
            let headers = try inflater.headers(payload[10...])
            return .open(stream: Self.number(payload, 0) & 0x7fff_ffff, fin: fin, headers: headers)
        case 2, 8:
            try need(4)
            // Read for the sake of the compression, whose state all frames share.
            _ = try inflater.headers(payload[4...])
            return .headers(stream: Self.number(payload, 0) & 0x7fff_ffff, fin: fin)
        case 3:
            try need(8)
            return .reset(stream: Self.number(payload, 0) & 0x7fff_ffff, status: Self.number(payload, 4))
        case 6:
            try need(4)
            return .ping(Self.number(payload, 0))
        case 7:
            try need(4)
            return .goAway(lastStream: Self.number(payload, 0) & 0x7fff_ffff)
        default: return .other(type: type)
        }
    }

    static func number(_ bytes: [UInt8], _ at: Int) -> UInt32 {
        UInt32(bytes[at]) << 24 | UInt32(bytes[at + 1]) << 16 | UInt32(bytes[at + 2]) << 8 | UInt32(bytes[at + 3])
    }
}

/// Frames -> bytes for the peer.
public struct SPDYWriter {
    /// The compression's stream header goes before its first block only.
    private var begun = false

    public init() {}

    /// Accepts a stream. Its header block is empty and stored: there is nothing to compress.
    public mutating func reply(stream: UInt32) -> [UInt8] {
        // zlib header (RFC 1950) once, then a stored block (RFC 1951, 3.2.4) of four zero bytes: no headers. Then an
        // empty one, zlib's sync flush: without it Go's inflater looks for the next block's header, meets the end of
        // the frame, and takes every later frame for broken (kubectl: "lost connection to pod").
        let block: [UInt8] = (begun ? [] : [0x78, 0x01]) + [0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0] + [0, 0, 0, 0xff, 0xff]
        begun = true
        return Self.control(2, Self.bytes(stream) + block)
    }

    public static func data(stream: UInt32, fin: Bool, _ bytes: [UInt8]) -> [UInt8] {
        self.bytes(stream & 0x7fff_ffff) + self.bytes(UInt32(bytes.count) | (fin ? 0x0100_0000 : 0)) + bytes
    }

    /// - Parameter status: 1 protocol error, 2 invalid stream, 3 refused, 5 cancelled, 6 internal error.
    public static func reset(stream: UInt32, status: UInt32) -> [UInt8] {
        control(3, bytes(stream) + bytes(status))
    }

    public static func ping(_ id: UInt32) -> [UInt8] { control(6, bytes(id)) }

    private static func control(_ type: UInt16, _ payload: [UInt8]) -> [UInt8] {
        bytes(0x8003_0000 | UInt32(type)) + bytes(UInt32(payload.count)) + payload
    }

    private static func bytes(_ number: UInt32) -> [UInt8] {
        [UInt8(number >> 24), UInt8(number >> 16 & 0xff), UInt8(number >> 8 & 0xff), UInt8(number & 0xff)]
    }
}

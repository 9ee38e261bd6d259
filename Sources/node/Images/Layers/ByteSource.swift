// Where a layer's bytes come from: a piece of the archive, through a hash, through inflate, through a second hash and
// the quota. Every stage hands out its own buffer, so that a byte is copied once (by inflate) between the page cache
// and the file it ends up in, and both digests are known when the last byte has passed.

internal import CInflate
import PKI
import System

protocol ByteSource: AnyObject {
    /// The next bytes, valid until the next call; empty at the end.
    func next() throws -> UnsafeRawBufferPointer
    /// Passes over bytes. Throws `truncated` when there are fewer.
    func skip(_ count: Int) throws
}

extension ByteSource {
    func drain() throws { while try !next().isEmpty {} }
}

/// A range of a file.
final class FileSource: ByteSource {
    private let file: FileDescriptor
    private let name: String
    private let buffer: UnsafeMutableRawBufferPointer
    private(set) var position: Int
    private let end: Int

    /// - Parameter name: for errors.
    init(_ path: String, _ range: Range<Int>, name: String, chunk: Int = 256 << 10) throws {
        file = try FileDescriptor.open(path)
        self.name = name
        position = range.lowerBound
        end = range.upperBound
        buffer = .allocate(byteCount: chunk, alignment: 64)
        try file.seek(to: position)
    }

    deinit { buffer.deallocate() }

    func next() throws -> UnsafeRawBufferPointer {
        guard position < end else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        let wanted = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, end - position)])
        let count = try file.read(into: wanted)
        if count == 0 { throw ArchiveFault.truncated(name) }
        position += count
        return UnsafeRawBufferPointer(rebasing: wanted[..<count])
    }

    func skip(_ count: Int) throws {
        guard count <= end - position else { throw ArchiveFault.truncated(name) }
        position += count
        try file.seek(to: position)
    }
}

/// Hashes and counts what passes.
final class HashingSource: ByteSource {
    private let upstream: any ByteSource
    private let meter: (Int) throws -> Void
    private var hash = SHA256Hash()

    /// - Parameter meter: called with the length of each piece; throws to stop (quota, cancellation).
    init(_ upstream: any ByteSource, meter: @escaping (Int) throws -> Void) {
        self.upstream = upstream
        self.meter = meter
    }

    func next() throws -> UnsafeRawBufferPointer {
        let piece = try upstream.next()
        try meter(piece.count)
        hash.update(piece)
        return piece
    }

    func skip(_ count: Int) throws { fatalError("bytes that are skipped would be missing in the digest") }

    /// Reads to the end. The digest of everything.
    func finish() throws -> String {
        try drain()
        return "sha256:\(hash.finishHex())"
    }
}

/// A piece that was read to look at it, then the rest.
final class PeekedSource: ByteSource {
    private var first: UnsafeRawBufferPointer?
    private let upstream: any ByteSource

    /// `first` must be the last piece `upstream` handed out.
    init(_ first: UnsafeRawBufferPointer, _ upstream: any ByteSource) {
        self.first = first
        self.upstream = upstream
    }

    func next() throws -> UnsafeRawBufferPointer {
        defer { first = nil }
        return try first ?? upstream.next()
    }

    func skip(_ count: Int) throws { fatalError("not skipped: layers are hashed as a whole") }
}

/// gzip (RFC 1952), also of several members, as eStargz writes them; ISA-L's inflate, with header and CRC checked by
/// it.
final class Gunzip: ByteSource {
    private let upstream: any ByteSource
    private let state: UnsafeMutablePointer<inflate_state>
    private let output: UnsafeMutableRawBufferPointer
    private var ended = false
    private var members = 0

    init(_ upstream: any ByteSource, chunk: Int = 256 << 10) {
        self.upstream = upstream
        state = UnsafeMutableRawPointer.allocate(
            byteCount: MemoryLayout<inflate_state>.size, alignment: MemoryLayout<inflate_state>.alignment
        ).bindMemory(to: inflate_state.self, capacity: 1)
        UnsafeMutableRawPointer(state).initializeMemory(
            as: UInt8.self, repeating: 0, count: MemoryLayout<inflate_state>.size)
        output = .allocate(byteCount: chunk, alignment: 64)
        isal_inflate_init(state)
        state.pointee.crc_flag = UInt32(ISAL_GZIP)
    }

    deinit {
        UnsafeMutableRawPointer(state).deallocate()
        output.deallocate()
    }

    func next() throws -> UnsafeRawBufferPointer {
        state.pointee.next_out = output.baseAddress!.assumingMemoryBound(to: UInt8.self)
        state.pointee.avail_out = UInt32(output.count)
        while state.pointee.avail_out > 0 {
            if state.pointee.avail_in == 0, !ended { try refill() }
            let finished = state.pointee.block_state == ISAL_BLOCK_FINISH
            if finished {
                if state.pointee.avail_in == 0 { break }
                isal_inflate_reset(state)
                state.pointee.crc_flag = UInt32(ISAL_GZIP)
                members += 1
            }
            let (before, room) = (state.pointee.avail_in, state.pointee.avail_out)
            let result = isal_inflate(state)
            if result < 0 { throw ArchiveFault.malformed(what: "its gzip stream", why: reason(result)) }
            if result == ISAL_NEED_DICT {
                throw ArchiveFault.malformed(what: "its gzip stream", why: "wants a dictionary")
            }
            let idle = before == state.pointee.avail_in && room == state.pointee.avail_out
            if idle, ended, state.pointee.block_state != ISAL_BLOCK_FINISH {
                throw ArchiveFault.truncated("its gzip stream")
            }
        }
        return UnsafeRawBufferPointer(rebasing: output[..<(output.count - Int(state.pointee.avail_out))])
    }

    func skip(_ count: Int) throws { fatalError("not skipped: layers are hashed as a whole") }

    private func refill() throws {
        let piece = try upstream.next()
        if piece.isEmpty {
            ended = true
            return
        }
        // ISA-L's declaration lacks const; it only reads.
        state.pointee.next_in = UnsafeMutablePointer(
            mutating: piece.baseAddress!.assumingMemoryBound(to: UInt8.self))
        state.pointee.avail_in = UInt32(piece.count)
    }

    private func reason(_ code: Int32) -> String {
        switch code {
        case ISAL_INVALID_WRAPPER where members > 0: "something that is not gzip follows it"
        case ISAL_INVALID_WRAPPER: "its header is not gzip's"
        case ISAL_UNSUPPORTED_METHOD: "a compression method other than deflate"
        case ISAL_INCORRECT_CHECKSUM: "the checksum is wrong"
        case ISAL_INVALID_BLOCK: "an invalid block"
        case ISAL_INVALID_SYMBOL: "an invalid symbol"
        case ISAL_INVALID_LOOKBACK: "a reference before its start"
        default: "inflate error \(code)"
        }
    }
}

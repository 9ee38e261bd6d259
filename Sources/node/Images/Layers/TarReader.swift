// Reads tar as images have it: ustar (POSIX.1-1988), pax extended headers (POSIX.1-2001) and GNU long names, the
// subset that Go's archive/tar writes and reads, since every builder of images stands on that one. Where readers are
// known to disagree (sizes on links, a lone zero block, empty pax values, several extended headers before one entry) it
// does as Go does, so that noded unpacks what other runtimes unpack. Sparse files are refused: no builder writes them,
// and their maps were CVEs elsewhere.
//
// Fails with ArchiveFault.truncated, .malformed, .tooLarge or .unsupported.

import System

struct TarEntry {
    enum Kind: Equatable { case file, directory, symlink, hardLink, characterDevice, blockDevice, fifo }
    var kind: Kind
    /// As written; never empty and without NUL, otherwise untrusted.
    var name: String
    /// Of symlinks and hard links.
    var target: String
    /// Of files; 0 for the others.
    var size: Int
    /// Permission bits with setuid, setgid and sticky.
    var mode: UInt32
    var uid: UInt32
    var gid: UInt32
    var modified: Timestamp
    var deviceMajor: UInt32
    var deviceMinor: UInt32
    var attributes: [(name: String, value: [UInt8])]
}

final class TarReader {
    /// Bytes of one pax or GNU long name block.
    static let extensionLimit = 1 << 20
    static let blockSize = 512

    private let source: any ByteSource
    private let what: String
    private var piece = UnsafeRawBufferPointer(start: nil, count: 0)
    private var header = [UInt8](repeating: 0, count: TarReader.blockSize)
    /// Of the current entry, not read yet; and what fills its last block.
    private var remaining = 0
    private var padding = 0
    /// Bytes consumed so far: after `next`, where the entry's content begins.
    private(set) var position = 0

    /// - Parameter what: for errors, for example `the archive`.
    init(_ source: any ByteSource, what: String) {
        self.source = source
        self.what = what
    }

    /// The next entry; nil at the end. Content of the entry before that was not read is passed over.
    func next() throws -> TarEntry? {
        try skip(remaining + padding)
        (remaining, padding) = (0, 0)
        var extensions = TarExtensions()
        while true {
            guard try readHeader() else {
                if !extensions.isEmpty { throw ArchiveFault.truncated(what) }
                return nil
            }
            let block = TarHeader(bytes: header)
            switch block.type {
            case UInt8(ascii: "x"): try extensions.setPax(readExtension(block))
            // Values for all entries that follow: Go's reader hands it out as an entry of its own, with whatever stood
            // before it, and containerd drops that.
            case UInt8(ascii: "g"):
                _ = try readExtension(block)
                extensions = TarExtensions()
            case UInt8(ascii: "L"): extensions.longName = try Self.untilNul(readExtension(block))
            case UInt8(ascii: "K"): extensions.longTarget = try Self.untilNul(readExtension(block))
            default:
                let entry = try block.entry(extensions)
                remaining = entry.size
                padding = -entry.size & (Self.blockSize - 1)
                return entry
            }
        }
    }

    /// Hands the current entry's content to `body`, piece by piece.
    func readContent(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        while remaining > 0 {
            let part = try take(upTo: remaining)
            if part.isEmpty { throw ArchiveFault.truncated(what) }
            remaining -= part.count
            try body(part)
        }
    }

    // MARK: Bytes

    private func take(upTo count: Int) throws -> UnsafeRawBufferPointer {
        if piece.isEmpty { piece = try source.next() }
        let part = UnsafeRawBufferPointer(rebasing: piece.prefix(count))
        piece = UnsafeRawBufferPointer(rebasing: piece.dropFirst(count))
        position += part.count
        return part
    }

    private func skip(_ count: Int) throws {
        if count > piece.count, source is FileSource {
            position += count
            let rest = count - piece.count
            piece = UnsafeRawBufferPointer(start: nil, count: 0)
            return try source.skip(rest)
        }
        var left = count
        while left > 0 {
            let part = try take(upTo: left)
            if part.isEmpty { throw ArchiveFault.truncated(what) }
            left -= part.count
        }
    }

    private func readExtension(_ block: TarHeader) throws -> [UInt8] {
        let size = try block.size()
        guard size <= Self.extensionLimit else {
            throw ArchiveFault.tooLarge(what: "an extended header of \(what)", limit: Self.extensionLimit)
        }
        remaining = size
        padding = -size & (Self.blockSize - 1)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(size)
        try readContent { bytes.append(contentsOf: $0) }
        try skip(padding)
        padding = 0
        return bytes
    }

    private static func untilNul(_ bytes: [UInt8]) -> [UInt8] { Array(bytes.prefix { $0 != 0 }) }

    /// False at the end: two zero blocks, or no more bytes at a block boundary.
    private func readHeader() throws -> Bool {
        guard try readBlock() else { return false }
        if header.allSatisfy({ $0 == 0 }) {
            guard try readBlock() else { return false }
            if header.allSatisfy({ $0 == 0 }) { return false }
            throw ArchiveFault.malformed(what: what, why: "entries follow a zero block")
        }
        guard TarHeader(bytes: header).checksumHolds else {
            throw ArchiveFault.malformed(
                what: what, why: "a tar header at byte \(position - Self.blockSize) has a wrong checksum")
        }
        return true
    }

    private func readBlock() throws -> Bool {
        var filled = 0
        while filled < Self.blockSize {
            let part = try take(upTo: Self.blockSize - filled)
            if part.isEmpty {
                if filled == 0 { return false }
                throw ArchiveFault.truncated(what)
            }
            header.withUnsafeMutableBytes {
                $0.baseAddress!.advanced(by: filled).copyMemory(from: part.baseAddress!, byteCount: part.count)
            }
            filled += part.count
        }
        return true
    }
}

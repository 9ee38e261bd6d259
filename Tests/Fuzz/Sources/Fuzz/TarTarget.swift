// Layers of images: tar as anybody may have written it.

import System

@testable import Images

extension Targets {
    /// A stream that comes in pieces.
    private final class Pieces: ByteSource {
        private let bytes: UnsafeMutableRawBufferPointer
        private let size: Int
        private var position = 0

        init(_ bytes: [UInt8], of size: Int) {
            self.bytes = .allocate(byteCount: bytes.count, alignment: 1)
            self.bytes.copyBytes(from: bytes)
            self.size = size
        }

        deinit { bytes.deallocate() }

        func next() throws -> UnsafeRawBufferPointer {
            let end = min(position + size, bytes.count)
            defer { position = end }
            return UnsafeRawBufferPointer(rebasing: bytes[position..<end])
        }

        func skip(_ count: Int) throws { fatalError("only files are passed over") }
    }

    /// What is read is within bounds, and the same however the bytes come.
    static func tar(_ bytes: [UInt8]) {
        let archive = withChecksums(bytes)
        let whole = entries(archive, pieces: max(1, archive.count))
        hold(whole == entries(archive, pieces: 7), "an archive in small pieces is another archive")
    }

    private static func entries(_ bytes: [UInt8], pieces: Int) -> [String] {
        let tar = TarReader(Pieces(bytes, of: pieces), what: "the archive")
        var told: [String] = []
        do {
            while let entry = try tar.next() {
                hold(!entry.name.isEmpty && !entry.name.utf8.contains(0), "a name that is none")
                hold(entry.uid != .max && entry.gid != .max, "an owner that is none")
                hold(entry.kind == .file || entry.size == 0, "content of what is no file")
                var count = 0
                told.append("\(entry)")
                try tar.readContent { count += $0.count }
                hold(count == entry.size, "\(count) of \(entry.size) bytes")
                hold(tar.position <= bytes.count, "more was read than there is")
            }
        } catch {
            hold(error is ArchiveFault, "an unexpected failure: \(error)")
            told.append("\(error)")
        }
        return told
    }

    /// With the sums that the headers should have: by chance no input would come past the first.
    private static func withChecksums(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        var offset = 0
        while offset + TarReader.blockSize <= bytes.count {
            let block = offset..<offset + TarReader.blockSize
            if bytes[block].contains(where: { $0 != 0 }) {
                for index in 148..<156 { bytes[offset + index] = UInt8(ascii: " ") }
                let digits = String(bytes[block].reduce(0) { $0 + Int($1) }, radix: 8).utf8
                bytes.replaceSubrange(offset + 148..<offset + 148 + digits.count, with: digits)
            }
            let size = (try? TarHeader(bytes: Array(bytes[block])).size()) ?? 0
            offset += TarReader.blockSize + min(size, bytes.count)
            offset += -offset & (TarReader.blockSize - 1)
        }
        return bytes
    }
}

// What an operator asks of a store: how much is in it, how much room is left.

/// Figures of a store at one moment.
public struct StoreStatistics: Hashable, Sendable {
    public struct Sum: Hashable, Sendable {
        public private(set) var objects = 0
        public private(set) var bytes = 0

        mutating func add(_ bytes: Int) {
            objects += 1
            self.bytes += bytes
        }
    }

    /// The last revision given out.
    public let revision: UInt64
    /// The change log serves what came after this revision.
    public let floor: UInt64
    /// Changes in the log, and bytes of the old values kept with them.
    public let changes: Int
    public let changeBytes: Int
    /// Pages in the file, those of them that are free, bytes of each.
    public let pages: Int64
    public let freePages: Int64
    public let bytesPerPage: Int64
    /// Frames (a page each) in the write-ahead log.
    public let walFrames: Int
    /// Bytes of pages in use beyond which puts are refused; nil when nobody has said (no noded runs).
    public let limit: Int64?
    /// By resource, as in StoreKey. Objects in memory only are among them.
    public let resources: [String: Sum]

    public var objects: Int { resources.values.reduce(0) { $0 + $1.objects } }
    public var usedBytes: Int64 { (pages - freePages) * bytesPerPage }

    /// One fact a line, for people.
    public var lines: [String] {
        let bytes = resources.values.reduce(0) { $0 + $1.bytes }
        var lines = [
            "revision    \(revision)",
            "objects     \(objects), \(bytes) bytes",
        ]
        for (name, sum) in resources.sorted(by: { $0.key < $1.key }) {
            lines.append("            \(sum.objects) \(name), \(sum.bytes) bytes")
        }
        lines.append("changes     \(changes) after revision \(floor), \(changeBytes) bytes of old values")
        lines.append("file        \(pages) pages of \(bytesPerPage) bytes, \(freePages) of them free")
        lines.append("log file    \(walFrames) pages since it was written back")
        if let limit {
            lines.append("limit       \(usedBytes) of \(limit) bytes used, \(usedBytes * 100 / max(limit, 1)) %")
        } else {
            lines.append("limit       \(usedBytes) bytes used; what --store-limit says when noded runs")
        }
        return lines
    }
}

// A store's file when no noded runs: looked at, backed up, replaced. The lock is held meanwhile.
//
// A restored store goes on where no revision was ever given out: behind the backup's, behind those of the store that
// it replaces (when that can still be read), and a billion further, because of a lost store nobody knows how far it
// was. So every watcher of before gets 410 and lists again, and no cache takes a new object for an old one.

internal import System

public final class OfflineStore {
    /// What a restore skips beyond the greatest revision it knows.
    public static let revisionGap: UInt64 = 1_000_000_000

    private let path: String
    private let lock: HeldLock
    private let file: StoreFile

    /// Throws `.locked` when a noded has it, `.notAStore` also when there is none; makes nothing.
    public init(path: String) throws(StoreError) {
        guard Files.exists(path) || Files.exists(path + ".lock") else {
            throw .notAStore(path: path, detail: "there is no such file")
        }
        self.path = path
        lock = try HeldLock(path)
        file = try StoreFile(path: path, vfs: nil)
    }

    /// Reads everything, and with it checks the order of the revisions and each object's checksum.
    public func snapshot() throws(StoreError) -> StoreSnapshot {
        let last = try file.reserved()
        var state = StoreState(revision: last)
        try file.readObjects { key, entry throws(StoreError) in try state.load(key, entry, last, file) }
        return StoreSnapshot(revision: last, time: wallClockSeconds(), entries: state.entries)
    }

    public func statistics(_ snapshot: StoreSnapshot) throws(StoreError) -> StoreStatistics {
        var log = ChangeLog(floor: snapshot.revision)
        var first: UInt64?
        try file.readLog { entry in
            if first == nil { first = entry.revision }
            log.append(entry)
        }
        let pages = try file.pages()
        return StoreStatistics(
            revision: snapshot.revision, floor: first.map { $0 - 1 } ?? snapshot.revision, changes: log.count,
            changeBytes: log.bytes, pages: pages.all, freePages: pages.free, bytesPerPage: file.bytesPerPage,
            walFrames: file.database.walFrames, limit: nil,
            resources: StoreState.sums(snapshot.entries))
    }

    /// What SQLite finds wrong with the file's structure; empty when nothing is.
    public func check() throws(StoreError) -> [String] { try file.database.quickCheck() }

    // MARK: - Replacing

    /// Makes the store of `next`'s objects (a backup's records up to its end) and puts it at `path`. What was there
    /// stays beside, as PATH.replaced-TIME. Returns the number of objects and the revision the store goes on from.
    ///
    /// `files` gets the other records before the store is in its place. When it throws, or the machine stops, noded
    /// does not start until a restore has come through.
    public static func restore(
        to path: String, replace: Bool, _ next: () throws -> BackupRecord?,
        files: ([(path: String, mode: UInt32, content: [UInt8])]) throws -> Void
    ) throws -> (objects: Int, revision: UInt64) {
        let lock = try HeldLock(path, replacing: true)
        let mark = HeldLock.restoreMark(path)
        let isUnfinished = Files.exists(mark)
        let exists = Files.exists(path) && ((try? Files.attributes(path).size) ?? 0) > 0
        if exists, !replace, !isUnfinished { throw StoreError.storeExists(path: path) }
        // A store that can no longer be read has no say; the gap is for that too.
        let before = exists ? (try? StoreFile(path: path, vfs: nil).reserved()) ?? 0 : 0

        let new = path + ".new"
        for suffix in ["", "-wal", "-journal"] { try Files.remove(new + suffix) }
        try Files.writeAtomically(new, [], mode: 0o600)
        var others: [(path: String, mode: UInt32, content: [UInt8])] = []
        let made = try fill(new, atLeast: before, next) { others.append($0) }

        // From here on a start without a finished restore is refused.
        try Files.writeAtomically(mark, "noded restore\n")
        try files(others)
        try setAside(path)
        try Files.rename(new, to: path)
        try Files.syncDirectory(Files.parent(of: path))
        try lock.noteStore()
        try Files.remove(mark)
        try Files.syncDirectory(Files.parent(of: path))
        return made
    }

    private static func fill(
        _ path: String, atLeast: UInt64, _ next: () throws -> BackupRecord?,
        _ other: ((path: String, mode: UInt32, content: [UInt8])) -> Void
    ) throws -> (objects: Int, revision: UInt64) {
        let (database, count, revision) = try write(path, atLeast: atLeast, next, other)
        // The statements went with the function that prepared them.
        try database.close()
        return (count, revision)
    }

    private static func write(
        _ path: String, atLeast: UInt64, _ next: () throws -> BackupRecord?,
        _ other: ((path: String, mode: UInt32, content: [UInt8])) -> Void
    ) throws -> (Database, objects: Int, revision: UInt64) {
        let file = try StoreFile(path: path, vfs: nil)
        var last: UInt64 = 0
        var seen = StoreState()
        var ids: Set<UInt64> = []
        try file.database.execute("BEGIN IMMEDIATE")
        while let record = try next() {
            switch record {
            case .state(let revision, _): last = max(last, revision)
            case .object(let object):
                try seen.load(object.key, object.entry, last, file)
                guard ids.insert(object.entry.id).inserted else {
                    throw file.damaged("\(object.key) has the number of another object")
                }
                try file.put(object.key, object.entry)
                if ids.count % 1000 == 0 { try file.database.execute("COMMIT; BEGIN IMMEDIATE") }
            case .file(let path, let mode, let content): other((path, mode, content))
            case .end: break
            }
        }
        let revision = max(last, atLeast) + revisionGap
        try file.reserve(revision)
        try file.database.execute("COMMIT")
        return (file.database, ids.count, revision)
    }

    /// The old store's files get another name.
    private static func setAside(_ path: String) throws {
        let time = Timestamp.now().rfc3339.filter { $0 != ":" }
        for suffix in ["-wal", "-journal", ""] where Files.exists(path + suffix) {
            try Files.rename(path + suffix, to: "\(path).replaced-\(time)\(suffix)")
        }
    }
}

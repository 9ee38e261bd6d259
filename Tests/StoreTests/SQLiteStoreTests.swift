// What is SQLiteStore's own: grouping, durable revisions, the file and its troubles.

import CRecordingVFS
import CSQLite
import System
import Testing

@testable import Store

/// A recording VFS that is registered as long as this lives.
final class Recording: @unchecked Sendable {
    // Invariant: the C object locks itself.
    let raw: OpaquePointer
    let name: String

    init() {
        name = "recording-" + Random.nameSuffix(10)
        raw = recording_create(name)
    }

    deinit { recording_destroy(raw) }

    var syncs: Int { (0..<recording_count(raw)).count { recording_event_at(raw, $0).kind == RECORDING_SYNC.rawValue } }

    func fail(_ kind: recording_kind, after: Int32 = 0, times: Int32 = 1, _ code: Int32) {
        recording_fail(raw, Int32(kind.rawValue), after, times, code)
    }
}

func sqliteStore(_ path: String, _ change: (inout SQLiteStore.Configuration) -> Void = { _ in }) -> SQLiteStore {
    var configuration = SQLiteStore.Configuration(path: path)
    change(&configuration)
    return SQLiteStore(configuration, logger: quiet)
}

/// Runs SQL on a file behind the store's back.
func sql(_ path: String, _ text: String) {
    var handle: OpaquePointer?
    #expect(sqlite3_open(path, &handle) == SQLITE_OK)
    #expect(sqlite3_exec(handle, text, nil, nil, nil) == SQLITE_OK, "\(String(cString: sqlite3_errmsg(handle)))")
    sqlite3_close(handle)
}

@Suite struct SQLiteStoreTests {
    @Test func waitingWritesShareATransaction() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let recording = Recording()
        let store = sqliteStore(folder.file) { $0.vfs = recording.name }
        let observer = Observer()
        observer.start(try await store.open(onChange: observer.observe))
        let before = recording.syncs
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<500 { group.addTask { try await store.create(key("\(number)"), value("\(number)")) } }
            try await group.waitForAll()
        }
        #expect(observer.current.count == 500)
        #expect(observer.groups.max()! > 1)
        #expect(recording.syncs - before < 400)
        try await store.close()
        #expect(observer.faults == [])
    }

    @Test func memoryClassesTouchNoDisk() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let recording = Recording()
        let store = sqliteStore(folder.file) { $0.vfs = recording.name }
        _ = try await store.open { _ in }
        let before = recording_count(recording.raw)
        for number in 0..<100 {
            try await store.create(key("\(number)", in: "leases"), value("x"), .volatile)
            try await store.create(key("\(number)", in: "events"), value("x"), .ring)
        }
        #expect(recording_count(recording.raw) == before)
        try await store.close()
    }

    @Test func theRingIsFlushedByItself() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let recording = Recording()
        let store = sqliteStore(folder.file) {
            $0.vfs = recording.name
            $0.ringFlush = 1
        }
        _ = try await store.open { _ in }
        let before = recording.syncs
        try await store.create(key("e", in: "events"), value("e"), .ring)
        let deadline = ContinuousClock.now + .seconds(90)
        while recording.syncs == before, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(50)) }
        #expect(recording.syncs > before)
        try await store.close()
    }

    @Test func revisionsAreReservedInBlocks() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        var last: UInt64 = 0
        let store = sqliteStore(folder.file) { $0.revisionBlock = 10 }
        _ = try await store.open { _ in }
        for number in 0..<25 { last = try await store.create(key("\(number)", in: "leases"), value("x"), .volatile) }
        #expect(last == 25)
        // What a crash would leave.
        let copy = try Folder()
        defer { copy.remove() }
        for suffix in ["", "-wal"] { try Files.writeAtomically(copy.file + suffix, Files.read(folder.file + suffix)) }
        try await store.close()
        let after = sqliteStore(copy.file)
        _ = try await after.open { _ in }
        let next = try await after.create(key("a"), value("a"))
        #expect(next > last && next <= last + 11)
        try await after.close()
    }

    @Test func onlyOneProcessHasTheFile() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let first = sqliteStore(folder.file)
        _ = try await first.open { _ in }
        let second = sqliteStore(folder.file)
        let error = await #expect(throws: StoreError.self) { _ = try await second.open { _ in } }
        guard case .locked(_, let holder)? = error else { return #expect(Bool(false), "\(String(describing: error))") }
        #expect(holder == "pid " + (Files.symlinkTarget("/proc/self") ?? ""))
        try await first.close()
        _ = try await second.open { _ in }
        try await second.close()
    }

    @Test func filesAreForTheirOwnerOnly() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let path = folder.path + "/new/folder/store.db"
        let store = sqliteStore(path)
        _ = try await store.open { _ in }
        for suffix in ["", "-wal", ".lock"] { #expect(try Files.attributes(path + suffix).mode & 0o777 == 0o600) }
        #expect(!Files.exists(path + "-shm"))
        try await store.close()
        #expect(!Files.exists(path + "-wal"))
    }

    @Test func foreignFilesAreNamedAndLeftAlone() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        for (name, bytes) in [("text", Array("hello".utf8)), ("long", [UInt8](repeating: 65, count: 9000))] {
            let path = "\(folder.path)/\(name)"
            try Files.writeAtomically(path, bytes)
            let error = await #expect(throws: StoreError.self) { _ = try await sqliteStore(path).open { _ in } }
            guard case .notAStore? = error else { return #expect(Bool(false), "\(String(describing: error))") }
            #expect(try Files.read(path) == bytes)
        }
        let other = folder.path + "/other.db"
        sql(other, "CREATE TABLE bookmarks (url TEXT)")
        let error = await #expect(throws: StoreError.self) { _ = try await sqliteStore(other).open { _ in } }
        #expect("\(error!)" == "\(other) is not a store of noded: it is a SQLite database of another program")
    }

    @Test func aNewerFormatIsRefused() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let store = sqliteStore(folder.file)
        _ = try await store.open { _ in }
        try await store.close()
        sql(folder.file, "PRAGMA user_version = 3")
        await #expect(throws: StoreError.newerFormat(path: folder.file, found: 3, supported: 2)) {
            _ = try await sqliteStore(folder.file).open { _ in }
        }
    }

    @Test func contradictionsAreFound() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let store = sqliteStore(folder.file)
        _ = try await store.open { _ in }
        try await store.create(key("a"), value("a"))
        #expect(try await store.check() == [])
        try await store.close()
        sql(
            folder.file,
            """
            INSERT INTO objects
            SELECT 0, revision, time, class, resource, namespace, name, prefix, suffix, NULL FROM objects
            """
        )
        let error = await #expect(throws: StoreError.self) { _ = try await sqliteStore(folder.file).open { _ in } }
        #expect("\(error!)".contains("configmaps default/a is stored twice; stop noded and run `noded restore FILE --force`"))
    }

    @Test func anImpossiblePlaceIsNamed() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        try Files.writeAtomically(folder.path + "/file", "x")
        for path in [folder.path + "/file/store.db", "/proc/none/store.db"] {
            let error = await #expect(throws: StoreError.self) { _ = try await sqliteStore(path).open { _ in } }
            guard case .io(path, _, _, _)? = error else { return #expect(Bool(false), "\(String(describing: error))") }
        }
    }

    @Test func aFullStoreStillDeletes() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let store = sqliteStore(folder.file) { $0.limits.fileBytes = 1 << 20 }
        _ = try await store.open { _ in }
        var names: [String] = []
        let error = await #expect(throws: StoreError.self) {
            for number in 0..<1000 {
                try await store.create(key("\(number)"), value("x", size: 20_000))
                names.append("\(number)")
            }
        }
        guard case .full(_, let used, 1_048_576)? = error, used >= 1 << 20 else {
            return #expect(Bool(false), "\(String(describing: error))")
        }
        // An update that does not grow passes: finalizers can be taken off.
        _ = try await store.commit(Write(key: key("0"), precondition: .none, value: value("y", size: 20_000)))
        for name in names { try await store.delete(key(name)) }
        // Without the old values in the log there is room again.
        try await store.compact(through: store.currentRevision)
        try await store.create(key("again"), value("x", size: 20_000))
        try await store.close()
    }

    @Test func theFileGivesSpaceBack() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let store = sqliteStore(folder.file)
        _ = try await store.open { _ in }
        for number in 0..<300 { try await store.create(key("\(number)"), value("x", size: 60_000)) }
        for number in 0..<300 { try await store.delete(key("\(number)")) }
        try await store.compact(through: store.currentRevision)
        // A step of 256 pages a second: this only sees that it goes down by itself.
        let most = try await store.statistics().pages
        let deadline = ContinuousClock.now + .seconds(90)
        while try await store.statistics().pages > most - 512, ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(200))
        }
        #expect(try await store.statistics().pages <= most - 512)
        try await store.close()
    }
}

@Suite struct DiskTroubles {
    /// A write or sync that fails fails its write with a clear error; memory, disk and later writes are right.
    @Test(
        arguments: [(RECORDING_WRITE, SQLITE_FULL), (RECORDING_WRITE, 778), (RECORDING_SYNC, 1034)]
            as [(recording_kind, Int32)])
    func aFailureFailsItsWriteOnly(_ kind: recording_kind, _ code: Int32) async throws {
        for after in 0..<3 as Range<Int32> {
            let folder = try Folder()
            defer { folder.remove() }
            let recording = Recording()
            let store = sqliteStore(folder.file) { $0.vfs = recording.name }
            let observer = Observer()
            observer.start(try await store.open(onChange: observer.observe))
            let first = try await store.create(key("a"), value("1"))
            recording.fail(kind, after: after, times: 1, code)
            var failed: StoreError?
            var names = ["a"]
            for number in 0..<4 where failed == nil {
                do { try await store.create(key("\(number)"), value("x")); names.append("\(number)") } catch {
                    failed = error
                }
            }
            guard case .io(folder.file, _, code, let detail)? = failed else {
                return #expect(Bool(false), "\(String(describing: failed))")
            }
            #expect(!detail.isEmpty)
            // The disk is well again: what failed is not there, also after a crash right now.
            let copy = try Folder()
            defer { copy.remove() }
            for suffix in ["", "-wal"] {
                try Files.writeAtomically(copy.file + suffix, Files.read(folder.file + suffix))
            }
            let crashed = sqliteStore(copy.file)
            let found = Set(try await crashed.open { _ in }.map(\.key.name))
            #expect(found == Set(names), "\(found.sorted()), not \(names.sorted())")
            try await crashed.close()
            let second = try await store.update(key("a"), value("2"), at: first)
            #expect(second > first)
            #expect(Set(observer.current.keys.map(\.name)) == Set(names))
            try await store.close()
            #expect(observer.faults == [])
        }
    }

    @Test func aDeadDiskFailsDurableWritesAndLetsMemoryLive() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let recording = Recording()
        let store = sqliteStore(folder.file) { $0.vfs = recording.name }
        let observer = Observer()
        observer.start(try await store.open(onChange: observer.observe))
        recording.fail(RECORDING_SYNC, times: 1000, 1034)
        let failures = await withTaskGroup(of: Bool.self) { group in
            for number in 0..<20 {
                group.addTask {
                    let durability: Durability = number % 2 == 0 ? .durable : .volatile
                    return (try? await store.create(key("\(number)"), value("x"), durability)) == nil
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(failures == 10)
        #expect(observer.current.count == 10)
        recording.fail(RECORDING_SYNC, times: 0, 0)
        try await store.create(key("well"), value("x"))
        try await store.close()
        #expect(observer.faults == [])
    }
}

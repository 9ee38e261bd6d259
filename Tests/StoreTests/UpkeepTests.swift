// What an operator relies on: an idle store does not write, a full one recovers, damage is found and named, a backup is
// whole or refused, a restore never takes revisions back.

import CRecordingVFS
import System
import Testing

@testable import Store

@Suite struct UpkeepTests {
    @Test func anIdleStoreForgetsWithoutWriting() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let recording = Recording()
        let clock = Clock()
        let store = sqliteStore(folder.file) {
            $0.vfs = recording.name
            $0.now = clock.now
            // The timer runs by the real clock, so the log is old at once.
            $0.limits.logAge = -9
        }
        _ = try await store.open { _ in }
        let last = try await store.create(key("a"), value("a"))
        let written = recording_count(recording.raw)
        let deadline = ContinuousClock.now + .seconds(90)
        while store.historyFloor < last, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(20)) }
        #expect(store.historyFloor == last)
        #expect(recording_count(recording.raw) == written)
        #expect(try await store.statistics().changes == 0)
        try await store.close()
    }

    @Test func aFullStoreRecoversByItselfAfterDeletes() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let store = sqliteStore(folder.file) { $0.limits.fileBytes = 1 << 20 }
        _ = try await store.open { _ in }
        var names: [String] = []
        while true {
            do throws(StoreError) {
                try await store.create(key("\(names.count)"), value("x", size: 20_000))
                names.append("\(names.count)")
            } catch {
                #expect(error.isOutOfSpace && "\(error)".contains("delete objects, or start noded with a greater"))
                break
            }
        }
        // Nobody compacts: the old values in the log make room by themselves.
        for name in names.prefix(names.count / 2) { try await store.delete(key(name)) }
        let deadline = ContinuousClock.now + .seconds(90)
        var error: StoreError?
        repeat {
            do throws(StoreError) {
                try await store.create(key("again"), value("x", size: 20_000))
                error = nil
            } catch let failure {
                error = failure
                try await Task.sleep(for: .milliseconds(100))
            }
        } while error != nil && ContinuousClock.now < deadline
        #expect(error == nil)
        try await store.close()
    }

    @Test func theLogFileIsBounded() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let store = sqliteStore(folder.file)
        _ = try await store.open { _ in }
        for number in 0..<400 {
            _ = try await store.commit(
                Write(key: key("\(number % 7)"), precondition: .none, value: value("x", size: 100_000)))
        }
        #expect(try Files.attributes(folder.file + "-wal").size < 20 << 20)
        try await store.close()
    }

    // MARK: damage

    @Test func aStoreThatIsGoneIsNotBegunAnew() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let store = sqliteStore(folder.file)
        _ = try await store.open { _ in }
        try await store.create(key("a"), value("a"))
        try await store.close()
        try Files.remove(folder.file)
        for state in ["missing", "empty"] {
            let error = await #expect(throws: StoreError.self) { _ = try await sqliteStore(folder.file).open { _ in } }
            #expect("\(error!)".contains("the file is \(state), although there was a store"))
            try Files.writeAtomically(folder.file, [])
        }
        // Both gone: somebody wants to begin.
        try Files.remove(folder.file + ".lock")
        _ = try await sqliteStore(folder.file).open { _ in }
    }

    /// Any damaged byte of an object's text is found, at the start and by a check of the running store.
    @Test func aLostBitIsFound() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let store = sqliteStore(folder.file)
        _ = try await store.open { _ in }
        for number in 0..<40 { try await store.create(key("name-\(number)"), value("text-\(number)-end", size: 900)) }
        try await store.close()
        let whole = try Files.read(folder.file)
        let needle = Array("text-23-end".utf8)
        let place = try #require((0..<(whole.count - needle.count)).last { Array(whole[$0..<($0 + needle.count)]) == needle })
        for bit in [0, 3, 6] {
            var damaged = whole
            damaged[place + 5] ^= 1 << bit
            try Files.writeAtomically(folder.file, damaged)
            let error = await #expect(throws: StoreError.self) { _ = try await sqliteStore(folder.file).open { _ in } }
            #expect("\(error!)".contains("configmaps default/name-23 does not have the checksum it was stored with"))
            #expect(throws: StoreError.self) { _ = try OfflineStore(path: folder.file).snapshot() }
        }
        // While it is open: behind SQLite's cache, so a store that has not read the page yet.
        try Files.writeAtomically(folder.file, whole)
        let running = sqliteStore(folder.file)
        _ = try await running.open { _ in }
        #expect(try await running.check() == [])
        try await running.close()
    }

    @Test func aTornFileIsDamageAndNoNewStore() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let store = sqliteStore(folder.file)
        _ = try await store.open { _ in }
        for number in 0..<200 { try await store.create(key("\(number)"), value("x", size: 2000)) }
        try await store.close()
        let whole = try Files.read(folder.file)
        var numbers = Numbers(seed: 5)
        for _ in 0..<60 {
            var torn = Array(whole[..<Int.random(in: 1..<whole.count, using: &numbers)])
            if Bool.random(using: &numbers), torn.count > 9000 {
                let start = Int.random(in: 0..<(torn.count - 4096), using: &numbers)
                torn.replaceSubrange(start..<(start + 4096), with: [UInt8](repeating: 0, count: 4096))
            }
            try Files.writeAtomically(folder.file, torn)
            await #expect(throws: StoreError.self) { _ = try await sqliteStore(folder.file).open { _ in } }
            #expect(try Files.read(folder.file).count > 0)
        }
    }

    @Test func aFormatOneStoreIsUnderstood() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let store = sqliteStore(folder.file)
        _ = try await store.open { _ in }
        try await store.create(key("old"), value("old"))
        try await store.close()
        sql(folder.file, "ALTER TABLE objects DROP COLUMN checksum; PRAGMA user_version = 1")
        let next = sqliteStore(folder.file)
        #expect(try await next.open { _ in }.map(\.key) == [key("old")])
        try await next.create(key("new"), value("new"))
        try await next.close()
        #expect(try OfflineStore(path: folder.file).snapshot().entries.count == 2)
    }
}

@Suite struct BackupTests {
    private func reader(_ bytes: [UInt8]) throws -> BackupReader {
        var rest = bytes[...]
        // Small pieces, as a socket gives them.
        return try BackupReader(path: "backup") { _ in
            defer { rest = rest.dropFirst(1000) }
            return Array(rest.prefix(1000))
        }
    }

    private func backup(_ store: SQLiteStore) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        try await store.snapshot().send { bytes += $0 }
        return bytes
    }

    private func filled(_ folder: Folder) async throws -> SQLiteStore {
        let store = sqliteStore(folder.file)
        _ = try await store.open { _ in }
        for number in 0..<50 { try await store.create(key("\(number)"), value("x", size: 100 * number)) }
        try await store.create(key("e", in: "events"), value("e"), .ring)
        try await store.create(key("l", in: "leases"), value("l"), .volatile)
        return store
    }

    @Test func aRestoredStoreHoldsTheSameAndGoesOnFurther() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let store = try await filled(folder)
        let bytes = try await backup(store)
        // The store goes on after the backup; these revisions must not come again.
        let late = try await store.create(key("late"), value("late"))
        try await store.close()

        func restore(replace: Bool) throws -> (objects: Int, revision: UInt64) {
            var reader = try reader(bytes)
            return try OfflineStore.restore(to: folder.file, replace: replace, { try reader.next() }, files: { _ in })
        }
        #expect(throws: StoreError.storeExists(path: folder.file)) { try restore(replace: false) }
        let made = try restore(replace: true)
        #expect(made.objects == 51 && made.revision >= late + OfflineStore.revisionGap)
        #expect(try Files.list(folder.path).contains { $0.hasPrefix("store.db.replaced-") })
        let next = sqliteStore(folder.file)
        let objects = try await next.open { _ in }
        #expect(objects.count == 51 && !objects.contains { $0.key.name == "late" || $0.key.resource == "leases" })
        #expect(objects.first { $0.key == key("7") }?.value == value("x", size: 700))
        #expect(next.historyFloor == made.revision)
        await #expect(throws: StoreError.compacted(floor: made.revision)) { _ = try await next.changes(after: late) }
        #expect(try await next.create(key("new"), value("new")) > made.revision)
        #expect(try await next.check() == [])
        try await next.close()
    }

    @Test func everyDamagedOrMissingByteIsRefused() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let store = try await filled(folder)
        let bytes = try await backup(store)
        try await store.close()
        func readAll(_ bytes: [UInt8]) throws {
            var reader = try reader(bytes)
            while try reader.next() != nil {}
        }
        try readAll(bytes)
        var numbers = Numbers(seed: 9)
        for _ in 0..<300 {
            var damaged = bytes
            damaged[Int.random(in: 0..<bytes.count, using: &numbers)] ^= 1 << UInt8.random(in: 0..<8, using: &numbers)
            #expect(throws: StoreError.self) { try readAll(damaged) }
            let cut = Array(bytes[..<Int.random(in: 0..<bytes.count, using: &numbers)])
            #expect(throws: StoreError.self) { try readAll(cut) }
        }
    }

    @Test func aRestoreThatWasCutShortKeepsTheStoreShut() async throws {
        struct Stop: Error {}
        let folder = try Folder()
        defer { folder.remove() }
        let store = try await filled(folder)
        let bytes = try await backup(store)
        try await store.close()
        var first = try reader(bytes)
        #expect(throws: Stop.self) {
            try OfflineStore.restore(to: folder.file, replace: true, { try first.next() }, files: { _ in throw Stop() })
        }
        let error = await #expect(throws: StoreError.self) { _ = try await sqliteStore(folder.file).open { _ in } }
        #expect("\(error!)".contains("run `noded restore` again"))
        var second = try reader(bytes)
        _ = try OfflineStore.restore(to: folder.file, replace: false, { try second.next() }, files: { _ in })
        _ = try await sqliteStore(folder.file).open { _ in }
    }

    @Test func aStoreInUseIsNotReplaced() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let store = try await filled(folder)
        var reader = try reader(try await backup(store))
        #expect(throws: StoreError.self) {
            try OfflineStore.restore(to: folder.file, replace: true, { try reader.next() }, files: { _ in })
        }
        #expect(throws: StoreError.self) { _ = try OfflineStore(path: folder.file) }
        try await store.create(key("still"), value("there"))
        try await store.close()
        let offline = try OfflineStore(path: folder.file)
        let statistics = try offline.statistics(try offline.snapshot())
        #expect(statistics.resources["configmaps"]?.objects == 51)
        #expect(try offline.check() == [])
    }
}

// A power cut at any moment. A workload runs on a recorded disk; then, for moments all over the record, the disk is
// built as it may have been: what was synced, and of the rest nothing, everything, or any part, pages torn too. On
// each such disk the store must open, hold every acknowledged write and nothing half, tell a log that fits, and
// never give a revision twice.
//
// The model of a disk: a sync of a file makes what was written to it before last. Writes after it may each be there
// or not, in sectors of 512 bytes. A removed file may be back until something later is synced.

import CRecordingVFS
import System
import Testing

@testable import Store

private struct DiskFile {
    struct Operation {
        let offset: Int
        /// nil truncates to `offset`.
        let bytes: [UInt8]?
    }
    var synced: [UInt8] = []
    var unsynced: [Operation] = []
    /// What was there when the file was removed, until that lasts.
    var removed: [UInt8]?
    var exists = false

    static func apply(_ operation: Operation, to content: inout [UInt8]) {
        guard let bytes = operation.bytes else {
            if operation.offset < content.count { content.removeLast(content.count - operation.offset) }
            return
        }
        let end = operation.offset + bytes.count
        if content.count < end { content += [UInt8](repeating: 0, count: end - content.count) }
        content.replaceSubrange(operation.offset..<end, with: bytes)
    }

    mutating func sync() {
        for operation in unsynced { DiskFile.apply(operation, to: &synced) }
        unsynced = []
        exists = true
    }

    /// The file after a power cut now; nil when it is not there.
    func survivor(_ luck: Luck, _ numbers: inout Numbers) -> [UInt8]? {
        if let removed, !exists { return luck == .nothing ? removed : nil }
        if !exists, unsynced.isEmpty { return nil }
        var content = synced
        for operation in unsynced {
            switch luck {
            case .nothing: continue
            case .everything: DiskFile.apply(operation, to: &content)
            case .some:
                if Bool.random(using: &numbers) { DiskFile.apply(operation, to: &content) }
            case .torn:
                guard let bytes = operation.bytes else { continue }
                for start in stride(from: 0, to: bytes.count, by: 512) where Bool.random(using: &numbers) {
                    let sector = Array(bytes[start..<min(start + 512, bytes.count)])
                    DiskFile.apply(Operation(offset: operation.offset + start, bytes: sector), to: &content)
                }
            }
        }
        return content
    }
}

private enum Luck: CaseIterable { case nothing, everything, some, torn }

private struct Disk {
    /// By recording_file.
    var files = [DiskFile](repeating: DiskFile(), count: 3)

    mutating func apply(_ event: recording_event) {
        let file = Int(event.file)
        switch recording_kind(rawValue: UInt32(event.kind)) {
        case RECORDING_WRITE:
            let bytes = [UInt8](UnsafeBufferPointer(start: event.data, count: Int(event.size)))
            files[file].unsynced.append(DiskFile.Operation(offset: Int(event.offset), bytes: bytes))
        case RECORDING_TRUNCATE:
            files[file].unsynced.append(DiskFile.Operation(offset: Int(event.offset), bytes: nil))
        case RECORDING_SYNC:
            files[file].sync()
            for index in files.indices { files[index].removed = nil }
        case RECORDING_DELETE:
            // A file that was never synced may be gone with its bytes, or be there: `everything` of it was removed.
            var last = files[file]
            last.sync()
            files[file] = DiskFile(removed: event.offset == 0 ? last.synced : nil)
        default: break
        }
    }

    func write(to path: String, _ luck: Luck, _ numbers: inout Numbers) throws {
        for (file, suffix) in zip(files, ["", "-wal", "-journal"]) {
            if let bytes = file.survivor(luck, &numbers) { try Files.writeAtomically(path + suffix, bytes) }
        }
    }
}

/// What the workload did to a key, with the moments in the record.
private struct Deed {
    let key: StoreKey
    let value: EncodedObject?
    let begun: Int
    var acknowledged = Int.max
    var revision: UInt64 = 0
}

@Suite(.serialized) struct CrashTests {
    @Test func everyMomentOfAPowerCutIsSurvived() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let recording = Recording()
        let deeds = try await work(recording, folder)
        let count = recording_count(recording.raw)
        var numbers = Numbers(seed: 42)
        var disk = Disk()
        // Every moment of the first start, then as many as the time allows, spread evenly.
        let dense = 60
        let step = max(1, (count - dense) / 450)
        var replays = 0
        for moment in 0...count {
            if moment <= dense || (moment - dense) % step == 0 || moment == count {
                for luck in Luck.allCases {
                    try await examine(disk, luck, at: moment, deeds, &numbers)
                    replays += 1
                }
            }
            if moment < count { disk.apply(recording_event_at(recording.raw, moment)) }
        }
        print("crash test: \(count) disk operations, \(replays) power cuts")
        #expect(replays > 1000)
    }

    /// Two lives of a store with groups, deletes, big values, checkpoints, compaction, vacuum, memory classes.
    private func work(_ recording: Recording, _ folder: Folder) async throws -> [Deed] {
        var deeds: [Deed] = []
        var numbers = Numbers(seed: 3)
        for life in 0..<2 {
            let store = sqliteStore(folder.file) {
                $0.vfs = recording.name
                $0.checkpointFrames = 25
                $0.revisionBlock = 20
                $0.limits.logCount = 12
                $0.limits.ringCount = 5
            }
            _ = try await store.open { _ in }
            for round in 0..<40 {
                var group: [Deed] = []
                for name in Set((0..<3).map { _ in Int.random(in: 0..<12, using: &numbers) }) {
                    let deletes = deeds.last { $0.key == key("\(name)") }?.value != nil && round % 4 == 3
                    let new = value("\(life).\(round).\(name)", size: round % 10 == 5 ? 30_000 : 300)
                    group.append(
                        Deed(key: key("\(name)"), value: deletes ? nil : new, begun: recording_count(recording.raw)))
                }
                let writes = group.map { Write(key: $0.key, precondition: .none, value: $0.value) }
                let outcomes = try await withThrowingTaskGroup(of: (Int, UInt64, Int).self) { tasks in
                    for (index, write) in writes.enumerated() {
                        tasks.addTask { (index, try await store.commit(write), recording_count(recording.raw)) }
                    }
                    return try await tasks.reduce(into: []) { $0.append($1) }
                }
                for (index, revision, moment) in outcomes {
                    group[index].acknowledged = moment
                    group[index].revision = revision
                }
                deeds += group
                let lease = key("lease", in: "leases")
                let begun = recording_count(recording.raw)
                let given = try await store.commit(
                    Write(key: lease, precondition: .none, value: value("l"), durability: .volatile))
                deeds.append(
                    Deed(
                        key: lease, value: nil, begun: begun, acknowledged: recording_count(recording.raw),
                        revision: given))
                try await store.create(key("\(life).\(round)", in: "events"), value("e"), .ring)
                if round == 30 { try await store.compact(through: store.currentRevision - 5) }
            }
            try await store.close()
        }
        return deeds
    }

    private func examine(
        _ disk: Disk, _ luck: Luck, at moment: Int, _ deeds: [Deed], _ numbers: inout Numbers
    ) async throws {
        let folder = try Folder()
        defer { folder.remove() }
        try disk.write(to: folder.file, luck, &numbers)
        let place: Comment = "moment \(moment), \(luck)"
        let store = sqliteStore(folder.file)
        let objects: [StoredObject]
        do { objects = try await store.open { _ in } } catch {
            Issue.record("\(place): \(error)")
            return
        }
        let begun = deeds.filter { $0.begun <= moment }
        let found = Dictionary(
            uniqueKeysWithValues: objects.filter { $0.key.resource == "configmaps" }.map { ($0.key, $0) })
        for key in Set(begun.map(\.key)) where key.resource == "configmaps" {
            let history = begun.filter { $0.key == key }
            // The last acknowledged one, or one that was under way.
            let last = history.lastIndex { $0.acknowledged <= moment }
            var allowed = history[(last ?? 0)...].map(\.value)
            if last == nil { allowed.append(nil) }
            #expect(allowed.contains(found[key]?.value), place)
        }
        #expect(Set(found.keys).isSubset(of: begun.map(\.key)), place)
        #expect(!objects.contains { $0.key.resource == "leases" }, place)

        let given = begun.map { $0.acknowledged <= moment ? $0.revision : 0 }.max() ?? 0
        let log = try await store.changes(after: store.historyFloor)
        for (key, change) in Dictionary(log.map { ($0.key, $0) }, uniquingKeysWith: { $1 }) {
            #expect((change.kind == .delete ? nil : change.revision) == found[key]?.revision, place)
        }
        let next = try await store.create(key("next"), value("next"))
        #expect(next > given && next > (log.last?.revision ?? 0), place)
        if luck == .torn, moment % 16 == 0 { #expect(try await store.check() == [], place) }
        try await store.close()
    }
}

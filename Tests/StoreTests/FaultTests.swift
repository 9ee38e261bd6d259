// A disk that refuses, at every single operation in turn: writes (also half ones, the disk being full), syncs,
// truncations, removals. Whatever fails, a commit that returned lasts, one that threw has changed nothing that anybody
// sees, and once the disk is well again everything works, in this process and in the next.

import CRecordingVFS
import CSQLite
import System
import Testing

@testable import Store

@Suite(.serialized) struct FaultTests {
    struct Fault: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let code: Int32
        let times: Int32

        static let all = [
            Fault(testDescription: "a full disk, once", code: SQLITE_FULL, times: 1),
            Fault(testDescription: "a full disk, for a while", code: SQLITE_FULL, times: 5),
            // SQLITE_IOERR_FSYNC, SQLITE_IOERR_WRITE
            Fault(testDescription: "a sync that fails", code: 1034, times: 1),
            Fault(testDescription: "writes that fail", code: 778, times: 3),
        ]
    }

    @Test(arguments: Fault.all) func everyOperationMayFail(_ fault: Fault) async throws {
        let operations = try await operationsOfAWellRun()
        #expect(operations > 200)
        // All of the opening, then steps that are no multiple of anything the store does.
        var moments = Array(0..<40)
        moments += stride(from: 40, to: operations, by: 7)
        for moment in moments { try await run(fault, at: moment) }
    }

    private func store(_ folder: Folder, _ recording: Recording) -> SQLiteStore {
        sqliteStore(folder.file) {
            $0.vfs = recording.name
            $0.checkpointFrames = 20
            $0.revisionBlock = 15
            $0.limits.logCount = 10
            $0.limits.ringCount = 4
        }
    }

    private func operationsOfAWellRun() async throws -> Int {
        let folder = try Folder()
        defer { folder.remove() }
        let recording = Recording()
        let store = store(folder, recording)
        _ = try await store.open { _ in }
        var history = History()
        #expect(await history.work(store, rounds: 60) == 0)
        try await store.close()
        return recording_count(recording.raw)
    }

    private func run(_ fault: Fault, at moment: Int) async throws {
        let place: Comment = "\(fault.testDescription), operation \(moment)"
        let folder = try Folder()
        defer { folder.remove() }
        let recording = Recording()
        recording_fail(recording.raw, Int32(RECORDING_ANY.rawValue), Int32(moment), fault.times, fault.code)
        let store = store(folder, recording)
        let observer = Observer()
        var history = History()
        do {
            observer.start(try await store.open(onChange: observer.observe))
        } catch {
            guard case .io = error else {
                Issue.record("\(place): \(error)")
                return
            }
            // The disk is well again.
            recording_fail(recording.raw, Int32(RECORDING_ANY.rawValue), 0, 0, 0)
            observer.start(try await store.open(onChange: observer.observe))
        }
        _ = await history.work(store, rounds: 60)
        recording_fail(recording.raw, Int32(RECORDING_ANY.rawValue), 0, 0, 0)
        #expect(await history.work(store, rounds: 3) == 0, place)
        #expect(history.faults == [], place)
        #expect(observer.faults == [], place)
        let durable = observer.current.filter { $0.key.resource == "configmaps" }.mapValues(\.value)
        #expect(durable == history.model, place)
        // The process dies here, or stops.
        let copy = try Folder()
        defer { copy.remove() }
        for suffix in ["", "-wal"] {
            try Files.writeAtomically(copy.file + suffix, Files.read(folder.file + suffix))
        }
        try await store.close()
        for path in [copy.file, folder.file] {
            let next = sqliteStore(path)
            let found = try await next.open { _ in }.filter { $0.key.resource == "configmaps" }
            #expect(Dictionary(uniqueKeysWithValues: found.map { ($0.key, $0.value) }) == history.model, place)
            #expect(try await next.create(key("after"), value("after")) > history.last, place)
            #expect(try await next.check() == [], place)
            try await next.close()
        }
    }

    /// The same writes every time; what failed is not in the model.
    private struct History {
        var model: [StoreKey: EncodedObject] = [:]
        var last: UInt64 = 0
        var faults: [String] = []
        private var numbers = Numbers(seed: 11)
        private var round = 0

        /// Returns how many writes failed.
        mutating func work(_ store: SQLiteStore, rounds: Int) async -> Int {
            var failures = 0
            for _ in 0..<rounds {
                round += 1
                let key = key("\(Int.random(in: 0..<9, using: &numbers))")
                let deletes = model[key] != nil && round % 5 == 0
                let new = deletes ? nil : value("\(round)", size: round % 11 == 0 ? 20_000 : 200)
                do {
                    last = try await store.commit(Write(key: key, precondition: .none, value: new))
                    model[key] = new
                } catch {
                    failures += 1
                    if case .io = error { continue }
                    faults.append("\(key): \(error)")
                }
                _ = try? await store.create(StoreTests.key("\(round)", in: "events"), value("e"), .ring)
                if round % 20 == 0 { try? await store.compact(through: store.currentRevision - 4) }
            }
            return failures
        }
    }
}

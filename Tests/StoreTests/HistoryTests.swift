// Random histories against a model that is as simple as the contract: a dictionary and a list of changes. Every class
// of durability, groups of writers at once, compaction at any revision, stops at any moment; for every engine.

import System
import Testing

@testable import Store

@Suite struct HistoryTests {
    private struct Model {
        var current: [StoreKey: StoredObject] = [:]
        /// Durable changes.
        var changes: [Change] = []
    }

    @Test(arguments: Engine.all, [1, 2, 3, 4, 5, 6] as [UInt64])
    func anyHistoryIsToldAsItWas(_ engine: Engine, _ seed: UInt64) async throws {
        var numbers = Numbers(seed: seed)
        var limits = StoreLimits()
        limits.logCount = 60
        let folder = try Folder()
        defer { folder.remove() }
        var model = Model()
        for _ in 0..<4 {
            model = try await withStore(engine, folder, limits) { store, observer in
                var model = model
                model.current = model.current.filter { $0.key.resource != "leases" }
                #expect(observer.current == model.current)
                for _ in 0..<60 { try await step(store, observer, &model, &numbers) }
                return model
            }
        }
    }

    private func step(
        _ store: any ObjectStore, _ observer: Observer, _ model: inout Model, _ numbers: inout Numbers
    ) async throws {
        let seen = observer.changes.count
        // Each of a group has a key of its own, so that the outcome does not depend on their order.
        let names = Set((0..<Int.random(in: 1...4, using: &numbers)).map { _ in Int.random(in: 0..<12, using: &numbers) })
        let writes = names.sorted().map { random(place($0), model, &numbers) }
        let expected = writes.map { outcome($0, model) }
        let results = await withTaskGroup(of: (Int, StoreError?).self) { group in
            for (index, write) in writes.enumerated() {
                group.addTask {
                    do throws(StoreError) {
                        _ = try await store.commit(write)
                        return (index, nil)
                    } catch {
                        return (index, error)
                    }
                }
            }
            return await group.reduce(into: [Int: StoreError?]()) { $0[$1.0] = $1.1 }
        }
        for (index, error) in results { #expect(error == expected[index]) }
        for change in observer.changes[seen...] {
            model.current[change.key] =
                change.kind == .put ? StoredObject(key: change.key, revision: change.revision, value: change.value) : nil
            if change.durability == .durable { model.changes.append(change) }
        }
        for (write, error) in zip(writes, expected) where error == nil {
            #expect(model.current[write.key]?.value == write.value)
        }
        if Int.random(in: 0..<10, using: &numbers) == 0 {
            let target = model.changes.randomElement(using: &numbers)?.revision ?? 0
            try await store.compact(through: target)
            #expect(store.historyFloor >= target)
        }
        let floor = store.historyFloor
        let from = UInt64.random(in: 0...store.currentRevision, using: &numbers)
        if from >= floor {
            #expect(try await store.changes(after: from) == model.changes.filter { $0.revision > from })
        } else {
            await #expect(throws: StoreError.compacted(floor: floor)) { _ = try await store.changes(after: from) }
        }
    }

    private func place(_ number: Int) -> StoreKey {
        key("\(number)", in: ["configmaps", "configmaps", "events", "leases"][number % 4])
    }

    private func random(_ key: StoreKey, _ model: Model, _ numbers: inout Numbers) -> Write {
        let old = model.current[key]?.revision
        let durability: Durability = key.resource == "events" ? .ring : key.resource == "leases" ? .volatile : .durable
        let precondition: Write.Precondition =
            switch Int.random(in: 0..<5, using: &numbers) {
            case 0: .absent
            case 1: .none
            case 2: .revision(UInt64.random(in: 1...5000, using: &numbers) + 1_000_000)
            default: old.map { .revision($0) } ?? .absent
            }
        let deletes = Int.random(in: 0..<4, using: &numbers) == 0
        let size = Int.random(in: 0..<6000, using: &numbers)
        return Write(
            key: key, precondition: precondition, value: deletes ? nil : value("\(size)", size: size),
            durability: durability)
    }

    private func outcome(_ write: Write, _ model: Model) -> StoreError? {
        switch (write.precondition, model.current[write.key]) {
        case (.absent, let old?): .exists(current: old.revision)
        case (.revision, nil): .notFound
        case (.revision(let wanted), let old?) where wanted != old.revision: .conflict(current: old.revision)
        case (_, nil) where write.value == nil: .notFound
        default: nil
        }
    }
}

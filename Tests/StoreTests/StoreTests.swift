// What any engine must do. Run against every one.

import Synchronization
import System
import Testing

@testable import Store

@Suite struct StoreSuite {
    @Test(arguments: Engine.all) func createsUpdatesAndDeletes(_ engine: Engine) async throws {
        try await withStore(engine) { store, observer in
            let first = try await store.create(key("a"), value("1"))
            #expect(store.currentRevision == first)
            let second = try await store.update(key("a"), value("2"), at: first)
            #expect(second > first)
            #expect(observer.current[key("a")] == StoredObject(key: key("a"), revision: second, value: value("2")))
            #expect(observer.changes.last?.previous?.revision == first)
            let third = try await store.delete(key("a"), at: second)
            #expect(observer.current.isEmpty)
            #expect(observer.changes.last?.kind == .delete)
            #expect(observer.changes.last?.bytes == value("2").joined(third))
        }
    }

    @Test(arguments: Engine.all) func preconditionsHold(_ engine: Engine) async throws {
        try await withStore(engine) { store, observer in
            let first = try await store.create(key("a"), value("1"))
            await #expect(throws: StoreError.exists(current: first)) { try await store.create(key("a"), value("2")) }
            await #expect(throws: StoreError.conflict(current: first)) {
                try await store.update(key("a"), value("2"), at: first + 7)
            }
            await #expect(throws: StoreError.conflict(current: first)) {
                try await store.delete(key("a"), at: first - 1)
            }
            await #expect(throws: StoreError.notFound) { try await store.update(key("b"), value("2"), at: 1) }
            await #expect(throws: StoreError.notFound) { try await store.delete(key("b")) }
            #expect(observer.changes.count == 1)
            let second = try await store.commit(Write(key: key("a"), precondition: .none, value: value("3")))
            #expect(observer.current[key("a")]?.revision == second)
        }
    }

    @Test(arguments: Engine.all) func ofManyWritersOneWins(_ engine: Engine) async throws {
        try await withStore(engine) { store, _ in
            let first = try await store.create(key("a"), value("0"))
            let winners = await withTaskGroup(of: Bool.self) { group in
                for number in 1...50 {
                    group.addTask {
                        (try? await store.update(key("a"), value("\(number)"), at: first)) != nil
                    }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(winners == 1)
        }
    }

    @Test(arguments: Engine.all) func aStopKeepsWhatLasts(_ engine: Engine) async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let (last, kept) = try await withStore(engine, folder) { store, observer in
            try await store.create(key("b", namespace: ""), value("b"))
            try await store.create(key("a"), value("a"))
            try await store.create(key("l", in: "leases"), value("l"), .volatile)
            try await store.create(key("e", in: "events"), value("e"), .ring)
            try await store.create(key("gone"), value("gone"))
            try await store.delete(key("gone"))
            try await store.create(key("empty"), EncodedObject(prefix: [], suffix: []))
            return (store.currentRevision, observer.current)
        }
        try await withStore(engine, folder) { store, observer in
            #expect(observer.current == kept.filter { $0.key.resource != "leases" })
            #expect(store.currentRevision == last, "a clean stop loses no revision")
            #expect(try await store.create(key("c"), value("c")) == last + 1)
            // The ring's objects go on being objects.
            try await store.delete(key("e", in: "events"))
        }
        try await withStore(engine, folder) { _, observer in
            #expect(observer.current[key("e", in: "events")] == nil)
            #expect(observer.current[key("c")] != nil)
        }
    }

    @Test(arguments: Engine.all) func theLogTellsEveryChangeAlsoAfterAStop(_ engine: Engine) async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let told = try await withStore(engine, folder) { store, observer in
            for round in 0..<3 {
                for name in ["a", "b"] {
                    let first = try await store.create(key(name), value("\(round)"))
                    let second = try await store.update(key(name), value("\(round)+"), at: first)
                    if round < 2 { try await store.delete(key(name), at: second) }
                }
            }
            try await store.create(key("e", in: "events"), value("e"), .ring)
            return observer.changes.filter { $0.durability == .durable }
        }
        try await withStore(engine, folder) { store, _ in
            #expect(store.historyFloor < told[0].revision)
            #expect(try await store.changes(after: store.historyFloor) == told)
            for cut in told.indices {
                #expect(try await store.changes(after: told[cut].revision) == Array(told[(cut + 1)...]))
            }
            try await store.compact(through: told[3].revision)
            #expect(store.historyFloor == told[3].revision)
            await #expect(throws: StoreError.compacted(floor: told[3].revision)) {
                _ = try await store.changes(after: told[2].revision)
            }
            #expect(try await store.changes(after: told[3].revision) == Array(told[4...]))
        }
    }

    @Test(arguments: Engine.all) func theLogIsBounded(_ engine: Engine) async throws {
        var limits = StoreLimits()
        limits.logCount = 5
        let clock = Clock()
        try await withStore(engine, nil, limits, clock) { store, _ in
            for number in 0..<40 { try await store.create(key("\(number)"), value("x")) }
            let kept = try await store.changes(after: store.historyFloor).count
            #expect(kept >= 1 && kept <= 6)
            clock.advance(301)
            try await store.create(key("late"), value("x"))
            #expect(try await store.changes(after: store.historyFloor).map(\.key) == [key("late")])
        }
    }

    @Test(arguments: Engine.all) func theRingForgetsByNumberBytesAndAge(_ engine: Engine) async throws {
        var limits = StoreLimits()
        limits.ringCount = 10
        limits.ringBytes = 10_000
        let clock = Clock()
        let folder = try Folder()
        defer { folder.remove() }
        func event(_ number: Int) -> StoreKey { key("\(number)", in: "events") }
        try await withStore(engine, folder, limits, clock) { store, observer in
            for number in 0..<30 { try await store.create(event(number), value("x"), .ring) }
            #expect(Set(observer.current.keys) == Set((20..<30).map(event)))
            // A rewritten event is young again.
            let rewritten = try #require(observer.current[event(20)])
            try await store.update(event(20), value("y"), at: rewritten.revision)
            try await store.create(event(30), value("x"), .ring)
            #expect(observer.current[event(20)] != nil && observer.current[event(21)] == nil)
            try await store.create(event(31), value("big", size: 9_800), .ring)
            #expect(observer.current.count < 5 && observer.current[event(31)] != nil)
        }
        clock.advance(4000)
        try await withStore(engine, folder, limits, clock) { store, observer in
            try await store.create(event(40), value("x"), .ring)
            #expect(Set(observer.current.keys) == [event(40)])
        }
        try await withStore(engine, folder, limits, clock) { _, observer in
            #expect(Set(observer.current.keys) == [event(40)])
        }
    }

    @Test(arguments: Engine.all) func aClosedStoreSaysSo(_ engine: Engine) async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let store = engine.make(folder, StoreLimits(), Clock())
        await #expect(throws: StoreError.closed) { try await store.create(key("a"), value("a")) }
        _ = try await store.open { _ in }
        try await store.close()
        await #expect(throws: StoreError.closed) { try await store.create(key("a"), value("a")) }
        await #expect(throws: StoreError.closed) { try await store.close() }
    }

    /// A random history against a dictionary, with stops in between.
    @Test(arguments: Engine.all) func behavesLikeADictionary(_ engine: Engine) async throws {
        var limits = StoreLimits()
        limits.logCount = 20
        let folder = try Folder()
        defer { folder.remove() }
        var model: [StoreKey: StoredObject] = [:]
        var generator = Numbers(seed: 7)
        for _ in 0..<5 {
            model = try await withStore(engine, folder, limits) { store, observer in
                #expect(observer.current == model)
                for step in 0..<200 {
                    let key = key("\(Int.random(in: 0..<30, using: &generator))")
                    let new = value("\(step)", size: Int.random(in: 0..<9000, using: &generator))
                    let old = model[key]
                    let stale = Int.random(in: 0..<8, using: &generator) == 0
                    do {
                        switch (old, Int.random(in: 0..<4, using: &generator)) {
                        case (nil, _):
                            let revision = try await store.create(key, new)
                            model[key] = StoredObject(key: key, revision: revision, value: new)
                        case (let old?, 0):
                            try await store.delete(key, at: stale ? old.revision - 1 : old.revision)
                            model[key] = nil
                        case (let old?, _):
                            let revision = try await store.update(key, new, at: stale ? old.revision - 1 : old.revision)
                            model[key] = StoredObject(key: key, revision: revision, value: new)
                        }
                        #expect(old == nil || !stale)
                    } catch StoreError.conflict(let current) {
                        #expect(stale && current == old?.revision)
                    }
                }
                #expect(observer.current == model)
                return model
            }
        }
    }
}

/// Repeatable random numbers (SplitMix64, Steele et al. 2014).
struct Numbers: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

@Test func joinsTheRevisionsDigits() {
    let object = EncodedObject(prefix: Array("<".utf8), suffix: Array(">".utf8))
    for (revision, text) in [(0, "<0>"), (7, "<7>"), (1234567890, "<1234567890>"), (.max, "<18446744073709551615>")]
        as [(UInt64, String)]
    {
        #expect(String(decoding: object.joined(revision), as: UTF8.self) == text)
    }
}

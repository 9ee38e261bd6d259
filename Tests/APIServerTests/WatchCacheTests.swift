// The cache itself: tables of the past while it changes, and followers that it leaves behind.

import Objects
import Store
import Synchronization
import Testing

@testable import APIServer

@Suite struct WatchCacheTests {
    /// A cache of ConfigMaps and what a store's writer does to it.
    private final class Writer: Sendable {
        let group = CacheGroup()
        let cache: WatchCache
        /// By revision: the newest revision of each key.
        let history = Mutex<[UInt64: [String: UInt64]]>([0: [:]])
        private let state = Mutex<(revision: UInt64, objects: [String: StoredObject])>((0, [:]))

        init() throws {
            let declaration = Registry.standard.find(ResourceID(group: "", version: "v1", resource: "configmaps"))
            cache = WatchCache(try #require(declaration), group: group)
        }

        var revision: UInt64 { state.withLock { $0.revision } }

        static func value(_ name: String, bytes: Int = 0) -> EncodedObject {
            let tree: JSON = [
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": ["name": .string(name), "namespace": "default", "resourceVersion": "0"],
                "data": ["a": .string(String(repeating: "a", count: bytes))],
            ]
            let (bytes, cut) = tree.encodeCut(at: ["metadata", "resourceVersion"])!
            return EncodedObject(bytes: bytes, cut: cut)
        }

        /// Writes an object, or removes it.
        func write(_ name: String, _ value: EncodedObject?, remember: Bool = true) {
            let key = StoreKey(resource: "configmaps", namespace: "default", name: name)
            let change = state.withLock { state -> Change? in
                let previous = state.objects[name]
                guard value != nil || previous != nil else { return nil }
                state.revision += 1
                state.objects[name] = value.map { StoredObject(key: key, revision: state.revision, value: $0) }
                return Change(
                    revision: state.revision, key: key, kind: value == nil ? .delete : .put,
                    value: value ?? previous!.value, previous: previous, durability: .durable)
            }
            guard let change else { return }
            if remember {
                let now = state.withLock { state in
                    Dictionary(uniqueKeysWithValues: state.objects.map { ("default/\($0.key)", $0.value.revision) })
                }
                history.withLock { $0[change.revision] = now }
            }
            cache.apply(change, tree: nil)
            group.advance(to: change.revision)
        }

        func put(_ name: String) { write(name, Writer.value(name)) }
        func remove(_ name: String) { write(name, nil) }
    }

    private final class Progress: Sendable {
        let isDone = Atomic<Bool>(false)
        let looks = Atomic<Int>(0)
    }

    private static func revisions(_ table: ObjectTable) -> [String: UInt64] {
        var found: [String: UInt64] = [:]
        table.scan { object in
            found[object.key] = object.revision
            return true
        }
        return found
    }

    @Test func pastTablesAreExactWhileItChanges() async throws {
        let writer = try Writer()
        for index in 0..<300 { writer.put("o\(index)") }
        let progress = Progress()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                var generator = SystemRandomNumberGenerator()
                for _ in 0..<3000 {
                    let name = "o\(Int.random(in: 0..<400, using: &generator))"
                    if Bool.random(using: &generator) { writer.put(name) } else { writer.remove(name) }
                    if Int.random(in: 0..<16, using: &generator) == 0 { await Task.yield() }
                }
                progress.isDone.store(true, ordering: .releasing)
            }
            for _ in 0..<2 {
                group.addTask {
                    repeat {
                        let wanted = UInt64.random(in: 0...writer.group.applied)
                        let table = try #require(writer.cache.snapshot(at: wanted))
                        let expected = writer.history.withLock { $0[wanted] }
                        #expect(WatchCacheTests.revisions(table) == expected)
                        progress.looks.add(1, ordering: .relaxed)
                        await Task.yield()
                    } while !progress.isDone.load(ordering: .acquiring) || progress.looks.load(ordering: .relaxed) < 50
                }
            }
            try await group.waitForAll()
        }
        #expect(writer.cache.snapshot(at: writer.revision + 1) == nil)
        // A table that was kept is answered from what was kept.
        let (table, revision) = writer.cache.snapshot()
        writer.cache.keep(table, at: revision)
        writer.put("later")
        #expect(writer.cache.snapshot(at: revision).map(WatchCacheTests.revisions) == WatchCacheTests.revisions(table))
    }

    @Test func tablesKnowTheirRanksAndTheirPrefixes() throws {
        let writer = try Writer()
        for index in 0..<2000 { writer.write("o\(index)", Writer.value("o\(index)"), remember: false) }
        let table = writer.cache.snapshot().0
        let keys = (0..<2000).map { "default/o\($0)" }.sorted()
        for (index, key) in keys.enumerated() where index % 7 == 0 {
            #expect(table.rank(of: key) == index)
            #expect(table.rank(of: key + "!") == index + 1)
        }
        #expect(table.rank(of: "a") == 0 && table.rank(of: "default0") == 2000)
        func scanned(_ prefix: String, _ after: String?) -> [String] {
            var found: [String] = []
            table.scan(prefix: prefix, after: after) { object in
                found.append(object.key)
                return true
            }
            return found
        }
        for prefix in ["", "default/", "default/o1", "default/o19", "default/o1999", "default/p", "a", "z"] {
            for after in [nil, "", "default/o1", "default/o19", "default/o1990", keys[255], keys[256], keys[1999], "z"] {
                let expected = keys.filter { $0.hasPrefix(prefix) && $0 > after ?? "" }
                #expect(scanned(prefix, after) == expected, "\(prefix) after \(after ?? "nothing")")
            }
        }
    }

    @Test func whatTheRingForgotIsNotThere() throws {
        let writer = try Writer()
        let value = Writer.value("a")
        for _ in 0..<(WatchCache.ringLimit / 8 * 10) { writer.write("a", value, remember: false) }
        #expect(writer.cache.snapshot(at: 1) == nil)
        #expect(writer.cache.snapshot(at: writer.revision)?.count == 1)
    }

    /// More changes than the ring holds, by number or by bytes, while a follower reads its first snapshot.
    @Test(arguments: [(12_000, 0), (500, 128 << 10)])
    func followersThatFallBehindReadAgain(changes: Int, bytes: Int) throws {
        let writer = try Writer()
        for name in ["gone", "kept", "changed", "reborn"] { writer.put(name) }
        let mirror = Mutex<[String: UInt64]>([:])
        let trees = Mutex(0)
        let isFlooded = Mutex(false)
        let follower = CacheFollower(writer.cache) { key, object, tree in
            mirror.withLock { $0[key] = object?.revision }
            if object != nil, tree() != .null { trees.withLock { $0 += 1 } }
            let first = isFlooded.withLock { isFlooded in
                defer { isFlooded = true }
                return !isFlooded
            }
            guard first else { return }
            // In the middle of the follower's first look.
            writer.remove("gone")
            writer.remove("reborn")
            writer.put("reborn")
            let value = Writer.value("busy", bytes: bytes)
            for _ in 0..<changes { writer.write("busy", value, remember: false) }
            writer.put("short")
            writer.remove("short")
            writer.put("changed")
            writer.put("new")
        }
        func expected() -> [String: UInt64] { WatchCacheTests.revisions(writer.cache.snapshot().table) }
        #expect(writer.cache.snapshot(at: 4) == nil, "the ring held everything: the test tests nothing")
        #expect(mirror.withLock { $0 } == expected())
        #expect(Swift.Set(expected().keys) == ["default/kept", "default/changed", "default/reborn", "default/busy", "default/new"])
        // What did not change is told once.
        #expect(trees.withLock { $0 } == 4 + 4)
        // It is live now.
        writer.remove("kept")
        writer.put("again")
        #expect(mirror.withLock { $0 } == expected())
        #expect(writer.cache.receivers.contains { $0 === follower })
    }

    /// The flood comes while the follower catches up, and takes away what only the changes told it of.
    @Test func followersForgetWhatCameAndWentMeanwhile() throws {
        let writer = try Writer()
        writer.put("a")
        let mirror = Mutex<[String: UInt64]>([:])
        let step = Mutex(0)
        _ = CacheFollower(writer.cache) { key, object, _ in
            mirror.withLock { $0[key] = object?.revision }
            let now = step.withLock { step in
                step += 1
                return step
            }
            if now == 1 { writer.put("b") }
            guard now == 2 else { return }
            #expect(key == "default/b")
            let value = Writer.value("busy")
            writer.remove("b")
            for _ in 0..<12_000 { writer.write("busy", value, remember: false) }
        }
        #expect(mirror.withLock { Array($0.keys).sorted() } == ["default/a", "default/busy"])
    }
}

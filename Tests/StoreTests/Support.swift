// What the store's tests share: folders that go away, values, an observer that checks the promises of onChange.

import Logging
import Synchronization
import System
import Testing

@testable import Store

let quiet: Logger = {
    var logger = Logger(label: "store")
    logger.logLevel = .critical
    return logger
}()

/// A folder of its own; whoever makes it removes it. In memory where there is a tmpfs: these tests model the disk.
final class Folder: Sendable {
    let path: String

    init() throws {
        let base = Files.isDirectory("/dev/shm") ? "/dev/shm" : "/tmp"
        path = "\(base)/noded-store-test-\(Random.nameSuffix(10))"
        try Files.makeDirectory(path)
    }

    func remove() { try? Files.removeTree(path) }

    var file: String { path + "/store.db" }
}

func key(_ name: String, in resource: String = "configmaps", namespace: String = "default") -> StoreKey {
    StoreKey(resource: resource, namespace: namespace, name: name)
}

func value(_ text: String, size: Int = 0) -> EncodedObject {
    let filler = String(repeating: "x", count: max(0, size - text.utf8.count))
    return EncodedObject(
        prefix: Array(#"{"metadata":{"resourceVersion":""#.utf8),
        suffix: Array((#""},"data":""# + text + filler + #""}"#).utf8))
}

/// Seconds that tests turn by hand.
final class Clock: Sendable {
    private let time = Mutex<Int64>(1_700_000_000)
    var now: @Sendable () -> Int64 { { self.time.withLock { $0 } } }
    func advance(_ seconds: Int64) { time.withLock { $0 += seconds } }
}

/// Everything onChange said, applied to a copy of the store's contents.
final class Observer: Sendable {
    private struct Seen {
        var current: [StoreKey: StoredObject] = [:]
        var changes: [Change] = []
        var groups: [Int] = []
        var faults: [String] = []
    }
    private let seen = Mutex(Seen())

    func start(_ objects: [StoredObject]) {
        seen.withLock { seen in
            for object in objects { seen.current[object.key] = object }
            if objects.map(\.key) != objects.map(\.key).sorted() { seen.faults.append("objects out of order") }
        }
    }

    func observe(_ changes: [Change]) {
        seen.withLock { seen in
            seen.groups.append(changes.count)
            for change in changes {
                if let last = seen.changes.last, last.revision >= change.revision {
                    seen.faults.append("revision \(change.revision) after \(last.revision)")
                }
                if change.previous != seen.current[change.key] {
                    seen.faults.append("\(change.key) at \(change.revision) has a wrong previous value")
                }
                seen.changes.append(change)
                switch change.kind {
                case .put:
                    seen.current[change.key] =
                        StoredObject(key: change.key, revision: change.revision, value: change.value)
                case .delete: seen.current[change.key] = nil
                }
            }
        }
    }

    var current: [StoreKey: StoredObject] { seen.withLock { $0.current } }
    var changes: [Change] { seen.withLock { $0.changes } }
    var groups: [Int] { seen.withLock { $0.groups } }
    var faults: [String] { seen.withLock { $0.faults } }
}

/// One of the engines, with a way to stop it and start it again.
struct Engine: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// The same contents each time it is called with the same folder.
    let make: @Sendable (Folder, StoreLimits, Clock) -> any ObjectStore

    static let all: [Engine] = [
        Engine(testDescription: "SQLite") { folder, limits, clock in
            var configuration = SQLiteStore.Configuration(path: folder.file)
            configuration.limits = limits
            configuration.now = clock.now
            return SQLiteStore(configuration, logger: quiet)
        },
        {
            // A MemoryStore's disk is the object itself.
            let stores = Mutex<[String: MemoryStore]>([:])
            return Engine(testDescription: "memory") { folder, limits, clock in
                stores.withLock {
                    if let store = $0[folder.path] { return store }
                    let store = MemoryStore(limits: limits, now: clock.now)
                    $0[folder.path] = store
                    return store
                }
            }
        }(),
    ]
}

/// Runs a body on an open store, in a folder of its own unless one is given.
func withStore<T>(
    _ engine: Engine, _ given: Folder? = nil, _ limits: StoreLimits = StoreLimits(), _ clock: Clock = Clock(),
    _ body: (any ObjectStore, Observer) async throws -> T
) async throws -> T {
    let folder = try given ?? Folder()
    defer { if given == nil { folder.remove() } }
    let store = engine.make(folder, limits, clock)
    let observer = Observer()
    // Nothing is written before `start`: open returns first.
    observer.start(try await store.open(onChange: observer.observe))
    let result = try await body(store, observer)
    try await store.close()
    #expect(observer.faults == [])
    return result
}

extension ObjectStore {
    @discardableResult
    func create(_ key: StoreKey, _ value: EncodedObject, _ durability: Durability = .durable) async throws(StoreError)
        -> UInt64
    {
        try await commit(Write(key: key, precondition: .absent, value: value, durability: durability))
    }
    @discardableResult
    func update(_ key: StoreKey, _ value: EncodedObject, at revision: UInt64) async throws(StoreError) -> UInt64 {
        try await commit(Write(key: key, precondition: .revision(revision), value: value))
    }
    @discardableResult
    func delete(_ key: StoreKey, at revision: UInt64? = nil) async throws(StoreError) -> UInt64 {
        try await commit(
            Write(key: key, precondition: revision.map { .revision($0) } ?? .none, value: nil))
    }
}

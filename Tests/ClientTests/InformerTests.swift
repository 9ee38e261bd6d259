// Informers, indexes and events against a scripted API: what happens when watches break, expire, repeat.

import Logging
import Objects
import Synchronization
import Testing

@testable import Client

/// An API whose lists and watches are written down beforehand; everything written to it is kept.
final class ScriptedAPI: APIClient {
    enum Watch: Sendable {
        case events([WatchEvent])
        case fails(APIStatus)
        /// Stays open until the informer ends.
        case open([WatchEvent])
    }

    struct State {
        var lists: [ObjectList] = []
        var watches: [Watch] = []
        var watchedFrom: [String] = []
        var created: [JSON] = []
        var patched: [(ObjectKey, JSON)] = []
        var gone: Set<ObjectKey> = []
    }

    let state = Mutex(State())

    init(lists: [ObjectList], watches: [Watch] = []) {
        state.withLock {
            $0.lists = lists
            $0.watches = watches
        }
    }

    func get(_ resource: ResourceID, _ key: ObjectKey) async throws(APIStatus) -> JSON { throw .notFound(resource, key.name) }

    func list(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?
    ) async throws(APIStatus) -> ObjectList {
        let next = state.withLock { $0.lists.isEmpty ? nil : $0.lists.removeFirst() }
        guard let next else { throw .unavailable("no list is left") }
        return next
    }

    func create(_ resource: ResourceID, _ object: JSON) async throws(APIStatus) -> JSON {
        state.withLock { $0.created.append(object) }
        return object
    }

    func create(
        _ resource: ResourceID, _ key: ObjectKey, subresource: String, _ object: JSON
    ) async throws(APIStatus) -> JSON { object }

    func update(_ resource: ResourceID, _ object: JSON, subresource: String?) async throws(APIStatus) -> JSON { object }

    func patch(
        _ resource: ResourceID, _ key: ObjectKey, _ type: PatchType, _ body: JSON, subresource: String?
    ) async throws(APIStatus) -> JSON {
        if state.withLock({ $0.gone.contains(key) }) { throw .notFound(resource, key.name) }
        state.withLock { $0.patched.append((key, body)) }
        return body
    }

    func delete(_ resource: ResourceID, _ key: ObjectKey, _ options: DeleteOptions) async throws(APIStatus) {}

    func watch(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?, from: String
    ) -> AsyncThrowingStream<WatchEvent, any Error> {
        let next = state.withLock { state in
            state.watchedFrom.append(from)
            return state.watches.isEmpty ? Watch.open([]) : state.watches.removeFirst()
        }
        return AsyncThrowingStream { continuation in
            switch next {
            case .events(let events):
                for event in events { continuation.yield(event) }
                continuation.finish()
            case .fails(let status): continuation.finish(throwing: status)
            case .open(let events): for event in events { continuation.yield(event) }
            }
        }
    }
}

@Suite struct InformerTests {
    static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    static func object(_ name: String, _ version: Int, label: String = "a") -> JSON {
        [
            "metadata": [
                "name": .string(name), "namespace": "default", "resourceVersion": .string(String(version)),
                "labels": ["app": .string(label)],
            ]
        ]
    }

    static func key(_ name: String) -> ObjectKey { ObjectKey(namespace: "default", name: name) }

    /// Runs the informer until `holds`, or records an issue after a minute.
    static func run(_ informer: Informer, until what: String, _ holds: @escaping @Sendable () -> Bool) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await informer.run() }
            for _ in 0..<6000 where !holds() { try? await Task.sleep(for: .milliseconds(10)) }
            #expect(holds(), "never came true: \(what)")
            group.cancelAll()
        }
    }

    /// noded may be told to stop before its caches are filled.
    @Test func whoWaitsMayBeCancelled() async {
        let informer = Informer(ScriptedAPI(lists: []), .pods, logger: Self.logger)
        let early = Task { await informer.waitForSync() }
        early.cancel()
        #expect(await early.value == false)
        let late = Task { await informer.waitForSync() }
        while informer.waiters == 0 { try? await Task.sleep(for: .milliseconds(1)) }
        late.cancel()
        #expect(await late.value == false && informer.waiters == 0)
        informer.stop()
        #expect(await informer.waitForSync())
    }

    @Test func listsThenFollows() async {
        let api = ScriptedAPI(
            lists: [ObjectList(items: [Self.object("a", 1), Self.object("b", 2)], resourceVersion: "5")],
            watches: [
                .open([
                    WatchEvent(kind: .added, object: Self.object("c", 6)),
                    WatchEvent(kind: .modified, object: Self.object("a", 7)),
                    WatchEvent(kind: .deleted, object: Self.object("b", 8)),
                ])
            ])
        let informer = Informer(api, .pods, logger: Self.logger)
        await Self.run(informer, until: "b is gone") { informer.hasSynced && informer.object(Self.key("b")) == nil }
        #expect(Set(informer.objects.keys.map(\.name)) == ["a", "c"])
        #expect(informer.object(Self.key("a")).flatMap { $0.at("metadata", "resourceVersion") } == "7")
        #expect(api.state.withLock { $0.watchedFrom.first } == "5")
    }

    @Test func aBrokenWatchIsResumedWhereItStopped() async {
        let api = ScriptedAPI(
            lists: [ObjectList(items: [], resourceVersion: "5")],
            watches: [
                .events([WatchEvent(kind: .added, object: Self.object("a", 6))]),
                .events([WatchEvent(kind: .bookmark, object: ["metadata": ["resourceVersion": "9"]])]),
                .open([WatchEvent(kind: .added, object: Self.object("b", 10))]),
            ])
        let informer = Informer(api, .pods, logger: Self.logger)
        await Self.run(informer, until: "b is there") { informer.object(Self.key("b")) != nil }
        #expect(api.state.withLock { $0.watchedFrom } == ["5", "6", "9"])
        #expect(informer.object(Self.key("a")) != nil)
    }

    @Test func anExpiredWatchListsAgainAndTellsTheDifference() async {
        let api = ScriptedAPI(
            lists: [
                ObjectList(items: [Self.object("a", 1), Self.object("b", 2)], resourceVersion: "5"),
                ObjectList(items: [Self.object("b", 2), Self.object("c", 20)], resourceVersion: "20"),
            ],
            watches: [.fails(.expired("too old resource version"))])
        let informer = Informer(api, .pods, logger: Self.logger)
        let changes = Changes()
        informer.onChange { key, old, new in changes.note("\(key.name) \(old != nil) \(new != nil)") }
        await Self.run(informer, until: "c is there") { informer.object(Self.key("c")) != nil }
        let seen = changes.all
        // b did not change: nobody hears of it again.
        #expect(seen.filter { $0.hasPrefix("b") } == ["b false true"])
        #expect(seen.contains("a true false"))
        #expect(seen.contains("c false true"))
    }

    @Test func theCopyStaysWhileTheServerIsAway() async {
        let api = ScriptedAPI(
            lists: [ObjectList(items: [Self.object("a", 1)], resourceVersion: "5")],
            watches: [.fails(.unavailable("away")), .fails(.unavailable("away")), .open([WatchEvent(kind: .added, object: Self.object("b", 6))])])
        let informer = Informer(api, .pods, logger: Self.logger)
        let emptied = Changes()
        informer.onChange { key, _, new in if new == nil { emptied.note(key.name) } }
        await Self.run(informer, until: "b is there") { informer.object(Self.key("b")) != nil }
        #expect(emptied.all.isEmpty)
    }

    @Test func anIndexFollowsItsInformer() async {
        let api = ScriptedAPI(
            lists: [ObjectList(items: [Self.object("a", 1), Self.object("b", 2, label: "x")], resourceVersion: "5")],
            watches: [.open([WatchEvent(kind: .modified, object: Self.object("a", 6, label: "x"))])])
        let informer = Informer(api, .pods, logger: Self.logger)
        let index = Index(informer) { [$0.at("metadata", "labels", "app")?.string ?? ""] }
        await Self.run(informer, until: "a has moved") { index.objects("x").count == 2 }
        #expect(index.objects("a").isEmpty)
        #expect(index.objects("x").map { ObjectKey($0).name } == ["a", "b"])
    }

    @Test func aSetSharesOneInformerAResource() {
        let set = InformerSet(client: ScriptedAPI(lists: []), logger: Self.logger)
        #expect(set.informer(.pods) === set.informer(.pods))
        #expect(set.informer(.pods) !== set.informer(.nodes))
    }
}

final class Changes: Sendable {
    private let notes = Mutex<[String]>([])
    var all: [String] { notes.withLock { $0 } }
    func note(_ text: String) { notes.withLock { $0.append(text) } }
}

@Suite struct EventRecorderTests {
    @Test func whatRecursIsCounted() async {
        let api = ScriptedAPI(lists: [])
        let recorder = EventRecorder(client: api, component: "test", logger: InformerTests.logger)
        let pod: JSON = ["metadata": ["name": "a", "namespace": "shop", "uid": "u", "resourceVersion": "7"]]
        for _ in 0..<3 { recorder.record(.warning, "BackOff", "again", about: pod, kind: "Pod") }
        recorder.record(.normal, "Started", "once", about: pod, kind: "Pod")
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await recorder.run() }
            for _ in 0..<6000 where api.state.withLock({ $0.created.count < 2 }) { try? await Task.sleep(for: .milliseconds(10)) }
            group.cancelAll()
        }
        let (created, patched) = api.state.withLock { ($0.created, $0.patched.map(\.1)) }
        #expect(created.map { $0["reason"] } == ["BackOff", "Started"])
        #expect(patched.map { $0["count"] } == [2, 3])
        #expect(created[0].at("involvedObject", "name") == "a")
        #expect(created[0].at("metadata", "namespace") == "shop")
        #expect(created[0]["type"] == "Warning")
    }

    @Test func whoTalksTooMuchIsCut() async {
        let api = ScriptedAPI(lists: [])
        let recorder = EventRecorder(client: api, component: "test", logger: InformerTests.logger)
        func pod(_ name: String) -> JSON { ["metadata": ["name": .string(name), "namespace": "shop", "uid": "u"]] }
        for number in 0..<40 { recorder.record(.normal, "Noise", "\(number)", about: pod("loud"), kind: "Pod") }
        recorder.record(.normal, "Word", String(repeating: "x", count: 2000), about: pod("quiet"), kind: "Pod")
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await recorder.run() }
            for _ in 0..<6000 where api.state.withLock({ $0.created.last?["reason"] != "Word" }) {
                try? await Task.sleep(for: .milliseconds(10))
            }
            group.cancelAll()
        }
        let created = api.state.withLock { $0.created }
        #expect(created.filter { $0["reason"] == "Noise" }.count == 25)
        #expect(created.last?["message"]?.string?.utf8.count == 1024)
        // kubectl sorts events of one second by name.
        let names = created.dropLast().compactMap { $0.at("metadata", "name")?.string }
        #expect(names.count == 25 && names == names.sorted() && Set(names).count == 25)
    }
}

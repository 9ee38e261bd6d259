// Random histories of writes, reads and watches against the simplest model of what they should do: a table, and the list
// of its changes. A failure names its seed; `seeds` then gets it.

import HTTP
import Objects
import Testing

@Suite struct ModelTests {
    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64]) func knownHistories(seed: UInt64) async throws {
        try await run(seed)
    }

    /// Another one each time.
    @Test func aNewHistory() async throws { try await run(UInt64.random(in: 1000...UInt64.max)) }

    private func run(_ seed: UInt64) async throws {
        let history = try await History(seed)
        for step in 0..<400 {
            try await history.step()
            guard history.faults.isEmpty else {
                Issue.record("seed \(seed), step \(step): \(history.faults.joined(separator: "\n"))")
                return
            }
        }
        try await history.end()
        #expect(history.faults.isEmpty, "seed \(seed): \(history.faults.joined(separator: "\n"))")
    }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
private struct Dice: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
    mutating func pick<T>(_ list: [T]) -> T { list[below(list.count)] }
}

/// A class, because what it holds and what it then tests are itself.
private final class History {
    struct Item: Equatable {
        var data: [String: String]
        /// The label `tier`.
        var tier: String
        var revision: UInt64
    }

    struct Change {
        let revision: UInt64
        let name: String
        let old: Item?
        let new: Item?
    }

    struct Watcher {
        let sink: TestSink
        let since: UInt64
        let tier: String?
    }

    private static let url = "/api/v1/namespaces/default/configmaps"
    private static let names = (0..<12).map { "c\($0)" }
    private static let tiers = ["front", "back", "none"]

    let api: TestServer
    var dice: Dice
    var faults: [String] = []
    private var table: [String: Item] = [:]
    private var changes: [Change] = []
    private var watchers: [Watcher] = []
    private var begin: UInt64 = 0
    private var revision: UInt64 = 0
    /// A list that is read a page at a time, while others write.
    private var paging: (token: String, rest: [String], revision: UInt64)?

    init(_ seed: UInt64) async throws {
        api = try await TestServer()
        dice = Dice(state: seed)
        begin = await current()
        revision = begin
        watchers.append(Watcher(sink: watch(since: begin, tier: nil), since: begin, tier: nil))
    }

    private func current() async -> UInt64 {
        UInt64(await api.send("GET", History.url + "?limit=1").version) ?? 0
    }

    private func watch(since: UInt64, tier: String?) -> TestSink {
        api.watch(History.url + "?watch=1&resourceVersion=\(since)" + (tier.map { "&labelSelector=tier=\($0)" } ?? ""))
    }

    func step() async throws {
        switch dice.below(14) {
        case 0, 1, 2: await create()
        case 3, 4: await update()
        case 5, 6: await mergePatch()
        case 7: await jsonPatch()
        case 8, 9: await delete()
        case 10: dice.below(4) == 0 ? try await deleteCollection() : await list()
        case 11: await get()
        case 12: await page()
        default: dice.below(3) == 0 ? beginWatch() : await exactList()
        }
    }

    private func hold(_ condition: Bool, _ fault: @autoclosure () -> String) {
        if !condition { faults.append(fault()) }
    }

    private func randomData() -> [String: String] {
        Dictionary(uniqueKeysWithValues: (0..<dice.below(4)).map { ("k\($0)", "v\(dice.below(3))") })
    }

    private func object(_ name: String, _ data: [String: String], _ tier: String, version: String? = nil) -> JSON {
        var object = configMap(name, JSON(data), labels: ["tier": .string(tier)])
        if let version { object.set("metadata", "resourceVersion", to: .string(version)) }
        return object
    }

    /// What a write answered with, against what the model says it made.
    private func took(_ answer: Answer, _ code: Int, _ name: String, _ wanted: Item?) {
        let old = table[name]
        hold(answer.status == code, "\(name): \(answer.status) instead of \(code): \(answer.message)")
        guard answer.status < 300, let wanted, faults.isEmpty else { return }
        let now = UInt64(answer.version) ?? 0
        if let old, old.data == wanted.data, old.tier == wanted.tier {
            hold(now == old.revision, "\(name): a write that changes nothing gets version \(now) instead of \(old.revision)")
            return
        }
        hold(now > revision, "\(name): version \(now) after \(revision)")
        var item = wanted
        item.revision = now
        hold(read(answer.json) == item, "\(name): \(answer.text) instead of \(item)")
        record(name, old, item, now)
    }

    private func record(_ name: String, _ old: Item?, _ new: Item?, _ at: UInt64) {
        revision = at
        table[name] = new
        changes.append(Change(revision: at, name: name, old: old, new: new))
    }

    private func read(_ json: JSON) -> Item {
        Item(
            data: json["data"]?.stringMap ?? [:], tier: json.at("metadata", "labels", "tier")?.string ?? "",
            revision: UInt64(json.at("metadata", "resourceVersion")?.string ?? "") ?? 0)
    }

    // MARK: - Writes

    private func create() async {
        let (name, data, tier) = (dice.pick(History.names), randomData(), dice.pick(History.tiers))
        let answer = await api.send("POST", History.url, object(name, data, tier))
        if table[name] != nil { return took(answer, 409, name, nil) }
        took(answer, 201, name, Item(data: data, tier: tier, revision: 0))
    }

    private func update() async {
        let (name, data, tier) = (dice.pick(History.names), randomData(), dice.pick(History.tiers))
        let versions = [nil, table[name].map { "\($0.revision)" } ?? "1", "\(begin)"]
        let choice = dice.below(3)
        let answer = await api.send("PUT", "\(History.url)/\(name)", object(name, data, tier, version: versions[choice]))
        guard table[name] != nil else { return hold(answer.status == 404, "\(name): PUT of nothing: \(answer.status)") }
        took(answer, choice == 2 ? 409 : 200, name, Item(data: data, tier: tier, revision: 0))
    }

    private func mergePatch() async {
        let (name, key) = (dice.pick(History.names), "k\(dice.below(4))")
        let value: String? = dice.below(3) == 0 ? nil : "v\(dice.below(3))"
        let types = ["application/merge-patch+json", "application/strategic-merge-patch+json"]
        let answer = await api.send(
            "PATCH", "\(History.url)/\(name)", ["data": [key: value.map { .string($0) } ?? .null]],
            headers: ["Content-Type": dice.pick(types)])
        guard var item = table[name] else { return took(answer, 404, name, nil) }
        item.data[key] = value
        took(answer, 200, name, item)
    }

    private func jsonPatch() async {
        let (name, tier, other) = (dice.pick(History.names), dice.pick(History.tiers), dice.pick(History.tiers))
        let patch: JSON = [
            ["op": "test", "path": "/metadata/labels/tier", "value": .string(tier)],
            ["op": "replace", "path": "/metadata/labels/tier", "value": .string(other)],
        ]
        let answer = await api.send(
            "PATCH", "\(History.url)/\(name)", patch, headers: ["Content-Type": "application/json-patch+json"])
        guard var item = table[name] else { return took(answer, 404, name, nil) }
        guard item.tier == tier else { return took(answer, 422, name, nil) }
        item.tier = other
        took(answer, 200, name, item)
    }

    private func delete() async {
        let name = dice.pick(History.names)
        let version = [nil, table[name].map { "\($0.revision)" } ?? "1", "\(begin)"][dice.below(3)]
        let options: JSON? = version.map { ["preconditions": ["resourceVersion": .string($0)]] }
        let answer = await api.send("DELETE", "\(History.url)/\(name)", options)
        guard let item = table[name] else { return took(answer, 404, name, nil) }
        if let version, version != "\(item.revision)" { return took(answer, 409, name, nil) }
        hold(answer.status == 200, "\(name): DELETE: \(answer.status) \(answer.message)")
        let now = await current()
        hold(now > revision, "\(name): deleted at \(now) after \(revision)")
        record(name, item, nil, now)
    }

    /// In an order of the server's own, which the first watch tells.
    private func deleteCollection() async throws {
        let tier = dice.pick(History.tiers)
        let doomed = table.filter { $0.value.tier == tier }
        let answer = await api.send("DELETE", "\(History.url)?labelSelector=tier=\(tier)")
        hold(answer.status == 200, "deletecollection: \(answer.status)")
        let events = try await watchers[0].sink.events(atLeast: changes.count + doomed.count).suffix(doomed.count)
        var left = doomed
        for event in events {
            let name = event.at("object", "metadata", "name")?.string ?? ""
            hold(event["type"] == "DELETED" && left[name] != nil, "deletecollection: \(event)")
            guard let item = left.removeValue(forKey: name) else { return }
            record(name, item, nil, read(event["object"] ?? .null).revision)
        }
    }

    // MARK: - Reads

    private func items(_ answer: Answer) -> [String: Item] {
        Dictionary(
            (answer.json["items"]?.array ?? []).map { ($0.at("metadata", "name")?.string ?? "", read($0)) },
            uniquingKeysWith: { first, _ in first })
    }

    private func table(at revision: UInt64) -> [String: Item] {
        var table: [String: Item] = [:]
        for change in changes where change.revision <= revision { table[change.name] = change.new }
        return table
    }

    private func get() async {
        let name = dice.pick(History.names)
        let answer = await api.send("GET", "\(History.url)/\(name)")
        guard let item = table[name] else { return hold(answer.status == 404, "GET \(name): \(answer.status)") }
        hold(read(answer.json) == item, "GET \(name): \(answer.text) instead of \(item)")
    }

    private func list() async {
        let tier = dice.pick(History.tiers)
        let all = await api.send("GET", History.url)
        hold(items(all) == table, "LIST: \(items(all)) instead of \(table)")
        hold(all.version == "\(revision)", "LIST at \(all.version) instead of \(revision)")
        let names = all.json["items"]?.array?.compactMap { $0.at("metadata", "name")?.string } ?? []
        hold(names == names.sorted() && Set(names).count == names.count, "LIST in the order \(names)")
        let some = await api.send("GET", "\(History.url)?labelSelector=tier=\(tier)")
        hold(items(some) == table.filter { $0.value.tier == tier }, "LIST of \(tier): \(items(some))")
    }

    private func exactList() async {
        guard let change = changes.isEmpty ? nil : dice.pick(changes) else { return }
        let answer = await api.send(
            "GET", "\(History.url)?resourceVersion=\(change.revision)&resourceVersionMatch=Exact")
        hold(
            answer.status == 200 && items(answer) == table(at: change.revision),
            "LIST exactly at \(change.revision): \(answer.status) \(items(answer)) instead of \(table(at: change.revision))")
    }

    /// Begins a list in pages, or reads the next page of the one begun: of the table as it was then.
    private func page() async {
        let token = paging.map { "&continue=\($0.token)" } ?? ""
        let answer = await api.send("GET", "\(History.url)?limit=3\(token)")
        hold(answer.status == 200, "page: \(answer.status) \(answer.message)")
        let expected = paging ?? ("", table.keys.sorted(), revision)
        let names = answer.json["items"]?.array?.compactMap { $0.at("metadata", "name")?.string } ?? []
        let then = table(at: expected.revision)
        hold(names == Array(expected.rest.prefix(3)), "page: \(names) instead of \(expected.rest.prefix(3))")
        hold(answer.version == "\(expected.revision)", "page at \(answer.version) instead of \(expected.revision)")
        for (name, item) in items(answer) { hold(then[name] == item, "page: \(name) is \(item) instead of \(String(describing: then[name]))") }
        let rest = Array(expected.rest.dropFirst(3))
        let next = answer.json.at("metadata", "continue")?.string ?? ""
        hold(next.isEmpty == rest.isEmpty, "page: continue is \"\(next)\" with \(rest.count) left")
        paging = next.isEmpty ? nil : (next, rest, expected.revision)
    }

    // MARK: - Watches

    private func beginWatch() {
        let since = changes.isEmpty ? begin : dice.pick(changes).revision
        let tier = dice.below(2) == 0 ? nil : dice.pick(History.tiers)
        watchers.append(Watcher(sink: watch(since: since, tier: tier), since: since, tier: tier))
    }

    /// Every watch has told exactly what happened since, as its selector sees it.
    func end() async throws {
        for watcher in watchers {
            var expected: [(String, String, UInt64, [String: String])] = []
            for change in changes where change.revision > watcher.since {
                func sees(_ item: Item?) -> Bool { item.map { watcher.tier == nil || $0.tier == watcher.tier } ?? false }
                switch (sees(change.old), sees(change.new)) {
                case (false, true): expected.append(("ADDED", change.name, change.revision, change.new?.data ?? [:]))
                case (true, true): expected.append(("MODIFIED", change.name, change.revision, change.new?.data ?? [:]))
                case (true, false): expected.append(("DELETED", change.name, change.revision, change.old?.data ?? [:]))
                case (false, false): break
                }
            }
            let events = try await watcher.sink.events(atLeast: expected.count)
            hold(events.count == expected.count, "a watch since \(watcher.since) of \(watcher.tier ?? "all"): \(events.count) events")
            for (event, wanted) in zip(events, expected) {
                let object = event["object"] ?? .null
                let item = read(object)
                let name = object.at("metadata", "name")?.string ?? ""
                hold(
                    event["type"]?.string == wanted.0 && name == wanted.1 && item.revision == wanted.2 && item.data == wanted.3,
                    "a watch since \(watcher.since) of \(watcher.tier ?? "all"): \(event) instead of \(wanted)")
            }
            watcher.sink.finish()
        }
    }
}

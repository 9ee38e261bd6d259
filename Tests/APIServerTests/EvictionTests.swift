// Evictions and the budgets that may refuse them, with budgets' statuses written by hand.

import APIServer
import Client
import HTTP
import Objects
import Testing

@Suite struct EvictionTests {
    let pods = "/api/v1/namespaces/default/pods"
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"

    /// A pod that runs, with the label app=web.
    private func run(_ api: TestServer, _ name: String, phase: JSON = "Running", ready: Bool = true) async {
        var object = pod(name, node: "n1")
        object.set("metadata", "labels", to: ["app": "web"])
        #expect(await api.send("POST", pods, object).status == 201)
        let patch: JSON = [
            "status": ["phase": phase, "conditions": [["type": "Ready", "status": .string(ready ? "True" : "False")]]]
        ]
        let answer = await api.send(
            "PATCH", pods + "/\(name)/status", patch, headers: ["Content-Type": "application/merge-patch+json"])
        #expect(answer.status == 200)
    }

    private func guardPods(_ api: TestServer, _ name: String = "web", policy: JSON? = nil) async {
        var spec: JSON = ["minAvailable": 1, "selector": ["matchLabels": ["app": "web"]]]
        spec["unhealthyPodEvictionPolicy"] = policy
        let budget: JSON = [
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": ["name": .string(name)], "spec": spec,
        ]
        #expect(await api.send("POST", budgets, budget).status == 201)
    }

    private func allow(
        _ api: TestServer, _ count: Int64, healthy: Int64 = 3, wanted: Int64 = 2, _ more: JSON = [:]
    ) async {
        var status: JSON = [
            "disruptionsAllowed": .int(count), "currentHealthy": .int(healthy), "desiredHealthy": .int(wanted),
            "expectedPods": 3, "observedGeneration": 1,
        ]
        for (key, value) in more.object ?? JSONObject() { status[key] = value }
        let answer = await api.send(
            "PATCH", budgets + "/web/status", ["status": status],
            headers: ["Content-Type": "application/merge-patch+json"])
        #expect(answer.status == 200)
    }

    private func evict(_ api: TestServer, _ name: String, _ options: JSON? = nil) async -> Answer {
        var body: JSON = ["apiVersion": "policy/v1", "kind": "Eviction", "metadata": ["name": .string(name)]]
        body["deleteOptions"] = options
        return await api.send("POST", pods + "/\(name)/eviction", body)
    }

    private func budget(_ api: TestServer) async -> JSON { await api.send("GET", budgets + "/web").json }

    @Test func aBudgetIsSpent() async throws {
        let api = try await TestServer()
        for name in ["a", "b"] { await run(api, name) }
        await guardPods(api)
        await allow(api, 1)
        #expect(await evict(api, "a").status == 201)
        let evicted = await api.send("GET", pods + "/a").json
        #expect(evicted.at("metadata", "deletionTimestamp") != nil)
        let target = evicted.at("status", "conditions")?.array?.first { $0["type"] == "DisruptionTarget" }
        #expect(target?["status"] == "True" && target?["reason"] == "EvictionByEvictionAPI")
        let spent = await budget(api)
        #expect(spent.at("status", "disruptionsAllowed") == 0)
        #expect(spent.at("status", "disruptedPods")?.object?.keys.sorted() == ["a"])
        #expect(spent.at("status", "conditions")?[0]?["reason"] == "InsufficientPods")
        let refused = await evict(api, "b")
        #expect(refused.status == 429 && refused.reason == "TooManyRequests")
        #expect(refused.message == "Cannot evict pod as it would violate the pod's disruption budget.")
        let cause = refused.json.at("details", "causes")?[0]
        #expect(cause?["reason"] == "DisruptionBudget")
        #expect(cause?["message"] == "The disruption budget web needs 2 healthy pods and has 3 currently")
        #expect(await api.send("GET", pods + "/b").json.at("metadata", "deletionTimestamp") == nil)
    }

    @Test func nothingGoesBeforeTheBudgetIsCounted() async throws {
        let api = try await TestServer()
        await run(api, "a")
        await guardPods(api)
        let early = await evict(api, "a")
        #expect(early.status == 429 && early.headers["Retry-After"] == "10")
        #expect(
            early.json.at("details", "causes")?[0]?["message"]
                == "The disruption budget web is still being processed by the server.")
        await allow(
            api, 0,
            [
                "conditions": [
                    [
                        "type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no scale",
                        "lastTransitionTime": "2026-01-01T00:00:00Z",
                    ]
                ]
            ])
        let failed = await evict(api, "a")
        #expect(
            failed.json.at("details", "causes")?[0]?["message"]
                == "The disruption budget web does not allow evicting pods currently because it failed sync: no scale")
    }

    @Test func aDryRunTakesNothing() async throws {
        let api = try await TestServer()
        await run(api, "a")
        await guardPods(api)
        await allow(api, 1)
        #expect(await evict(api, "a", ["dryRun": ["All"]]).status == 201)
        #expect(await budget(api).at("status", "disruptionsAllowed") == 1)
        let left = await api.send("GET", pods + "/a").json
        #expect(left.at("metadata", "deletionTimestamp") == nil)
        #expect(left.at("status", "conditions")?.array?.count == 1)
        await allow(api, 0)
        #expect(await evict(api, "a", ["dryRun": ["All"]]).status == 429)
    }

    @Test func whatDisruptsNothingIsFree() async throws {
        let api = try await TestServer()
        await run(api, "pending", phase: "Pending", ready: false)
        await run(api, "ended", phase: "Succeeded", ready: false)
        await run(api, "going")
        await guardPods(api)
        await allow(api, 0)
        #expect(await api.send("DELETE", pods + "/going").status == 200)
        for name in ["pending", "ended", "going"] { #expect(await evict(api, name).status == 201, "\(name)") }
        let other = await evict(api, "nobody")
        #expect(other.status == 404)
    }

    @Test func severalBudgetsAreNoBudget() async throws {
        let api = try await TestServer()
        await run(api, "a")
        await guardPods(api)
        await guardPods(api, "too")
        let refused = await evict(api, "a")
        #expect(refused.status == 500)
        #expect(refused.message == "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
    }

    /// A pod that is not ready: IfHealthyBudget (the default) lets it go when the budget is met, AlwaysAllow always.
    @Test(arguments: [
        (nil, 1, 429), (nil, 2, 201), ("IfHealthyBudget", 1, 429), ("AlwaysAllow", 1, 201),
    ] as [(String?, Int64, Int)])
    func unhealthyPods(_ policy: String?, _ healthy: Int64, _ code: Int) async throws {
        let api = try await TestServer()
        await run(api, "sick", ready: false)
        await guardPods(api, policy: policy.map { .string($0) })
        await allow(api, 0, healthy: healthy)
        #expect(await evict(api, "sick").status == code)
        #expect(await budget(api).at("status", "disruptedPods") == nil)
    }

    @Test func preconditionsHold() async throws {
        let api = try await TestServer()
        await run(api, "a")
        let wrong = await evict(api, "a", ["preconditions": ["uid": "another"]])
        #expect(wrong.status == 409)
        let old = await evict(api, "a", ["preconditions": ["resourceVersion": "1"]])
        #expect(old.status == 409)
        let left = await api.send("GET", pods + "/a").json
        #expect(left.at("metadata", "deletionTimestamp") == nil && left.at("status", "conditions")?.array?.count == 1)
        let version = left.at("metadata", "resourceVersion") ?? .null
        #expect(await evict(api, "a", ["preconditions": ["resourceVersion": version]]).status == 201)
    }

    @Test func twoNeverTakeTheSameDisruption() async throws {
        let api = try await TestServer()
        let names = (0..<12).map { "p\($0)" }
        for name in names { await run(api, name) }
        await guardPods(api)
        await allow(api, 4)
        let answers = await withTaskGroup(of: Int.self) { group in
            for name in names { group.addTask { await evict(api, name).status } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(answers.filter { $0 == 201 }.count == 4)
        #expect(answers.filter { $0 == 429 }.count == 8)
        let left = await budget(api)
        #expect(left.at("status", "disruptionsAllowed") == 0)
        #expect(left.at("status", "disruptedPods")?.object?.count == 4)
    }
}

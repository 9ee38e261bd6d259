// ResourceQuota: counts, compute, scopes, and many writes at once that together never exceed it.

import APIServer
import HTTP
import Objects
import Testing

@Suite struct QuotaTests {
    private let base = "/api/v1/namespaces/default"

    private func quota(
        _ api: TestServer, _ name: String, _ hard: JSON, _ more: [String: JSON] = [:]
    ) async {
        var spec: JSON = ["hard": hard]
        for (key, value) in more { spec[key] = value }
        let answer = await api.send(
            "POST", base + "/resourcequotas", ["metadata": ["name": .string(name)], "spec": spec])
        #expect(answer.status == 201)
    }

    @Test func countsOfAnyKind() async throws {
        let api = try await TestServer()
        #expect(await api.send("POST", base + "/configmaps", configMap("early")).status == 201)
        await quota(api, "q", ["count/configmaps": "2", "count/deployments.apps": "1", "secrets": "1"])
        #expect(await api.send("POST", base + "/configmaps", configMap("a")).status == 201)
        let refused = await api.send("POST", base + "/configmaps", configMap("b"))
        #expect(refused.status == 403)
        #expect(
            refused.message == "configmaps \"b\" is forbidden: exceeded quota: q, requested: count/configmaps=1, "
                + "used: count/configmaps=2, limited: count/configmaps=2")
        // A change of one that is there costs nothing; one that goes makes room.
        #expect(await api.send("PUT", base + "/configmaps/a", configMap("a", ["n": "1"])).status == 200)
        #expect(await api.send("DELETE", base + "/configmaps/early").status == 200)
        #expect(await api.send("POST", base + "/configmaps?dryRun=All", configMap("b")).status == 201)
        #expect(await api.send("POST", base + "/configmaps", configMap("b")).status == 201)
        #expect(await api.send("POST", base + "/secrets", ["metadata": ["name": "s"]]).status == 201)
        #expect(
            await api.send("POST", base + "/secrets", ["metadata": ["name": "t"]]).message
                == "secrets \"t\" is forbidden: exceeded quota: q, requested: secrets=1, used: secrets=1, "
                + "limited: secrets=1")
        #expect(await api.send("DELETE", base + "/resourcequotas/q").status == 200)
        #expect(await api.send("POST", base + "/configmaps", configMap("c")).status == 201)
    }

    private func sized(_ name: String, cpu: String) -> JSON {
        var object = pod(name)
        object.set(
            "spec", "containers",
            to: [["name": "c", "image": "demo:1", "resources": ["limits": ["cpu": .string(cpu)]]]])
        return object
    }

    @Test func computeOfPods() async throws {
        let api = try await TestServer()
        await quota(api, "q", ["limits.cpu": "1", "pods": "5"])
        #expect(
            await api.send("POST", base + "/pods", pod("none")).message
                == "pods \"none\" is forbidden: failed quota: q: must specify limits.cpu for: main")
        #expect(await api.send("POST", base + "/pods", sized("a", cpu: "700m")).status == 201)
        #expect(
            await api.send("POST", base + "/pods", sized("b", cpu: "400m")).message
                == "pods \"b\" is forbidden: exceeded quota: q, requested: limits.cpu=400m, used: limits.cpu=700m, "
                + "limited: limits.cpu=1")
        // What has ended asks for nothing.
        let ended = await api.send(
            "PATCH", base + "/pods/a/status", ["status": ["phase": "Succeeded"]],
            headers: ["Content-Type": "application/merge-patch+json"])
        #expect(ended.status == 200)
        #expect(await api.send("POST", base + "/pods", sized("b", cpu: "400m")).status == 201)
    }

    @Test func scopesSelectPods() async throws {
        let api = try await TestServer()
        await quota(api, "short", ["pods": "1"], ["scopes": ["Terminating"]])
        await quota(
            api, "critical", ["pods": "0"],
            [
                "scopeSelector": [
                    "matchExpressions": [
                        ["scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]]
                    ]
                ]
            ])
        #expect(await api.send("POST", base + "/pods", pod("long1")).status == 201)
        #expect(await api.send("POST", base + "/pods", pod("long2")).status == 201)
        var short = pod("short1")
        short.set("spec", "activeDeadlineSeconds", to: 10)
        #expect(await api.send("POST", base + "/pods", short).status == 201)
        short.set("metadata", "name", to: "short2")
        #expect(
            await api.send("POST", base + "/pods", short).message
                == "pods \"short2\" is forbidden: exceeded quota: short, requested: pods=1, used: pods=1, limited: "
                + "pods=1")
        var critical = pod("critical")
        critical.set("spec", "priorityClassName", to: "system-node-critical")
        #expect(await api.send("POST", base + "/pods", critical).status == 403)
    }

    @Test func servicesByType() async throws {
        let api = try await TestServer()
        await quota(api, "q", ["services.nodeports": "1", "services.loadbalancers": "0"])
        func service(_ name: String, _ type: String, ports: Int64) -> JSON {
            [
                "metadata": ["name": .string(name)],
                "spec": [
                    "type": .string(type), "selector": ["a": "b"],
                    "ports": .array((1...ports).map { ["name": .string("p\($0)"), "port": .int($0)] }),
                ],
            ]
        }
        #expect(await api.send("POST", base + "/services", service("inner", "ClusterIP", ports: 3)).status == 201)
        #expect(await api.send("POST", base + "/services", service("two", "NodePort", ports: 2)).status == 403)
        #expect(await api.send("POST", base + "/services", service("one", "NodePort", ports: 1)).status == 201)
        #expect(await api.send("POST", base + "/services", service("lb", "LoadBalancer", ports: 1)).status == 403)
        // A change of type asks for more.
        let changed = await api.send(
            "PATCH", base + "/services/inner", ["spec": ["type": "NodePort"]],
            headers: ["Content-Type": "application/merge-patch+json"])
        #expect(changed.status == 403)
    }

    @Test func manyAtOnceNeverExceed() async throws {
        let api = try await TestServer()
        await quota(api, "q", ["count/configmaps": "25"])
        let made = await withTaskGroup(of: Int.self) { group in
            for client in 0..<16 {
                group.addTask {
                    var made = 0
                    for number in 0..<8 {
                        let answer = await api.send("POST", base + "/configmaps", configMap("m-\(client)-\(number)"))
                        if answer.status == 201 { made += 1 }
                    }
                    return made
                }
            }
            return await group.reduce(0, +)
        }
        #expect(made == 25)
        let list = await api.send("GET", base + "/configmaps")
        #expect(list.json["items"]?.array?.count == 25)
        // Failed writes hold nothing back.
        #expect(await api.send("POST", base + "/configmaps", configMap("m-0-0")).status != 201)
        _ = await api.send("DELETE", base + "/configmaps/" + (list.json["items"]?[0]?.at("metadata", "name")?.string ?? ""))
        #expect(await api.send("POST", base + "/configmaps", configMap("late")).status == 201)
    }

    @Test func statusFollows() async throws {
        let api = try await TestServer()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await api.server.run() }
            await quota(api, "q", ["pods": "3", "requests.cpu": "2"])
            #expect(await api.send("POST", base + "/pods", sized("a", cpu: "700m")).status == 201)
            let wanted: JSON = [
                "hard": ["pods": "3", "requests.cpu": "2"], "used": ["pods": "1", "requests.cpu": "700m"],
            ]
            var status: JSON?
            for _ in 0..<6000 where status != wanted {
                status = await api.send("GET", base + "/resourcequotas/q").json["status"]
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(status == wanted)
            group.cancelAll()
        }
    }
}

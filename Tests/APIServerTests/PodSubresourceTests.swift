// pods/ephemeralcontainers and pods/resize: what each may change, and what it says of everything else.

import HTTP
import Objects
import Testing

@Suite struct PodSubresourceTests {
    let url = "/api/v1/namespaces/default/pods"
    let merge: HTTPHeaders = ["Content-Type": "application/merge-patch+json"]
    let strategic: HTTPHeaders = ["Content-Type": "application/strategic-merge-patch+json"]

    // MARK: ephemeralcontainers

    private func add(_ api: TestServer, _ containers: JSON) async -> Answer {
        await api.send(
            "PATCH", url + "/p/ephemeralcontainers", ["spec": ["ephemeralContainers": containers]], headers: strategic)
    }

    @Test func ephemeralContainersAreAddedAndStay() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, pod("p", node: "n1"))
        let added = await add(api, [["name": "d", "image": "tools", "targetContainerName": "main"]])
        #expect(added.status == 200)
        #expect(added.json.at("metadata", "generation") == 2)
        let container = added.json.at("spec", "ephemeralContainers")?[0]
        #expect(container?["name"] == "d" && container?["terminationMessagePolicy"] == "File")
        #expect(
            await add(api, [["name": "e", "image": "tools"]]).json.at("spec", "ephemeralContainers")?.array?.count == 2)
        #expect(
            await api.send("GET", url + "/p/ephemeralcontainers").json.at("spec", "ephemeralContainers")?.array?.count
                == 2)
        // The pod itself does not write them, and they write nothing of the pod.
        let main = await api.send("PATCH", url + "/p", ["spec": ["ephemeralContainers": []]], headers: merge)
        #expect(main.json.at("spec", "ephemeralContainers")?.array?.count == 2)
        let other = await api.send(
            "PATCH", url + "/p/ephemeralcontainers",
            ["metadata": ["labels": ["a": "b"]], "spec": ["activeDeadlineSeconds": 5]], headers: merge)
        #expect(other.status == 200)
        #expect(
            other.json.at("metadata", "labels", "a") == nil && other.json.at("spec", "activeDeadlineSeconds") == nil)
    }

    @Test func ephemeralContainersAreChecked() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, pod("p", node: "n1"))
        _ = await add(api, [["name": "d", "image": "tools"]])
        func field(_ answer: Answer) -> JSON? { answer.json.at("details", "causes")?[0]?["field"] }
        let cases: [(JSON, JSON)] = [
            ([["name": "d", "image": "others"]], "spec.ephemeralContainers[0]"),
            ([["name": "main", "image": "tools"]], "spec.ephemeralContainers[0].name"),
            (
                [["name": "x", "image": "tools", "targetContainerName": "nobody"]],
                "spec.ephemeralContainers[0].targetContainerName"
            ),
            (
                [["name": "x", "image": "tools", "livenessProbe": ["tcpSocket": ["port": 1]]]],
                "spec.ephemeralContainers[0].livenessProbe"
            ),
            ([["name": "x"]], "spec.ephemeralContainers[0].image"),
        ]
        for (containers, path) in cases {
            let answer = await add(api, containers)
            #expect(answer.status == 422 && answer.reason == "Invalid")
            #expect(field(answer) == path, "\(answer.message)")
        }
        let removed = await api.send(
            "PATCH", url + "/p/ephemeralcontainers", ["spec": ["ephemeralContainers": []]], headers: merge)
        #expect(removed.status == 422)
        #expect(removed.message.contains("existing ephemeral containers \"d\" may not be removed"))
        var eager = pod("q", node: "n1")
        eager.set("spec", "ephemeralContainers", to: [["name": "e", "image": "i"]])
        let refused = await api.send("POST", url, eager)
        #expect(refused.status == 422 && field(refused) == "spec.ephemeralContainers")
    }

    // MARK: resize

    private func sized(_ name: String) -> JSON {
        let resources: JSON = ["requests": ["cpu": "100m", "memory": "64Mi"], "limits": ["memory": "128Mi"]]
        return [
            "apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name)],
            "spec": [
                "nodeName": "n1",
                "initContainers": [
                    ["name": "setup", "image": "i", "resources": ["requests": ["cpu": "50m"]]],
                    [
                        "name": "proxy", "image": "i", "restartPolicy": "Always",
                        "resources": ["requests": ["cpu": "50m"]],
                    ],
                ],
                "containers": [["name": "main", "image": "demo:1", "resources": resources]],
            ],
        ]
    }

    private func resize(_ api: TestServer, _ list: String, _ container: JSON, _ name: String = "p") async -> Answer {
        await api.send(
            "PATCH", url + "/\(name)/resize", ["spec": .object([list: [container]])], headers: strategic)
    }

    @Test func resizeChangesCPUAndMemoryOnly() async throws {
        let api = try await TestServer()
        #expect(await api.send("POST", url, sized("p")).status == 201)
        let grown = await resize(
            api, "containers",
            ["name": "main", "resources": ["requests": ["cpu": "200m"], "limits": ["memory": "256Mi"]]])
        #expect(grown.status == 200, "\(grown.message)")
        #expect(grown.json.at("metadata", "generation") == 2)
        let resources = grown.json.at("spec", "containers")?[0]?["resources"]
        #expect(resources == ["requests": ["cpu": "200m", "memory": "64Mi"], "limits": ["memory": "256Mi"]])
        let sidecar = await resize(api, "initContainers", ["name": "proxy", "resources": ["requests": ["cpu": "60m"]]])
        #expect(sidecar.status == 200, "\(sidecar.message)")
        // Everything else stays, whatever the body says of it.
        let more = await api.send(
            "PATCH", url + "/p/resize",
            [
                "metadata": ["labels": ["a": "b"]],
                "spec": ["activeDeadlineSeconds": 5, "containers": [["name": "main", "image": "other"]]],
            ],
            headers: strategic)
        #expect(more.status == 200)
        #expect(more.json.at("spec", "containers")?[0]?["image"] == "demo:1")
        #expect(more.json.at("metadata", "labels", "a") == nil && more.json.at("spec", "activeDeadlineSeconds") == nil)
        #expect(await api.send("GET", url + "/p/resize").json["kind"] == "Pod")
        var whole = await api.send("GET", url + "/p/resize").json
        whole.set(
            "spec", "containers",
            to: [
                [
                    "name": "main", "image": "ignored",
                    "resources": ["requests": ["cpu": "1m", "memory": "64Mi"], "limits": ["memory": "256Mi"]],
                ]
            ])
        let replaced = await api.send("PUT", url + "/p/resize", whole)
        #expect(replaced.status == 200, "\(replaced.message)")
        #expect(replaced.json.at("spec", "containers")?[0]?.at("resources", "requests", "cpu") == "1m")
        #expect(replaced.json == (await api.send("GET", url + "/p")).json)
        // And the pod's own face changes no resources.
        let main = await api.send(
            "PATCH", url + "/p",
            ["spec": ["containers": [["name": "main", "resources": ["requests": ["cpu": "300m"]]]]]], headers: strategic
        )
        #expect(main.status == 422)
    }

    @Test func resizesThatAreNone() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, sized("p"))
        _ = await api.send("POST", url, pod("free", node: "n1"))
        let cases: [(String, JSON, String, String)] = [
            (
                "initContainers", ["name": "setup", "resources": ["requests": ["cpu": "1"]]], "spec",
                "resources for non-sidecar init containers are immutable"
            ),
            (
                "containers", ["name": "main", "resources": ["requests": ["cpu": .null]]],
                "spec.containers[0].resources.requests",
                "resource requests cannot be removed"
            ),
            (
                "containers", ["name": "main", "resources": ["limits": ["memory": .null]]],
                "spec.containers[0].resources.limits",
                "resource limits cannot be removed"
            ),
            (
                "containers", ["name": "main", "resources": ["requests": ["ephemeral-storage": "1Gi"]]], "spec",
                "only cpu and memory resources are mutable"
            ),
            (
                "containers",
                ["name": "main", "resizePolicy": [["resourceName": "cpu", "restartPolicy": "RestartContainer"]]],
                "spec",
                "only cpu and memory resources are mutable"
            ),
            (
                "containers", ["name": "main", "resources": ["requests": ["memory": "1Gi"]]],
                "spec.containers[0].resources.requests", "must be less than or equal to memory limit"
            ),
            ("containers", ["name": "new", "image": "i"], "spec", "containers may not be added or removed"),
        ]
        for (list, container, path, words) in cases {
            let answer = await resize(api, list, container)
            #expect(answer.status == 422 && answer.reason == "Invalid", "\(answer.text)")
            let causes = answer.json.at("details", "causes")?.array ?? []
            #expect(
                causes.contains { $0["field"]?.string == path && $0["message"]?.string?.contains(words) == true },
                "\(answer.message)")
        }
        let classChange = await resize(
            api, "containers", ["name": "main", "resources": ["requests": ["cpu": "1"]]], "free")
        #expect(classChange.message.contains("Pod QOS Class may not change as a result of resizing"))
    }

    @Test func resizePoliciesAreChecked() async throws {
        let api = try await TestServer()
        func message(_ policies: JSON, restart: JSON = "Always") async -> String {
            var object = pod("q")
            object.set("spec", "restartPolicy", to: restart)
            object.set(
                "spec", "containers", to: [["name": "main", "image": "demo:1", "resizePolicy": policies]])
            return await api.send("POST", url + "?dryRun=All", object).message
        }
        let restart: JSON = ["resourceName": "memory", "restartPolicy": "RestartContainer"]
        #expect(await message([restart]) == "")
        #expect(
            await message([restart], restart: "Never").contains("must be 'NotRequired' when `restartPolicy` is 'Never'")
        )
        #expect(await message([restart, restart]).contains("spec.containers[0].resizePolicy"))
        #expect(
            await message([["resourceName": "disk", "restartPolicy": "NotRequired"]]).contains(
                "Unsupported value: \"disk\""))
    }
}

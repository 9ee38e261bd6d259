// Pods: admission, binding, graceful deletion, status, patches, logs and exec.

import APIServer
import Client
import HTTP
import Objects
import Synchronization
import Testing

@Suite struct PodTests {
    let url = "/api/v1/namespaces/default/pods"

    @Test func admissionFillsIn() async throws {
        let api = try await TestServer()
        let created = await api.send("POST", url, pod("p"))
        #expect(created.status == 201)
        let spec = created.json["spec"]
        #expect(spec?["serviceAccountName"] == "default")
        #expect(spec?["serviceAccount"] == "default")
        #expect(spec?["priority"] == 0)
        #expect(spec?["preemptionPolicy"] == "PreemptLowerPriority")
        #expect(spec?["restartPolicy"] == "Always")
        #expect(spec?["tolerations"]?.array?.count == 2)
        #expect(created.json.at("status", "phase") == "Pending")
        #expect(created.json.at("metadata", "generation") == 1)

        var named = pod("q")
        named.set("spec", "serviceAccountName", to: "robot")
        let refused = await api.send("POST", url, named)
        #expect(refused.status == 403)
        #expect(
            refused.message == "pods \"q\" is forbidden: error looking up service account default/robot: "
                + "serviceaccount \"robot\" not found")
    }

    @Test func withoutASpecTheContainersAreWhatIsMissing() async throws {
        let api = try await TestServer()
        let pod = await api.send("POST", url, ["apiVersion": "v1", "kind": "Pod", "metadata": ["name": "p"]])
        #expect(pod.message == "Pod \"p\" is invalid: spec.containers: Required value")
        let deployment = await api.send(
            "POST", "/apis/apps/v1/namespaces/default/deployments",
            [
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "d"],
                "spec": [
                    "selector": ["matchLabels": ["a": "b"]], "template": ["metadata": ["labels": ["a": "b"]]],
                ],
            ])
        #expect(deployment.message == "Deployment.apps \"d\" is invalid: spec.template.spec.containers: Required value")
    }

    @Test func binding() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, pod("p"))
        let body: JSON = [
            "apiVersion": "v1", "kind": "Binding", "metadata": ["name": "p"],
            "target": ["apiVersion": "v1", "kind": "Node", "name": "n1"],
        ]
        let bound = await api.send("POST", url + "/p/binding", body)
        #expect(bound.status == 201)
        #expect(bound.json == ["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "code": 201])
        let got = await api.send("GET", url + "/p")
        #expect(got.json.at("spec", "nodeName") == "n1")
        #expect(got.json.at("status", "conditions")?[0]?["type"] == "PodScheduled")
        let again = await api.send("POST", url + "/p/binding", body)
        #expect(again.status == 409)
        #expect(
            again.message
                == "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\"")
        _ = await api.send("POST", url, pod("r"))
        var second = body
        second.set("metadata", "name", to: "r")
        #expect(await api.send("POST", "/api/v1/namespaces/default/bindings", second).status == 201)
    }

    private func binding(_ pod: String, _ metadata: JSON = [:], kind: String = "Node", node: String = "n1") -> JSON {
        var metadata = metadata
        metadata["name"] = .string(pod)
        return [
            "apiVersion": "v1", "kind": "Binding", "metadata": metadata,
            "target": ["apiVersion": "v1", "kind": .string(kind), "name": .string(node)],
        ]
    }

    @Test func bindingsHavePreconditions() async throws {
        let api = try await TestServer()
        let created = await api.send("POST", url, pod("p"))
        let uid = created.json.at("metadata", "uid")?.string ?? ""
        let other = await api.send("POST", url + "/p/binding", binding("p", ["uid": "other"]))
        #expect(other.status == 409)
        #expect(
            other.message == "Operation cannot be fulfilled on pods \"p\": Precondition failed: UID in precondition: "
                + "other, UID in object meta: \(uid)")
        let stale = await api.send("POST", url + "/p/binding", binding("p", ["resourceVersion": "1"]))
        #expect(stale.status == 409 && stale.message.contains("ResourceVersion in precondition: 1"))
        let elsewhere = await api.send("POST", url + "/p/binding", binding("p", ["namespace": "kube-system"]))
        #expect(elsewhere.status == 400)
        #expect(await api.send("POST", url + "/p/binding", binding("p", node: "")).status == 422)
        let dry = await api.send("POST", url + "/p/binding?dryRun=All", binding("p"))
        #expect(dry.status == 201)
        #expect(await api.send("GET", url + "/p").json.at("spec", "nodeName") == nil)
        let meant: JSON = ["uid": .string(uid), "resourceVersion": .string(created.version)]
        #expect(await api.send("POST", url + "/p/binding", binding("p", meant)).status == 201)

        var gated = pod("g")
        gated.set("spec", "schedulingGates", to: [["name": "example.com/wait"]])
        #expect(await api.send("POST", url, gated).status == 201)
        let held = await api.send("POST", url + "/g/binding", binding("g"))
        #expect(held.status == 409)
        #expect(
            held.message
                == "Operation cannot be fulfilled on pods/binding \"g\": pod g has non-empty .spec.schedulingGates")
    }

    /// A binding passes the admission list as what it is, a create of pods/binding.
    @Test func bindingsAreAdmitted() async throws {
        let api = try await TestServer()
        await api.namespace("leaving")
        let pods = "/api/v1/namespaces/leaving/pods"
        for url in [url, pods] { #expect(await api.send("POST", url, pod("p")).status == 201) }
        // Something in the namespace that keeps it.
        var kept = configMap("kept")
        kept.set("metadata", "finalizers", to: ["example.com/keep"])
        _ = await api.send("POST", "/api/v1/namespaces/leaving/configmaps", kept)
        _ = await api.send("DELETE", "/api/v1/namespaces/leaving")
        let refused = await api.send("POST", pods + "/p/binding", binding("p"))
        #expect(refused.status == 403 && refused.message.contains("because it is being terminated"))
        #expect(await api.send("GET", pods + "/p").json.at("spec", "nodeName") == nil)

        // The node's zone reaches the pod; a target that is no node, or is not there, adds nothing.
        let node: JSON = [
            "apiVersion": "v1", "kind": "Node",
            "metadata": [
                "name": "n1",
                "labels": ["topology.kubernetes.io/zone": "z1", "topology.kubernetes.io/region": "r1", "x": "y"],
            ],
        ]
        #expect(await api.send("POST", "/api/v1/nodes", node).status == 201)
        let labels: JSON = ["labels": ["topology.kubernetes.io/zone": "mine", "a": "b"], "annotations": ["c": "d"]]
        #expect(await api.send("POST", url + "/p/binding", binding("p", labels)).status == 201)
        let bound = await api.send("GET", url + "/p").json["metadata"]
        #expect(
            bound?["labels"]
                == ["a": "b", "topology.kubernetes.io/region": "r1", "topology.kubernetes.io/zone": "z1"])
        #expect(bound?["annotations"] == ["c": "d"])
        #expect(await api.send("POST", url, pod("q", node: "n1")).json.at("metadata", "labels", "topology.kubernetes.io/zone") == "z1")
        #expect(await api.send("POST", url, pod("r", node: "n2")).json.at("metadata", "labels") == nil)
    }

    /// What a binding changes is its writer's, by the name the writer goes by.
    @Test func bindingsHaveOwners() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, pod("p"))
        let scheduler = api.server.client(as: "kube-scheduler")
        _ = try await scheduler.create(
            .pods, ObjectKey(namespace: "default", name: "p"), subresource: "binding", binding("p"))
        let managed = await api.send("GET", url + "/p").json.at("metadata", "managedFields")?.array ?? []
        let entry = managed.first { $0["manager"] == "kube-scheduler" }
        #expect(entry?["operation"] == "Update" && entry?["subresource"] == "binding")
        #expect(entry?.at("fieldsV1", "f:spec", "f:nodeName") == [:])
        #expect(entry?.at("fieldsV1", "f:status", "f:conditions") != nil)
        #expect(entry?.at("fieldsV1", "f:spec", "f:containers") == nil)
        // Others in this process go by theirs, and what the server itself made by its own.
        _ = try await api.server.client(as: "kubelet").patch(
            .pods, ObjectKey(namespace: "default", name: "p"), .merge, ["status": ["phase": "Running"]],
            subresource: "status")
        let after = await api.send("GET", url + "/p").json.at("metadata", "managedFields")?.array ?? []
        #expect(after.contains { $0["manager"] == "kubelet" && $0["subresource"] == "status" })
        let namespace = await api.send("GET", "/api/v1/namespaces/default").json
        #expect(namespace.at("metadata", "managedFields")?[0]?["manager"] == "kube-apiserver")
    }

    @Test func gracefulDeletion() async throws {
        let api = try await TestServer()
        // Nobody runs it: gone at once, the answer is the pod.
        _ = await api.send("POST", url, pod("unscheduled"))
        let removed = await api.send("DELETE", url + "/unscheduled")
        #expect(removed.status == 200)
        #expect(removed.json["kind"] == "Pod")
        #expect(await api.send("GET", url + "/unscheduled").status == 404)

        _ = await api.send("POST", url, pod("p", node: "n1"))
        let marked = await api.send("DELETE", url + "/p")
        #expect(marked.status == 200)
        #expect(marked.json.at("metadata", "deletionGracePeriodSeconds") == 30)
        #expect(marked.json.at("metadata", "deletionTimestamp")?.string != nil)
        // A status update in between does not remove it.
        let status = await api.send(
            "PATCH", url + "/p/status", ["status": ["phase": "Running"]],
            headers: ["Content-Type": "application/strategic-merge-patch+json"])
        #expect(status.status == 200)
        #expect(await api.send("GET", url + "/p").status == 200)
        // Longer is no change, shorter is.
        let longer = await api.send("DELETE", url + "/p", ["gracePeriodSeconds": 60])
        #expect(longer.json.at("metadata", "deletionGracePeriodSeconds") == 30)
        let shorter = await api.send("DELETE", url + "/p?gracePeriodSeconds=5")
        #expect(shorter.json.at("metadata", "deletionGracePeriodSeconds") == 5)
        // The kubelet's last word.
        let final = await api.send("DELETE", url + "/p", ["gracePeriodSeconds": 0])
        #expect(final.status == 200)
        #expect(await api.send("GET", url + "/p").status == 404)
    }

    @Test func statusIsApart() async throws {
        let api = try await TestServer()
        let created = await api.send("POST", url, pod("p"))
        var object = created.json
        object.set("status", "phase", to: "Running")
        let main = await api.send("PUT", url + "/p", object)
        #expect(main.json.at("status", "phase") == "Pending")
        let viaStatus = await api.send("PUT", url + "/p/status", object)
        #expect(viaStatus.status == 200)
        #expect(viaStatus.json.at("status", "phase") == "Running")
        object = viaStatus.json
        object.set("spec", "nodeName", to: "elsewhere")
        let spec = await api.send("PUT", url + "/p/status", object)
        #expect(spec.json.at("spec", "nodeName") == nil)
    }

    @Test func patches() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, pod("p"))
        func patch(_ type: String, _ body: JSON) async -> Answer {
            await api.send("PATCH", url + "/p", body, headers: ["Content-Type": type])
        }
        let strategic = await patch(
            "application/strategic-merge-patch+json",
            ["spec": ["containers": [["name": "main", "image": "demo:2"]]]])
        #expect(strategic.status == 200)
        #expect(strategic.json.at("spec", "containers")?[0]?["image"] == "demo:2")
        #expect(strategic.json.at("spec", "containers")?.array?.count == 1)
        let merge = await patch("application/merge-patch+json", ["metadata": ["labels": ["a": "1", "b": "2"]]])
        #expect(merge.json.at("metadata", "labels") == ["a": "1", "b": "2"])
        let json = await patch(
            "application/json-patch+json", [["op": "remove", "path": "/metadata/labels/a"]])
        #expect(json.json.at("metadata", "labels") == ["b": "2"])
        let absent = await patch(
            "application/json-patch+json", [["op": "remove", "path": "/metadata/labels/a"]])
        #expect(absent.status == 422)
        let conflict = await patch(
            "application/merge-patch+json", ["metadata": ["resourceVersion": "1", "labels": ["c": "3"]]])
        #expect(conflict.status == 409)
        let unknown = await patch("application/json", [:])
        #expect(unknown.status == 415)
        #expect(unknown.reason == "UnsupportedMediaType")
    }

    @Test func logs() async throws {
        let api = try await TestServer()
        api.node.logText.withLock { $0 = Array("hello\nworld\n".utf8) }
        _ = await api.send("POST", url, pod("p", node: "n1"))
        let log = await api.send("GET", url + "/p/log?tailLines=5&timestamps=true")
        #expect(log.status == 200)
        #expect(log.text == "hello\nworld\n")
        #expect(log.headers["Content-Type"] == "text/plain")
        #expect(api.node.lastLog.withLock { $0?.container } == "main")
        #expect(api.node.lastLog.withLock { $0?.tailLines } == 5)
        let wrong = await api.send("GET", url + "/p/log?container=other")
        #expect(wrong.status == 400)
        #expect(wrong.message == "container other is not valid for pod p")
        #expect(await api.send("GET", url + "/missing/log").message == "pods \"missing\" not found")
        #expect(await api.send("GET", url + "/p/log?tailLines=-1").status == 422)
    }

    @Test func exec() async throws {
        let api = try await TestServer()
        let session = TestExec(exitCode: 3)
        api.node.session.withLock { $0 = session }
        _ = await api.send("POST", url, pod("p", node: "n1"))
        let path = url + "/p/exec?command=cat&stdin=true&stdout=true&stderr=true"
        let plain = await api.send("GET", path)
        #expect(plain.status == 400)
        let headers: HTTPHeaders = [
            "Upgrade": "websocket", "Sec-WebSocket-Protocol": "v5.channel.k8s.io, v4.channel.k8s.io",
        ]
        guard case .webSocket(let subprotocol, let start) = api.request("GET", path, headers: headers) else {
            Issue.record("exec is not a WebSocket")
            return
        }
        #expect(subprotocol == "v5.channel.k8s.io")
        let socket = TestSocket()
        async let running: Void = start(socket)
        socket.client.yield([0] + Array("echo".utf8))
        socket.client.yield([255, 0])
        await running
        let sent = socket.sent.withLock { $0 }
        #expect(sent.first == [1])
        #expect(sent.contains([1] + Array("echo".utf8)))
        let status = try JSON.parse(sent.last![1...])
        #expect(sent.last?[0] == 3)
        #expect(status["reason"] == "NonZeroExitCode")
        #expect(status.at("details", "causes")?[0] == ["reason": "ExitCode", "message": "3"])
        #expect(socket.closeCode.withLock { $0 } == 1000)
        #expect(session.wasCancelled.withLock { !$0 })
    }

    @Test func execEndsWhenTheClientGoes() async throws {
        let api = try await TestServer()
        let session = TestExec(exitCode: 0)
        api.node.session.withLock { $0 = session }
        _ = await api.send("POST", url, pod("p", node: "n1"))
        let reply = api.request(
            "GET", url + "/p/exec?command=cat&stdout=true",
            headers: ["Upgrade": "websocket", "Sec-WebSocket-Protocol": "v4.channel.k8s.io"])
        guard case .webSocket(_, let start) = reply else {
            Issue.record("exec is not a WebSocket")
            return
        }
        let socket = TestSocket()
        socket.client.finish()
        await start(socket)
        #expect(session.wasCancelled.withLock { $0 })
    }
}

@Suite struct WorkloadTests {
    let url = "/apis/apps/v1/namespaces/default/deployments"

    static func deployment(_ name: String, replicas: Int64 = 3) -> JSON {
        [
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": .string(name)],
            "spec": [
                "replicas": .int(replicas), "selector": ["matchLabels": ["app": .string(name)]],
                "template": [
                    "metadata": ["labels": ["app": .string(name)]],
                    "spec": ["containers": [["name": "main", "image": "demo:1"]]],
                ],
            ],
        ]
    }

    @Test func generationAndScale() async throws {
        let api = try await TestServer()
        let created = await api.send("POST", url, Self.deployment("web"))
        #expect(created.status == 201)
        #expect(created.json.at("metadata", "generation") == 1)
        let scale = await api.send("GET", url + "/web/scale")
        #expect(scale.json["kind"] == "Scale")
        #expect(scale.json["apiVersion"] == "autoscaling/v1")
        #expect(scale.json.at("spec", "replicas") == 3)
        #expect(scale.json.at("status", "selector") == "app=web")
        let patched = await api.send(
            "PATCH", url + "/web/scale", ["spec": ["replicas": 5]],
            headers: ["Content-Type": "application/merge-patch+json"])
        #expect(patched.status == 200)
        #expect(patched.json.at("spec", "replicas") == 5)
        var wanted = patched.json
        wanted.set("spec", "replicas", to: 7)
        let put = await api.send("PUT", url + "/web/scale", wanted)
        #expect(put.status == 200)
        let stale = await api.send("PUT", url + "/web/scale", scale.json)
        #expect(stale.status == 409)
        let now = await api.send("GET", url + "/web")
        #expect(now.json.at("spec", "replicas") == 7)
        #expect(now.json.at("metadata", "generation") == 3)
        let labelled = await api.send(
            "PATCH", url + "/web", ["metadata": ["labels": ["a": "b"]]],
            headers: ["Content-Type": "application/merge-patch+json"])
        #expect(labelled.json.at("metadata", "generation") == 3)
    }

    @Test func strictDecoding() async throws {
        let api = try await TestServer()
        var object = Self.deployment("web")
        object.set("spec", "replica", to: 3)
        let strict = await api.send("POST", url + "?fieldValidation=Strict", object)
        #expect(strict.status == 400)
        #expect(
            strict.message == "Deployment in version \"v1\" cannot be handled as a Deployment: "
                + "strict decoding error: unknown field \"spec.replica\"")
        #expect(await api.send("GET", url + "/web").status == 404)
        let warned = await api.send("POST", url + "?fieldValidation=Warn", object)
        #expect(warned.status == 201)
        #expect(warned.headers["Warning"] == "299 - \"unknown field \\\"spec.replica\\\"\"")
        var wrong = Self.deployment("other")
        wrong.set("spec", "template", "spec", "containers", to: [["image": "x"]])
        let invalid = await api.send("POST", url, wrong)
        #expect(invalid.status == 422)
        #expect(
            invalid.message == "Deployment.apps \"other\" is invalid: "
                + "spec.template.spec.containers[0].name: Required value")
        #expect(invalid.json.at("details", "causes")?[0]?["field"] == "spec.template.spec.containers[0].name")
    }
}

// From `kubectl apply` to `kubectl apply --server-side`: what the annotation allows the manager "kubectl" to take.

import HTTP
import Objects
import Testing

private let apply: HTTPHeaders = ["Content-Type": "application/apply-patch+yaml"]
private let merge: HTTPHeaders = ["Content-Type": "application/merge-patch+json"]
private let annotation = "kubectl.kubernetes.io/last-applied-configuration"
private let path = "/apis/apps/v1/namespaces/t/deployments"
private let image = #".spec.template.spec.containers[name="c"].image"#

private func web(replicas: Int? = 1, image: String = "i:1", env: JSON? = nil) -> JSON {
    var container: JSON = ["name": "c", "image": .string(image)]
    container["env"] = env
    var spec: JSON = [
        "selector": ["matchLabels": ["app": "web"]],
        "template": ["metadata": ["labels": ["app": "web"]], "spec": ["containers": [container]]],
    ]
    if let replicas { spec["replicas"] = .int(Int64(replicas)) }
    return ["apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "web"], "spec": spec]
}

private func address(_ field: String) -> JSON {
    [["name": "ADDRESS", "valueFrom": ["fieldRef": ["fieldPath": .string(field)]]]]
}

@Suite struct LastAppliedTests {
    /// A server with an object as `kubectl apply` makes it.
    /// - Parameter annotated: the text of the annotation where it is not the object's own.
    private func server(_ object: JSON = web(), annotated: String? = nil) async throws -> TestServer {
        let server = try await TestServer()
        await server.namespace("t")
        var made = object
        made.set("metadata", "annotations", to: [annotation: .string(annotated ?? object.text + "\n")])
        let answer = await server.send("POST", "\(path)?fieldManager=kubectl-client-side-apply", made)
        try #require(answer.status == 201)
        return server
    }

    private func conflicts(_ answer: Answer) -> [String] {
        (answer.json.at("details", "causes")?.array ?? []).compactMap { $0["field"]?.string }
    }

    @Test func whatNobodyChangedSinceIsKubectls() async throws {
        let server = try await server()
        let applied = await server.send(
            "PATCH", "\(path)/web?fieldManager=kubectl", web(replicas: 2, image: "i:2"), headers: apply)
        #expect(applied.status == 200)
        #expect(applied.json.at("spec", "replicas")?.int == 2)
        let owners = applied.json.at("metadata", "managedFields")?.array ?? []
        #expect(owners.map { $0["manager"]?.string } == ["kubectl", "kubectl-client-side-apply"])
        #expect(owners[0].at("fieldsV1", "f:spec", "f:replicas") != nil)
        #expect(owners[1].at("fieldsV1", "f:spec", "f:replicas") == nil)
        // The annotation is that of the new configuration, so the next change is measured by it.
        let kept = applied.json.at("metadata", "annotations", annotation)?.string ?? ""
        #expect(try JSON.parse(kept) == web(replicas: 2, image: "i:2"))
    }

    @Test func whatChangedSinceConflicts() async throws {
        let server = try await server()
        _ = await server.send(
            "PATCH", "\(path)/web?fieldManager=editor", ["spec": ["replicas": 5]], headers: merge)
        let refused = await server.send(
            "PATCH", "\(path)/web?fieldManager=kubectl", web(replicas: 2), headers: apply)
        #expect(refused.status == 409)
        #expect(
            refused.message
                == "Apply failed with 1 conflict: conflict with \"editor\" using apps/v1: .spec.replicas")
        let forced = await server.send(
            "PATCH", "\(path)/web?fieldManager=kubectl&force=true", web(replicas: 2), headers: apply)
        #expect(forced.json.at("spec", "replicas")?.int == 2)
    }

    @Test func onlyWhatChangedSinceIsReported() async throws {
        let server = try await server()
        _ = await server.send(
            "PATCH", "\(path)/web?fieldManager=editor", ["spec": ["replicas": 5]], headers: merge)
        let refused = await server.send(
            "PATCH", "\(path)/web?fieldManager=kubectl", web(replicas: 2, image: "i:2"), headers: apply)
        #expect(refused.status == 409)
        #expect(conflicts(refused) == [".spec.replicas"])
        // None of it was done.
        let live = await server.send("GET", "\(path)/web")
        #expect(live.json.at("spec", "template", "spec", "containers")?.array?.first?["image"]?.string == "i:1")
        // The other one alone is allowed.
        let applied = await server.send(
            "PATCH", "\(path)/web?fieldManager=kubectl", web(replicas: nil, image: "i:2"), headers: apply)
        #expect(applied.status == 200)
        #expect(applied.json.at("spec", "replicas")?.int == 5)
    }

    @Test func otherManagersConflict() async throws {
        let server = try await server()
        for manager in ["me", "kubectl-client-side-apply", "Kubectl"] {
            let refused = await server.send(
                "PATCH", "\(path)/web?fieldManager=\(manager)", web(image: "i:2"), headers: apply)
            #expect(refused.status == 409, "\(manager)")
            #expect(conflicts(refused) == [image])
        }
    }

    @Test(arguments: [
        "", "{", "[]", "{}", #"{"apiVersion":"apps/v1"}"#,
        web().text.replacing("apps/v1", with: "extensions/v1beta1"),
        web().text.replacing("Deployment", with: "ReplicaSet"),
        web().text.replacing("containers", with: "containerz"), web().text.replacing("\"i:1\"", with: "1"),
    ])
    func brokenAnnotationsAllowNothing(_ text: String) async throws {
        let server = try await server(annotated: text)
        let refused = await server.send(
            "PATCH", "\(path)/web?fieldManager=kubectl", web(image: "i:2"), headers: apply)
        #expect(refused.status == 409)
        #expect(conflicts(refused) == [image])
    }

    /// A default that is the same as what is there was not sent.
    @Test func defaultsWereNotSent() async throws {
        let server = try await server(web(replicas: nil))
        let refused = await server.send(
            "PATCH", "\(path)/web?fieldManager=kubectl", web(replicas: 2), headers: apply)
        #expect(conflicts(refused) == [".spec.replicas"])
    }

    @Test func defaultsInAtomicValuesAreNoChange() async throws {
        let server = try await server(web(env: address("status.podIP")))
        let url = "\(path)/web?fieldManager=kubectl"
        let same = await server.send("PATCH", url, web(env: address("status.podIP")), headers: apply)
        #expect(same.status == 200)
        let changed = await server.send("PATCH", url, web(env: address("status.hostIP")), headers: apply)
        #expect(changed.status == 200)
        let container = changed.json.at("spec", "template", "spec", "containers")?.array?.first
        #expect(
            container?["env"]?.array?.first?.at("valueFrom", "fieldRef")
                == ["apiVersion": "v1", "fieldPath": "status.hostIP"])
    }

    @Test func aScaleHasNoAnnotations() async throws {
        let server = try await server()
        let refused = await server.send(
            "PATCH", "\(path)/web/scale?fieldManager=kubectl",
            ["apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": ["name": "web"], "spec": ["replicas": 4]],
            headers: apply)
        #expect(refused.status == 409)
    }
}

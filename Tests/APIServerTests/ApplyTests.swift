// Server-side apply and managedFields over HTTP.

import HTTP
import Objects
import Testing

private let apply: HTTPHeaders = ["Content-Type": "application/apply-patch+yaml"]
private let merge: HTTPHeaders = ["Content-Type": "application/merge-patch+json"]

private func entry(_ object: JSON, _ manager: String, subresource: String? = nil) -> JSON? {
    object.at("metadata", "managedFields")?.array?.first {
        $0["manager"]?.string == manager && $0["subresource"]?.string == subresource
    }
}

private func web(_ spec: JSON = ["replicas": 1]) -> JSON {
    var spec = spec
    spec["selector"] = ["matchLabels": ["app": "web"]]
    spec["template"] = [
        "metadata": ["labels": ["app": "web"]], "spec": ["containers": [["name": "c", "image": "i"]]],
    ]
    return ["apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "web"], "spec": spec]
}

@Suite struct ApplyTests {
    private let path = "/apis/apps/v1/namespaces/t/deployments"

    private func server() async throws -> TestServer {
        let server = try await TestServer()
        await server.namespace("t")
        return server
    }

    @Test func aCreateIsItsClients() async throws {
        let server = try await server()
        let made = await server.send(
            "POST", "/api/v1/namespaces/t/configmaps",
            [
                "metadata": ["name": "a", "labels": ["x": "y"], "managedFields": [["manager": "liar", "operation": "Update"]]],
                "data": ["k": "v"],
            ], headers: ["User-Agent": "curl/8.5 (x)"])
        #expect(made.status == 201)
        let list = made.json.at("metadata", "managedFields")?.array ?? []
        #expect(list.count == 1)
        #expect(list.first?["manager"]?.string == "curl")
        #expect(list.first?["operation"]?.string == "Update")
        #expect(list.first?["apiVersion"]?.string == "v1")
        #expect(list.first?["fieldsType"]?.string == "FieldsV1")
        #expect(list.first?["time"]?.string == made.json.at("metadata", "creationTimestamp")?.string)
        #expect(
            list.first?["fieldsV1"]?.text
                == #"{"f:data":{".":{},"f:k":{}},"f:metadata":{"f:labels":{".":{},"f:x":{}}}}"#)
    }

    @Test func applyCreatesThenChangesThenDoesNothing() async throws {
        let server = try await server()
        let made = await server.send("PATCH", "\(path)/web?fieldManager=me", web(), headers: apply)
        #expect(made.status == 201)
        #expect(entry(made.json, "me")?["operation"]?.string == "Apply")
        #expect(made.json.at("spec", "strategy", "type")?.string == "RollingUpdate")
        let again = await server.send("PATCH", "\(path)/web?fieldManager=me", web(), headers: apply)
        #expect(again.status == 200)
        #expect(again.version == made.version)
        let changed = await server.send("PATCH", "\(path)/web?fieldManager=me", web(["replicas": 2]), headers: apply)
        #expect(changed.json.at("spec", "replicas")?.int == 2)
        #expect(changed.version != made.version)
        // Left to its default again.
        let dropped = await server.send("PATCH", "\(path)/web?fieldManager=me", web([:]), headers: apply)
        #expect(dropped.json.at("spec", "replicas")?.int == 1)
    }

    @Test func writersOfOtherFieldsConflictOnlyWhereTheyMeet() async throws {
        let server = try await server()
        _ = await server.send("PATCH", "\(path)/web?fieldManager=me", web(), headers: apply)
        let scaled = await server.send(
            "PATCH", "\(path)/web/scale?fieldManager=hpa", ["spec": ["replicas": 5]], headers: merge)
        #expect(scaled.status == 200)
        let live = await server.send("GET", "\(path)/web")
        #expect(entry(live.json, "hpa", subresource: "scale")?["fieldsV1"]?.text == #"{"f:spec":{"f:replicas":{}}}"#)
        #expect(entry(live.json, "me")?.at("fieldsV1", "f:spec", "f:replicas") == nil)
        let refused = await server.send("PATCH", "\(path)/web?fieldManager=me", web(), headers: apply)
        #expect(refused.status == 409)
        #expect(refused.reason == "Conflict")
        #expect(
            refused.message == "Apply failed with 1 conflict: conflict with \"hpa\" with subresource \"scale\" using "
                + "apps/v1: .spec.replicas")
        #expect(refused.json.at("details", "causes")?.array?.first?["reason"]?.string == "FieldManagerConflict")
        let forced = await server.send("PATCH", "\(path)/web?fieldManager=me&force=true", web(), headers: apply)
        #expect(forced.json.at("spec", "replicas")?.int == 1)
        #expect(entry(forced.json, "hpa", subresource: "scale") == nil)
    }

    @Test func statusAndScaleAreApplied() async throws {
        let server = try await server()
        _ = await server.send("POST", path, web())
        let status: JSON = [
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "web"], "spec": ["replicas": 9],
            "status": ["conditions": [["type": "Custom", "status": "True", "reason": "r"]]],
        ]
        let applied = await server.send("PATCH", "\(path)/web/status?fieldManager=ctl", status, headers: apply)
        #expect(applied.status == 200)
        #expect(applied.json.at("spec", "replicas")?.int == 1)
        #expect(
            entry(applied.json, "ctl", subresource: "status")?["fieldsV1"]?.text
                == #"{"f:status":{"f:conditions":{"k:{\"type\":\"Custom\"}":{".":{},"f:reason":{},"f:status":{},"#
                + #""f:type":{}}}}}"#)
        let scale: JSON = [
            "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": ["name": "web"], "spec": ["replicas": 4],
        ]
        let refused = await server.send("PATCH", "\(path)/web/scale?fieldManager=s", scale, headers: apply)
        #expect(refused.status == 409)
        let scaled = await server.send("PATCH", "\(path)/web/scale?fieldManager=s&force=true", scale, headers: apply)
        #expect(scaled.status == 200)
        #expect(scaled.json.at("spec", "replicas")?.int == 4)
        let live = await server.send("GET", "\(path)/web")
        #expect(entry(live.json, "s", subresource: "scale")?["operation"]?.string == "Apply")
    }

    @Test func ownersAreResetAndKept() async throws {
        let server = try await server()
        let maps = "/api/v1/namespaces/t/configmaps"
        let made = await server.send("POST", maps, ["metadata": ["name": "a"], "data": ["k": "v"]])
        // A client that does not know of them does not lose them.
        let put = await server.send("PUT", "\(maps)/a", ["metadata": ["name": "a"], "data": ["k": "v"]])
        #expect(put.version == made.version)
        let reset = await server.send(
            "PATCH", "\(maps)/a", ["metadata": ["managedFields": [[:]]]], headers: merge)
        #expect(reset.json.at("metadata", "managedFields") == nil)
        #expect(reset.version != made.version)
        let changed = await server.send("PATCH", "\(maps)/a", ["data": ["k": "w"]], headers: merge)
        #expect(changed.json.at("metadata", "managedFields") == nil)
        let applied = await server.send(
            "PATCH", "\(maps)/a?fieldManager=me",
            ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "a"], "data": ["k": "w"]], headers: apply)
        #expect(entry(applied.json, "before-first-apply") != nil)
        let wrong = await server.send(
            "PATCH", "\(maps)/a",
            ["metadata": ["managedFields": [["manager": "m", "operation": "Steal", "fieldsType": "FieldsV1"]]]],
            headers: merge)
        #expect(wrong.status == 422)
        #expect(wrong.message.contains("metadata.managedFields[0].operation"))
    }

    /// What `kubectl apply --server-side` sends to an object that `kubectl apply` made.
    @Test func clientSideAppliersMoveOver() async throws {
        let server = try await server()
        let made = await server.send("POST", "\(path)?fieldManager=kubectl-client-side-apply", web())
        var list = made.json.at("metadata", "managedFields")?.array ?? []
        list[0]["manager"] = "kubectl"
        list[0]["operation"] = "Apply"
        let patch: JSON = [
            ["op": "replace", "path": "/metadata/managedFields", "value": .array(list)],
            ["op": "replace", "path": "/metadata/resourceVersion", "value": .string(made.version)],
        ]
        let json: HTTPHeaders = ["Content-Type": "application/json-patch+json"]
        let moved = await server.send("PATCH", "\(path)/web", patch, headers: json)
        #expect(moved.status == 200)
        let applied = await server.send("PATCH", "\(path)/web?fieldManager=kubectl", web(["replicas": 3]), headers: apply)
        #expect(applied.status == 200)
        #expect(applied.json.at("metadata", "managedFields")?.array?.count == 1)
        let stale = await server.send("PATCH", "\(path)/web", patch, headers: json)
        #expect(stale.status == 409)
    }

    @Test func whatIsAskedWronglyIsSaid() async throws {
        let server = try await server()
        let nameless = await server.send("PATCH", "\(path)/web", web(), headers: apply)
        #expect(nameless.status == 422)
        #expect(
            nameless.message == "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for "
                + "apply patch")
        let forced = await server.send("PATCH", "\(path)/web?force=true", [:], headers: merge)
        #expect(forced.message.contains("force: Forbidden: may not be specified for non-apply patch"))
        let long = String(repeating: "m", count: 129)
        let tooLong = await server.send("POST", "\(path)?fieldManager=\(long)", web())
        #expect(tooLong.status == 422)
        var managed = web()
        managed.set("metadata", "managedFields", to: [["manager": "m"]])
        let owned = await server.send("PATCH", "\(path)/web?fieldManager=m", managed, headers: apply)
        #expect(owned.status == 400)
        #expect(owned.message == "metadata.managedFields must be nil")
        var unknown = web()
        unknown.set("spec", "replicsa", to: 3)
        let typo = await server.send("PATCH", "\(path)/web?fieldManager=m", unknown, headers: apply)
        #expect(typo.status == 500)
        #expect(
            typo.message == "failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.replicsa: "
                + "field not declared in schema")
        var other = web()
        other["apiVersion"] = "apps/v1beta1"
        let version = await server.send("PATCH", "\(path)/web?fieldManager=m", other, headers: apply)
        #expect(version.status == 400)
        var old = web()
        old.set("metadata", "resourceVersion", to: "1")
        let gone = await server.send("PATCH", "\(path)/web?fieldManager=m", old, headers: apply)
        #expect(gone.status == 409)
        let cbor = await server.send(
            "PATCH", "\(path)/web?fieldManager=m", web(), headers: ["Content-Type": "application/apply-patch+cbor"])
        #expect(cbor.status == 415)
        #expect(
            cbor.message == "the body of the request was in an unknown format - accepted media types include: "
                + "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, "
                + "application/apply-patch+yaml")
    }

    @Test func yamlBodiesAndDryRuns() async throws {
        let server = try await server()
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  k: v\n"
        let url = "/api/v1/namespaces/t/configmaps/yaml?fieldManager=me"
        let dry = await server.answer(server.request("PATCH", url + "&dryRun=All", body: Array(text.utf8), headers: apply))
        #expect(dry.status == 201)
        #expect(await server.send("GET", "/api/v1/namespaces/t/configmaps/yaml").status == 404)
        let made = await server.answer(server.request("PATCH", url, body: Array(text.utf8), headers: apply))
        #expect(made.status == 201)
        #expect(made.json.at("data", "k")?.string == "v")
        let broken = await server.answer(server.request("PATCH", url, body: Array("{a: [".utf8), headers: apply))
        #expect(broken.status == 400)
        #expect(broken.message.hasPrefix("error decoding YAML: "))
    }

    @Test func jsonPatchesHaveALimitAndTests() async throws {
        let server = try await server()
        _ = await server.send("POST", path, web())
        let json: HTTPHeaders = ["Content-Type": "application/json-patch+json"]
        let operation: JSON = ["op": "test", "path": "/spec/replicas", "value": 1]
        let many = JSON.array(Array(repeating: operation, count: 10_001))
        let refused = await server.send("PATCH", "\(path)/web", many, headers: json)
        #expect(refused.status == 413)
        #expect(refused.message.contains("The allowed maximum operations in a JSON patch is 10000, got 10001"))
        let failed = await server.send(
            "PATCH", "\(path)/web", [["op": "test", "path": "/spec/replicas", "value": 7]], headers: json)
        #expect(failed.status == 422)
        #expect(failed.reason == "Invalid")
        let held = await server.send("PATCH", "\(path)/web", [operation], headers: json)
        #expect(held.status == 200)
    }
}

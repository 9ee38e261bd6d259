// Deletions: options in body and query, preconditions, policies, dry run, collections, what the answers hold.

import APIServer
import Client
import HTTP
import Objects
import Testing

@Suite struct DeletionTests {
    let url = "/api/v1/namespaces/default/configmaps"

    @Test func dryRunsShowWhatWouldBe() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, configMap("a"))
        let gone = await api.send("DELETE", url + "/a?dryRun=All")
        #expect(gone.status == 200 && gone.json["status"] == "Success")
        let held = await api.send("DELETE", url + "/a", ["propagationPolicy": "Foreground", "dryRun": ["All"]])
        #expect(held.json.at("metadata", "finalizers") == ["foregroundDeletion"])
        #expect(held.json.at("metadata", "deletionTimestamp")?.string != nil)
        let all = await api.send("DELETE", url + "?dryRun=All")
        #expect(all.status == 200 && all.json["kind"] == "ConfigMapList")
        let left = await api.send("GET", url + "/a")
        #expect(left.status == 200 && left.json.at("metadata", "deletionTimestamp") == nil)
    }

    @Test func optionsAreChecked() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, configMap("a"))
        let type = await api.send("DELETE", url + "/a", ["gracePeriodSeconds": "soon"])
        #expect(type.status == 400)
        let kind = await api.send("DELETE", url + "/a", ["kind": "ConfigMap", "apiVersion": "v1"])
        #expect(kind.status == 400 && kind.message.contains("DeleteOptions"))
        let policy = await api.send("DELETE", url + "/a?propagationPolicy=Sideways")
        #expect(policy.status == 422)
        #expect(policy.message.contains("Unsupported value: \"Sideways\": supported values:"))
        let both = await api.send("DELETE", url + "/a", ["propagationPolicy": "Orphan", "orphanDependents": true])
        #expect(both.status == 422 && both.message.contains("cannot be both set"))
        let version = await api.send("DELETE", url + "/a", ["preconditions": ["resourceVersion": "1"]])
        #expect(version.status == 409 && version.reason == "Conflict")
        #expect(version.message.contains("Precondition failed: ResourceVersion in precondition: 1, "))
        // Clients send them in any group's clothes.
        let other = await api.send(
            "DELETE", url + "/a", ["kind": "DeleteOptions", "apiVersion": "apps/v1", "gracePeriodSeconds": 0])
        #expect(other.status == 200)
    }

    @Test func oldFormOfOrphaning() async throws {
        let api = try await TestServer()
        for name in ["a", "b"] { _ = await api.send("POST", url, configMap(name)) }
        let orphan = await api.send("DELETE", url + "/a?orphanDependents=true")
        #expect(orphan.json.at("metadata", "finalizers") == ["orphan"])
        var held = configMap("c")
        held.set("metadata", "finalizers", to: ["example.com/hold"])
        _ = await api.send("POST", url, held)
        let accepted = await api.send("DELETE", url + "/c", ["orphanDependents": false])
        #expect(accepted.status == 202)
        #expect(accepted.json.at("metadata", "finalizers") == ["example.com/hold"])
    }

    @Test func noNewFinalizersWhileGoing() async throws {
        let api = try await TestServer()
        var held = configMap("c")
        held.set("metadata", "finalizers", to: ["example.com/hold"])
        _ = await api.send("POST", url, held)
        _ = await api.send("DELETE", url + "/c")
        let more = await api.send(
            "PATCH", url + "/c", ["metadata": ["finalizers": ["example.com/hold", "example.com/new"]]],
            headers: ["Content-Type": "application/merge-patch+json"])
        #expect(more.status == 422)
        #expect(
            more.message
                == "ConfigMap \"c\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the "
                + "object is being deleted, found new finalizers []string{\"example.com/new\"}")
    }

    @Test func podsAnswerWithThemselves() async throws {
        let api = try await TestServer()
        let pods = "/api/v1/namespaces/default/pods"
        _ = await api.send("POST", pods, pod("p", node: "n1"))
        let negative = await api.send("DELETE", pods + "/p", ["gracePeriodSeconds": -5])
        #expect(negative.json["kind"] == "Pod")
        #expect(negative.json.at("metadata", "deletionGracePeriodSeconds") == 1)
        let now = await api.send("DELETE", pods + "/p?gracePeriodSeconds=0")
        #expect(now.status == 200 && now.json["kind"] == "Pod")
        #expect(await api.send("GET", pods + "/p").status == 404)
    }

    @Test func collectionsOfManyGo() async throws {
        let api = try await TestServer()
        for index in 0..<150 { _ = await api.send("POST", url, configMap("c\(index)")) }
        let deleted = await api.send("DELETE", url, ["propagationPolicy": "Background"])
        #expect(deleted.status == 200)
        #expect((deleted.json["items"]?.array?.count ?? 0) >= 150)
        #expect(await api.send("GET", url).json["items"]?.array?.isEmpty == true)
    }

    @Test func foreignFormatsAreNamed() async throws {
        let api = try await TestServer()
        let protobuf = await api.send(
            "POST", url, configMap("a"), headers: ["Content-Type": "application/vnd.kubernetes.protobuf"])
        #expect(protobuf.status == 400 && protobuf.message.contains("the body does not begin with \"k8s"))
        let cbor = await api.send("POST", url, configMap("a"), headers: ["Content-Type": "application/cbor"])
        #expect(cbor.status == 415 && cbor.message.contains("CBOR bodies are not implemented"))
        let only = await api.send("GET", url, headers: ["Accept": "application/vnd.kubernetes.protobuf"])
        #expect(only.status == 406 && only.reason == "NotAcceptable")
        #expect(only.message == "only the following media types are accepted: application/json, application/yaml")
        let either = await api.send(
            "GET", url, headers: ["Accept": "application/vnd.kubernetes.protobuf,application/json"])
        #expect(either.status == 200)
    }
}

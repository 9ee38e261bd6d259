// Create, read, update, delete: statuses, bodies, preconditions.

import HTTP
import Objects
import Testing

@Suite struct CRUDTests {
    @Test func createGetListDelete() async throws {
        let api = try await TestServer()
        let created = await api.send("POST", "/api/v1/namespaces/default/configmaps", configMap("one"))
        #expect(created.status == 201)
        #expect(created.headers["Content-Type"] == "application/json")
        let metadata = created.json["metadata"]
        #expect(metadata?["namespace"] == "default")
        #expect(metadata?["uid"]?.string?.utf8.count == 36)
        #expect(metadata?["creationTimestamp"]?.string?.hasSuffix("Z") == true)
        #expect(UInt64(created.version) != nil)

        let got = await api.send("GET", "/api/v1/namespaces/default/configmaps/one")
        #expect(got.status == 200)
        #expect(got.bytes == created.bytes)

        _ = await api.send("POST", "/api/v1/namespaces/default/configmaps", configMap("two"))
        let list = await api.send("GET", "/api/v1/namespaces/default/configmaps")
        #expect(list.json["kind"] == "ConfigMapList")
        #expect(list.json["apiVersion"] == "v1")
        #expect(list.json["items"]?.array?.compactMap { $0.at("metadata", "name")?.string } == ["one", "two"])
        #expect(UInt64(list.version)! >= UInt64(created.version)!)

        let deleted = await api.send("DELETE", "/api/v1/namespaces/default/configmaps/one")
        #expect(deleted.status == 200)
        #expect(deleted.json["status"] == "Success")
        #expect(deleted.json.at("details", "kind") == "configmaps")
        #expect(deleted.json.at("details", "uid") == metadata?["uid"])
        let gone = await api.send("GET", "/api/v1/namespaces/default/configmaps/one")
        #expect(gone.status == 404)
        let expected: JSON = [
            "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure",
            "message": "configmaps \"one\" not found", "reason": "NotFound",
            "details": ["name": "one", "kind": "configmaps"], "code": 404,
        ]
        #expect(gone.json == expected)
    }

    @Test func conflicts() async throws {
        let api = try await TestServer()
        let url = "/api/v1/namespaces/default/configmaps"
        let first = await api.send("POST", url, configMap("c"))
        let again = await api.send("POST", url, configMap("c"))
        #expect(again.status == 409)
        #expect(again.message == "configmaps \"c\" already exists")
        #expect(again.reason == "AlreadyExists")

        var changed = first.json
        changed.set("data", "a", to: "changed")
        let second = await api.send("PUT", url + "/c", changed)
        #expect(second.status == 200)
        #expect(UInt64(second.version)! > UInt64(first.version)!)
        changed.set("data", "a", to: "stale")
        let stale = await api.send("PUT", url + "/c", changed)
        #expect(stale.status == 409)
        #expect(stale.reason == "Conflict")
        #expect(
            stale.message == "Operation cannot be fulfilled on configmaps \"c\": the object has been modified; "
                + "please apply your changes to the latest version and try again")

        // Without a version an update is unconditional; one that changes nothing keeps the version.
        let bare = await api.send("PUT", url + "/c", configMap("c", ["a": "bare"]))
        #expect(bare.status == 200)
        let same = await api.send("PUT", url + "/c", configMap("c", ["a": "bare"]))
        #expect(same.version == bare.version)
        #expect(same.json.at("metadata", "uid") == first.json.at("metadata", "uid"))

        let missing = await api.send("PUT", url + "/missing", configMap("missing"))
        #expect(missing.status == 404)
        let renamed = await api.send("PUT", url + "/c", configMap("d"))
        #expect(renamed.status == 400)
        #expect(renamed.message == "the name of the object (d) does not match the name on the URL (c)")
    }

    @Test func deletePreconditions() async throws {
        let api = try await TestServer()
        let url = "/api/v1/namespaces/default/configmaps"
        let first = await api.send("POST", url, configMap("c"))
        let wrong = await api.send(
            "DELETE", url + "/c", ["kind": "DeleteOptions", "apiVersion": "v1", "preconditions": ["uid": "other"]])
        #expect(wrong.status == 409)
        let uid = first.json.at("metadata", "uid")?.string ?? ""
        #expect(wrong.message.hasSuffix("Precondition failed: UID in precondition: other, UID in object meta: \(uid)"))
        let right = await api.send(
            "DELETE", url + "/c",
            ["preconditions": ["uid": .string(uid), "resourceVersion": .string(first.version)]])
        #expect(right.status == 200)
    }

    @Test func generatedNames() async throws {
        let api = try await TestServer()
        var object = configMap("x")
        object.set("metadata", "name", to: nil)
        object.set("metadata", "generateName", to: "gen-")
        var names: Set<String> = []
        for _ in 0..<5 {
            let answer = await api.send("POST", "/api/v1/namespaces/default/configmaps", object)
            #expect(answer.status == 201)
            names.insert(answer.json.at("metadata", "name")?.string ?? "")
        }
        #expect(names.count == 5)
        #expect(names.allSatisfy { $0.hasPrefix("gen-") && $0.utf8.count == 9 })
    }

    @Test func namespaces() async throws {
        let api = try await TestServer()
        let nowhere = await api.send("POST", "/api/v1/namespaces/nowhere/configmaps", configMap("a"))
        #expect(nowhere.status == 404)
        #expect(nowhere.message == "namespaces \"nowhere\" not found")
        let immortal = await api.send("DELETE", "/api/v1/namespaces/kube-system")
        #expect(immortal.status == 403)
        #expect(
            immortal.message == "namespaces \"kube-system\" is forbidden: this namespace may not be deleted")

        await api.namespace("prod")
        #expect(await api.send("GET", "/api/v1/namespaces/prod/serviceaccounts/default").status == 200)
        let deleted = await api.send("DELETE", "/api/v1/namespaces/prod")
        #expect(deleted.status == 200)
        #expect(deleted.json.at("status", "phase") == "Terminating")
        #expect(deleted.json.at("spec", "finalizers") == ["kubernetes"])
        let late = await api.send("POST", "/api/v1/namespaces/prod/configmaps", configMap("late"))
        #expect(late.status == 403)
        #expect(
            late.message == "configmaps \"late\" is forbidden: unable to create new content in namespace prod because "
                + "it is being terminated")
        #expect(late.json.at("details", "causes")?[0]?["reason"] == "NamespaceTerminating")
        // The namespace controller's last word.
        var final = deleted.json
        final.set("spec", "finalizers", to: [])
        let finalized = await api.send("PUT", "/api/v1/namespaces/prod/finalize", final)
        #expect(finalized.status == 200)
        #expect(await api.send("GET", "/api/v1/namespaces/prod").status == 404)
        let mismatch = await api.send("POST", "/api/v1/namespaces/default/configmaps", {
            var object = configMap("m")
            object.set("metadata", "namespace", to: "other")
            return object
        }())
        #expect(mismatch.status == 400)
        #expect(
            mismatch.message
                == "the namespace of the provided object does not match the namespace sent on the request")
    }

    @Test func finalizersHoldAnObject() async throws {
        let api = try await TestServer()
        let url = "/api/v1/namespaces/default/configmaps"
        var object = configMap("held")
        object.set("metadata", "finalizers", to: ["example.com/hold"])
        _ = await api.send("POST", url, object)
        let deleted = await api.send("DELETE", url + "/held")
        #expect(deleted.status == 200)
        #expect(deleted.json.at("metadata", "deletionTimestamp")?.string != nil)
        let again = await api.send("DELETE", url + "/held")
        #expect(again.version == deleted.version)
        let patched = await api.send(
            "PATCH", url + "/held", ["metadata": ["finalizers": .null]],
            headers: ["Content-Type": "application/merge-patch+json"])
        #expect(patched.status == 200)
        #expect(await api.send("GET", url + "/held").status == 404)

        _ = await api.send("POST", url, configMap("fore"))
        let foreground = await api.send("DELETE", url + "/fore", ["propagationPolicy": "Foreground"])
        #expect(foreground.json.at("metadata", "finalizers") == ["foregroundDeletion"])
        _ = await api.send("POST", url, configMap("orph"))
        let orphan = await api.send("DELETE", url + "/orph?propagationPolicy=Orphan")
        #expect(orphan.json.at("metadata", "finalizers") == ["orphan"])
    }

    @Test func deleteCollection() async throws {
        let api = try await TestServer()
        let url = "/api/v1/namespaces/default/configmaps"
        for index in 0..<4 {
            _ = await api.send("POST", url, configMap("c\(index)", labels: ["odd": index % 2 == 1 ? "yes" : "no"]))
        }
        let deleted = await api.send("DELETE", url + "?labelSelector=odd=yes")
        #expect(deleted.status == 200)
        let left = await api.send("GET", url)
        #expect(left.json["items"]?.array?.compactMap { $0.at("metadata", "name")?.string } == ["c0", "c2"])
    }

    @Test func dryRunStoresNothing() async throws {
        let api = try await TestServer()
        let url = "/api/v1/namespaces/default/configmaps"
        let dry = await api.send("POST", url + "?dryRun=All", configMap("dry"))
        #expect(dry.status == 201)
        #expect(dry.version == "")
        #expect(await api.send("GET", url + "/dry").status == 404)
        let wrong = await api.send("POST", url + "?dryRun=some", configMap("dry"))
        #expect(wrong.status == 422)
        #expect(wrong.message.contains("dryRun: Unsupported value: \"some\": supported values: \"All\""))
    }
}

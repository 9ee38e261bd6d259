// The kinds of admissionregistration.k8s.io as the API has them: listed by discovery, and every verb does its work.
// What policies and webhooks do to requests is a matter of its own, and not yet one of this server.

import APIServer
import HTTP
import Objects
import Testing

@Suite struct AdmissionKindsTests {
    struct Kind: Sendable, CustomTestStringConvertible {
        let resource: String
        let kind: String
        let hasStatus: Bool
        let object: JSON
        var testDescription: String { resource }
    }

    private static let rule: JSON = [
        "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"],
    ]
    private static let hook: JSON = [
        "name": "a.b.c", "clientConfig": ["url": "https://x.example.com/"], "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "rules": [rule],
    ]

    static let kinds: [Kind] = [
        Kind(
            resource: "validatingadmissionpolicies", kind: "ValidatingAdmissionPolicy", hasStatus: true,
            object: [
                "spec": ["matchConstraints": ["resourceRules": [rule]], "validations": [["expression": "true"]]]
            ]),
        Kind(
            resource: "validatingadmissionpolicybindings", kind: "ValidatingAdmissionPolicyBinding", hasStatus: false,
            object: ["spec": ["policyName": "p", "validationActions": ["Deny"]]]),
        Kind(
            resource: "mutatingadmissionpolicies", kind: "MutatingAdmissionPolicy", hasStatus: false,
            object: [
                "spec": [
                    "matchConstraints": ["resourceRules": [rule]], "reinvocationPolicy": "Never",
                    "mutations": [
                        ["patchType": "ApplyConfiguration", "applyConfiguration": ["expression": "Object{}"]]
                    ],
                ]
            ]),
        Kind(
            resource: "mutatingadmissionpolicybindings", kind: "MutatingAdmissionPolicyBinding", hasStatus: false,
            object: ["spec": ["policyName": "p"]]),
        Kind(
            resource: "validatingwebhookconfigurations", kind: "ValidatingWebhookConfiguration", hasStatus: false,
            object: ["webhooks": [hook]]),
        Kind(
            resource: "mutatingwebhookconfigurations", kind: "MutatingWebhookConfiguration", hasStatus: false,
            object: ["webhooks": [hook]]),
    ]

    @Test(arguments: kinds) func operations(_ kind: Kind) async throws {
        let api = try await TestServer()
        let group = "admissionregistration.k8s.io"
        let groups = await api.send("GET", "/apis").json["groups"]?.array ?? []
        #expect(groups.contains { $0["name"]?.string == group })
        let versions = await api.send("GET", "/apis/\(group)").json["versions"]?.array ?? []
        #expect(versions.contains { $0["version"] == "v1" })
        let listed = await api.send("GET", "/apis/\(group)/v1").json["resources"]?.array ?? []
        let names = listed.compactMap { $0["name"]?.string }
        #expect(names.contains(kind.resource))
        #expect(names.contains(kind.resource + "/status") == kind.hasStatus)

        let url = "/apis/\(group)/v1/\(kind.resource)"
        func object(_ name: String) -> JSON {
            var object = kind.object
            object["metadata"] = ["name": .string(name), "labels": ["test": "yes"]]
            return object
        }
        let watch = api.watch(url + "?watch=true&labelSelector=test=yes")
        let created = await api.send("POST", url, object("a"))
        #expect(created.status == 201)
        #expect(created.json["kind"]?.string == kind.kind)
        for name in ["b", "c"] { #expect(await api.send("POST", url, object(name)).status == 201) }
        #expect(await api.send("GET", url + "/a").json.at("metadata", "uid") == created.json.at("metadata", "uid"))
        let list = await api.send("GET", url + "?labelSelector=test=yes")
        #expect(list.json["kind"]?.string == kind.kind + "List")
        #expect(list.json["items"]?.array?.count == 3)

        let headers: HTTPHeaders = ["Content-Type": "application/merge-patch+json"]
        let patched = await api.send(
            "PATCH", url + "/a", ["metadata": ["annotations": ["patched": "true"]]], headers: headers)
        #expect(patched.json.at("metadata", "annotations", "patched") == "true")
        var update = patched.json
        update.set("metadata", "annotations", "updated", to: "true")
        let updated = await api.send("PUT", url + "/a", update)
        #expect(updated.json.at("metadata", "annotations", "updated") == "true")
        #expect(await api.send("PUT", url + "/a", update).status == 409)
        if kind.hasStatus {
            let condition: JSON = ["type": "X", "status": "True", "reason": "Y", "message": ""]
            let status = await api.send(
                "PATCH", url + "/a/status", ["status": ["conditions": [condition]]], headers: headers)
            #expect(status.json.at("status", "conditions")?.array?.count == 1)
            #expect(await api.send("GET", url + "/a/status").json.at("status") == status.json.at("status"))
        }
        #expect(await api.send("DELETE", url + "/a").status == 200)
        #expect(await api.send("GET", url + "/a").status == 404)
        #expect(await api.send("DELETE", url + "?labelSelector=test=yes").status == 200)
        #expect(await api.send("GET", url + "?labelSelector=test=yes").json["items"]?.array?.isEmpty == true)

        let expected = ["ADDED", "ADDED", "ADDED", "MODIFIED", "MODIFIED"] + (kind.hasStatus ? ["MODIFIED"] : [])
            + ["DELETED", "DELETED", "DELETED"]
        let events = try await watch.events(atLeast: expected.count)
        #expect(events.compactMap { $0["type"]?.string } == expected)
        watch.finish()
    }

    /// What has no metadata is no table, either.
    @Test func aReviewIsNoTable() async throws {
        let api = try await TestServer()
        let review: JSON = [
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": ["resourceAttributes": ["verb": "get", "resource": "pods", "namespace": "default"]],
        ]
        let url = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io"
        let refused = await api.send(
            "POST", url, review, headers: ["Accept": table, "Content-Type": "application/json"])
        #expect(refused.status == 406)
        #expect(refused.reason == "NotAcceptable")
        #expect(await api.send("POST", url, review).status == 201)
    }
}

// RBAC as clients meet it: real requests as real users against the real server.

import HTTP
import Objects
import Testing

@testable import APIServer

/// A client certificate.
func user(_ name: String, _ groups: String...) -> Peer {
    Peer(address: "192.0.2.7", certificate: ClientCertificate(commonName: name, organizations: groups))
}

private let rbac = "/apis/rbac.authorization.k8s.io/v1"

extension TestServer {
    func role(_ name: String, namespace: String = "default", rules: JSON) async {
        let answer = await send("POST", "\(rbac)/namespaces/\(namespace)/roles", ["metadata": ["name": .string(name)], "rules": rules])
        #expect(answer.status == 201, "\(answer.message)")
    }

    func clusterRole(_ name: String, rules: JSON, labels: JSON = [:]) async {
        let answer = await send("POST", "\(rbac)/clusterroles", ["metadata": ["name": .string(name), "labels": labels], "rules": rules])
        #expect(answer.status == 201, "\(answer.message)")
    }

    func bind(_ role: String, kind: String = "Role", to subject: JSON, namespace: String = "default") async {
        let answer = await send(
            "POST", "\(rbac)/namespaces/\(namespace)/rolebindings",
            [
                "metadata": ["generateName": "b-"], "roleRef": ["kind": .string(kind), "name": .string(role)],
                "subjects": [subject],
            ])
        #expect(answer.status == 201, "\(answer.message)")
    }

    func bindEverywhere(_ role: String, to subject: JSON) async {
        let answer = await send(
            "POST", "\(rbac)/clusterrolebindings",
            [
                "metadata": ["generateName": "b-"], "roleRef": ["kind": "ClusterRole", "name": .string(role)],
                "subjects": [subject],
            ])
        #expect(answer.status == 201, "\(answer.message)")
    }
}

private let jane: JSON = ["kind": "User", "name": "jane"]

@Suite struct AuthorizationTests {
    @Test func whatNobodyAllowsIsForbiddenInKubernetesWords() async throws {
        let server = try await TestServer()
        var answer = await server.send("GET", "/api/v1/namespaces/default/pods", peer: user("jane"))
        #expect(answer.status == 403)
        #expect(
            answer.message
                == #"pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default""#)
        answer = await server.send("GET", "/apis/apps/v1/deployments", peer: user("jane"))
        #expect(
            answer.message
                == #"deployments.apps is forbidden: User "jane" cannot list resource "deployments" in API group "apps" at the cluster scope"#)
        answer = await server.send("GET", "/api/v1/namespaces/default/pods/x/log", peer: user("jane"))
        #expect(
            answer.message
                == #"pods "x" is forbidden: User "jane" cannot get resource "pods/log" in API group "" in the namespace "default""#)
        answer = await server.send("GET", "/metrics", peer: user("jane"))
        #expect(answer.message == #"forbidden: User "jane" cannot get path "/metrics""#)
    }

    @Test func aRoleHoldsInItsNamespaceOnly() async throws {
        let server = try await TestServer()
        await server.namespace("other")
        await server.role("reader", rules: [["apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]]])
        await server.bind("reader", to: jane)
        #expect(await server.send("GET", "/api/v1/namespaces/default/pods", peer: user("jane")).status == 200)
        #expect(await server.send("GET", "/api/v1/namespaces/other/pods", peer: user("jane")).status == 403)
        #expect(await server.send("GET", "/api/v1/pods", peer: user("jane")).status == 403)
        #expect(await server.send("GET", "/api/v1/namespaces/default/pods", peer: user("joe")).status == 403)
    }

    @Test func patchingIsNotCreating() async throws {
        let server = try await TestServer()
        await server.role("patcher", rules: [["apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"]]])
        await server.bind("patcher", to: jane)
        let answer = await server.send(
            "PATCH", "/api/v1/namespaces/default/configmaps/new?fieldManager=m",
            ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "new"]],
            headers: ["Content-Type": "application/apply-patch+yaml"], peer: user("jane"))
        #expect(answer.status == 403 && answer.message.contains("cannot create resource"))
    }

    @Test func resourceNamesSubresourcesAndStars() async throws {
        let server = try await TestServer()
        await server.role(
            "some",
            rules: [
                ["apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["get", "list", "update"]],
                ["apiGroups": ["apps"], "resources": ["*/scale"], "verbs": ["get"]],
                ["apiGroups": ["*"], "resources": ["secrets"], "verbs": ["*"]],
            ])
        await server.bind("some", kind: "Role", to: ["kind": "Group", "name": "team"])
        let peer = user("anna", "team")
        let core = "/api/v1/namespaces/default"
        #expect(await server.send("GET", "\(core)/configmaps/mine", peer: peer).status == 404)
        #expect(await server.send("GET", "\(core)/configmaps/other", peer: peer).status == 403)
        #expect(await server.send("GET", "\(core)/configmaps", peer: peer).status == 403)
        #expect(await server.send("GET", "\(core)/configmaps?fieldSelector=metadata.name%3Dmine", peer: peer).status != 200)
        #expect(await server.send("GET", "\(core)/configmaps?fieldSelector=metadata.name=mine", peer: peer).status == 200)
        // The name of a create is in its body: a name in the query gives nothing.
        #expect(
            await server.send("POST", "\(core)/configmaps?fieldSelector=metadata.name=mine", configMap("x"), peer: peer).status == 403)
        let apps = "/apis/apps/v1/namespaces/default/deployments"
        #expect(await server.send("GET", "\(apps)/x/scale", peer: peer).status == 404)
        #expect(await server.send("GET", "\(apps)/x", peer: peer).status == 403)
        #expect(await server.send("DELETE", "\(core)/secrets", peer: peer).status == 200)
    }

    @Test func aChangeOfARoleHoldsWithItsAcknowledgement() async throws {
        let server = try await TestServer()
        let url = "/api/v1/namespaces/default/pods"
        await server.bind("later", to: jane)
        let missing = await server.send("GET", url, peer: user("jane"))
        #expect(missing.message.hasSuffix(#": RBAC: role.rbac.authorization.k8s.io "later" not found"#), "\(missing.message)")
        let rule: JSON = ["apiGroups": [""], "resources": ["pods"], "verbs": ["list"]]
        await server.role("later", rules: [rule])
        for _ in 0..<20 {
            #expect(await server.send("GET", url, peer: user("jane")).status == 200)
            _ = await server.send("PUT", "\(rbac)/namespaces/default/roles/later", ["metadata": ["name": "later"], "rules": []])
            #expect(await server.send("GET", url, peer: user("jane")).status == 403)
            _ = await server.send("PUT", "\(rbac)/namespaces/default/roles/later", ["metadata": ["name": "later"], "rules": [rule]])
        }
        #expect(await server.send("DELETE", "\(rbac)/namespaces/default/rolebindings").status == 200)
        #expect(await server.send("GET", url, peer: user("jane")).status == 403)
    }

    @Test func anonymousSeesHealthAndVersionOnly() async throws {
        let server = try await TestServer()
        let nobody = Peer(address: "192.0.2.9")
        for path in ["/livez", "/readyz", "/healthz", "/version"] {
            #expect(await server.send("GET", path, peer: nobody).status == 200, "\(path)")
        }
        for path in ["/api", "/apis", "/openapi/v2", "/openid/v1/jwks", "/api/v1/pods", "/"] {
            let answer = await server.send("GET", path, peer: nobody)
            #expect(answer.status == 403, "\(path)")
            #expect(answer.message.contains(#"User "system:anonymous" cannot"#))
        }
        // Who is somebody may discover.
        for path in ["/api", "/apis", "/apis/apps/v1", "/openapi/v3"] {
            #expect(await server.send("GET", path, peer: user("jane")).status == 200, "\(path)")
        }
    }

    @Test func nobodyGrantsWhatHeHasNot() async throws {
        let server = try await TestServer()
        await server.clusterRole(
            "role-writer",
            rules: [
                ["apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["create", "update"]],
                ["apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]],
            ])
        await server.bindEverywhere("role-writer", to: jane)
        let url = "\(rbac)/namespaces/default/roles"
        let wide: JSON = [
            "metadata": ["name": "wide"],
            "rules": [["apiGroups": [""], "resources": ["pods"], "verbs": ["get", "delete", "watch"]]],
        ]
        let refused = await server.send("POST", url, wide, peer: user("jane", "dev"))
        #expect(refused.status == 403)
        #expect(
            refused.message
                == #"roles.rbac.authorization.k8s.io "wide" is forbidden: user "jane" (groups=["dev" "system:authenticated"]) "#
                + "is attempting to grant RBAC permissions not currently held:\n"
                + #"{APIGroups:[""], Resources:["pods"], Verbs:["delete" "watch"]}"#)
        var narrow = wide
        narrow["rules"] = [["apiGroups": [""], "resources": ["pods"], "verbs": ["get"]]]
        #expect(await server.send("POST", url, narrow, peer: user("jane")).status == 201)
        // Widening it later is the same.
        #expect(await server.send("PUT", "\(url)/wide", wide, peer: user("jane")).status == 403)
        // Binding a role takes its rules too, or the verb bind.
        let binding: JSON = [
            "metadata": ["name": "b"], "roleRef": ["kind": "ClusterRole", "name": "cluster-admin"],
            "subjects": [["kind": "User", "name": "jane"]],
        ]
        let bound = await server.send("POST", "\(rbac)/namespaces/default/rolebindings", binding, peer: user("jane"))
        #expect(bound.status == 403)
        await server.clusterRole(
            "binder",
            rules: [["apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["bind"]]])
        await server.bindEverywhere("binder", to: jane)
        #expect(
            await server.send("POST", "\(rbac)/namespaces/default/rolebindings", binding, peer: user("jane")).status == 201)
    }

    @Test func aBindingKeepsItsRole() async throws {
        let server = try await TestServer()
        await server.role("a", rules: [])
        let binding: JSON = [
            "metadata": ["name": "b"], "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "a"],
        ]
        #expect(await server.send("POST", "\(rbac)/namespaces/default/rolebindings", binding).status == 201)
        var other = binding
        other.set("roleRef", "name", to: "z")
        let answer = await server.send("PUT", "\(rbac)/namespaces/default/rolebindings/b", other)
        #expect(answer.status == 422)
        #expect(answer.message.contains("cannot change roleRef"), "\(answer.message)")
    }

    @Test func defaultRolesAreKeptCompleteUnlessToldOtherwise() async throws {
        let server = try await TestServer()
        let url = "\(rbac)/clusterroles/system:basic-user"
        #expect(await server.send("GET", url).status == 200)
        let bindings = await server.send("GET", "\(rbac)/clusterrolebindings").json["items"]?.array ?? []
        #expect(bindings.count > 40)
        // What is taken away comes back, what was added stays.
        var role = await server.send("GET", url).json
        let own: JSON = ["apiGroups": ["example.com"], "resources": ["things"], "verbs": ["get"]]
        role["rules"] = [own]
        #expect(await server.send("PUT", url, role).status == 200)
        try await DefaultRoles.reconcile(server.server.core)
        var rules = await server.send("GET", url).json["rules"]?.array ?? []
        #expect(rules.count > 1 && rules.contains(own))
        // Unless the role says so.
        role = await server.send("GET", url).json
        role.set("metadata", "annotations", DefaultRoles.autoupdate, to: "false")
        role["rules"] = [own]
        #expect(await server.send("PUT", url, role).status == 200)
        try await DefaultRoles.reconcile(server.server.core)
        rules = await server.send("GET", url).json["rules"]?.array ?? []
        #expect(rules == [own])
    }

    @Test func impersonationTakesTheRightForEachPart() async throws {
        let server = try await TestServer()
        await server.clusterRole(
            "helpdesk", rules: [["apiGroups": [""], "resources": ["users"], "resourceNames": ["jane"], "verbs": ["impersonate"]]])
        await server.bindEverywhere("helpdesk", to: ["kind": "User", "name": "joe"])
        let url = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        func whoami(_ headers: HTTPHeaders, _ peer: Peer) async -> Answer {
            await server.send("POST", url, [:], headers: headers, peer: peer)
        }
        var answer = await whoami(["Impersonate-User": "jane"], user("joe"))
        #expect(answer.status == 201, "\(answer.message)")
        #expect(answer.json.at("status", "userInfo", "username") == "jane")
        #expect(answer.json.at("status", "userInfo", "groups") == ["system:authenticated"])
        answer = await whoami(["Impersonate-User": "jane", "Impersonate-Group": "system:masters"], user("joe"))
        #expect(answer.status == 403)
        #expect(
            answer.message
                == #"groups "system:masters" is forbidden: User "joe" cannot impersonate resource "groups" in API group "" at the cluster scope"#)
        answer = await whoami(["Impersonate-User": "system:serviceaccount:default:robot"], TestServer.admin)
        #expect(
            answer.json.at("status", "userInfo", "groups")
                == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"])
        answer = await whoami(
            ["Impersonate-User": "x", "Impersonate-Uid": "7", "Impersonate-Extra-Scopes%2fa": "view"], TestServer.admin)
        #expect(answer.json.at("status", "userInfo", "uid") == "7")
        #expect(answer.json.at("status", "userInfo", "extra", "scopes/a") == ["view"])
        answer = await whoami(["Impersonate-Group": "g"], TestServer.admin)
        #expect(answer.status == 500)
        // The other user's rights are all there is.
        answer = await server.send(
            "GET", "/api/v1/nodes", headers: ["Impersonate-User": "jane"], peer: TestServer.admin)
        #expect(answer.status == 403)
    }

    @Test func aShellTakesMoreThanReading() async throws {
        let server = try await TestServer()
        await server.role("look", rules: [["apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]]])
        await server.bind("look", to: jane)
        let answer = await server.send("GET", "/api/v1/namespaces/default/pods/x/exec?command=sh", peer: user("jane"))
        #expect(answer.status == 403)
        #expect(answer.message.contains("cannot create resource \"pods/exec\""), "\(answer.message)")
    }
}

@Suite struct AccessReviewTests {
    private func review(_ server: TestServer, _ kind: String, _ spec: JSON, peer: Peer = TestServer.admin) async -> Answer {
        await server.send("POST", "/apis/authorization.k8s.io/v1/\(kind)", ["spec": spec], peer: peer)
    }

    @Test func reviewsAnswerAsRequestsWould() async throws {
        let server = try await TestServer()
        await server.role("reader", rules: [["apiGroups": [""], "resources": ["pods"], "verbs": ["list"]]])
        await server.bind("reader", to: jane)
        let pods: JSON = ["namespace": "default", "verb": "list", "resource": "pods"]
        var answer = await review(server, "selfsubjectaccessreviews", ["resourceAttributes": pods], peer: user("jane"))
        #expect(answer.status == 201)
        #expect(answer.json.at("status", "allowed") == true)
        let reason = answer.json.at("status", "reason")?.string ?? ""
        #expect(reason.hasPrefix("RBAC: allowed by RoleBinding \"b-") && reason.hasSuffix("/default\" of Role \"reader\" to User \"jane\""), "\(reason)")
        answer = await review(server, "subjectaccessreviews", ["user": "joe", "resourceAttributes": pods])
        #expect(answer.json.at("status", "allowed") == false)
        answer = await review(server, "subjectaccessreviews", ["user": "jane", "resourceAttributes": pods])
        #expect(answer.json.at("status", "allowed") == true)
        answer = await review(
            server, "subjectaccessreviews", ["groups": ["system:unauthenticated"], "nonResourceAttributes": ["verb": "get", "path": "/version"]])
        #expect(answer.json.at("status", "allowed") == true)
        answer = await server.send(
            "POST", "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews",
            ["metadata": ["namespace": "default"], "spec": ["user": "jane", "resourceAttributes": pods]])
        #expect(answer.json.at("status", "allowed") == true)
    }

    @Test func badReviewsSayWhatIsWrong() async throws {
        let server = try await TestServer()
        var answer = await review(server, "selfsubjectaccessreviews", [:])
        #expect(answer.status == 422)
        #expect(answer.message.contains("exactly one of nonResourceAttributes or resourceAttributes must be specified"))
        answer = await review(server, "subjectaccessreviews", ["resourceAttributes": ["verb": "get"]])
        #expect(answer.message.contains("at least one of user or group must be specified"))
        answer = await review(server, "selfsubjectrulesreviews", [:])
        #expect(answer.status == 400)
        // Who is nobody may not ask.
        answer = await review(
            server, "selfsubjectaccessreviews", ["resourceAttributes": ["verb": "get"]], peer: Peer(address: "192.0.2.1"))
        #expect(answer.status == 403)
    }

    @Test func rulesAreListed() async throws {
        let server = try await TestServer()
        await server.role("reader", rules: [["apiGroups": [""], "resources": ["pods"], "verbs": ["list"]]])
        await server.bind("reader", to: jane)
        var answer = await review(server, "selfsubjectrulesreviews", ["namespace": "default"], peer: user("jane"))
        let rules = answer.json.at("status", "resourceRules")?.array ?? []
        #expect(rules.contains(["apiGroups": [""], "resources": ["pods"], "verbs": ["list"]]))
        let paths = (answer.json.at("status", "nonResourceRules")?.array ?? []).flatMap { $0["nonResourceURLs"]?.strings ?? [] }
        #expect(paths.contains("/apis/*"))
        answer = await review(server, "selfsubjectrulesreviews", ["namespace": "default"])
        #expect(
            (answer.json.at("status", "resourceRules")?.array ?? [])
                .contains(["apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]]))
    }
}

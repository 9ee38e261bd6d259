// kubernetes.io/enforce-mountable-secrets: a pod uses the Secrets that its service account names, or is refused.

import HTTP
import Objects
import Testing

@Suite struct MountableSecretsTests {
    private func account(_ api: TestServer, _ name: String, flag: String) async {
        let answer = await api.send(
            "POST", "/api/v1/namespaces/default/serviceaccounts",
            [
                "metadata": [
                    "name": .string(name), "annotations": ["kubernetes.io/enforce-mountable-secrets": .string(flag)],
                ],
                "secrets": [["name": "mine"]], "imagePullSecrets": [["name": "registry"]],
            ])
        #expect(answer.status == 201)
    }

    private func create(_ api: TestServer, _ spec: JSON, as account: String) async -> Answer {
        var body = pod("p")
        for (key, value) in spec.object ?? JSONObject() { body.set("spec", key, to: value) }
        body.set("spec", "serviceAccountName", to: .string(account))
        return await api.send("POST", "/api/v1/namespaces/default/pods?dryRun=All", body)
    }

    private func container(_ more: JSON) -> JSON {
        var container: JSON = ["name": "c", "image": "demo:1"]
        for (key, value) in more.object ?? JSONObject() { container[key] = value }
        return [container]
    }

    @Test func onlyTheAccountsOwn() async throws {
        let api = try await TestServer()
        await account(api, "strict", flag: "true")
        await account(api, "lax", flag: "yes")
        func key(_ secret: String) -> JSON {
            [["name": "E", "valueFrom": ["secretKeyRef": ["name": .string(secret), "key": "k"]]]]
        }
        let tail = "is not allowed because service account strict does not reference that secret"
        let cases: [(String, (String) -> JSON)] = [
            ("volume with secret.secretName=\"other\" \(tail)", { ["volumes": [["name": "v", "secret": ["secretName": .string($0)]]]] }),
            (
                "volume with secret.secretName=\"other\" \(tail)",
                { ["volumes": [["name": "v", "projected": ["sources": [["secret": ["name": .string($0)]]]]]]] }
            ),
            (
                "container c with envVar E referencing secret.secretName=\"other\" \(tail)",
                { ["containers": container(["env": key($0)])] }
            ),
            (
                "init container c with envVar E referencing secret.secretName=\"other\" \(tail)",
                { ["containers": [["name": "main", "image": "demo:1"]], "initContainers": container(["env": key($0)])] }
            ),
            (
                "container c with envFrom referencing secret.secretName=\"other\" \(tail)",
                { ["containers": container(["envFrom": [["secretRef": ["name": .string($0)]]]])] }
            ),
        ]
        for (message, spec) in cases {
            let refused = await create(api, spec("other"), as: "strict")
            #expect(refused.status == 403)
            #expect(refused.message == "pods \"p\" is forbidden: \(message)")
            #expect(await create(api, spec("mine"), as: "strict").status == 201)
            #expect(await create(api, spec("other"), as: "lax").status == 201)
        }
        let pulls = await create(api, ["imagePullSecrets": [["name": "registry"], ["name": "other"]]], as: "strict")
        #expect(
            pulls.message
                == "pods \"p\" is forbidden: imagePullSecrets[1].name=\"other\" is not allowed because service account "
                + "strict does not reference that imagePullSecret")
        #expect(await create(api, ["imagePullSecrets": [["name": "registry"]]], as: "strict").status == 201)
        #expect(await create(api, [:], as: "strict").status == 201)
    }

    /// A container that joins later is held to it, too.
    @Test func ephemeralContainersAsWell() async throws {
        let api = try await TestServer()
        await account(api, "strict", flag: "true")
        await account(api, "lax", flag: "false")
        let pods = "/api/v1/namespaces/default/pods"
        func join(_ name: String, _ secret: String, env: Bool = false) async -> Answer {
            var container: JSON = ["name": "c\(env)-\(secret)", "image": "demo:1"]
            let key: JSON = ["secretKeyRef": ["name": .string(secret), "key": "k"]]
            container[env ? "env" : "envFrom"] =
                env ? [["name": "E", "valueFrom": key]] : [["secretRef": ["name": .string(secret)]]]
            return await api.send(
                "PATCH", "\(pods)/\(name)/ephemeralcontainers", ["spec": ["ephemeralContainers": [container]]],
                headers: ["Content-Type": "application/strategic-merge-patch+json"])
        }
        for name in ["strict", "lax"] {
            var body = pod(name)
            body.set("spec", "serviceAccountName", to: .string(name))
            #expect(await api.send("POST", pods, body).status == 201)
            let welcome = await join(name, "mine")
            #expect(welcome.status == 200, "\(welcome.message)")
        }
        let tail = "referencing secret.secretName=\"other\" is not allowed because service account strict does not "
            + "reference that secret"
        let bulk = await join("strict", "other")
        #expect(bulk.status == 403)
        #expect(
            bulk.message == "pods \"strict\" is forbidden: ephemeral container cfalse-other with envFrom \(tail)")
        let single = await join("strict", "other", env: true)
        #expect(single.status == 403)
        #expect(
            single.message == "pods \"strict\" is forbidden: ephemeral container ctrue-other with envVar E \(tail)")
        #expect(await join("lax", "other").status == 200)
        let left = await api.send("GET", "\(pods)/strict").json.at("spec", "ephemeralContainers")?.array
        #expect(left?.count == 1)
    }

    /// Who showed a certificate is known by it.
    @Test func certificatesAreNamedInTheUser() async throws {
        let api = try await TestServer()
        let digest = String(repeating: "ab", count: 32)
        let peer = Peer(
            address: "192.0.2.7",
            certificate: ClientCertificate(commonName: "ann", organizations: ["system:masters"], fingerprint: digest))
        let review = await api.send(
            "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            ["apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"], peer: peer)
        #expect(
            review.json.at("status", "userInfo", "extra", "authentication.kubernetes.io/credential-id")
                == ["X509SHA256=\(digest)"])
    }
}

// CertificateSigningRequests at the API: who asks is written down, who decides must be allowed to, nothing is undone.

import HTTP
import Objects
import Testing

@testable import APIServer

private let url = "/apis/certificates.k8s.io/v1/certificatesigningrequests"

private func request(_ name: String, signer: String = "kubernetes.io/kube-apiserver-client", organizations: String = "dev") -> JSON {
    [
        "metadata": ["name": .string(name)],
        "spec": [
            "request": .string(TestCertificateSigner.request("jane", organizations: organizations)),
            "signerName": .string(signer), "usages": ["client auth"], "username": "somebody-else",
        ],
    ]
}

@Suite struct CertificateTests {
    @Test func theRequesterIsWrittenDown() async throws {
        let server = try await TestServer()
        await server.clusterRole(
            "csr", rules: [["apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"], "verbs": ["*"]]])
        await server.bindEverywhere("csr", to: ["kind": "User", "name": "jane"])
        let answer = await server.send("POST", url, request("a"), peer: user("jane", "dev"))
        #expect(answer.status == 201, "\(answer.message)")
        #expect(answer.json.at("spec", "username") == "jane")
        #expect(answer.json.at("spec", "groups") == ["dev", "system:authenticated"])
        // Nothing of the spec changes later.
        var changed = answer.json
        changed.set("spec", "username", to: "root")
        let updated = await server.send("PUT", "\(url)/a", changed, peer: user("jane", "dev"))
        #expect(updated.json.at("spec", "username") == "jane")
    }

    @Test func whatIsInsideMustBeGood() async throws {
        let server = try await TestServer()
        var bad = request("a")
        bad.set("spec", "request", to: "bm9uc2Vuc2U=")
        let unreadable = await server.send("POST", url, bad)
        #expect(unreadable.status == 422 && unreadable.message.contains("spec.request"), "\(unreadable.message)")
        let masters = await server.send("POST", url, request("a", organizations: "system:masters"))
        #expect(masters.status == 403)
        #expect(masters.message.contains("system:masters group is not allowed"), "\(masters.message)")
        let legacy = await server.send("POST", url, request("a", signer: "kubernetes.io/legacy-unknown"))
        #expect(legacy.status == 422)
        #expect(legacy.message.contains("the legacy signerName is not allowed via this API version"))
        var short = request("a")
        short.set("spec", "expirationSeconds", to: 10)
        short.set("spec", "usages", to: ["client auth", "flying"])
        let answer = await server.send("POST", url, short)
        #expect(answer.message.contains("unknown usage") && answer.message.contains("less than 600 seconds"), "\(answer.message)")
    }

    @Test func approvalTakesTheSignersRight() async throws {
        let server = try await TestServer()
        _ = await server.send("POST", url, request("a"))
        await server.clusterRole(
            "approver",
            rules: [
                ["apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/approval"], "verbs": ["update"]]
            ])
        await server.bindEverywhere("approver", to: ["kind": "User", "name": "jane"])
        var approved = await server.send("GET", "\(url)/a").json
        approved["status"] = ["conditions": [["type": "Approved", "status": "True", "reason": "Test"]], "certificate": "eA=="]
        let refused = await server.send("PUT", "\(url)/a/approval", approved, peer: user("jane"))
        #expect(refused.status == 403)
        #expect(
            refused.message.hasSuffix(
                #"user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client""#))
        await server.clusterRole(
            "signers",
            rules: [["apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": ["kubernetes.io/*"], "verbs": ["approve"]]])
        await server.bindEverywhere("signers", to: ["kind": "User", "name": "jane"])
        let done = await server.send("PUT", "\(url)/a/approval", approved, peer: user("jane"))
        #expect(done.status == 200, "\(done.message)")
        #expect(done.json.at("status", "conditions")?[0]?["lastUpdateTime"] != nil)
        // The certificate is the signer's to write.
        #expect(done.json.at("status", "certificate") == nil)
        // Approved is for good.
        var denied = done.json
        denied["status"] = ["conditions": [["type": "Denied", "status": "True"]]]
        #expect(await server.send("PUT", "\(url)/a/approval", denied).status == 422)
    }
}

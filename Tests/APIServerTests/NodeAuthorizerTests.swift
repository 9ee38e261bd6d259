// What a node may see: what its own pods need.

import HTTP
import Objects
import Testing

@testable import APIServer

@Suite struct NodeAuthorizerTests {
    private func get(_ server: TestServer, _ url: String, _ node: String = "n1") async -> Answer {
        await server.send("GET", url, peer: user("system:node:\(node)", "system:nodes"))
    }

    private func allowed(_ answer: Answer) -> Bool { answer.status == 200 || answer.status == 404 }

    @Test func aNodeReadsWhatItsPodsReferTo() async throws {
        let server = try await TestServer()
        let core = "/api/v1/namespaces/default"
        for name in ["n1", "n2"] { _ = await server.send("POST", "/api/v1/nodes", ["metadata": ["name": .string(name)]]) }
        #expect(await get(server, "\(core)/secrets/volume").status == 403)
        var object = pod("p", node: "n1")
        object.set(
            "spec", "volumes",
            to: [
                ["name": "a", "secret": ["secretName": "volume"]],
                ["name": "b", "projected": ["sources": [["configMap": ["name": "projected"]]]]],
                ["name": "c", "persistentVolumeClaim": ["claimName": "claim"]],
            ])
        object["spec"]?["containers"] = [
            [
                "name": "main", "image": "demo:1", "envFrom": [["configMapRef": ["name": "env"]]],
                "env": [["name": "X", "valueFrom": ["secretKeyRef": ["name": "key", "key": "k"]]]],
            ]
        ]
        let made = await server.send("POST", "\(core)/pods", object)
        #expect(made.status == 201, "\(made.message)")
        for path in [
            "secrets/volume", "secrets/key", "configmaps/env", "configmaps/projected", "persistentvolumeclaims/claim", "pods/p",
        ] {
            #expect(allowed(await get(server, "\(core)/\(path)")), "\(path)")
            let other = await get(server, "\(core)/\(path)", "n2")
            #expect(other.status == 403, "\(path)")
            #expect(other.message.contains("no relationship found between node 'n2' and this object"), "\(other.message)")
        }
        // One object by name is a list of one; all of them are not.
        #expect(await get(server, "\(core)/secrets?fieldSelector=metadata.name=volume").status == 200)
        #expect(await get(server, "\(core)/secrets").status == 403)
        // With the pod goes the right.
        _ = await server.send("DELETE", "\(core)/pods/p?gracePeriodSeconds=0")
        #expect(await get(server, "\(core)/secrets/volume").status == 403)
    }

    @Test func aNodeSeesItselfAndItsPods() async throws {
        let server = try await TestServer()
        for name in ["n1", "n2"] { _ = await server.send("POST", "/api/v1/nodes", ["metadata": ["name": .string(name)]]) }
        #expect(await get(server, "/api/v1/nodes/n1").status == 200)
        #expect(await get(server, "/api/v1/nodes/n2").status == 403)
        #expect(await get(server, "/api/v1/nodes").status == 403)
        #expect(await get(server, "/api/v1/pods?fieldSelector=spec.nodeName=n1").status == 200)
        #expect(await get(server, "/api/v1/pods?fieldSelector=spec.nodeName=n2").status == 403)
        #expect(await get(server, "/api/v1/pods").status == 403)
        #expect(await get(server, "/api/v1/services").status == 200)
        #expect(allowed(await get(server, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1")))
        #expect(await get(server, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n2").status == 403)
        #expect(await get(server, "/apis/coordination.k8s.io/v1/namespaces/default/leases/n1").status == 403)
        // The name alone makes no node.
        let pretender = await server.send("GET", "/api/v1/nodes/n1", peer: user("system:node:n1"))
        #expect(pretender.status == 403)
    }

    @Test func aNodeGetsTokensForItsPodsAccounts() async throws {
        let server = try await TestServer()
        let url = "/api/v1/namespaces/default/serviceaccounts/default/token"
        let node = user("system:node:n1", "system:nodes")
        #expect(await server.send("POST", url, ["spec": [:]], peer: node).status == 403)
        let made = await server.send("POST", "/api/v1/namespaces/default/pods", pod("p", node: "n1"))
        let uid = made.json.at("metadata", "uid") ?? ""
        let bound: JSON = ["apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid]
        let issued = await server.send("POST", url, ["spec": ["boundObjectRef": bound]], peer: node)
        #expect(issued.status == 201, "\(issued.message)")
    }

    /// A stolen node gets no tokens for others than its pods name.
    @Test func aNodesTokensAreForWhomItsPodsName() async throws {
        let server = try await TestServer()
        let core = "/api/v1/namespaces/default"
        let node = user("system:node:n1", "system:nodes")
        var object = pod("p", node: "n1")
        object.set(
            "spec", "volumes",
            to: [
                ["name": "a", "projected": ["sources": [["serviceAccountToken": ["path": "t", "audience": "vault"]]]]],
                ["name": "b", "persistentVolumeClaim": ["claimName": "claim"]],
                ["name": "c", "csi": ["driver": "inline.example"]],
            ])
        let made = await server.send("POST", "\(core)/pods", object)
        #expect(made.status == 201, "\(made.message)")
        for (name, audience) in [("inline.example", "inline"), ("disk.example", "disk")] {
            let driver = await server.send(
                "POST", "/apis/storage.k8s.io/v1/csidrivers",
                ["metadata": ["name": .string(name)], "spec": ["tokenRequests": [["audience": .string(audience)]]]])
            #expect(driver.status == 201, "\(driver.message)")
        }
        let size: JSON = ["storage": "1Gi"]
        let volume = await server.send(
            "POST", "/api/v1/persistentvolumes",
            [
                "metadata": ["name": "v"],
                "spec": [
                    "capacity": size, "accessModes": ["ReadWriteOnce"],
                    "csi": ["driver": "disk.example", "volumeHandle": "1"],
                ],
            ])
        #expect(volume.status == 201, "\(volume.message)")
        let claim = await server.send(
            "POST", "\(core)/persistentvolumeclaims",
            [
                "metadata": ["name": "claim"],
                "spec": ["accessModes": ["ReadWriteOnce"], "resources": ["requests": size], "volumeName": "v"],
            ])
        #expect(claim.status == 201, "\(claim.message)")
        let bound: JSON = ["apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made.json.at("metadata", "uid") ?? ""]
        func token(_ audiences: [String], _ peer: Peer) async -> Answer {
            await server.send(
                "POST", "\(core)/serviceaccounts/default/token",
                ["spec": ["audiences": .array(audiences.map { .string($0) }), "boundObjectRef": bound]], peer: peer)
        }
        let own = (await token([], node)).json.at("spec", "audiences")?.strings ?? []
        #expect(!own.isEmpty)
        for audience in own + ["vault", "inline", "disk"] {
            let issued = await token([audience], node)
            #expect(issued.status == 201, "\(audience): \(issued.message)")
            #expect(issued.json.at("spec", "audiences") == [.string(audience)])
        }
        let refused = await token(["bank"], node)
        #expect(refused.status == 403)
        #expect(
            refused.message
                == "serviceaccounts \"default\" is forbidden: audience \"bank\" not found in pod spec volume, "
                + "system:node:n1 is not authorized to request tokens for this audience")
        let both = await token(["vault", "inline"], node)
        #expect(both.status == 403)
        #expect(both.message == "serviceaccounts \"default\" is forbidden: node may only request 0 or 1 audiences")
        // Others than nodes are not held to it; nodes may be let by name.
        #expect(await token(["bank"], user("ann", "system:masters")).status == 201)
        let rights = "/apis/rbac.authorization.k8s.io/v1"
        let verb = "request-serviceaccounts-token-audience"
        let role = await server.send(
            "POST", "\(rights)/clusterroles",
            [
                "metadata": ["name": "bank"],
                "rules": [
                    [
                        "verbs": [.string(verb)], "apiGroups": [""], "resources": ["bank"],
                        "resourceNames": ["default"],
                    ]
                ],
            ])
        #expect(role.status == 201, "\(role.message)")
        let binding = await server.send(
            "POST", "\(rights)/clusterrolebindings",
            [
                "metadata": ["name": "bank"],
                "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "bank"],
                "subjects": [["apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"]],
            ])
        #expect(binding.status == 201, "\(binding.message)")
        #expect(await token(["bank"], node).status == 201)
        #expect(await token(["mint"], node).status == 403)
    }
}

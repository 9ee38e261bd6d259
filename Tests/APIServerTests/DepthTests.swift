// What the server takes it can read again: an object as deep as a body may be, with its owners' fields, after a restart.

import HTTP
import Objects
import Store
import Testing

@testable import APIServer

@Suite struct DepthTests {
    private let url = "/apis/apps/v1/namespaces/default/controllerrevisions"

    private func revision(_ name: String, depth: Int) -> JSON {
        [
            "apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": ["name": .string(name)], "revision": 1,
            "data": (0..<depth).reduce(1) { value, _ in ["a": value] },
        ]
    }

    @Test func theDeepestObjectSurvivesARestart() async throws {
        let store = MemoryStore()
        let api = try await TestServer(store: store)
        let made = await api.send("POST", url, revision("deep", depth: 511))
        #expect(made.status == 201, "\(made.message)")
        #expect(await api.send("POST", url, revision("deeper", depth: 512)).status == 400)
        let definition: JSON = [
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": ["name": "trees.example.org"],
            "spec": [
                "group": "example.org", "scope": "Cluster", "names": ["kind": "Tree", "plural": "trees"],
                "versions": [
                    [
                        "name": "v1", "served": true, "storage": true,
                        "schema": ["openAPIV3Schema": ["type": "object", "x-kubernetes-preserve-unknown-fields": true]],
                    ]
                ],
            ],
        ]
        #expect(await api.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).status == 201)
        let tree: JSON = [
            "apiVersion": "example.org/v1", "kind": "Tree", "metadata": ["name": "deep"],
            "branch": (0..<511).reduce(1) { value, _ in ["a": value] },
        ]
        let grown = await api.send("POST", "/apis/example.org/v1/trees", tree)
        #expect(grown.status == 201, "\(grown.message)")
        try await store.close()
        let again = try await TestServer(store: store)
        let read = await again.send("GET", url + "/deep")
        #expect(read.status == 200 && read.json["data"] == revision("deep", depth: 511)["data"])
        #expect(await again.send("GET", "/apis/example.org/v1/trees/deep").json["branch"] == tree["branch"])
    }

    @Test func noPatchGoesDeeper() async throws {
        let api = try await TestServer()
        _ = await api.send("POST", url, revision("r", depth: 300))
        let patch: JSON = [
            ["op": "copy", "from": "/data", "path": .string("/data" + String(repeating: "/a", count: 290))]
        ]
        let answer = await api.send("PATCH", url + "/r", patch, headers: ["Content-Type": "application/json-patch+json"])
        #expect(answer.status == 422 && answer.json.text.contains("exceeded max depth"), "\(answer.text.prefix(400))")
    }

    @Test func tokensKeepWhatTheyWereMadeOf() {
        for after in ["default/a", "a:b", "\u{36e}x", ""] {
            let token = ContinueToken(revision: 7, after: after)
            #expect(ContinueToken(token.text) == token)
        }
        #expect(ContinueToken("") == nil)
    }
}

// Every resource of the registry through the front door: what discovery lists is answered, or refused by name.

import HTTP
import Objects
import Testing

@Suite struct ResourceTests {
    private func path(_ declaration: ResourceDeclaration) -> String {
        let root = declaration.id.group.isEmpty ? "/api/" : "/apis/"
        let scope = declaration.isNamespaced ? "/namespaces/default" : ""
        return root + declaration.id.apiVersion + scope + "/" + declaration.id.resource
    }

    @Test func everyStoredResourceLists() async throws {
        let api = try await TestServer()
        let asTable: HTTPHeaders = ["Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"]
        for declaration in Registry.builtIn where declaration.isStored {
            let list = await api.send("GET", path(declaration))
            #expect(list.status == 200 && list.json["kind"]?.string == declaration.listKind, "\(declaration.id)")
            let table = await api.send("GET", path(declaration), headers: asTable)
            #expect(table.json["columnDefinitions"]?.array?.first?["name"] == "Name" || declaration.kind == "Event")
        }
    }

    @Test func documentsComeInTheFormsClientsAskFor() async throws {
        let api = try await TestServer()
        let proto: HTTPHeaders = ["Accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"]
        let v2 = await api.send("GET", "/openapi/v2", headers: proto)
        #expect(v2.status == 200 && v2.headers["Content-Type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
        #expect(v2.bytes.starts(with: [0x0a, 3] + Array("2.0".utf8)))
        let index = await api.send("GET", "/openapi/v3")
        let url = try #require(index.json.at("paths", "apis/batch/v1", "serverRelativeURL")?.string)
        let batch = await api.send("GET", url)
        let etag = try #require(batch.headers["ETag"])
        #expect(batch.status == 200 && url.hasSuffix("?hash=" + etag.filter { $0 != "\"" }))
        for known in [etag, "\"x\", \(etag)", "W/\(etag)", "*"] {
            #expect(await api.send("GET", url, headers: ["If-None-Match": known]).status == 304)
        }
        #expect(await api.send("GET", "/openapi/v3/apis/batch/v1?hash=0").status == 301)
    }

    @Test func whatNothingActsOnIsSaidToWhoMakesIt() async throws {
        let api = try await TestServer()
        let policy: JSON = [
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": ["name": "deny"],
            "spec": ["podSelector": [:]],
        ]
        let made = await api.send("POST", "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies", policy)
        #expect(made.status == 201)
        #expect(
            made.headers["Warning"]
                == "299 - \"networkpolicies: noded stores these and does not act on them yet: no traffic will be filtered\"")
        let other = await api.send(
            "POST", "/api/v1/namespaces/default/configmaps",
            ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "c"]])
        #expect(other.status == 201 && other.headers["Warning"] == nil)
    }

    @Test func serviceAddressesStay() async throws {
        let api = try await TestServer()
        let services = "/api/v1/namespaces/default/services"
        let made = await api.send(
            "POST", services, ["metadata": ["name": "s"], "spec": ["clusterIP": "10.43.0.7", "ports": [["port": 80]]]])
        #expect(made.status == 201)
        let patched = await api.send(
            "PATCH", services + "/s", ["spec": ["clusterIP": "10.43.0.8", "clusterIPs": ["10.43.0.8"]]],
            headers: ["Content-Type": "application/merge-patch+json"])
        #expect(patched.status == 422 && patched.json.at("details", "causes")?[0]?["field"] == "spec.clusterIPs[0]")
    }

    /// Discovery promises nothing that is answered with 501.
    @Test func whatIsListedIsThere() async throws {
        let api = try await TestServer()
        for declaration in Registry.builtIn where declaration.isStored {
            let id = declaration.id
            let root = id.group.isEmpty ? "/api/v1" : "/apis/\(id.apiVersion)"
            let path = "\(root)\(declaration.isNamespaced ? "/namespaces/default" : "")/\(id.resource)/x/"
            for subresource in declaration.subresources {
                for (verb, method) in [("get", "GET"), ("update", "PUT"), ("create", "POST")]
                where subresource.verbs.contains(verb) {
                    let answer = await api.send(method, path + subresource.name, method == "GET" ? nil : [:])
                    #expect(answer.status != 501 && answer.status != 405, "\(method) \(path)\(subresource.name)")
                }
            }
        }
        #expect(await api.send("GET", "/api/v1/namespaces/default/pods/x/nonsense").status == 404)
        #expect(await api.send("POST", "/api/v1/namespaces/default/pods/x/resize", [:]).status == 405)
    }
}

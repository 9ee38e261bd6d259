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

    @Test func whatIsListedAndMissingSaysSo() async throws {
        let api = try await TestServer()
        let pod = await api.send("GET", "/api/v1/namespaces/default/pods/x/attach")
        #expect(pod.status == 501 && pod.reason == "NotImplemented")
        #expect(pod.message.hasPrefix("the subresource attach of pods is not implemented by this server yet; use exec"))
        #expect(await api.send("GET", "/api/v1/namespaces/default/pods/x/nonsense").status == 404)
        #expect(await api.send("PATCH", "/api/v1/namespaces/default/pods/x/attach", [:]).status == 405)
    }
}

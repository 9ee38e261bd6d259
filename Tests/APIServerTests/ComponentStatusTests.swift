// componentstatuses: shape, columns, the header that says it is deprecated, and that a part in trouble shows.

import APIServer
import HTTP
import Objects
import Store
import Synchronization
import Testing

@Suite struct ComponentStatusTests {
    private let url = "/api/v1/componentstatuses"
    private let table: HTTPHeaders = ["Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"]

    @Test func partsAndTheirTroubles() async throws {
        let api = try await TestServer()
        let shared = Shared()
        api.server.addComponent(HealthCheck(name: "scheduler") { shared.text })
        let list = await api.send("GET", url)
        #expect(list.status == 200)
        #expect(list.headers["Warning"] == "299 - \"v1 ComponentStatus is deprecated in v1.19+\"")
        #expect(list.json["kind"] == "ComponentStatusList")
        #expect(
            list.json["items"] == [
                [
                    "apiVersion": "v1", "kind": "ComponentStatus", "metadata": ["name": "scheduler"],
                    "conditions": [["type": "Healthy", "status": "True", "message": "ok"]],
                ],
                [
                    "apiVersion": "v1", "kind": "ComponentStatus", "metadata": ["name": "store"],
                    "conditions": [["type": "Healthy", "status": "True", "message": "ok"]],
                ],
            ])
        let rows = await api.send("GET", url, headers: table)
        #expect(rows.json["columnDefinitions"]?.array?.compactMap { $0["name"] } == ["Name", "Status", "Message", "Error"])
        #expect(rows.json["rows"]?[0]?["cells"] == ["scheduler", "Healthy", "ok", ""])
        shared.text = "asleep"
        let one = await api.send("GET", url + "/scheduler", headers: table)
        #expect(one.json["rows"]?[0]?["cells"] == ["scheduler", "Unhealthy", "asleep", "asleep"])
        #expect(one.headers["Warning"] != nil)
        #expect(await api.send("GET", url + "/etcd-0").message == "componentstatuses \"etcd-0\" not found")
        let selected = await api.send("GET", url + "?fieldSelector=metadata.name=store")
        #expect(selected.json["items"]?.array?.count == 1)
        #expect(await api.send("GET", url + "?labelSelector=a=b").json["items"] == [])
        #expect(await api.send("POST", url, [:]).status == 405)
    }

    private final class Shared: Sendable {
        private let value = Mutex<String?>(nil)

        var text: String? {
            get { value.withLock { $0 } }
            set { value.withLock { $0 = newValue } }
        }
    }
}

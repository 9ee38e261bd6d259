// Services and EndpointSlices as short as the tests need them, and an API that holds them: a small implementation of
// list and watch with ordered events.

import Client
import Objects
import Synchronization

func service(
    _ name: String, _ ips: [String], ports: [(name: String, port: Int, proto: String)] = [("http", 80, "TCP")],
    _ more: [String: JSON] = [:]
) -> JSON {
    var json: JSON = [
        "metadata": ["namespace": "default", "name": .string(name)],
        "spec": [
            "clusterIP": .string(ips[0]), "clusterIPs": .array(ips.map(JSON.string)), "type": "ClusterIP",
            "ports": .array(
                ports.map { ["name": .string($0.name), "port": .int(Int64($0.port)), "protocol": .string($0.proto)] }),
        ],
    ]
    for (key, value) in more { json.set("spec", key, to: value) }
    return json
}

struct TestEndpoint {
    var address: String
    var ready = true
    var serving: Bool?
    var terminating = false
    var node = "this"
}

func slice(
    _ service: String, _ endpoints: [TestEndpoint], suffix: String = "1",
    ports: [(name: String, port: Int, proto: String)] = [("http", 8080, "TCP")], type: String = "IPv4"
) -> JSON {
    [
        "metadata": [
            "namespace": "default", "name": .string("\(service)-\(suffix)"),
            "labels": ["kubernetes.io/service-name": .string(service)],
        ],
        "addressType": .string(type),
        "ports": .array(
            ports.map { ["name": .string($0.name), "port": .int(Int64($0.port)), "protocol": .string($0.proto)] }),
        "endpoints": .array(
            endpoints.map {
                [
                    "addresses": [.string($0.address)], "nodeName": .string($0.node),
                    "conditions": [
                        "ready": .bool($0.ready), "serving": .bool($0.serving ?? $0.ready),
                        "terminating": .bool($0.terminating),
                    ],
                ]
            }),
    ]
}

func endpoints(_ addresses: [String]) -> [TestEndpoint] { addresses.map { TestEndpoint(address: $0) } }

final class MemoryAPI: APIClient {
    private struct State {
        var objects: [ResourceID: [ObjectKey: JSON]] = [:]
        var watchers: [ResourceID: [AsyncThrowingStream<WatchEvent, any Error>.Continuation]] = [:]
    }

    private let state = Mutex(State())

    func put(_ resource: ResourceID, _ object: JSON) {
        state.withLock { state in
            let old = state.objects[resource, default: [:]].updateValue(object, forKey: ObjectKey(object))
            for watcher in state.watchers[resource] ?? [] {
                watcher.yield(WatchEvent(kind: old == nil ? .added : .modified, object: object))
            }
        }
    }

    func remove(_ resource: ResourceID, _ name: String) {
        state.withLock { state in
            guard let old = state.objects[resource]?.removeValue(forKey: ObjectKey(namespace: "default", name: name))
            else { return }
            for watcher in state.watchers[resource] ?? [] { watcher.yield(WatchEvent(kind: .deleted, object: old)) }
        }
    }

    func list(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?
    ) async throws(APIStatus) -> ObjectList {
        // The watch delivers what changes between list and watch once more: handlers are level-triggered.
        state.withLock { ObjectList(items: Array(($0.objects[resource] ?? [:]).values), resourceVersion: "1") }
    }

    func watch(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?, from: String
    ) -> AsyncThrowingStream<WatchEvent, any Error> {
        let (stream, continuation) = AsyncThrowingStream<WatchEvent, any Error>.makeStream()
        state.withLock { state in
            state.watchers[resource, default: []].append(continuation)
            for object in (state.objects[resource] ?? [:]).values {
                continuation.yield(WatchEvent(kind: .modified, object: object))
            }
        }
        return stream
    }

    func get(_ resource: ResourceID, _ key: ObjectKey) async throws(APIStatus) -> JSON {
        throw .methodNotAllowed(resource, "get")
    }
    func create(_ resource: ResourceID, _ object: JSON) async throws(APIStatus) -> JSON {
        throw .methodNotAllowed(resource, "create")
    }
    func create(
        _ resource: ResourceID, _ key: ObjectKey, subresource: String, _ object: JSON
    ) async throws(APIStatus) -> JSON { throw .methodNotAllowed(resource, "create") }
    func update(_ resource: ResourceID, _ object: JSON, subresource: String?) async throws(APIStatus) -> JSON {
        throw .methodNotAllowed(resource, "update")
    }
    func patch(
        _ resource: ResourceID, _ key: ObjectKey, _ type: PatchType, _ body: JSON, subresource: String?
    ) async throws(APIStatus) -> JSON { throw .methodNotAllowed(resource, "patch") }
    func delete(_ resource: ResourceID, _ key: ObjectKey, _ options: DeleteOptions) async throws(APIStatus) {
        throw .methodNotAllowed(resource, "delete")
    }
}

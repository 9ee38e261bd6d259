// Where the API itself is reached: EndpointSlice and Endpoints `default/kubernetes`, beside the Service of that name,
// which has no selector.
//
// Both follow the configuration at each start, whatever somebody wrote into them. The Endpoints say that they need no
// mirror: the slice is there already.

internal import Client
internal import Logging
internal import Objects
internal import System

enum ServerEndpoint {
    private static let key = ObjectKey(namespace: "default", name: "kubernetes")

    static func publish(_ core: APICore) async throws(APIStatus) {
        let address = core.configuration.advertiseAddress
        guard !address.isLoopback else {
            // Endpoints may not hold one: pods could not reach it.
            core.logger.warning(
                "the API is advertised at a loopback address: Service default/kubernetes gets no endpoint",
                metadata: ["address": "\(address)"])
            return
        }
        let ports: JSON = [["name": "https", "protocol": "TCP", "port": .int(Int64(core.configuration.port))]]
        try await keep(
            core, .endpointSlices,
            [
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": [
                    "name": "kubernetes", "namespace": "default",
                    "labels": ["kubernetes.io/service-name": "kubernetes"],
                ],
                "addressType": address.isV6 ? "IPv6" : "IPv4",
                "endpoints": [["addresses": [.string("\(address)")], "conditions": ["ready": true]]], "ports": ports,
            ], ["endpoints", "ports"])
        try await keep(
            core, .endpoints,
            [
                "apiVersion": "v1", "kind": "Endpoints",
                "metadata": [
                    "name": "kubernetes", "namespace": "default",
                    "labels": ["endpointslice.kubernetes.io/skip-mirror": "true"],
                ],
                "subsets": [["addresses": [["ip": .string("\(address)")]], "ports": ports]],
            ], ["subsets"])
    }

    /// - Parameter fields: what must be equal for the present object to stay.
    private static func keep(
        _ core: APICore, _ id: ResourceID, _ object: JSON, _ fields: [String]
    ) async throws(APIStatus) {
        guard let present = core.peek(id, namespace: key.namespace, name: key.name) else {
            return try await Bootstrap.create(core, id, namespace: key.namespace, object)
        }
        let old = present.tree()
        guard fields.contains(where: { old[$0] != object[$0] }) else { return }
        let declaration = try core.declaration(id)
        if old["addressType"] != object["addressType"] {
            // addressType is immutable.
            _ = try await core.delete(declaration, key, DeleteOptions(), WriteOptions())
            return try await Bootstrap.create(core, id, namespace: key.namespace, object)
        }
        _ = try await core.update(declaration, key, subresource: nil, object, WriteOptions())
    }
}

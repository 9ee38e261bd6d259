// Objects that every cluster has, made at start when they are missing: four namespaces with their default service
// accounts, two priority classes, and the API's own Service; its endpoint: `ServerEndpoint`.
//
// Idempotent. What somebody changed in them stays.

internal import Client
internal import Logging
internal import Objects
internal import System

enum Bootstrap {
    static let namespaces = ["default", "kube-system", "kube-public", "kube-node-lease"]

    static func run(_ core: APICore) async throws(APIStatus) {
        for name in namespaces where core.peek(.namespaces, name: name) == nil {
            try await create(core, .namespaces, namespace: nil, [
                "apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(name)],
            ])
        }
        let all = try core.cache(try core.declaration(.namespaces)).snapshot().table
        var names: [String] = []
        all.scan { namespace in
            if !namespace.isTerminating { names.append(namespace.name) }
            return true
        }
        for name in names { try await defaultServiceAccount(core, namespace: name) }
        for (name, value, description) in priorityClasses where core.peek(.priorityClasses, name: name) == nil {
            try await create(core, .priorityClasses, namespace: nil, [
                "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": ["name": .string(name)],
                "value": .int(value), "description": .string(description),
            ])
        }
        try await DefaultRoles.reconcile(core)
        try await kubernetesService(core)
    }

    /// For pods that the cluster or a node cannot do without.
    private static let priorityClasses: [(name: String, value: Int64, description: String)] = [
        ("system-cluster-critical", 2_000_000_000, "For system pods that must run in the cluster, on any node."),
        ("system-node-critical", 2_000_001_000, "For system pods that must stay on the node they are on."),
    ]

    /// Pods that name no service account run as this one.
    static func defaultServiceAccount(_ core: APICore, namespace: String) async throws(APIStatus) {
        guard core.peek(.serviceAccounts, namespace: namespace, name: "default") == nil else { return }
        try await create(core, .serviceAccounts, namespace: namespace, [
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": ["name": "default", "namespace": .string(namespace)],
        ])
    }

    /// Makes the API's Service and its endpoints again within 10 s when somebody deleted one: pods would not find
    /// the API any more. Returns when cancelled.
    static func keepKubernetesService(_ core: APICore) async {
        while (try? await Task.sleep(for: .seconds(10))) != nil {
            let kinds: [ResourceID] =
                core.configuration.advertiseAddress.isLoopback ? [.services] : [.services, .endpointSlices, .endpoints]
            if kinds.allSatisfy({ core.peek($0, namespace: "default", name: "kubernetes") != nil }) { continue }
            do throws(APIStatus) {
                try await kubernetesService(core)
            } catch {
                core.logger.warning("Service default/kubernetes not kept", metadata: ["error": "\(error)"])
            }
        }
    }

    private static func kubernetesService(_ core: APICore) async throws(APIStatus) {
        let port = Int64(core.configuration.port)
        if core.peek(.services, namespace: "default", name: "kubernetes") == nil {
            let service = core.addresses.kubernetes
            try await create(core, .services, namespace: "default", [
                "apiVersion": "v1", "kind": "Service",
                "metadata": [
                    "name": "kubernetes", "namespace": "default",
                    "labels": ["component": "apiserver", "provider": "kubernetes"],
                ],
                "spec": [
                    "type": "ClusterIP", "clusterIP": .string("\(service)"), "sessionAffinity": "None",
                    "ipFamilyPolicy": "SingleStack", "ipFamilies": [service.isV6 ? "IPv6" : "IPv4"],
                    "ports": [["name": "https", "protocol": "TCP", "port": 443, "targetPort": .int(port)]],
                ],
            ])
        }
        try await ServerEndpoint.publish(core)
    }

    static func create(
        _ core: APICore, _ id: ResourceID, namespace: String?, _ object: JSON
    ) async throws(APIStatus) {
        do {
            _ = try await core.create(try core.declaration(id), namespace: namespace, object, WriteOptions())
        } catch where error.isAlreadyExists {
            // Somebody was faster.
        }
    }
}

// Every namespace has a ConfigMap kube-root-ca.crt with the CA of the API server's certificate: what pods check the
// API with. It is remade when it goes and mended when it changes.

import Client
import Logging
import Objects
import Reconcile

struct RootCAController: Controller {
    static let name = "root-ca-controller"
    static let configMap = "kube-root-ca.crt"

    private let client: any APIClient
    private let namespaces: Informer
    private let configMaps: Informer
    private let certificate: String
    private let queue: WorkQueue<String>

    init(_ context: ControllerContext) {
        client = context.client
        namespaces = context.informers.informer(.namespaces)
        // Only these: no copy of every ConfigMap in the cluster.
        configMaps = Informer(
            context.client, .configMaps, fields: FieldSelector("metadata.name", equals: Self.configMap),
            logger: context.logger)
        certificate = context.rootCA
        queue = WorkQueue(Self.name, logger: context.logger)
    }

    func run() async {
        // A control plane without TLS has nothing to publish.
        guard !certificate.isEmpty else { return }
        await withDiscardingTaskGroup { group in
            group.addTask { await configMaps.run() }
            await queue.run(
                watching: [
                    KeySource(namespaces) { key, _, new in new == nil ? [] : [key.name] },
                    KeySource(configMaps) { key, _, new in
                        key.name == Self.configMap && !isRight(new) ? [key.namespace] : []
                    },
                ], reconcile)
            group.cancelAll()
        }
    }

    private func isRight(_ configMap: JSON?) -> Bool {
        configMap?["data"] == ["ca.crt": .string(certificate)]
    }

    private func reconcile(_ namespace: String) async throws -> Outcome {
        let key = ObjectKey(namespace: namespace, name: Self.configMap)
        guard let owner = namespaces.object(ObjectKey(name: namespace)),
            owner["metadata"]?["deletionTimestamp"] == nil, !isRight(configMaps.object(key))
        else { return .done }
        let data: JSON = ["ca.crt": .string(certificate)]
        if var mended = configMaps.object(key) {
            mended["data"] = data
            let changed = mended
            return try await Writes.settle { _ = try await client.update(.configMaps, changed) }
        }
        return try await Writes.ensure {
            _ = try await client.create(
                .configMaps,
                [
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": ["name": .string(Self.configMap), "namespace": .string(namespace)], "data": data,
                ])
        }
    }
}

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
        namespaces.onChange { key, _, new in if new != nil { queue.add(key.name) } }
        configMaps.onChange { key, _, new in
            if key.name == Self.configMap, !isRight(new) { queue.add(key.namespace) }
        }
        await withDiscardingTaskGroup { group in
            group.addTask { await configMaps.run() }
            await namespaces.waitForSync()
            await configMaps.waitForSync()
            await queue.run(workers: 1, reconcile)
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
        do {
            if let present = configMaps.object(key) {
                var mended = present
                mended["data"] = ["ca.crt": .string(certificate)]
                _ = try await client.update(.configMaps, mended)
            } else {
                _ = try await client.create(
                    .configMaps,
                    [
                        "apiVersion": "v1", "kind": "ConfigMap",
                        "metadata": ["name": .string(Self.configMap), "namespace": .string(namespace)],
                        "data": ["ca.crt": .string(certificate)],
                    ])
            }
        } catch {
            // There already, or the namespace is gone or going.
            if error.isAlreadyExists || error.code == 404 || error.code == 403 { return .done }
            guard error.code == 409 else { throw error }
            // Newer news is on its way to the informer.
            return .after(.milliseconds(20))
        }
        return .done
    }
}

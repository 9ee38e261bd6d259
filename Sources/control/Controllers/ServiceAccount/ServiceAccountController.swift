// Every namespace has a service account named `default`, which pods run as unless they name another.

import Client
import Logging
import Objects
import Reconcile

struct ServiceAccountController: Controller {
    static let name = "service-account-controller"

    private let client: any APIClient
    private let namespaces: Informer
    private let accounts: Informer
    private let queue: WorkQueue<String>

    init(_ context: ControllerContext) {
        client = context.client
        namespaces = context.informers.informer(.namespaces)
        accounts = context.informers.informer(.serviceAccounts)
        queue = WorkQueue(Self.name, logger: context.logger)
    }

    func run() async {
        namespaces.onChange { key, _, new in if new != nil { queue.add(key.name) } }
        accounts.onChange { key, _, new in if new == nil { queue.add(key.namespace) } }
        await namespaces.waitForSync()
        await accounts.waitForSync()
        await queue.run(workers: 1, reconcile)
    }

    private func reconcile(_ namespace: String) async throws -> Outcome {
        guard let object = namespaces.object(ObjectKey(name: namespace)),
            object["metadata"]?["deletionTimestamp"] == nil,
            accounts.object(ObjectKey(namespace: namespace, name: "default")) == nil
        else { return .done }
        do {
            _ = try await client.create(
                .serviceAccounts,
                [
                    "apiVersion": "v1", "kind": "ServiceAccount",
                    "metadata": ["name": "default", "namespace": .string(namespace)],
                ])
        } catch {
            // There already, or the namespace is gone or going: either way nothing is left to do.
            guard error.isAlreadyExists || error.code == 404 || error.code == 403 else { throw error }
        }
        return .done
    }
}

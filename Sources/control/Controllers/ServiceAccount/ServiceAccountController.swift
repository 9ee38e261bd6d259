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
        await queue.run(
            watching: [
                KeySource(namespaces) { key, _, new in new == nil ? [] : [key.name] },
                KeySource(accounts) { key, _, new in new == nil ? [key.namespace] : [] },
            ], reconcile)
    }

    private func reconcile(_ namespace: String) async throws -> Outcome {
        guard let object = namespaces.object(ObjectKey(name: namespace)),
            object["metadata"]?["deletionTimestamp"] == nil,
            accounts.object(ObjectKey(namespace: namespace, name: "default")) == nil
        else { return .done }
        return try await Writes.ensure {
            _ = try await client.create(
                .serviceAccounts,
                [
                    "apiVersion": "v1", "kind": "ServiceAccount",
                    "metadata": ["name": "default", "namespace": .string(namespace)],
                ])
        }
    }
}

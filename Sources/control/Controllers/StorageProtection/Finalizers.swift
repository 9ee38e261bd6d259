// One finalizer on an object, on or off.

import Client
import Objects
import Reconcile

enum Finalizers {
    static func list(_ object: JSON) -> [String] { object["metadata"]?["finalizers"]?.strings ?? [] }

    /// An object that stays should have it, one that is to go may lose it.
    static func needsWork(_ object: JSON, _ finalizer: String) -> Bool {
        (object["metadata"]?["deletionTimestamp"] != nil) == list(object).contains(finalizer)
    }

    /// Idempotent; an object that changed meanwhile is looked at again soon.
    static func set(
        _ finalizer: String, present: Bool, on object: JSON, _ resource: ResourceID, _ client: any APIClient
    ) async throws -> Outcome {
        var finalizers = list(object)
        guard finalizers.contains(finalizer) != present else { return .done }
        if present { finalizers.append(finalizer) } else { finalizers.removeAll { $0 == finalizer } }
        return try await Writes.settle {
            _ = try await client.patch(
                resource, ObjectKey(object), .merge,
                [
                    "metadata": [
                        "resourceVersion": object["metadata"]?["resourceVersion"] ?? .null,
                        "finalizers": .array(finalizers.map { .string($0) }),
                    ]
                ], subresource: nil)
        }
    }
}

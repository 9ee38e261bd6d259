// Writes whose failure may mean that nothing is wrong: controllers act on local copies, which run a little behind.

import Client
import Objects
import Reconcile

enum Writes {
    /// How long until the informer can be expected to show what made a write conflict.
    private static let soon = Duration.milliseconds(20)

    /// A change of an object: when it is gone nothing is left to do, when it has moved on the key is looked at again
    /// soon. Anything else is thrown.
    static func settle(_ write: () async throws -> Void) async throws -> Outcome {
        do {
            try await write()
            return .done
        } catch let error as APIStatus {
            if error.isNotFound { return .done }
            guard error.isConflict else { throw error }
            return .after(soon)
        }
    }

    /// The creation of what every namespace has: it is well, too, when it is there
    /// already, or when the namespace is gone or going.
    static func ensure(_ create: () async throws -> Void) async throws -> Outcome {
        do {
            try await create()
        } catch let error as APIStatus {
            guard error.isAlreadyExists || error.isNotFound || error.isNamespaceTerminating else { throw error }
        }
        return .done
    }
}

extension APIStatus {
    /// A create that was refused because its namespace is on its way out: nothing will be created there any more.
    var isNamespaceTerminating: Bool { details?.causes.contains { $0.reason == "NamespaceTerminating" } ?? false }
}

extension APIClient {
    /// Deletes; what is gone already is well.
    func deleteIfPresent(
        _ resource: ResourceID, _ key: ObjectKey, _ options: DeleteOptions = DeleteOptions()
    ) async throws(APIStatus) {
        do throws(APIStatus) {
            try await delete(resource, key, options)
        } catch {
            guard error.isNotFound else { throw error }
        }
    }
}

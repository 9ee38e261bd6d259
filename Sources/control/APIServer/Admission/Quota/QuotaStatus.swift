// Keeps status.hard and status.used of ResourceQuotas.
//
// In Kubernetes a controller recounts what informers show. Here the API server knows the usage exactly, so it writes
// it down itself: no informer of every counted kind, no delay. A burst of changes is written once.

internal import Client
internal import Logging
internal import Objects

enum QuotaStatus {
    /// Between two rounds of writing.
    private static let pause = Duration.milliseconds(50)
    private static let retryPause = Duration.seconds(1)

    /// Writes until cancelled.
    static func run(_ core: APICore) async {
        for await _ in core.admission.quotas.changes {
            var failed: [ObjectKey] = []
            for key in core.admission.quotas.takeDirty() where await !write(core, key) { failed.append(key) }
            try? await Task.sleep(for: failed.isEmpty ? pause : retryPause)
            if !failed.isEmpty { core.admission.quotas.mark(failed) }
        }
    }

    /// Returns whether there is nothing left to write.
    private static func write(_ core: APICore, _ key: ObjectKey) async -> Bool {
        guard let now = core.admission.quotas.status(key) else { return true }
        do {
            let declaration = try core.declaration(.resourceQuotas)
            _ = try await core.modify(declaration, key, target: .subresource("status"), WriteOptions()) { old in
                var quota = old
                quota["status"] = ["hard": now.hard.json, "used": now.used.json]
                quota.set("metadata", "resourceVersion", to: nil)
                return quota
            }
            return true
        } catch {
            // Deleted meanwhile.
            if error.isNotFound { return true }
            core.logger.warning(
                "the status of a resource quota could not be written, trying again",
                metadata: ["quota": "\(key)", "error": "\(error)"])
            return false
        }
    }
}

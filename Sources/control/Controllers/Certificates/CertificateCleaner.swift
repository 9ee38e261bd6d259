// Deletes CertificateSigningRequests that are over: an hour after a certificate, a refusal or a failure, a day after
// they were made when nobody decided (the ages are Kubernetes').

import Client
import Logging
import Objects
import Reconcile
import System

struct CertificateCleaner: Controller {
    static let name = "certificatesigningrequest-cleaner-controller"
    private static let decidedAge: Int64 = 3600
    private static let pendingAge: Int64 = 86_400

    private let client: any APIClient
    private let requests: Informer
    private let queue: WorkQueue<String>

    init(_ context: ControllerContext) {
        client = context.client
        requests = context.informers.informer(.certificateSigningRequests)
        queue = WorkQueue(Self.name, logger: context.logger)
    }

    func run() async {
        requests.onChange { key, _, new in if new != nil { queue.add(key.name) } }
        await requests.waitForSync()
        await queue.run(workers: 1, reconcile)
    }

    private func reconcile(_ name: String) async throws -> Outcome {
        guard let object = requests.object(ObjectKey(name: name)), let end = Self.end(of: CertificateRequestState(object))
        else { return .done }
        let now = Timestamp.now()
        if now.seconds < end { return .after(.seconds(end - now.seconds)) }
        do throws(APIStatus) {
            try await client.delete(.certificateSigningRequests, ObjectKey(name: name))
        } catch {
            guard error.isNotFound else { throw error }
        }
        return .done
    }

    /// When a request goes, in seconds since 1970.
    static func end(of state: CertificateRequestState) -> Int64? {
        var ends: [Int64] = []
        if let created = state.created { ends.append(created.seconds + pendingAge) }
        for type in ["Denied", "Failed"] {
            if let since = state.since(type) { ends.append(since.seconds + decidedAge) }
        }
        if let since = state.since("Approved") {
            // Approved and not signed: its signer has a day, like everybody's decision.
            ends = [since.seconds + (state.hasCertificate ? decidedAge : pendingAge)]
        }
        return ends.min()
    }
}

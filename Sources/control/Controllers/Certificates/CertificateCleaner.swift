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
    private let requests: ObjectLoop

    init(_ context: ControllerContext) {
        client = context.client
        requests = ObjectLoop(Self.self, .certificateSigningRequests, context)
    }

    func run() async { await requests.run(reconcile) }

    private func reconcile(_ object: JSON) async throws -> Outcome {
        guard let end = Self.end(of: CertificateRequestState(object)) else { return .done }
        let now = Timestamp.now()
        if now.seconds < end { return .after(.seconds(end - now.seconds)) }
        try await client.deleteIfPresent(.certificateSigningRequests, ObjectKey(object))
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

// Approves the client certificates of kubelets by itself, for requesters who may (verb create on
// certificatesigningrequests/nodeclient or /selfnodeclient). Everything else waits for `kubectl certificate approve`.

import Client
import Logging
import Objects
import Reconcile

struct CertificateApprover: Controller {
    static let name = "certificatesigningrequest-approving-controller"

    private let client: any APIClient
    private let signer: (any CertificateSigner)?
    private let requests: ObjectLoop

    init(_ context: ControllerContext) {
        client = context.client
        signer = context.certificateSigner
        requests = ObjectLoop(Self.self, .certificateSigningRequests, context)
    }

    func run() async { await requests.run(reconcile) }

    private func reconcile(_ object: JSON) async throws -> Outcome {
        guard let signer else { return .done }
        let state = CertificateRequestState(object)
        let kubelet = KubernetesSigner.kubeletClient
        guard !state.isDecided, !state.isFailed, state.signerName == kubelet.rawValue,
            let request = try? signer.read(state.request), kubelet.problem(request, usages: state.usages) == nil
        else { return .done }
        let isSelf = request.commonName == state.username
        let ways = isSelf
            ? [("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
                ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")]
            : [("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")]
        for (subresource, message) in ways where try await mayAsk(object, subresource) {
            let approved = CertificateRequestState.adding(
                "Approved", reason: "AutoApproved", message: message, to: object)
            return try await Writes.settle {
                _ = try await client.update(.certificateSigningRequests, approved, subresource: "approval")
            }
        }
        return .done
    }

    private func mayAsk(_ object: JSON, _ subresource: String) async throws(APIStatus) -> Bool {
        let spec = object["spec"]
        var review: JSON = [
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": [
                "user": spec?["username"] ?? "",
                "resourceAttributes": [
                    "group": "certificates.k8s.io", "resource": "certificatesigningrequests", "verb": "create",
                    "subresource": .string(subresource),
                ],
            ],
        ]
        for key in ["uid", "groups", "extra"] { review.set("spec", key, to: spec?[key]) }
        let answer = try await client.create(.subjectAccessReviews, review)
        return answer.at("status", "allowed")?.bool ?? false
    }
}

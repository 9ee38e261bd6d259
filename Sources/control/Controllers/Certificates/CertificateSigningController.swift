// Signs approved requests of the kubernetes.io signers with the cluster's authority. A request that breaks its
// signer's rules gets the condition Failed; other signers are somebody else's.

import Client
import Logging
import Objects
import Reconcile
import System

struct CertificateSigningController: Controller {
    static let name = "certificatesigningrequest-signing-controller"
    /// What a request that does not say gets, and the most it can get: a year.
    static let longestLife: Int64 = 365 * 86_400

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
        guard state.isApproved, !state.isFailed, !state.hasCertificate,
            let rules = KubernetesSigner(rawValue: state.signerName)
        else { return .done }
        let signed = Self.sign(object, state, rules, signer)
        return try await Writes.settle {
            _ = try await client.update(.certificateSigningRequests, signed, subresource: "status")
        }
    }

    /// The request with its certificate, or with why there is none.
    private static func sign(
        _ object: JSON, _ state: CertificateRequestState, _ rules: KubernetesSigner, _ signer: any CertificateSigner
    ) -> JSON {
        do throws(CertificateRequestError) {
            let request = try signer.read(state.request)
            if let problem = rules.problem(request, usages: state.usages) {
                return CertificateRequestState.adding(
                    "Failed", reason: "SignerValidationFailure", message: problem, to: object)
            }
            let seconds = min(max(state.expirationSeconds ?? longestLife, 600), longestLife)
            let certificate = try signer.sign(state.request, usages: state.usages, seconds: seconds)
            var signed = object
            signed.set("status", "certificate", to: .string(Base64.encode(Array(certificate.utf8))))
            return signed
        } catch {
            return CertificateRequestState.adding(
                "Failed", reason: "SignerValidationFailure", message: error.description, to: object)
        }
    }
}

// The certificate checks of admission: who asks for a certificate is written into the request, what is inside it must
// be readable, and who approves or signs must be allowed to for that signer (Kubernetes' admission plugins
// CertificateApproval, CertificateSigning and CertificateSubjectRestriction).

internal import Objects
internal import System

struct CertificateAdmission: AdmissionStep {
    func concerns(_ site: AdmissionSite) -> Bool {
        site.resource == .certificateSigningRequests && site.operation != .delete
    }

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        switch (request.operation, request.target) {
        case (.create, _): try create(&request, core)
        case (.update, .subresource("approval")): try approve(request, core)
        case (.update, .subresource("status")): try sign(request, core)
        default: return
        }
    }

    private func create(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        let user = request.options.user
        request.object.set("spec", "username", to: .string(user.name))
        request.object.set("spec", "uid", to: user.uid.isEmpty ? nil : .string(user.uid))
        request.object.set("spec", "groups", to: .array(user.groups.map { .string($0) }))
        request.object.set("spec", "extra", to: user.extra.isEmpty ? nil : user.extraJSON)
        guard let text = request.object.at("spec", "request")?.string, !text.isEmpty else { return }
        let content = try read(text, request, core)
        let isClient = request.object.at("spec", "signerName")?.string == KubernetesSigner.client.rawValue
        if isClient, content.organizations.contains(UserInfo.masters) {
            throw .forbidden(
                request.declaration.id, request.name,
                "use of \(KubernetesSigner.client.rawValue) signer with system:masters group is not allowed")
        }
    }

    private func read(
        _ text: String, _ request: AdmissionRequest, _ core: APICore
    ) throws(APIStatus) -> CertificateRequest {
        guard let signer = core.configuration.certificateSigner else {
            throw APIStatus(
                code: 501, reason: "NotImplemented", message: "this server has no authority to sign certificates with")
        }
        guard let bytes = Base64.decode(text) else {
            throw .badRequest("spec.request is not base64")
        }
        do throws(CertificateRequestError) {
            return try signer.read(String(decoding: bytes, as: UTF8.self))
        } catch {
            throw .invalid(
                request.declaration.gvk, request.name,
                [.invalid(FieldPath("spec.request"), .string(text), error.description)])
        }
    }

    private func approve(_ request: AdmissionRequest, _ core: APICore) throws(APIStatus) {
        let signer = request.old?.at("spec", "signerName")?.string ?? ""
        if mayUse(signer, "approve", request.options.user, core) { return }
        throw .forbidden(
            request.declaration.id, request.name,
            "user not permitted to approve requests with signerName \(Quote.go(signer))")
    }

    private func sign(_ request: AdmissionRequest, _ core: APICore) throws(APIStatus) {
        // Only a certificate or another verdict takes the signer's right.
        guard request.object["status"] != request.old?["status"] else { return }
        let signer = request.old?.at("spec", "signerName")?.string ?? ""
        if mayUse(signer, "sign", request.options.user, core) { return }
        throw .forbidden(
            request.declaration.id, request.name,
            "user not permitted to sign requests with signerName \(Quote.go(signer))")
    }

    /// For the signer itself, or for every signer of its domain.
    private func mayUse(_ signer: String, _ verb: String, _ user: UserInfo, _ core: APICore) -> Bool {
        let signers = ResourceID(group: "certificates.k8s.io", version: "v1", resource: "signers")
        let domain = signer.split(separator: "/").first.map { "\($0)/*" } ?? ""
        return [signer, domain].contains { name in
            core.authorization.allows(user, AccessRequest(verb, signers, name: name), core)
        }
    }
}

// ResourceQuota: a write that would use more than a quota allows is refused; what it adds is reserved until it is over.
//
// Last of all steps, as it reserves. Objects count when they are made; pods, services and claims also when they
// change in what they use.

internal import Objects

struct ResourceQuotaAdmission: AdmissionStep {
    func concerns(_ site: AdmissionSite) -> Bool {
        guard site.isNamespaced, site.resource != .events, site.resource != .groupEvents else { return false }
        switch (site.operation, site.target) {
        case (.create, .main): return true
        case (.update, .main): return site.resource == .services || site.resource == .persistentVolumeClaims
        case (.update, .subresource("resize")): return site.resource == .pods
        default: return false
        }
    }

    func validate(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        let ledger = core.admission.quotas
        guard ledger.tracks(request.namespace) else { return }
        // What is on its way out asks for nothing more.
        if request.operation == .update, request.object.at("metadata", "deletionTimestamp") != nil { return }
        let verdict = ledger.reserve(
            request.declaration.storage, request.namespace, request.object, old: request.old,
            dryRun: request.options.dryRun)
        switch verdict {
        case .refused(let refusal): throw request.forbidden(refusal.text)
        case .fine(nil): break
        case .fine(let reservation?):
            let namespace = request.namespace
            request.hold { ledger.release(reservation, namespace) }
        }
    }
}

// A claim may grow only when it is bound and its storage class allows volumes to grow.

internal import Objects

struct PersistentVolumeClaimResize: AdmissionStep {
    func concerns(_ site: AdmissionSite) -> Bool {
        site.writes(.persistentVolumeClaims) && site.operation == .update
    }

    func validate(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        guard let old = request.old, let before = Quantity(old.at("spec", "resources", "requests", "storage")),
            let after = Quantity(request.object.at("spec", "resources", "requests", "storage")), after > before
        else { return }
        guard old.at("status", "phase")?.string == "Bound" else {
            throw request.forbidden("only bound persistent volume claims can be expanded")
        }
        let name = QuotaUsage.storageClass(of: request.object)
        let chosen = name.isEmpty ? nil : core.admission.policies.find(.storageClasses, name: name)
        guard chosen?["allowVolumeExpansion"]?.bool == true else {
            throw request.forbidden(
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
                    + "support resize")
        }
    }
}

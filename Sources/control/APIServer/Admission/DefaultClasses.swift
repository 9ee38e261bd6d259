// Claims and ingresses that name no class get the default one, if the cluster has one. An empty name is a name: it
// asks for none.

internal import Objects

struct DefaultStorageClass: AdmissionStep {
    static let annotations = [
        "storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class",
    ]

    func concerns(_ site: AdmissionSite) -> Bool { site.creates(.persistentVolumeClaims) }

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        guard request.object.at("spec", "storageClassName") == nil,
            request.object.at("metadata", "annotations", "volume.beta.kubernetes.io/storage-class") == nil,
            let chosen = core.admission.policies.defaultClass(
                .storageClasses, annotations: DefaultStorageClass.annotations)
        else { return }
        request.object.set("spec", "storageClassName", to: chosen.at("metadata", "name"))
    }
}

struct DefaultIngressClass: AdmissionStep {
    func concerns(_ site: AdmissionSite) -> Bool { site.creates(.ingresses) }

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        guard request.object.at("spec", "ingressClassName") == nil,
            request.object.at("metadata", "annotations", "kubernetes.io/ingress.class") == nil,
            let chosen = core.admission.policies.defaultClass(
                .ingressClasses, annotations: ["ingressclass.kubernetes.io/is-default-class"])
        else { return }
        request.object.set("spec", "ingressClassName", to: chosen.at("metadata", "name"))
    }
}

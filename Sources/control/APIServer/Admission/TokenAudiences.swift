// For whom a node may request its pods' tokens (Kubernetes: ServiceAccountNodeAudienceRestriction): this API server,
// who the pod's volumes name, and who an administrator lets nodes name by the verb
// request-serviceaccounts-token-audience. Everything else is 403: without it a stolen node would get
// tokens for Vault or a cloud in the name of a pod that never asked for one.

internal import Objects

enum TokenAudiences {
    static let verb = "request-serviceaccounts-token-audience"

    /// - Parameter pod: the pod that the token is bound to, on the node that asks.
    /// - Throws: 403.
    static func check(_ request: AdmissionRequest, pod: JSON, _ core: APICore) throws(APIStatus) {
        let asked = request.object.at("spec", "audiences")?.strings ?? []
        // A token is for one: whoever gets it could show it to the others.
        guard asked.count <= 1 else { throw request.forbidden("node may only request 0 or 1 audiences") }
        // None, and "" in a volume, is this server.
        guard let audience = asked.first, !audience.isEmpty, !core.tokens.audiences.contains(audience) else { return }
        if projected(in: pod).contains(audience) { return }
        if drivers(of: pod, core).contains(where: { asks($0, audience, core) }) { return }
        // The audience stands where a resource does, the account is the object's name.
        let question = AccessRequest(
            verb, ResourceID(group: "", version: "v1", resource: audience), namespace: request.namespace,
            name: request.name)
        let user = request.options.user
        guard !core.authorization.allows(user, question, core) else { return }
        throw request.forbidden(
            "audience \(Quote.go(audience)) not found in pod spec volume, \(user.name) is not authorized to request "
                + "tokens for this audience")
    }

    private static func volumes(_ pod: JSON) -> [JSON] { pod.at("spec", "volumes")?.array ?? [] }

    private static func projected(in pod: JSON) -> [String] {
        volumes(pod).flatMap { $0.at("projected", "sources")?.array ?? [] }
            .compactMap { $0.at("serviceAccountToken", "audience")?.string }
    }

    /// The CSI drivers of the pod's volumes, inline and by claim.
    private static func drivers(of pod: JSON, _ core: APICore) -> [String] {
        let namespace = pod.at("metadata", "namespace")?.string ?? ""
        let name = pod.at("metadata", "name")?.string ?? ""
        return volumes(pod).compactMap { volume in
            if let driver = volume.at("csi", "driver")?.string { return driver }
            let ephemeral = volume["ephemeral"].map { _ in "\(name)-\(volume["name"]?.string ?? "")" }
            guard let claim = volume.at("persistentVolumeClaim", "claimName")?.string ?? ephemeral,
                let bound = core.peek(.persistentVolumeClaims, namespace: namespace, name: claim)?.tree()
                    .at("spec", "volumeName")?.string
            else { return nil }
            return core.peek(.persistentVolumes, name: bound)?.tree().at("spec", "csi", "driver")?.string
        }
    }

    /// Whether the kubelet is to hand the driver tokens for the audience (CSIDriver.spec.tokenRequests).
    private static func asks(_ driver: String, _ audience: String, _ core: APICore) -> Bool {
        let wanted = core.peek(.csiDrivers, name: driver)?.tree().at("spec", "tokenRequests")?.array ?? []
        return wanted.contains { $0["audience"]?.string == audience }
    }
}

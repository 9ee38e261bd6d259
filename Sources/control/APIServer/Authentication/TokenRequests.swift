// serviceaccounts/NAME/token: a token for a service account, bound to a pod, a Secret or a node that it dies with
// (authentication.k8s.io/v1 TokenRequest).

internal import Client
internal import Objects
internal import System

extension APICore {
    private static let tokenKind = GroupVersionKind(group: "authentication.k8s.io", version: "v1", kind: "TokenRequest")

    /// Answers a TokenRequest with its token. Nothing is stored, a dry run changes nothing but the answer: no token.
    func requestToken(_ key: ObjectKey, _ body: JSON, _ options: WriteOptions) throws(APIStatus) -> JSON {
        let accounts = try declaration(.serviceAccounts)
        guard let subresource = accounts.subresource("token") else { throw .noSuchResource }
        var request = try accounts.decode(
            body, subresource: subresource, duplicates: options.duplicates, validation: options.validation
        ).object
        let account = try object(accounts, key).tree()
        try TokenRequests.agree(request, key)
        var admission = AdmissionRequest(accounts, .create, namespace: key.namespace, object: request, options)
        admission.name = key.name
        admission.target = .subresource("token")
        defer { admission.release() }
        try Admission.check(&admission, self)
        let seconds = request.at("spec", "expirationSeconds")?.int ?? 3600
        try TokenRequests.checkLife(seconds, Self.tokenKind)
        let asked = request.at("spec", "audiences")?.strings ?? []
        var claims = ServiceAccountClaims(
            namespace: key.namespace,
            account: .init(name: key.name, uid: account.at("metadata", "uid")?.string ?? ""))
        claims.audiences = asked.isEmpty ? tokens.audiences : asked
        if let reference = request.at("spec", "boundObjectRef"), !reference.isNull {
            try bind(&claims, to: reference, key)
        }
        let now = Timestamp.now().seconds
        claims.issued = now
        claims.notBefore = now
        claims.expires = now + seconds
        claims.id = Random.uuid()
        TokenRequests.extendForOldClients(
            &claims, seconds, now: now, isDefaultAudience: claims.audiences == tokens.audiences)
        request.set("metadata", "name", to: .string(key.name))
        request.set("metadata", "namespace", to: .string(key.namespace))
        request.set("metadata", "creationTimestamp", to: .string(Timestamp(seconds: now).rfc3339))
        request.set("spec", "audiences", to: .array(claims.audiences.map { .string($0) }))
        request.set("spec", "expirationSeconds", to: .int(seconds))
        let token = options.dryRun ? "" : try tokens.issue(claims)
        request["status"] = [
            "token": .string(token), "expirationTimestamp": .string(Timestamp(seconds: now + seconds).rfc3339),
        ]
        return request
    }

    /// Puts the object the token is to be bound to into the claims.
    private func bind(
        _ claims: inout ServiceAccountClaims, to reference: JSON, _ account: ObjectKey
    ) throws(APIStatus) {
        let kind = reference["kind"]?.string ?? ""
        let apiVersion = reference["apiVersion"]?.string ?? ""
        let resources: [String: ResourceID] = ["Pod": .pods, "Secret": .secrets, "Node": .nodes]
        guard apiVersion == "v1", let resource = resources[kind] else {
            let gvk = GroupVersionKind(apiVersion: apiVersion, kind: kind)
            throw .badRequest(
                "cannot bind token for serviceaccount \(Quote.go(account.name)) to type "
                    + Quote.go(gvk.map(\.description) ?? kind))
        }
        let name = reference["name"]?.string ?? ""
        let namespace = resource == .nodes ? "" : account.namespace
        let tree = try object(try declaration(resource), ObjectKey(namespace: namespace, name: name)).tree()
        let uid = tree.at("metadata", "uid")?.string ?? ""
        let bound = ServiceAccountClaims.Reference(name: name, uid: uid)
        switch resource {
        case .pods:
            guard tree.at("spec", "serviceAccountName")?.string == account.name else {
                throw .badRequest(
                    "cannot bind token for serviceaccount \(Quote.go(account.name)) to pod running with different "
                        + "serviceaccount name.")
            }
            claims.pod = bound
            claims.node = node(of: tree)
        case .secrets: claims.secret = bound
        default: claims.node = bound
        }
        let wanted = reference["uid"]?.string ?? ""
        guard wanted.isEmpty || wanted == uid else {
            throw .conflict(
                ResourceID(group: resource.group, version: resource.version, resource: resource.resource), name,
                "the UID in the bound object reference (\(wanted)) does not match the UID in record. The object might "
                    + "have been deleted and then recreated")
        }
    }

    private func node(of pod: JSON) -> ServiceAccountClaims.Reference? {
        guard let name = pod.at("spec", "nodeName")?.string, !name.isEmpty else { return nil }
        let uid = peek(.nodes, name: name)?.tree().at("metadata", "uid")?.string ?? ""
        return .init(name: name, uid: uid)
    }
}

private enum TokenRequests {
    /// Seconds: at least ten minutes, at most 2^32.
    static let life: ClosedRange<Int64> = 600...(1 << 32)
    /// What projected volumes ask for when they say nothing.
    static let projected: Int64 = 3607
    static let extended: Int64 = 365 * 86_400

    static func agree(_ request: JSON, _ key: ObjectKey) throws(APIStatus) {
        let name = request.at("metadata", "name")?.string ?? ""
        guard name.isEmpty || name == key.name else {
            throw .badRequest("the name of the object (\(name)) does not match the name on the URL (\(key.name))")
        }
        let namespace = request.at("metadata", "namespace")?.string ?? ""
        guard namespace.isEmpty || namespace == key.namespace else {
            throw .badRequest("the namespace of the provided object does not match the namespace sent on the request")
        }
    }

    static func checkLife(_ seconds: Int64, _ kind: GroupVersionKind) throws(APIStatus) {
        if life.contains(seconds) { return }
        let detail = seconds < life.lowerBound
            ? "may not specify a duration less than 10 minutes" : "may not specify a duration larger than 2^32 seconds"
        throw .invalid(kind, "", [.invalid(FieldPath("spec.expirationSeconds"), .int(seconds), detail)])
    }

    /// Old clients read their projected token once and never again: the token of a default projection is good for a
    /// year, and says from when on using it is worth a warning. The answer still tells the asked-for end, so the
    /// kubelet renews it in time.
    static func extendForOldClients(
        _ claims: inout ServiceAccountClaims, _ seconds: Int64, now: Int64, isDefaultAudience: Bool
    ) {
        guard seconds == projected, claims.pod != nil, isDefaultAudience else { return }
        claims.warnAfter = now + seconds
        claims.expires = now + extended
    }
}

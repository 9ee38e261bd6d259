// What a service account token says, in both forms Kubernetes knows.
//
//   issued by TokenRequest:  aud, exp, iat, nbf, jti, iss, sub,
//                            kubernetes.io{namespace, serviceaccount, pod, node, secret}
//   legacy, out of a Secret: iss "kubernetes/serviceaccount", sub,
//                            kubernetes.io/serviceaccount/{namespace, secret.name, …}
//
// A legacy token has no end and no audience of its own: it lives as long as its Secret.

internal import Client
internal import Objects
internal import System

struct ServiceAccountClaims: Sendable, Hashable {
    struct Reference: Sendable, Hashable {
        var name: String
        var uid: String
    }

    /// The member that holds what is Kubernetes' own.
    static let privateClaim = "kubernetes.io"
    static let legacyIssuer = "kubernetes/serviceaccount"
    private static let legacyPrefix = "kubernetes.io/serviceaccount/"

    var namespace: String
    var account: Reference
    var pod: Reference?
    var secret: Reference?
    var node: Reference?
    /// Empty for legacy tokens.
    var audiences: [String] = []
    /// Seconds since 1970; nil: for ever.
    var issued: Int64?
    var notBefore: Int64?
    var expires: Int64?
    /// When a client that should have read a newer token is worth a warning.
    var warnAfter: Int64?
    var id = ""
    var isLegacy = false

    var subject: String { ServiceAccountName.user(namespace, account.name) }

    /// The user a valid token stands for.
    var user: UserInfo {
        var user = UserInfo(name: subject, uid: account.uid, groups: ServiceAccountName.groups(namespace))
        if let pod {
            user.extra["authentication.kubernetes.io/pod-name"] = [pod.name]
            user.extra["authentication.kubernetes.io/pod-uid"] = [pod.uid]
        }
        if let node {
            user.extra["authentication.kubernetes.io/node-name"] = [node.name]
            user.extra["authentication.kubernetes.io/node-uid"] = [node.uid]
        }
        if !id.isEmpty { user.extra[UserInfo.credential] = ["JTI=\(id)"] }
        return user
    }

    // MARK: - JSON

    func json(issuer: String) -> JSON {
        isLegacy ? legacyJSON : boundJSON(issuer)
    }

    private func boundJSON(_ issuer: String) -> JSON {
        var own: JSON = ["namespace": .string(namespace), "serviceaccount": ServiceAccountClaims.json(account)]
        if let pod { own["pod"] = ServiceAccountClaims.json(pod) }
        if let secret { own["secret"] = ServiceAccountClaims.json(secret) }
        if let node { own["node"] = ServiceAccountClaims.json(node) }
        if let warnAfter { own["warnafter"] = .int(warnAfter) }
        var claims: JSON = [
            "iss": .string(issuer), "sub": .string(subject), "aud": .array(audiences.map { .string($0) }),
            "jti": .string(id), ServiceAccountClaims.privateClaim: own,
        ]
        for (key, value) in [("iat", issued), ("nbf", notBefore), ("exp", expires)] {
            claims[key] = value.map { .int($0) }
        }
        return claims
    }

    private var legacyJSON: JSON {
        var claims: JSON = ["iss": .string(ServiceAccountClaims.legacyIssuer), "sub": .string(subject)]
        for (key, value) in [
            ("namespace", namespace), ("secret.name", secret?.name ?? ""), ("service-account.name", account.name),
            ("service-account.uid", account.uid),
        ] { claims[ServiceAccountClaims.legacyPrefix + key] = .string(value) }
        return claims
    }

    private static func json(_ reference: Reference) -> JSON {
        ["name": .string(reference.name), "uid": .string(reference.uid)]
    }

    // MARK: - Reading

    /// nil when the claims are no service account's: some other issuer's token.
    init?(_ claims: JSON, issuers: [String]) {
        guard let issuer = claims["iss"]?.string else { return nil }
        if issuer == ServiceAccountClaims.legacyIssuer {
            func legacy(_ key: String) -> String { claims[ServiceAccountClaims.legacyPrefix + key]?.string ?? "" }
            self.init(
                namespace: legacy("namespace"),
                account: Reference(name: legacy("service-account.name"), uid: legacy("service-account.uid")))
            secret = Reference(name: legacy("secret.name"), uid: "")
            isLegacy = true
        } else {
            guard issuers.contains(issuer), let own = claims[ServiceAccountClaims.privateClaim],
                let account = ServiceAccountClaims.reference(own["serviceaccount"])
            else { return nil }
            self.init(namespace: own["namespace"]?.string ?? "", account: account)
            pod = ServiceAccountClaims.reference(own["pod"])
            secret = ServiceAccountClaims.reference(own["secret"])
            node = ServiceAccountClaims.reference(own["node"])
            warnAfter = own["warnafter"]?.int
            audiences = claims["aud"]?.strings ?? claims["aud"]?.string.map { [$0] } ?? []
            issued = claims["iat"]?.int
            notBefore = claims["nbf"]?.int
            guard let end = claims["exp"]?.int else { return nil }
            expires = end
            id = claims["jti"]?.string ?? ""
        }
        guard !namespace.isEmpty, !account.name.isEmpty, claims["sub"]?.string == subject else { return nil }
    }

    init(namespace: String, account: Reference) {
        self.namespace = namespace
        self.account = account
    }

    private static func reference(_ json: JSON?) -> Reference? {
        guard let json, let name = json["name"]?.string else { return nil }
        return Reference(name: name, uid: json["uid"]?.string ?? "")
    }

    // MARK: - What must be there

    /// The objects whose end is the token's end, the account first.
    var bound: [(resource: ResourceID, key: ObjectKey, uid: String)] {
        var bound = [(ResourceID.serviceAccounts, ObjectKey(namespace: namespace, name: account.name), account.uid)]
        if let pod { bound.append((.pods, ObjectKey(namespace: namespace, name: pod.name), pod.uid)) }
        if let secret { bound.append((.secrets, ObjectKey(namespace: namespace, name: secret.name), secret.uid)) }
        // A pod's token names the pod's node for information; only a token bound to the node itself ends with it.
        if let node, pod == nil { bound.append((.nodes, ObjectKey(name: node.name), node.uid)) }
        return bound
    }
}

// Service account tokens: issued, and checked on each request.
//
// The signature of a token is verified once; its claims are then remembered under the token's text (a dictionary with
// a random seed: its timing tells nothing of other tokens). What can change is checked each time: the clock, and the
// objects the token is bound to, by their resourceVersions in the caches, so that a deleted pod ends its token with
// the next request and an unchanged one costs a look-up.

internal import Client
internal import Objects
internal import Synchronization
internal import System

final class ServiceAccountTokens: Sendable {
    /// A token whose signature was verified, and the versions of its objects when their uids were last compared.
    private final class Verified: Sendable {
        let text: String
        let claims: ServiceAccountClaims
        let versions = Mutex<[UInt64]>([])

        init(_ text: String, _ claims: ServiceAccountClaims) {
            self.text = text
            self.claims = claims
        }
    }

    private static let cacheLimit = 8192
    /// An object that is being deleted keeps its tokens alive for so many seconds past its grace period, as
    /// Kubernetes allows.
    private static let deletionLeeway: Int64 = 60

    let signer: (any TokenSigner)?
    /// `iss` of new tokens.
    let issuer: String
    /// Audiences of tokens that are for this server; new tokens get them unless they ask for others.
    let audiences: [String]
    private let cache = Mutex<[String: Verified]>([:])

    init(_ configuration: APIServerConfiguration) {
        signer = configuration.tokenSigner
        issuer = configuration.issuer
        audiences = configuration.audiences.isEmpty ? [configuration.issuer] : configuration.audiences
    }

    // MARK: - Checking

    /// nil when the text is no token of ours.
    /// - Parameter wanted: the token must be for one of these.
    func authenticate(
        _ text: String, audiences wanted: [String], _ core: APICore, now: Timestamp = .now()
    ) throws(AuthenticationFailure) -> TokenIdentity? {
        guard let signer else { return nil }
        let verified: Verified
        if let known = cache.withLock({ $0[text] }) {
            verified = known
        } else {
            guard let token = JSONWebToken(text),
                let claims = ServiceAccountClaims(token.claims, issuers: [issuer])
            else { return nil }
            guard token.isSigned(by: signer) else { throw AuthenticationFailure("the token's signature is not valid") }
            verified = Verified(text, claims)
            remember(verified)
        }
        let claims = verified.claims
        // A legacy token is for the API server, whoever that is.
        let held = claims.isLegacy ? audiences : claims.audiences
        let matching = wanted.filter(held.contains)
        guard !matching.isEmpty else {
            throw AuthenticationFailure(
                "token audiences \(Go.list(held)) is invalid for the target audiences \(Go.list(wanted))")
        }
        if let end = claims.expires, now.seconds >= end {
            cache.withLock { $0[text] = nil }
            throw AuthenticationFailure("service account token has expired")
        }
        if let start = claims.notBefore, now.seconds < start {
            throw AuthenticationFailure("service account token is not valid yet")
        }
        try checkObjects(verified, core, now)
        return TokenIdentity(user: claims.user, audiences: matching)
    }

    private func remember(_ token: Verified) {
        cache.withLock { cache in
            // Full of live tokens is rare; starting over costs each of them one verification.
            if cache.count >= ServiceAccountTokens.cacheLimit { cache.removeAll(keepingCapacity: true) }
            cache[token.text] = token
        }
    }

    private func checkObjects(_ token: Verified, _ core: APICore, _ now: Timestamp) throws(AuthenticationFailure) {
        let bound = token.claims.bound
        var objects: [CachedObject] = []
        for (resource, key, _) in bound {
            guard let object = core.peek(resource, namespace: key.namespace, name: key.name) else {
                throw ServiceAccountTokens.invalidated(resource, key)
            }
            objects.append(object)
        }
        let versions = objects.map(\.revision)
        let isKnown = token.versions.withLock { $0 == versions }
        if isKnown, !objects.contains(where: \.isTerminating) { return }
        for (object, (resource, key, uid)) in zip(objects, bound) {
            let tree = object.tree()
            if token.claims.isLegacy, resource == .secrets {
                try checkLegacySecret(tree, token.text)
            } else {
                let present = tree.at("metadata", "uid")?.string ?? ""
                guard present == uid else {
                    throw resource == .serviceAccounts
                        ? AuthenticationFailure("service account UID (\(present)) does not match claim (\(uid))")
                        : ServiceAccountTokens.invalidated(resource, key)
                }
            }
            if let end = tree.at("metadata", "deletionTimestamp")?.string.flatMap({ Timestamp(rfc3339: $0) }),
                end.seconds + ServiceAccountTokens.deletionLeeway < now.seconds
            {
                throw ServiceAccountTokens.invalidated(resource, key)
            }
        }
        token.versions.withLock { $0 = versions }
    }

    private func checkLegacySecret(_ secret: JSON, _ text: String) throws(AuthenticationFailure) {
        let held = secret.at("data", "token")?.string.flatMap { Base64.decode($0) } ?? []
        guard ConstantTime.equal(held, Array(text.utf8)) else {
            throw AuthenticationFailure("token does not match server's copy")
        }
    }

    private static func invalidated(_ resource: ResourceID, _ key: ObjectKey) -> AuthenticationFailure {
        resource == .serviceAccounts
            ? AuthenticationFailure("service account \(key) has been deleted")
            : AuthenticationFailure("service account token has been invalidated")
    }

    // MARK: - Issuing

    func issue(_ claims: ServiceAccountClaims) throws(APIStatus) -> String {
        guard let signer else {
            throw APIStatus(
                code: 501, reason: "NotImplemented",
                message: "this server has no key to sign service account tokens with")
        }
        return try JSONWebToken.text(claims.json(issuer: issuer), signer: signer)
    }
}

/// Text as Go prints it.
enum Go {
    /// `["a" "b"]`: %q of a slice of strings.
    static func list(_ texts: [String]) -> String { "[" + texts.map(Quote.go).joined(separator: " ") + "]" }
}

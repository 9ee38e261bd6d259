// Who asks: the first of a literal list of authenticators that knows the credentials.
//
//   client certificate -> bearer token (header, or a WebSocket's subprotocol) -> anonymous
//   a bearer token is: service account token -> bootstrap token -> static token -> 401
//
// Credentials that nobody knows are 401, not anonymous: a client that meant to be somebody must not find out by a 403.
// Impersonation comes after (Impersonation.swift), authorization last.

internal import HTTP
internal import Logging
internal import Objects
internal import System

/// A user as one authenticator found it, before the group that all authenticated users are in.
struct TokenIdentity: Sendable {
    var user: UserInfo
    /// Those of the wanted audiences that the token is for.
    var audiences: [String]
}

/// Why credentials are not good. Clients only see 401; TokenReview shows the reason to those who may ask.
struct AuthenticationFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

protocol TokenAuthenticator: Sendable {
    /// nil when the token is of another kind, or unknown.
    /// - Parameter audiences: what the token must be for; not empty.
    func authenticate(
        _ token: String, audiences: [String], _ core: APICore
    ) throws(AuthenticationFailure) -> TokenIdentity?
}

struct ServiceAccountTokenAuthenticator: TokenAuthenticator {
    func authenticate(
        _ token: String, audiences: [String], _ core: APICore
    ) throws(AuthenticationFailure) -> TokenIdentity? {
        try core.tokens.authenticate(token, audiences: audiences, core)
    }
}

struct Authentication: Sendable {
    /// Order matters: the first that knows a token decides.
    private let tokenAuthenticators: [any TokenAuthenticator]
    private let certificates = CertificateUsers()

    init(staticTokens: [StaticToken]) {
        tokenAuthenticators = [
            ServiceAccountTokenAuthenticator(),
            BootstrapTokens(),
            StaticTokens(tokens: staticTokens),
        ]
    }

    func user(_ request: HTTPRequest, _ core: APICore) throws(APIStatus) -> UserInfo {
        if let certificate = request.peer.certificate, !certificate.commonName.isEmpty {
            return certificates.user(certificate)
        }
        guard let token = Authentication.bearer(request) else { return .anonymous }
        let identity: TokenIdentity?
        do throws(AuthenticationFailure) {
            identity = try self.identity(token, audiences: core.tokens.audiences, core)
        } catch {
            core.logger.debug("refused a token", metadata: ["reason": "\(error)", "peer": "\(request.peer.address)"])
            throw .unauthorized()
        }
        guard let identity else { throw .unauthorized() }
        return identity.user
    }

    /// The user behind a token, with the group of all authenticated users; nil when nobody knows the token.
    func identity(
        _ token: String, audiences: [String], _ core: APICore
    ) throws(AuthenticationFailure) -> TokenIdentity? {
        for authenticator in tokenAuthenticators {
            // Only service account tokens say whom they are for; the others are for this server.
            let isAware = authenticator is ServiceAccountTokenAuthenticator
            let wanted = isAware ? audiences : audiences.filter(core.tokens.audiences.contains)
            if wanted.isEmpty { continue }
            guard var identity = try authenticator.authenticate(token, audiences: wanted, core) else { continue }
            identity.user = Authentication.admitted(identity.user)
            return identity
        }
        return nil
    }

    static func admitted(_ user: UserInfo) -> UserInfo {
        if user.name == UserInfo.anonymousName || user.groups.contains(UserInfo.authenticated) { return user }
        var user = user
        user.groups.append(UserInfo.authenticated)
        return user
    }

    static let webSocketPrefix = "base64url.bearer.authorization.k8s.io."

    /// The bearer token of a request (RFC 6750). Browsers cannot set headers on a WebSocket: theirs is a subprotocol.
    private static func bearer(_ request: HTTPRequest) -> String? {
        if let header = request.headers["Authorization"] {
            let parts = header.split(separator: " ", maxSplits: 1)
            if parts.count == 2, parts[0].lowercased() == "bearer" {
                let token = parts[1].drop { $0 == " " }
                return token.isEmpty ? nil : String(token)
            }
        }
        guard request.headers["Upgrade"] != nil else { return nil }
        for offered in request.headers.list("Sec-WebSocket-Protocol") where offered.hasPrefix(webSocketPrefix) {
            guard let bytes = Base64.decode(offered.dropFirst(webSocketPrefix.count), url: true) else { continue }
            return String(decoding: bytes, as: UTF8.self)
        }
        return nil
    }
}

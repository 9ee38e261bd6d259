// What others need to verify our service account tokens: the issuer's discovery document (OpenID Connect Discovery
// 1.0) and its keys (RFC 7517). Made at each request; they are a few hundred bytes.

internal import HTTP
internal import Objects

struct IssuerDocuments: Sendable {
    private let tokens: ServiceAccountTokens
    private let keysURL: String

    /// - Parameter serverAddress: host:port under which clients reach the server.
    init(_ tokens: ServiceAccountTokens, serverAddress: String) {
        self.tokens = tokens
        keysURL = "https://\(serverAddress)/openid/v1/jwks"
    }

    /// nil when the path is none of them, or this server issues no tokens.
    func reply(_ path: String, _ request: HTTPRequest) -> HTTPResponse? {
        guard let signer = tokens.signer, request.method == "GET" || request.method == "HEAD" else { return nil }
        switch path {
        case "/openid/v1/jwks":
            return IssuerDocuments.answer(["keys": .array(signer.publicKeys)], "application/jwk-set+json")
        case "/.well-known/openid-configuration":
            let document: JSON = [
                "issuer": .string(tokens.issuer), "jwks_uri": .string(keysURL),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [.string(signer.algorithm)],
            ]
            return IssuerDocuments.answer(document, "application/json")
        default: return nil
        }
    }

    private static func answer(_ document: JSON, _ type: String) -> HTTPResponse {
        HTTPResponse(
            status: 200, headers: ["Content-Type": type, "Cache-Control": "public, max-age=3600"],
            bytes: document.encode())
    }
}

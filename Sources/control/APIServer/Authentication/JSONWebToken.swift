// JSON Web Tokens in the one form Kubernetes uses: compact, signed (RFC 7515, RFC 7519).
//
// The arithmetic is somebody else's: whoever wires the server hands in a TokenSigner (PKI has the one with P-256).
// A token that is no JWT at all reads as nil, since a bearer token may be of another kind.

public import Objects
internal import System

/// A key pair that signs and verifies tokens. Verifying must not depend on the clock or on any state.
public protocol TokenSigner: Sendable {
    /// RFC 7518 name of the signature algorithm: `ES256`, `RS256`.
    var algorithm: String { get }
    /// The `kid` of tokens it signs.
    var keyID: String { get }
    /// The public keys tokens may be verified with, as members of a JWK set (RFC 7517).
    var publicKeys: [JSON] { get }
    /// The signature of `bytes` in JWS form (for ES256: r and s, 32 bytes each).
    func sign(_ bytes: [UInt8]) throws(APIStatus) -> [UInt8]
    /// Whether `signature` is `algorithm`'s over `bytes` by the key `keyID` ("": any known key).
    func isValid(_ signature: [UInt8], of bytes: [UInt8], algorithm: String, keyID: String) -> Bool
}

public struct JSONWebToken: Sendable {
    public let claims: JSON
    private let algorithm: String
    private let keyID: String
    private let signed: [UInt8]
    private let signature: [UInt8]

    /// nil when `text` is not three base64url parts with JSON objects in the first two.
    public init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3,
            let headerBytes = Base64.decode(parts[0], url: true),
            let header = try? JSON.parse(headerBytes, limits: .body),
            let claimBytes = Base64.decode(parts[1], url: true),
            let claims = try? JSON.parse(claimBytes, limits: .body),
            header.object != nil, claims.object != nil,
            let algorithm = header["alg"]?.string, let signature = Base64.decode(parts[2], url: true)
        else { return nil }
        self.claims = claims
        self.algorithm = algorithm
        keyID = header["kid"]?.string ?? ""
        self.signature = signature
        signed = Array("\(parts[0]).\(parts[1])".utf8)
    }

    /// Whether the signature is by a key of `signer`. An algorithm other than the signer's own never is.
    public func isSigned(by signer: any TokenSigner) -> Bool {
        algorithm == signer.algorithm
            && signer.isValid(signature, of: signed, algorithm: algorithm, keyID: keyID)
    }

    /// The compact serialization of `claims`, signed.
    public static func text(_ claims: JSON, signer: any TokenSigner) throws(APIStatus) -> String {
        let header: JSON = ["alg": .string(signer.algorithm), "kid": .string(signer.keyID)]
        let signed = Base64.encode(header.encode(), url: true) + "." + Base64.encode(claims.encode(), url: true)
        return signed + "." + Base64.encode(try signer.sign(Array(signed.utf8)), url: true)
    }
}

/// Comparisons that take as long for a near miss as for a far one.
enum ConstantTime {
    static func equal(_ left: String, _ right: String) -> Bool { equal(Array(left.utf8), Array(right.utf8)) }

    /// Only the lengths may be guessed from the time it takes.
    static func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for index in left.indices { difference |= left[index] ^ right[index] }
        return difference == 0
    }
}

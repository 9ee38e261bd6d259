// The cluster's keys in the forms the control plane asks for: control/ knows protocols, PKI knows BoringSSL, and only
// the command knows both.

import APIServer
import Client
import Controllers
import Objects
import PKI
import System

/// Signs service account tokens with the key in PKI/service-account.key.
struct ServiceAccountSigner: TokenSigner {
    private let key: TokenKey

    static func loadOrCreate(directory: String) throws(PKIError) -> ServiceAccountSigner {
        ServiceAccountSigner(key: try TokenKey.loadOrCreate(path: "\(directory)/service-account.key"))
    }

    var algorithm: String { "ES256" }
    var keyID: String { key.keyID }

    var publicKeys: [JSON] {
        let (x, y) = key.coordinates
        return [
            [
                "use": "sig", "kty": "EC", "kid": .string(key.keyID), "crv": "P-256", "alg": .string(algorithm),
                "x": .string(Base64.encode(x, url: true)), "y": .string(Base64.encode(y, url: true)),
            ]
        ]
    }

    func sign(_ bytes: [UInt8]) throws(APIStatus) -> [UInt8] {
        do throws(PKIError) {
            return try key.sign(bytes)
        } catch {
            throw .internalError("cannot sign a token: \(error)")
        }
    }

    func isValid(_ signature: [UInt8], of bytes: [UInt8], algorithm: String, keyID: String) -> Bool {
        algorithm == self.algorithm && (keyID.isEmpty || keyID == key.keyID) && key.isValid(signature, of: bytes)
    }
}

/// Reads and signs certificate requests with the cluster's authority.
struct AuthoritySigner: CertificateSigner {
    let authority: CertificateAuthority

    func read(_ pem: String) throws(CertificateRequestError) -> CertificateRequest {
        do throws(PKIError) {
            let request = try SigningRequest(pem: pem)
            return CertificateRequest(
                commonName: request.commonName, organizations: request.organizations, dnsNames: request.dnsNames,
                addresses: request.addresses.map { "\($0)" }, emails: request.emails, uris: request.uris)
        } catch {
            throw CertificateRequestError("\(error)")
        }
    }

    func sign(_ pem: String, usages: [String], seconds: Int64) throws(CertificateRequestError) -> String {
        do throws(PKIError) {
            return try authority.sign(try SigningRequest(pem: pem), usages: usages, seconds: seconds)
        } catch {
            throw CertificateRequestError("\(error)")
        }
    }
}

/// The tokens of Secrets of type kubernetes.io/service-account-token.
struct SecretTokens: SecretTokenMinter {
    let server: APIServer
    let authorityPEM: String

    func token(account: ObjectKey, uid: String, secret: String) throws(APIStatus) -> String {
        try server.secretToken(account: account, uid: uid, secret: secret)
    }
}

// Keys for tests: small working implementations without cryptography, so that these tests need no BoringSSL.

import APIServer
import Objects
import System

/// Signs by a keyed checksum. Forging it takes the key, which is enough for these tests.
struct TestTokenSigner: TokenSigner {
    var secret: UInt64 = 42
    let algorithm = "ES256"
    let keyID = "test"
    let publicKeys: [JSON] = [["kid": "test"]]

    func sign(_ bytes: [UInt8]) -> [UInt8] {
        var hash = secret
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return (0..<8).map { UInt8(truncatingIfNeeded: hash >> (8 * $0)) }
    }

    func isValid(_ signature: [UInt8], of bytes: [UInt8], algorithm: String, keyID: String) -> Bool {
        signature == sign(bytes)
    }
}

/// Requests are `CN|O,O|DNS,DNS|IP` behind a PEM-like first line.
struct TestCertificateSigner: CertificateSigner {
    static func request(_ commonName: String, organizations: String = "", dns: String = "", ip: String = "") -> String {
        Base64.encode(Array("REQUEST\n\(commonName)|\(organizations)|\(dns)|\(ip)".utf8))
    }

    func read(_ pem: String) throws(CertificateRequestError) -> CertificateRequest {
        let lines = pem.split(separator: "\n")
        guard lines.count == 2, lines[0] == "REQUEST" else { throw CertificateRequestError("it is no request") }
        let parts = lines[1].split(separator: "|", omittingEmptySubsequences: false).map {
            $0.split(separator: ",").map(String.init)
        }
        return CertificateRequest(
            commonName: parts[0].first ?? "", organizations: parts[1], dnsNames: parts[2], addresses: parts[3])
    }

    func sign(_ pem: String, usages: [String], seconds: Int64) throws(CertificateRequestError) -> String {
        let request = try read(pem)
        return "CERTIFICATE of \(request.commonName) for \(seconds) s: \(usages.joined(separator: ", "))"
    }
}

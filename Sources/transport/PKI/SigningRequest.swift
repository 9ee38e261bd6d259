// Certificate signing requests (PKCS #10, RFC 2986): read, verified, and signed by the cluster's authority.
//
// What a request asks for is decided above; here only its bytes are understood. A request whose signature is not by the
// key it carries is refused: its sender would not hold that key.

import SwiftASN1
public import System
import X509

/// A verified request and the names in it.
public struct SigningRequest: Sendable {
    public let commonName: String
    public let organizations: [String]
    public let dnsNames: [String]
    public let addresses: [IPAddress]
    public let emails: [String]
    public let uris: [String]

    let subject: DistinguishedName
    let publicKey: Certificate.PublicKey
    let names: [GeneralName]

    /// - Throws: `.signing` with what is wrong.
    public init(pem: String) throws(PKIError) {
        let document: PEMDocument
        do {
            document = try PEMDocument(pemString: pem)
        } catch {
            throw .signing("it is not PEM: \(error)")
        }
        guard document.discriminator == "CERTIFICATE REQUEST" else {
            throw .signing("PEM block type must be CERTIFICATE REQUEST")
        }
        let request: CertificateSigningRequest
        do {
            request = try CertificateSigningRequest(derEncoded: document.derBytes)
        } catch {
            throw .signing("it is no PKCS #10 request: \(error)")
        }
        guard request.publicKey.isValidSignature(request.signature, for: request) else {
            throw .signing("it is not signed by the key it carries")
        }
        subject = request.subject
        publicKey = request.publicKey
        do {
            names = try request.attributes.extensionRequest?.extensions.subjectAlternativeNames.map { Array($0) } ?? []
        } catch {
            throw .signing("its extensions cannot be read: \(error)")
        }
        func texts(_ type: ASN1ObjectIdentifier) -> [String] {
            request.subject.flatMap { $0 }.filter { $0.type == type }.compactMap { String($0.value) }
        }
        commonName = texts(.RDNAttributeType.commonName).last ?? ""
        organizations = texts(.RDNAttributeType.organizationName)
        dnsNames = names.compactMap { if case .dnsName(let name) = $0 { name } else { nil } }
        emails = names.compactMap { if case .rfc822Name(let name) = $0 { name } else { nil } }
        uris = names.compactMap { if case .uniformResourceIdentifier(let name) = $0 { name } else { nil } }
        addresses = names.compactMap {
            if case .ipAddress(let octets) = $0 { IPAddress(bytes: Array(octets.bytes)) } else { nil }
        }
    }
}

extension CertificateAuthority {
    /// What certificates.k8s.io/v1 calls the usages of a key, in the two places a certificate says them.
    private static let extendedUsages: [String: ExtendedKeyUsage.Usage] = [
        "any": .any, "server auth": .serverAuth, "client auth": .clientAuth, "code signing": .codeSigning,
        "email protection": .emailProtection, "s/mime": .emailProtection, "timestamping": .timeStamping,
        "ocsp signing": .ocspSigning,
    ]

    /// Signs a request: its subject, its subjectAltNames and its key, the usages given, for `seconds` from now, at most
    /// until the authority's own end. It starts five minutes ago, for clocks that are behind.
    public func sign(
        _ request: SigningRequest, usages: [String], seconds: Int64, now: Timestamp = .now()
    ) throws(PKIError) -> String {
        var keyUsage = KeyUsage()
        var extended: [ExtendedKeyUsage.Usage] = []
        for usage in usages {
            switch usage {
            case "signing", "digital signature": keyUsage.digitalSignature = true
            case "content commitment": keyUsage.nonRepudiation = true
            case "key encipherment": keyUsage.keyEncipherment = true
            case "key agreement": keyUsage.keyAgreement = true
            case "data encipherment": keyUsage.dataEncipherment = true
            default:
                guard let known = Self.extendedUsages[usage] else {
                    throw .signing("usage \"\(usage)\" cannot be granted")
                }
                if !extended.contains(known) { extended.append(known) }
            }
        }
        // An extension that names no usage is not one: Go's parser refuses the certificate.
        let (usage, others) = (keyUsage == KeyUsage() ? nil : keyUsage, extended)
        do {
            return try issue(
                subject: request.subject, publicKey: request.publicKey,
                from: now.seconds - 300, to: now.seconds + seconds,
                extensions: Certificate.Extensions {
                    Critical(BasicConstraints.notCertificateAuthority)
                    if let usage { Critical(usage) }
                    if !others.isEmpty { try ExtendedKeyUsage(others) }
                    if !request.names.isEmpty { SubjectAlternativeNames(request.names) }
                })
        } catch {
            throw .signing("\(error)")
        }
    }
}

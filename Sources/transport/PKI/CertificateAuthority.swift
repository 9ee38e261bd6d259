// The cluster's own certificate authority: a P-256 key in a file only root can read, and the certificates it signs
// (RFC 5280).
//
// Identity is a key: certificates are cheap and re-minted whenever addresses change or two thirds of their life are
// over. They start a day in the past, so that a clock that is a little behind does not refuse them.

import Crypto
import FoundationEssentials
import SwiftASN1
public import System
import X509

/// What goes wrong with keys and certificates, and on which file.
public enum PKIError: Error, CustomStringConvertible {
    /// A file is there but is not the PEM it should be.
    case unreadable(path: String, reason: String)
    /// Only one of the two files of an identity is there.
    case incomplete(present: String, missing: String)
    case file(SystemError)
    case signing(String)

    public var description: String {
        switch self {
        case .unreadable(let path, let reason): return "\(path) is no usable PEM file: \(reason)"
        case .incomplete(let present, let missing):
            return
                "\(present) is there but \(missing) is not: restore it from a backup, or remove both to make new ones"
        case .file(let error): return "\(error)"
        case .signing(let reason): return "cannot sign a certificate: \(reason)"
        }
    }
}

/// A certificate and its key, in PEM.
public struct Identity: Sendable {
    public let certificatePEM: String
    public let keyPEM: String
    public let notBefore: Timestamp
    public let notAfter: Timestamp

    /// Whether two thirds of its life are over at `now`, or it is not valid at all.
    public func shouldRenew(at now: Timestamp) -> Bool {
        let life = notAfter.seconds - notBefore.seconds
        return now.seconds < notBefore.seconds || now.seconds > notBefore.seconds + life * 2 / 3
    }
}

/// An authority that signs what servers and clients of one cluster show each other.
public struct CertificateAuthority: Sendable {
    /// What a name in a certificate may be (RFC 5280, subjectAltName).
    public enum Name: Sendable, Hashable {
        case dns(String)
        case address(IPAddress)
    }

    private static let day: Int64 = 86_400
    /// Ten years for the authority, one for what it signs.
    private static let ownLife = 3650 * day
    private static let leafLife = 365 * day

    private let key: P256.Signing.PrivateKey
    private let certificate: Certificate
    /// The authority's certificate.
    public let certificatePEM: String

    /// Reads `DIRECTORY/NAME.crt` and `NAME.key`, or makes both when neither is there.
    public static func loadOrCreate(
        directory: String, name: String = "ca", now: Timestamp = .now()
    ) throws(PKIError) -> CertificateAuthority {
        let (certificatePath, keyPath) = ("\(directory)/\(name).crt", "\(directory)/\(name).key")
        switch (Files.exists(certificatePath), Files.exists(keyPath)) {
        case (true, true): return try load(certificatePath, keyPath)
        case (true, false): throw .incomplete(present: certificatePath, missing: keyPath)
        case (false, true): throw .incomplete(present: keyPath, missing: certificatePath)
        case (false, false): break
        }
        let authority = try create(now: now)
        do throws(SystemError) {
            try Files.makeDirectory(directory, mode: 0o700)
            // The certificate last: it is what says that the authority is complete.
            try Files.writeAtomically(keyPath, Array(authority.key.pemRepresentation.utf8), mode: 0o600)
            try Files.writeAtomically(certificatePath, Array(authority.certificatePEM.utf8), mode: 0o644)
        } catch {
            throw .file(error)
        }
        return authority
    }

    private static func load(_ certificatePath: String, _ keyPath: String) throws(PKIError) -> CertificateAuthority {
        let certificateText = try text(certificatePath)
        let keyText = try text(keyPath)
        guard let certificate = try? Certificate(pemEncoded: certificateText) else {
            throw .unreadable(path: certificatePath, reason: "not a certificate")
        }
        guard let key = try? P256.Signing.PrivateKey(pemRepresentation: keyText) else {
            throw .unreadable(path: keyPath, reason: "not a P-256 private key")
        }
        guard certificate.publicKey == Certificate.PrivateKey(key).publicKey else {
            throw .unreadable(path: keyPath, reason: "it is not the key of \(certificatePath)")
        }
        return CertificateAuthority(key: key, certificate: certificate, certificatePEM: certificateText)
    }

    private static func text(_ path: String) throws(PKIError) -> String {
        do throws(SystemError) {
            return String(decoding: try Files.read(path, limit: 1 << 20), as: UTF8.self)
        } catch {
            throw .file(error)
        }
    }

    private static func create(now: Timestamp) throws(PKIError) -> CertificateAuthority {
        let key = P256.Signing.PrivateKey()
        do {
            let name = try DistinguishedName { CommonName("noded-ca@\(now.seconds)") }
            let certificate = try Certificate(
                version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey),
                notValidBefore: date(now.seconds - day), notValidAfter: date(now.seconds + ownLife),
                issuer: name, subject: name,
                extensions: try Certificate.Extensions {
                    Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
                    Critical(KeyUsage(digitalSignature: true, keyCertSign: true, cRLSign: true))
                    SubjectKeyIdentifier(hash: Certificate.PublicKey(key.publicKey))
                },
                issuerPrivateKey: .init(key))
            return CertificateAuthority(
                key: key, certificate: certificate, certificatePEM: try certificate.serializeAsPEM().pemString)
        } catch {
            throw .signing("\(error)")
        }
    }

    private static func date(_ seconds: Int64) -> Date { Date(timeIntervalSince1970: Double(seconds)) }

    /// A server's identity, good for `names`.
    public func issueServer(
        commonName: String, names: [Name], now: Timestamp = .now()
    ) throws(PKIError) -> Identity {
        try issue(commonName: commonName, organizations: [], names: names, now: now, usage: .serverAuth)
    }

    /// A client's identity: to the API its user name is `commonName`, its groups are `organizations`.
    public func issueClient(
        commonName: String, organizations: [String], now: Timestamp = .now()
    ) throws(PKIError) -> Identity {
        try issue(commonName: commonName, organizations: organizations, names: [], now: now, usage: .clientAuth)
    }

    /// The PEM of a certificate for a key that somebody else holds, to the authority's own end at the latest.
    /// - Parameters: `from`, `to`: seconds since 1970.
    func issue(
        subject: DistinguishedName, publicKey: Certificate.PublicKey, from: Int64, to: Int64,
        extensions: Certificate.Extensions
    ) throws -> String {
        let signer = Certificate.PrivateKey(key)
        var extensions = extensions
        let authority = AuthorityKeyIdentifier(
            keyIdentifier: SubjectKeyIdentifier(hash: signer.publicKey).keyIdentifier)
        try extensions.append(try Certificate.Extension(authority, critical: false))
        return try Certificate(
            version: .v3, serialNumber: .init(), publicKey: publicKey, notValidBefore: Self.date(from),
            notValidAfter: min(Self.date(to), certificate.notValidAfter), issuer: certificate.subject,
            subject: subject, extensions: extensions, issuerPrivateKey: signer
        ).serializeAsPEM().pemString
    }

    private func issue(
        commonName: String, organizations: [String], names: [Name], now: Timestamp, usage: ExtendedKeyUsage.Usage
    ) throws(PKIError) -> Identity {
        let leafKey = P256.Signing.PrivateKey()
        let (start, end) = (now.seconds - Self.day, now.seconds + Self.leafLife)
        do {
            var subject: [RelativeDistinguishedName] = organizations.map {
                RelativeDistinguishedName(.init(type: .RDNAttributeType.organizationName, utf8String: $0))
            }
            subject.append(RelativeDistinguishedName(.init(type: .RDNAttributeType.commonName, utf8String: commonName)))
            let general: [GeneralName] = names.map { name in
                switch name {
                case .dns(let text): return .dnsName(text)
                case .address(let address): return .ipAddress(ASN1OctetString(contentBytes: address.bytes[...]))
                }
            }
            let signer = Certificate.PrivateKey(key)
            let certificate = try Certificate(
                version: .v3, serialNumber: .init(), publicKey: .init(leafKey.publicKey),
                notValidBefore: Self.date(start), notValidAfter: Self.date(end), issuer: self.certificate.subject,
                subject: DistinguishedName(subject),
                extensions: try Certificate.Extensions {
                    Critical(BasicConstraints.notCertificateAuthority)
                    Critical(KeyUsage(digitalSignature: true))
                    try ExtendedKeyUsage([usage])
                    AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: signer.publicKey).keyIdentifier)
                    if !general.isEmpty { SubjectAlternativeNames(general) }
                },
                issuerPrivateKey: signer)
            return Identity(
                certificatePEM: try certificate.serializeAsPEM().pemString, keyPEM: leafKey.pemRepresentation,
                notBefore: Timestamp(seconds: start, nanoseconds: 0), notAfter: Timestamp(seconds: end, nanoseconds: 0))
        } catch {
            throw .signing("\(error)")
        }
    }
}

/// The names in a client's certificate.
public struct CertificateSubject: Sendable {
    public let commonName: String
    public let organizations: [String]

    /// Nil when `der` is no certificate or carries no common name.
    public init?(der: [UInt8]) {
        guard let certificate = try? Certificate(derEncoded: der) else { return nil }
        var commonName: String?
        var organizations: [String] = []
        for attribute in certificate.subject.flatMap({ $0 }) {
            guard let text = String(attribute.value) else { continue }
            if attribute.type == .RDNAttributeType.commonName { commonName = text }
            if attribute.type == .RDNAttributeType.organizationName { organizations.append(text) }
        }
        guard let commonName else { return nil }
        self.commonName = commonName
        self.organizations = organizations
    }
}

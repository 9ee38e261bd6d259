// What is inside a certificate signing request (RFC 2986), and who can read and sign one.
//
// Control holds no cryptography: the reader and signer are handed in by whoever wires the server (PKI has them).

/// The subject and names of a PKCS #10 request whose signature was verified.
public struct CertificateRequest: Sendable, Hashable {
    public var commonName: String
    public var organizations: [String]
    public var dnsNames: [String]
    /// Textual IP addresses.
    public var addresses: [String]
    public var emails: [String]
    public var uris: [String]

    public init(
        commonName: String, organizations: [String] = [], dnsNames: [String] = [], addresses: [String] = [],
        emails: [String] = [], uris: [String] = []
    ) {
        (self.commonName, self.organizations, self.dnsNames) = (commonName, organizations, dnsNames)
        (self.addresses, self.emails, self.uris) = (addresses, emails, uris)
    }
}

/// Why a request cannot be read or signed.
public struct CertificateRequestError: Error, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}

/// The cluster's authority as the API needs it.
public protocol CertificateSigner: Sendable {
    /// Reads a PEM `CERTIFICATE REQUEST` and verifies that its sender holds the key.
    func read(_ pem: String) throws(CertificateRequestError) -> CertificateRequest

    /// A certificate, in PEM, with the subject, names and key of the request.
    /// - Parameters:
    ///   - usages: certificates.k8s.io/v1 KeyUsage values, such as `client auth`.
    ///   - seconds: its life from now on; shortened to the authority's own end.
    func sign(_ pem: String, usages: [String], seconds: Int64) throws(CertificateRequestError) -> String
}

/// The signers built into every cluster (Kubernetes, "Certificate Signing Requests", Kubernetes signers).
public enum KubernetesSigner: String, Sendable, CaseIterable {
    case client = "kubernetes.io/kube-apiserver-client"
    case kubeletClient = "kubernetes.io/kube-apiserver-client-kubelet"
    case kubeletServing = "kubernetes.io/kubelet-serving"

    /// Not served: it would sign anything.
    public static let legacyUnknown = "kubernetes.io/legacy-unknown"

    private static let nodePrefix = "system:node:"
    private static let nodesGroup = "system:nodes"

    /// What keeps the signer from signing this request; nil when nothing does.
    public func problem(_ request: CertificateRequest, usages: [String]) -> String? {
        switch self {
        case .client: clientProblem(request, usages)
        case .kubeletClient: nodeProblem(request) ?? namesProblem(request) ?? usageProblem(usages, "client auth")
        case .kubeletServing:
            nodeProblem(request) ?? servingNamesProblem(request) ?? usageProblem(usages, "server auth")
        }
    }

    private func clientProblem(_ request: CertificateRequest, _ usages: [String]) -> String? {
        if request.organizations.contains("system:masters") {
            return "the system:masters group is not allowed for signer \(rawValue)"
        }
        let allowed = ["digital signature", "key encipherment", "client auth"]
        guard usages.contains("client auth"), usages.allSatisfy(allowed.contains) else {
            return "usages did not match: client auth is required, digital signature and key encipherment are allowed"
        }
        return nil
    }

    private func nodeProblem(_ request: CertificateRequest) -> String? {
        if request.organizations != [KubernetesSigner.nodesGroup] { return "subject organization is not system:nodes" }
        if !request.commonName.hasPrefix(KubernetesSigner.nodePrefix) {
            return "subject common name does not begin with 'system:node:'"
        }
        return nil
    }

    private func namesProblem(_ request: CertificateRequest) -> String? {
        if !request.dnsNames.isEmpty { return "DNS subjectAltNames are not allowed" }
        if !request.emails.isEmpty { return "Email subjectAltNames are not allowed" }
        if !request.addresses.isEmpty { return "IP subjectAltNames are not allowed" }
        if !request.uris.isEmpty { return "URI subjectAltNames are not allowed" }
        return nil
    }

    private func servingNamesProblem(_ request: CertificateRequest) -> String? {
        if request.dnsNames.isEmpty, request.addresses.isEmpty { return "DNS or IP subjectAltName is required" }
        if !request.emails.isEmpty { return "Email subjectAltNames are not allowed" }
        if !request.uris.isEmpty { return "URI subjectAltNames are not allowed" }
        return nil
    }

    private func usageProblem(_ usages: [String], _ needed: String) -> String? {
        let wanted: Set<String> = ["digital signature", needed]
        let given = Set(usages)
        if given == wanted || given == wanted.union(["key encipherment"]) { return nil }
        return "usages did not match: expected digital signature, \(needed) and optionally key encipherment"
    }
}

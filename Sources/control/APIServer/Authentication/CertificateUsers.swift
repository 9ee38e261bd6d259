// The users behind client certificates: the common name, the organizations as groups, the fingerprint as credential-id.
//
// Who it is depends on nothing but the certificate, and clients ask much with few of them, so a user that was made is
// kept. The certificates were verified by Transport; this cannot fail.

internal import HTTP
internal import Synchronization

final class CertificateUsers: Sendable {
    private let known = Mutex<[ClientCertificate: UserInfo]>([:])
    /// So many are kept, some hundred bytes each; one more, and all are made anew.
    private static let limit = 1024

    func user(_ certificate: ClientCertificate) -> UserInfo {
        known.withLock { known in
            if let user = known[certificate] { return user }
            if known.count >= CertificateUsers.limit { known.removeAll() }
            let user = CertificateUsers.make(certificate)
            known[certificate] = user
            return user
        }
    }

    private static func make(_ certificate: ClientCertificate) -> UserInfo {
        var user = UserInfo(name: certificate.commonName, groups: certificate.organizations)
        if !certificate.fingerprint.isEmpty {
            user.extra[UserInfo.credential] = ["X509SHA256=\(certificate.fingerprint)"]
        }
        return Authentication.admitted(user)
    }
}

// Who is at the other end of a connection: its address and, when TLS has verified one against the client CA, its
// certificate. A certificate that cannot be read is none: its user is asked for another proof.

import HTTP
import NIOCore
import NIOSSL
import PKI

extension Peer {
    /// Parses the certificate: to be made once a connection. On the channel's event loop only.
    /// - Parameter channel: of the connection, not of a stream of it.
    init(of channel: any Channel, isSecure: Bool) {
        self.init(address: channel.remoteAddress?.ipAddress ?? "")
        guard isSecure, let certificate = try? channel.pipeline.syncOperations.nioSSL_peerCertificate(),
            let der = try? certificate.toDERBytes(), let subject = CertificateSubject(der: der)
        else { return }
        self.certificate = ClientCertificate(
            commonName: subject.commonName, organizations: subject.organizations,
            fingerprint: SHA256Hash.hex(of: der))
    }
}

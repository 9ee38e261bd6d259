// The file with which kubectl and every other client finds and enters the cluster (v1 Config of client-go).

import System

public enum Kubeconfig {
    /// A kubeconfig for one user of one cluster, everything inline. It holds a private key: write it 0600.
    public static func text(server: String, authorityPEM: String, user: String, identity: Identity) -> String {
        func inline(_ pem: String) -> String { Base64.encode(Array(pem.utf8)) }
        return """
            apiVersion: v1
            kind: Config
            clusters:
            - name: noded
              cluster:
                server: \(server)
                certificate-authority-data: \(inline(authorityPEM))
            users:
            - name: \(user)
              user:
                client-certificate-data: \(inline(identity.certificatePEM))
                client-key-data: \(inline(identity.keyPEM))
            contexts:
            - name: noded
              context:
                cluster: noded
                user: \(user)
            current-context: noded

            """
    }
}

// What the API server must be told. Everything has a default but the address that clients reach it at.

public import Objects
public import System

public struct APIServerConfiguration: Sendable {
    /// Published as the endpoint of Service default/kubernetes; a loopback address is not (pods could not reach it).
    public var advertiseAddress: IPAddress
    /// TCP port of the https listener, for the same endpoint.
    public var port = 6443
    /// Ranges of Service addresses; the first decides the primary family. One of a family, at least a /28 (IPv6: /124).
    public var serviceCIDRs: [CIDR] = [CIDR("10.43.0.0/16")!]
    /// Ports for Services of type NodePort and LoadBalancer.
    public var nodePorts = 30000...32767

    /// Requests that may wait for their answer at a time, those that write and those that read; more get 429. Watches
    /// and system:masters do not count. kube-apiserver's --max-mutating-requests-inflight and --max-requests-inflight.
    public var maxMutatingRequests = 200
    public var maxReadingRequests = 400
    /// Connections to pods that may be open at a time, of all users and of one: proxied requests and tunnels, exec,
    /// attach, port-forward and each of its connections. More get 429; system:masters do not count.
    public var maxSessions = 800
    public var maxUserSessions = 400
    /// Signs and verifies service account tokens; without one none are issued and none are known.
    public var tokenSigner: (any TokenSigner)?
    /// `iss` of service account tokens: an https URL without a path's trailing slash.
    public var issuer = "https://kubernetes.default.svc.cluster.local"
    /// Audiences that mean this server; empty: just the issuer.
    public var audiences: [String] = []
    /// Reads certificate requests; without one none are accepted.
    public var certificateSigner: (any CertificateSigner)?
    /// Bearer tokens out of a file, for people and tools without a certificate.
    public var staticTokens: [StaticToken] = []

    public init(advertiseAddress: IPAddress) { self.advertiseAddress = advertiseAddress }

    /// host:port under which clients reach the server.
    var serverAddress: String {
        advertiseAddress.isV6 ? "[\(advertiseAddress)]:\(port)" : "\(advertiseAddress):\(port)"
    }
}

/// The API level and build, as GET /version shows them.
public enum APIVersion {
    public static let major = "1"
    public static let minor = "36"
    public static let git = "v1.36.1+noded.1"

    #if arch(x86_64)
        static let platform = "linux/amd64"
    #elseif arch(arm64)
        static let platform = "linux/arm64"
    #else
        static let platform = "linux"
    #endif
}

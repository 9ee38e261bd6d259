// Probes by HTTP and TCP, as the kubelet needs them (Pod.spec.containers[].livenessProbe and friends).
//
// A protocol of values, so that the kubelet's state machines are tested without a socket; Transport has the one over
// NIO. A probe never throws: that something does not answer is its result.

/// What came of an HTTP probe.
public enum ProbeResult: Sendable, Hashable {
    /// Any complete response. `body` holds at most 10 KiB of it, as the kubelet keeps.
    case response(status: Int, body: [UInt8])
    /// No response: a text for the event, e.g. `dial tcp 10.42.0.5:80: connect: connection refused`.
    case failure(String)
}

/// Makes connections for probes.
public protocol Prober: Sendable {
    /// GET `scheme`://`host`:`port``path`.
    /// - Parameters:
    ///   - scheme: "http" or "https"; certificates are not verified (Pod v1 HTTPGetAction.scheme).
    ///   - host: an IP address, without brackets.
    ///   - path: path and query, beginning with "/".
    ///   - headers: sent as they are; a Host header replaces the default.
    ///   - timeout: for the whole exchange, connect included.
    func httpGet(
        scheme: String, host: String, port: Int, path: String, headers: HTTPHeaders, timeout: Duration
    ) async -> ProbeResult

    /// Connects and closes. nil when the connection came up, else the error's text.
    func tcp(host: String, port: Int, timeout: Duration) async -> String?
}

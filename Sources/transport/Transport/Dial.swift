// Connecting to a server, and what to say when that fails: in the words that people search for.

import NIOCore
import NIOPosix
import NIOSSL

enum Dial {
    /// Certificates are not verified.
    static func insecureContext() throws(TransportError) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw .badIdentity("\(error)")
        }
    }

    /// host:port, an IPv6 address in brackets.
    static func authority(_ host: String, _ port: Int) -> String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// `dial tcp 10.42.0.5:80: connect: connection refused`
    static func explain(_ error: any Error, _ host: String, _ port: Int) -> String {
        let dial = "dial tcp \(authority(host, port))"
        switch error {
        case ChannelError.connectTimeout: return "\(dial): i/o timeout"
        case let error as NIOConnectionError:
            return explain(error.connectionErrors.first?.error ?? TransportError.closed, host, port)
        case let error as IOError where error.errnoCode == ECONNREFUSED:
            return "\(dial): connect: connection refused"
        case let error as IOError where error.errnoCode == EHOSTUNREACH:
            return "\(dial): connect: no route to host"
        case let error as IOError where error.errnoCode == ENETUNREACH:
            return "\(dial): connect: network is unreachable"
        default: return "\(dial): \(error)"
        }
    }
}

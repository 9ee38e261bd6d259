// The command line of `wire`: a verb, then `--name value` pairs. Every mistake ends the program with code 64.

import Glibc
import NIOSSL

struct Arguments {
    let verb: String
    private var values: [String: String] = [:]

    init() {
        let words = CommandLine.arguments.dropFirst()
        verb = words.first ?? ""
        var rest = words.dropFirst()
        while let name = rest.popFirst() {
            guard name.hasPrefix("--"), let value = rest.popFirst() else {
                Arguments.end(64, "\(name): every option is --name value")
            }
            values[String(name.dropFirst(2))] = value
        }
    }

    func text(_ name: String, or standard: String? = nil) -> String {
        guard let value = values[name] ?? standard else { Arguments.end(64, "--\(name) is missing") }
        return value
    }

    func number(_ name: String, or standard: Int? = nil) -> Int {
        if values[name] == nil, let standard { return standard }
        guard let value = Int(text(name)), value >= 0 else { Arguments.end(64, "--\(name): must be a number") }
        return value
    }

    func bytes(_ name: String) -> [UInt8] {
        let path = text(name)
        guard let file = fopen(path, "r") else { Arguments.end(1, "cannot open \(path)") }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            if count == 0 { return bytes }
            bytes += buffer[..<count]
        }
    }

    /// The identity in --cert and --key (PEM files), as a server or as a client.
    func tls(server: Bool) throws -> NIOSSLContext {
        let chain = try NIOSSLCertificate.fromPEMFile(text("cert")).map { NIOSSLCertificateSource.certificate($0) }
        let key = NIOSSLPrivateKeySource.privateKey(try NIOSSLPrivateKey(file: text("key"), format: .pem))
        var configuration =
            server
            ? TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: key)
            : TLSConfiguration.makeClientConfiguration()
        if !server {
            // A benchmark on one machine: the server's name is not what is measured.
            configuration.certificateVerification = .none
            configuration.certificateChain = chain
            configuration.privateKey = key
        }
        return try NIOSSLContext(configuration: configuration)
    }

    static func end(_ code: Int32, _ message: String) -> Never {
        let line = Array("wire: \(message)\n".utf8)
        _ = write(2, line, line.count)
        exit(code)
    }
}

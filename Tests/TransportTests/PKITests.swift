// Keys and certificates, judged by OpenSSL and by real handshakes.

import Glibc
import HTTP
import PKI
import System
import Testing
import Transport

extension TransportTests {
    @Suite struct PKITests {
        private func mode(_ path: String) -> UInt32 {
            var status = stat()
            return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
        }

        @Test func authorityIsMadeOnceAndPrivate() async throws {
            try await withDirectory { directory in
                let made = try CertificateAuthority.loadOrCreate(directory: directory + "/pki")
                let read = try CertificateAuthority.loadOrCreate(directory: directory + "/pki")
                #expect(made.certificatePEM == read.certificatePEM)
                #expect(mode(directory + "/pki") == 0o700)
                #expect(mode(directory + "/pki/ca.key") == 0o600)
                #expect(mode(directory + "/pki/ca.crt") == 0o644)
            }
        }

        @Test func halfAnAuthorityIsRefused() async throws {
            for missing in ["ca.key", "ca.crt"] {
                try await withDirectory { directory in
                    _ = try CertificateAuthority.loadOrCreate(directory: directory)
                    unlink("\(directory)/\(missing)")
                    let error = try #require(throws: PKIError.self) {
                        try CertificateAuthority.loadOrCreate(directory: directory)
                    }
                    #expect("\(error)".contains("\(directory)/\(missing) is not"))
                    #expect(!Files.exists("\(directory)/\(missing)"))
                }
            }
        }

        @Test func strangeKeysAndGarbageAreRefused() async throws {
            try await withDirectory { directory in
                _ = try CertificateAuthority.loadOrCreate(directory: directory)
                _ = try CertificateAuthority.loadOrCreate(directory: directory, name: "other")
                try Files.writeAtomically("\(directory)/ca.key", try Files.read("\(directory)/other.key"))
                let mismatch = try #require(throws: PKIError.self) {
                    try CertificateAuthority.loadOrCreate(directory: directory)
                }
                #expect("\(mismatch)".contains("it is not the key of \(directory)/ca.crt"))
                try Files.writeAtomically("\(directory)/ca.crt", Array("garbage".utf8))
                let garbage = try #require(throws: PKIError.self) {
                    try CertificateAuthority.loadOrCreate(directory: directory)
                }
                #expect("\(garbage)".contains("\(directory)/ca.crt is no usable PEM file"))
            }
        }

        @Test func openSSLAcceptsWhatIsSigned() async throws {
            try await withDirectory { directory in
                let authority = try CertificateAuthority.loadOrCreate(directory: directory)
                let names: [CertificateAuthority.Name] = [
                    .dns("kubernetes.default.svc"), .address(IPAddress("10.43.0.1")!), .address(IPAddress("fd00::1")!),
                ]
                let server = try authority.issueServer(commonName: "kube-apiserver", names: names)
                let client = try authority.issueClient(commonName: "admin", organizations: ["system:masters", "two"])
                try Files.writeAtomically("\(directory)/server.crt", Array(server.certificatePEM.utf8))
                try Files.writeAtomically("\(directory)/client.crt", Array(client.certificatePEM.utf8))
                let verify = "cd \(directory) && openssl verify -x509_strict -CAfile ca.crt"
                for (check, good) in [
                    ("-purpose sslserver -verify_hostname kubernetes.default.svc server.crt", true),
                    ("-purpose sslserver -verify_ip 10.43.0.1 server.crt", true),
                    ("-purpose sslserver -verify_ip fd00::1 server.crt", true),
                    ("-purpose sslserver -verify_hostname example.org server.crt", false),
                    ("-purpose sslclient server.crt", false),
                    ("-purpose sslclient client.crt", true),
                    ("-purpose sslserver client.crt", false),
                ] {
                    let result = try await shell("\(verify) \(check)")
                    #expect((result.status == 0) == good, "\(check): \(result.output)")
                }
                let subject = try await shell("cd \(directory) && openssl x509 -noout -subject -in client.crt").output
                #expect(
                    subject.contains("O = system:masters, O = two, CN = admin") || subject.contains("O=system:masters"))
            }
        }

        @Test func renewalIsDueAtTwoThirds() async throws {
            try await withDirectory { directory in
                let authority = try CertificateAuthority.loadOrCreate(directory: directory)
                let now = Timestamp(seconds: 1_800_000_000, nanoseconds: 0)
                let identity = try authority.issueClient(commonName: "a", organizations: [])
                let old = try authority.issueClient(commonName: "a", organizations: [], now: now)
                #expect(!identity.shouldRenew(at: .now()))
                func after(days: Int64) -> Timestamp { Timestamp(seconds: now.seconds + days * 86_400, nanoseconds: 0) }
                #expect(!old.shouldRenew(at: after(days: 240)))
                #expect(old.shouldRenew(at: after(days: 250)))
                #expect(old.shouldRenew(at: after(days: -2)))
            }
        }

        @Test func kubeconfigHoldsEverything() async throws {
            try await withDirectory { directory in
                let authority = try CertificateAuthority.loadOrCreate(directory: directory)
                let admin = try authority.issueClient(commonName: "admin", organizations: ["system:masters"])
                let yaml = Kubeconfig.text(
                    server: "https://127.0.0.1:6443", authorityPEM: authority.certificatePEM, user: "admin",
                    identity: admin)
                func value(_ key: String) -> String? {
                    yaml.split(separator: "\n").first { $0.contains("\(key): ") }?.split(separator: ": ").last.map(
                        String.init)
                }
                func decoded(_ key: String) -> String? {
                    value(key).flatMap { Base64.decode($0) }.map { String(decoding: $0, as: UTF8.self) }
                }
                #expect(value("server") == "https://127.0.0.1:6443")
                #expect(value("current-context") == "noded")
                #expect(decoded("certificate-authority-data") == authority.certificatePEM)
                #expect(decoded("client-certificate-data") == admin.certificatePEM)
                #expect(decoded("client-key-data") == admin.keyPEM)
                try Files.writeAtomically("\(directory)/config", Array(yaml.utf8))
                guard try await shell("command -v kubectl").status == 0 else {
                    print("no kubectl on this machine: the kubeconfig is not read by it")
                    return
                }
                let view = try await shell(
                    "KUBECONFIG=\(directory)/config kubectl config view -o jsonpath='{.users[0].name}'")
                #expect(view.output == "admin")
            }
        }

        @Test func clientCertificatesSayWhoIsThere() async throws {
            try await withDirectory { directory in
                let authority = try CertificateAuthority.loadOrCreate(directory: directory)
                let stranger = try CertificateAuthority.loadOrCreate(directory: directory, name: "stranger")
                let names = [CertificateAuthority.Name.address(IPAddress("127.0.0.1")!)]
                func write(_ name: String, _ identity: Identity) throws {
                    let pem = identity.certificatePEM + "\n" + identity.keyPEM
                    try Files.writeAtomically("\(directory)/\(name).pem", Array(pem.utf8))
                }
                try write("good", try authority.issueClient(commonName: "ann", organizations: ["dev", "ops"]))
                try write("bad", try stranger.issueClient(commonName: "eve", organizations: ["system:masters"]))
                try write("wrong", try authority.issueServer(commonName: "server", names: names))
                let tls = HTTPServerConfiguration.TLS(
                    identity: try authority.issueServer(commonName: "server-1", names: names),
                    clientAuthorityPEM: authority.certificatePEM)
                try await withServer(configuration: local(tls: tls)) { request in
                    guard let certificate = request.peer.certificate else { return text("anonymous") }
                    return text("\(certificate.commonName) \(certificate.organizations)")
                } _: { port, server in
                    let url = "https://127.0.0.1:\(port)/"
                    let curl = "curl -sS -m 90 --cacert \(directory)/ca.crt"
                    #expect(try await shell("\(curl) \(url)").output == "anonymous")
                    #expect(
                        try await shell("\(curl) -E \(directory)/good.pem \(url)").output == "ann [\"dev\", \"ops\"]")
                    #expect(
                        try await shell("\(curl) --tls-max 1.2 -E \(directory)/good.pem \(url)").output.hasPrefix("ann")
                    )
                    for file in ["bad", "wrong"] {
                        let refused = try await shell("\(curl) -E \(directory)/\(file).pem \(url)")
                        #expect(refused.status != 0, "\(file): \(refused.output)")
                    }
                    #expect(try await shell("\(curl) --tls-max 1.1 --tlsv1.1 \(url)").status != 0)
                    // Another certificate, without a new listener.
                    let subject = "openssl s_client -connect 127.0.0.1:\(port) | openssl x509 -noout -subject"
                    #expect(try await shell(subject).output.contains("server-1"))
                    try server.replaceIdentity(try authority.issueServer(commonName: "server-2", names: names))
                    #expect(try await shell(subject).output.contains("server-2"))
                    #expect(try await shell("\(curl) \(url)").output == "anonymous")
                }
            }
        }

        @Test func hashesAreSHA256() {
            #expect(
                SHA256Hash.hex(of: Array("abc".utf8))
                    == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        }
    }
}

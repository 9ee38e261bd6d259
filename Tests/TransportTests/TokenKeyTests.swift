// The token key and the signing of foreign keys, with real cryptography; openssl makes the requests, as users do.

import PKI
import System
import Testing

@Suite struct TokenKeyTests {
    private func withDirectory(_ body: (String) throws -> Void) throws {
        let path = "/tmp/noded-pki-\(Random.nameSuffix(8))"
        try Files.makeDirectory(path, mode: 0o700)
        defer { try? Files.removeTree(path) }
        try body(path)
    }

    @Test func aKeyIsMadeOnceAndVerifiesItsOwnOnly() throws {
        try withDirectory { directory in
            let key = try TokenKey.loadOrCreate(path: "\(directory)/a.key")
            let again = try TokenKey.loadOrCreate(path: "\(directory)/a.key")
            let other = try TokenKey.loadOrCreate(path: "\(directory)/b.key")
            #expect(key.keyID == again.keyID && key.keyID != other.keyID)
            let text = Array("header.claims".utf8)
            let signature = try key.sign(text)
            #expect(signature.count == 64)
            #expect(again.isValid(signature, of: text))
            #expect(!other.isValid(signature, of: text))
            #expect(!key.isValid(signature, of: text + [0]))
            #expect(!key.isValid(Array(signature.dropLast()), of: text))
            try Files.writeAtomically("\(directory)/c.key", Array("nonsense".utf8))
            #expect(throws: PKIError.self) { try TokenKey.loadOrCreate(path: "\(directory)/c.key") }
        }
    }

    // openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/O=dev/CN=jane"
    //   -addext "subjectAltName=DNS:a.example,IP:192.0.2.1"
    static let request = """
        -----BEGIN CERTIFICATE REQUEST-----
        MIIBBjCBrAIBADAdMQwwCgYDVQQKDANkZXYxDTALBgNVBAMMBGphbmUwWTATBgcq
        hkjOPQIBBggqhkjOPQMBBwNCAASEWLD5qLslzG4ncsslIlpct40ZIH34JPpMb0jc
        wWQjVyWKfnLJotuBuK6In2tz3hDUVwH4JtV0g4hN/qAMPpyeoC0wKwYJKoZIhvcN
        AQkOMR4wHDAaBgNVHREEEzARgglhLmV4YW1wbGWHBMAAAgEwCgYIKoZIzj0EAwID
        SQAwRgIhANQfviIi82Re5CHpaRkSL7YOMMrdv7zAlqR1id0kD6SaAiEAio0mVB/t
        tMFI4LsIrQoETieWM2rL5bwvzzcLmgd2ffw=
        -----END CERTIFICATE REQUEST-----
        """

    @Test func aRequestIsReadAndSigned() throws {
        try withDirectory { directory in
            let request = try SigningRequest(pem: Self.request)
            #expect(request.commonName == "jane" && request.organizations == ["dev"])
            #expect(request.dnsNames == ["a.example"] && request.addresses.map { "\($0)" } == ["192.0.2.1"])
            let authority = try CertificateAuthority.loadOrCreate(directory: directory)
            let pem = try authority.sign(request, usages: ["client auth", "digital signature"], seconds: 3600)
            #expect(pem.hasPrefix("-----BEGIN CERTIFICATE-----"))
            #expect(throws: PKIError.self) { try authority.sign(request, usages: ["netscape sgc"], seconds: 3600) }
        }
    }

    @Test func aTouchedRequestIsRefused() throws {
        #expect(throws: PKIError.self) { try SigningRequest(pem: "nonsense") }
        #expect(throws: PKIError.self) { try SigningRequest(pem: Self.request.replacing("CERTIFICATE REQUEST", with: "CERTIFICATE")) }
        let lines = Self.request.split(separator: "\n").map(String.init)
        var bytes = try #require(Base64.decode(lines.dropFirst().dropLast().joined()))
        // A letter of the common name.
        let place = try #require(bytes.indices.first { bytes[$0...].starts(with: Array("jane".utf8)) })
        bytes[place] = UInt8(ascii: "k")
        let touched = "\(lines[0])\n\(Base64.encode(bytes))\n\(lines[lines.count - 1])\n"
        #expect(throws: PKIError.self) { try SigningRequest(pem: touched) }
    }
}

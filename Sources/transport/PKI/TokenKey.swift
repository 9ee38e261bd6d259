// The key that signs service account tokens: P-256, ES256 (RFC 7518, 3.4), in a file only root can read.
//
// Its public half is published, so that others can verify tokens without asking. Losing the file ends every token
// that was issued; they are short-lived and renewed by the kubelet.

import Crypto
import System

/// An ES256 key pair.
public struct TokenKey: Sendable {
    private let key: P256.Signing.PrivateKey
    /// The RFC 7638-like name of the key that Kubernetes uses: base64url of SHA-256 over the DER of the public key.
    public let keyID: String

    private init(_ key: P256.Signing.PrivateKey) {
        self.key = key
        keyID = Base64.encode(Array(SHA256.hash(data: key.publicKey.derRepresentation)), url: true)
    }

    /// Reads the PEM file, or makes a key and the file (0600) when there is none.
    public static func loadOrCreate(path: String) throws(PKIError) -> TokenKey {
        if Files.exists(path) {
            let text: String
            do throws(SystemError) {
                text = String(decoding: try Files.read(path, limit: 1 << 20), as: UTF8.self)
            } catch {
                throw .file(error)
            }
            guard let key = try? P256.Signing.PrivateKey(pemRepresentation: text) else {
                throw .unreadable(path: path, reason: "not a P-256 private key")
            }
            return TokenKey(key)
        }
        let key = P256.Signing.PrivateKey()
        do throws(SystemError) {
            try Files.writeAtomically(path, Array(key.pemRepresentation.utf8), mode: 0o600)
        } catch {
            throw .file(error)
        }
        return TokenKey(key)
    }

    /// The coordinates of the public point, 32 bytes each.
    public var coordinates: (x: [UInt8], y: [UInt8]) {
        let raw = Array(key.publicKey.rawRepresentation)
        return (Array(raw[..<32]), Array(raw[32...]))
    }

    /// r and s, 32 bytes each, over SHA-256 of `bytes`.
    public func sign(_ bytes: [UInt8]) throws(PKIError) -> [UInt8] {
        do {
            return Array(try key.signature(for: bytes).rawRepresentation)
        } catch {
            throw .signing("\(error)")
        }
    }

    /// Whether `signature` (r and s) is this key's over `bytes`.
    public func isValid(_ signature: [UInt8], of bytes: [UInt8]) -> Bool {
        guard let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature) else { return false }
        return key.publicKey.isValidSignature(signature, for: bytes)
    }
}

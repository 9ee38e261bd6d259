// SHA-256 (FIPS 180-4) for everybody who checks a digest: BoringSSL's, so as fast as the machine allows.

import Crypto

/// An incremental SHA-256.
public struct SHA256Hash {
    private var hasher = SHA256()

    public init() {}

    public mutating func update(_ bytes: some Sequence<UInt8>) {
        let handled: Void? = bytes.withContiguousStorageIfAvailable { update(UnsafeRawBufferPointer($0)) }
        if handled == nil { update(Array(bytes)) }
    }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) { hasher.update(bufferPointer: bytes) }

    /// The 32 bytes of the digest of everything so far.
    public func finish() -> [UInt8] { Array(hasher.finalize()) }

    /// The digest as 64 lower-case hexadecimal digits.
    public func finishHex() -> String { Self.hex(finish()) }

    /// The digest of `bytes` as 64 lower-case hexadecimal digits.
    public static func hex(of bytes: [UInt8]) -> String {
        var hash = SHA256Hash()
        hash.update(bytes)
        return hash.finishHex()
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

// A short, stable hash of bytes (FNV-1a, 64 bits): for ETags and version hashes, where nobody gains from a collision.

import System

struct Fingerprint {
    private var state: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ bytes: [UInt8]) {
        for byte in bytes { state = (state ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }

    private var bytes: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: state >> (56 - 8 * $0)) } }

    /// 16 upper-case digits.
    var hex: String {
        let text = String(state, radix: 16, uppercase: true)
        return String(repeating: "0", count: 16 - text.count) + text
    }

    var base64: String { Base64.encode(bytes) }
}

// Randomness from the kernel's generator (getrandom(2), through SystemRandomNumberGenerator). Cannot fail: before the
// generator is ready the call waits.

public enum Random {
    /// `count` unpredictable bytes.
    public static func bytes(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count {
            withUnsafeBytes(of: generator.next()) { bytes.append(contentsOf: $0) }
        }
        bytes.removeLast(bytes.count - count)
        return bytes
    }

    /// A version 4 UUID (RFC 9562) in lower case: 3f2b6c1e-….
    public static func uuid() -> String {
        var bytes = bytes(16)
        bytes[6] = bytes[6] & 0x0f | 0x40
        bytes[8] = bytes[8] & 0x3f | 0x80
        let hex = Array(Hex.encode(bytes).utf8)
        let groups = [hex[0..<8], hex[8..<12], hex[12..<16], hex[16..<20], hex[20..<32]]
        return groups.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "-")
    }

    /// What Kubernetes appends to generateName: no vowels and no digits that look like letters, so no words appear.
    public static func nameSuffix(_ count: Int = 5) -> String {
        let alphabet = Array("bcdfghjklmnpqrstvwxz2456789".utf8)
        return String(
            decoding: (0..<count).map { _ in alphabet[Int(uniform(below: UInt64(alphabet.count)))] }, as: UTF8.self)
    }

    /// Every value in 0..<bound equally likely. `bound` must be positive.
    public static func uniform(below bound: UInt64) -> UInt64 {
        var generator = SystemRandomNumberGenerator()
        return generator.next(upperBound: bound)
    }
}

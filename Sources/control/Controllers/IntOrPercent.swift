// A field that is a count or a percentage of one (util/intstr): maxSurge, minAvailable and their like.

import Objects

enum IntOrPercent {
    /// The count it stands for, out of `total`; at most what an int32 field holds, for validation bounds only some
    /// percentages. What is neither counts 0: validation has refused it.
    static func count(_ value: JSON, of total: Int64, roundingUp: Bool) -> Int64 {
        if let number = value.int { return Int64(Int32(clamping: number)) }
        guard let percent = percent(value) else { return 0 }
        let hundredths = Int128(total) * Int128(percent) + (roundingUp ? 99 : 0)
        return Int64(Int32(clamping: hundredths / 100))
    }

    static func percent(_ value: JSON) -> Int64? {
        guard let text = value.string, text.hasSuffix("%") else { return nil }
        return Int64(text.dropLast())
    }
}

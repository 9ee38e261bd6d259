// Quantity: amounts of CPU, memory and other resources, as `100m`, `1.5Gi` or `2e3`
// (k8s.io/apimachinery/pkg/api/resource).
//
// Held as an exact number of billionths in 128 bits: Kubernetes keeps nine decimals too and rounds what is finer away
// from zero. Amounts beyond the largest Int64 are capped to it, as there. It prints in Kubernetes' canonical form: no
// fraction, the largest suffix that loses nothing, of the family it was written in.

/// A resource amount.
public struct Quantity: Hashable, Sendable {
    /// The family of suffixes.
    public enum Format: Hashable, Sendable {
        /// n u m k M G T P E
        case decimal
        /// Ki Mi Gi Ti Pi Ei
        case binary
        /// e3, e6, …
        case exponent
    }

    /// Billionths.
    public let nanos: Int128
    public let format: Format

    static let billion: Int128 = 1_000_000_000
    static let limit = Int128(Int64.max) * billion

    init(nanos: Int128, format: Format) {
        self.nanos = min(max(nanos, -Self.limit), Self.limit)
        self.format = format
    }

    /// A whole amount, in bytes, cores, pods, …
    public init(_ value: Int64, format: Format = .decimal) {
        self.init(nanos: Int128(value) * Self.billion, format: format)
    }

    /// Thousandths: CPU in millicores.
    public init(milli: Int64) { self.init(nanos: Int128(milli) * 1_000_000, format: .decimal) }

    public static let zero = Quantity(0)

    /// The amount, rounded up.
    public var value: Int64 { Int64(clamping: Self.divide(nanos, by: Self.billion)) }

    /// Thousandths, rounded up.
    public var milliValue: Int64 { Int64(clamping: Self.divide(nanos, by: 1_000_000)) }

    public var isZero: Bool { nanos == 0 }

    /// The quotient, rounded away from zero.
    private static func divide(_ number: Int128, by divisor: Int128) -> Int128 {
        let (quotient, remainder) = number.quotientAndRemainder(dividingBy: divisor)
        return remainder == 0 ? quotient : quotient + remainder.signum()
    }

    /// Equal amounts are equal, whatever their format.
    public static func == (left: Quantity, right: Quantity) -> Bool { left.nanos == right.nanos }
    public func hash(into hasher: inout Hasher) { hasher.combine(nanos) }

    /// The format is the left one's, the right one's when the left is zero.
    public static func + (left: Quantity, right: Quantity) -> Quantity {
        Quantity(nanos: left.nanos + right.nanos, format: left.isZero ? right.format : left.format)
    }

    public static func - (left: Quantity, right: Quantity) -> Quantity {
        Quantity(nanos: left.nanos - right.nanos, format: left.isZero ? right.format : left.format)
    }

    public static func += (left: inout Quantity, right: Quantity) { left = left + right }
    public static func -= (left: inout Quantity, right: Quantity) { left = left - right }
}

extension Quantity: Comparable {
    public static func < (left: Quantity, right: Quantity) -> Bool { left.nanos < right.nanos }
}

// MARK: - Printing

extension Quantity: CustomStringConvertible {
    /// The canonical form.
    public var description: String {
        if nanos == 0 { return "0" }
        switch format {
        // A fraction of a byte is shown in thousandths rather than lost: 0.6Gi is 644245094400m.
        case .binary where nanos.magnitude >= UInt128(1024 * Self.billion) && nanos % Self.billion == 0:
            return binaryText
        case .exponent: return decimalText(["e-9", "e-6", "e-3", "", "e3", "e6", "e9", "e12", "e15", "e18"])
        default: return decimalText(["n", "u", "m", "", "k", "M", "G", "T", "P", "E"])
        }
    }

    private func decimalText(_ suffixes: [String]) -> String {
        var number = nanos
        var step = 0
        while step < suffixes.count - 1, number % 1000 == 0 {
            number /= 1000
            step += 1
        }
        return "\(number)\(suffixes[step])"
    }

    private var binaryText: String {
        let suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
        var number = nanos / Self.billion
        var step = 0
        while step < suffixes.count - 1, number % 1024 == 0 {
            number /= 1024
            step += 1
        }
        return "\(number)\(suffixes[step])"
    }
}

// MARK: - Parsing

/// Why a text is no quantity, in Kubernetes' words.
public struct QuantityError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    static let format = QuantityError(
        description: "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    static let numeric = QuantityError(description: "unable to parse numeric part of quantity")
    static let suffix = QuantityError(description: "unable to parse quantity's suffix")
}

extension Quantity {
    /// Parses `SIGN DIGITS[.DIGITS] SUFFIX`, the suffix being one of n u m k M G T P E, Ki Mi Gi Ti Pi Ei, or e/E and
    /// an exponent.
    public init(parsing text: String) throws(QuantityError) {
        var rest = Array(text.utf8)[...]
        guard !rest.isEmpty else { throw .format }
        var negative = false
        if let sign = rest.first, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") {
            negative = sign == UInt8(ascii: "-")
            rest = rest.dropFirst()
        }
        let whole = rest.prefix(while: Self.isDigit)
        rest = rest[whole.endIndex...]
        var fraction: ArraySlice<UInt8> = []
        if rest.first == UInt8(ascii: ".") {
            fraction = rest.dropFirst().prefix(while: Self.isDigit)
            rest = rest[fraction.endIndex...]
        }
        if whole.isEmpty, fraction.isEmpty { throw rest.isEmpty || rest.count == text.utf8.count ? .format : .numeric }
        let (format, scale) = try Self.scale(suffix: String(decoding: rest, as: UTF8.self))
        let magnitude = Self.nanos(whole: whole, fraction: fraction, scale)
        self.init(nanos: negative ? -magnitude : magnitude, format: format)
    }

    /// nil when the text is no quantity.
    public init?(_ text: String) {
        do { try self.init(parsing: text) } catch { return nil }
    }

    /// From JSON: a string, or a bare number, which Kubernetes takes too.
    public init?(_ json: JSON?) {
        switch json {
        case .string(let text): self.init(text)
        case .int(let value): self.init(value)
        case .double(let value): self.init(JSON.double(value).text)
        default: return nil
        }
    }

    /// A power of ten or of two that multiplies the digits.
    private enum Scale {
        case ten(Int)
        case two(Int)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }

    private static func scale(suffix: String) throws(QuantityError) -> (Format, Scale) {
        if let known = suffixes[suffix] { return known }
        var rest = Array(suffix.utf8)[...]
        guard let first = rest.first, first == UInt8(ascii: "e") || first == UInt8(ascii: "E") else {
            throw suffix.utf8.allSatisfy { "eEinumkKMGTP+-0123456789".utf8.contains($0) } ? .suffix : .format
        }
        rest = rest.dropFirst()
        guard let exponent = Int(String(decoding: rest, as: UTF8.self)),
            (-1_000_000...1_000_000).contains(exponent)
        else {
            throw .suffix
        }
        return (.exponent, .ten(exponent))
    }

    private static let suffixes: [String: (Format, Scale)] = [
        "n": (.decimal, .ten(-9)), "u": (.decimal, .ten(-6)), "m": (.decimal, .ten(-3)), "": (.decimal, .ten(0)),
        "k": (.decimal, .ten(3)), "M": (.decimal, .ten(6)), "G": (.decimal, .ten(9)), "T": (.decimal, .ten(12)),
        "P": (.decimal, .ten(15)), "E": (.decimal, .ten(18)),
        "Ki": (.binary, .two(10)), "Mi": (.binary, .two(20)), "Gi": (.binary, .two(30)), "Ti": (.binary, .two(40)),
        "Pi": (.binary, .two(50)), "Ei": (.binary, .two(60)),
    ]

    /// The amount in billionths, what is finer rounded up, capped at the limit.
    private static func nanos(whole: ArraySlice<UInt8>, fraction: ArraySlice<UInt8>, _ scale: Scale) -> Int128 {
        var digits = Array(whole.drop { $0 == UInt8(ascii: "0") })
        let wholeDigits = digits.count
        // 18 decimals are more than any suffix can bring to within a billionth exactly in practice; the rest only
        // decides whether there is something to round up.
        digits += fraction.prefix(18)
        let sticky = fraction.dropFirst(18).contains { $0 != UInt8(ascii: "0") }
        var exponent = -min(fraction.count, 18)
        var number: Int128 = 0
        for digit in digits {
            let (product, overflow) = number.multipliedReportingOverflow(by: 10)
            if overflow { return limit }
            number = product + Int128(digit - UInt8(ascii: "0"))
        }
        if number == 0 { return sticky ? 1 : 0 }
        switch scale {
        case .ten(let power): exponent += power
        case .two(let bits):
            if wholeDigits > 19 { return limit }
            let (product, overflow) = number.multipliedReportingOverflow(by: Int128(1) << Int128(bits))
            if overflow { return limit }
            number = product
        }
        exponent += 9
        while exponent > 0 {
            let (product, overflow) = number.multipliedReportingOverflow(by: 10)
            if overflow { return limit }
            number = product
            exponent -= 1
        }
        var roundUp = sticky
        while exponent < 0, number > 0 {
            roundUp = roundUp || number % 10 != 0
            number /= 10
            exponent += 1
        }
        // The constructor caps it; this only keeps it from being larger than the type.
        return min(number, limit) + (roundUp ? 1 : 0)
    }
}

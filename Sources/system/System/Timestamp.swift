// Wall-clock time as Kubernetes writes it: metav1.Time (RFC 3339, whole seconds, UTC) and metav1.MicroTime, and the
// nanosecond form of CRI log lines. For measuring durations use ContinuousClock; a wall clock may jump.

internal import Glibc

/// A moment: seconds since 1970-01-01T00:00:00Z, leap seconds not counted, plus 0 to 999,999,999 nanoseconds.
public struct Timestamp: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let seconds: Int64
    public let nanoseconds: Int32

    public init(seconds: Int64, nanoseconds: Int32 = 0) {
        precondition((0..<1_000_000_000).contains(nanoseconds), "nanoseconds out of range: \(nanoseconds)")
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    public static func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(seconds: Int64(time.tv_sec), nanoseconds: Int32(time.tv_nsec))
    }

    public static func < (a: Timestamp, b: Timestamp) -> Bool {
        (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds)
    }

    /// Ends that are too far away become the last second of the year 9999 (or the first of 1): what RFC 3339 can say.
    public func advanced(by duration: Duration) -> Timestamp {
        let (seconds, attoseconds) = duration.components
        let (sum, overflow) = self.seconds.addingReportingOverflow(seconds)
        let bound = seconds < 0 ? Self.sayable.lowerBound : Self.sayable.upperBound
        var total = overflow || !Self.sayable.contains(sum) ? bound : sum
        var nanoseconds = Int64(self.nanoseconds) + attoseconds / 1_000_000_000
        if nanoseconds < 0 { (total, nanoseconds) = (total - 1, nanoseconds + 1_000_000_000) }
        if nanoseconds >= 1_000_000_000 { (total, nanoseconds) = (total + 1, nanoseconds - 1_000_000_000) }
        return Timestamp(seconds: total, nanoseconds: Int32(nanoseconds))
    }

    /// The years 1 to 9999.
    private static let sayable: ClosedRange<Int64> = -62_135_596_800...253_402_300_799

    /// How long after `earlier` this is; negative when it is before.
    public func since(_ earlier: Timestamp) -> Duration {
        .seconds(seconds - earlier.seconds) + .nanoseconds(Int64(nanoseconds) - Int64(earlier.nanoseconds))
    }

    /// "2026-11-21T03:04:05Z" (metav1.Time).
    public var rfc3339: String { text(fractionDigits: 0) }
    /// "2026-11-21T03:04:05.000006Z" (metav1.MicroTime).
    public var rfc3339Micro: String { text(fractionDigits: 6) }
    /// "2026-11-21T03:04:05.000000006Z", always nine digits.
    public var rfc3339Nano: String { text(fractionDigits: 9) }
    public var description: String { rfc3339Nano }

    /// A moment outside of the years 1 to 9999, for which RFC 3339 has no text, is written as their first or last second.
    private func text(fractionDigits: Int) -> String {
        let seconds = min(max(seconds, Self.sayable.lowerBound), Self.sayable.upperBound)
        let day = Int64((Double(seconds) / 86400).rounded(.down))
        let second = Int(seconds - day * 86400)
        let (year, month, dayOfMonth) = Self.civil(day)
        var out: [UInt8] = []
        out.reserveCapacity(32)
        func put(_ value: Int, _ width: Int) {
            var scale = 1
            for _ in 1..<width { scale *= 10 }
            while scale > 0 {
                out.append(UInt8(ascii: "0") + UInt8(value / scale % 10))
                scale /= 10
            }
        }
        put(year, 4)
        out.append(UInt8(ascii: "-"))
        put(month, 2)
        out.append(UInt8(ascii: "-"))
        put(dayOfMonth, 2)
        out.append(UInt8(ascii: "T"))
        put(second / 3600, 2)
        out.append(UInt8(ascii: ":"))
        put(second / 60 % 60, 2)
        out.append(UInt8(ascii: ":"))
        put(second % 60, 2)
        if fractionDigits > 0 {
            out.append(UInt8(ascii: "."))
            put(Int(nanoseconds) / (fractionDigits == 6 ? 1000 : 1), fractionDigits)
        }
        out.append(UInt8(ascii: "Z"))
        return String(decoding: out, as: UTF8.self)
    }

    /// RFC 3339: any offset, any number of fraction digits (more than nine are cut); nil for anything else.
    public init?(rfc3339 text: String) {
        let bytes = Array(text.utf8)
        var position = 0
        func number(_ width: Int) -> Int? {
            guard position + width <= bytes.count else { return nil }
            var value = 0
            for byte in bytes[position..<position + width] {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
                value = value * 10 + Int(byte - UInt8(ascii: "0"))
            }
            position += width
            return value
        }
        func skip(_ allowed: String) -> Bool {
            guard position < bytes.count, allowed.utf8.contains(bytes[position]) else { return false }
            position += 1
            return true
        }
        guard let year = number(4), skip("-"), let month = number(2), skip("-"), let day = number(2), skip("Tt"),
            let hour = number(2), skip(":"), let minute = number(2), skip(":"), let second = number(2),
            (1...12).contains(month), day >= 1, day <= Self.days(in: month, year), hour < 24, minute < 60, second <= 60
        else { return nil }
        var nanoseconds: Int32 = 0
        if skip(".") {
            var scale: Int32 = 100_000_000
            let start = position
            while let digit = number(1) {
                nanoseconds += Int32(digit) * scale
                scale /= 10
            }
            guard position > start else { return nil }
        }
        var offset = 0
        if !skip("Zz") {
            guard position < bytes.count, skip("+-") else { return nil }
            let sign = bytes[position - 1] == UInt8(ascii: "-") ? -1 : 1
            guard let hours = number(2), skip(":"), let minutes = number(2), hours < 24, minutes < 60 else {
                return nil
            }
            offset = sign * (hours * 3600 + minutes * 60)
        }
        guard position == bytes.count else { return nil }
        let days = Self.daysFromCivil(year, month, day)
        self.init(
            seconds: days * 86400 + Int64(hour * 3600 + minute * 60 + second - offset), nanoseconds: nanoseconds)
    }

    // The proleptic Gregorian calendar in 400-year eras starting on 1 March, so that the leap day is an era's last.

    private static func daysFromCivil(_ year: Int, _ month: Int, _ day: Int) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return Int64(era * 146097 + dayOfEra - 719468)
    }

    private static func civil(_ days: Int64) -> (year: Int, month: Int, day: Int) {
        let shifted = Int(days) + 719468
        let era = (shifted >= 0 ? shifted : shifted - 146096) / 146097
        let dayOfEra = shifted - era * 146097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let part = (5 * dayOfYear + 2) / 153
        let month = part < 10 ? part + 3 : part - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * part + 2) / 5 + 1)
    }

    private static func days(in month: Int, _ year: Int) -> Int {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        return [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
    }
}

// When a CronJob runs: five fields (minute, hour, day of month, month, day of week), or one of the @ names.
//
// Each field becomes a set of numbers, one bit each. The grammar and the messages are those of robfig/cron, which
// Kubernetes parses schedules with: lists, ranges, steps, `*` and `?`, names of months and days.

/// A parsed schedule.
public struct CronSchedule: Hashable, Sendable {
    /// One bit a number: bit 5 of `minutes` is minute 5. Days of week: 0 is Sunday.
    public let minutes, hours, days, months, weekdays: UInt64
    /// The day fields were `*` or `?`: then only the other one decides; else either may match.
    public let anyDay, anyWeekday: Bool

    public struct ParseError: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
    }

    private struct Field {
        let least: Int
        let most: Int
        var names: [String: Int] = [:]
    }

    private static let monthNames = "jan feb mar apr may jun jul aug sep oct nov dec".split(separator: " ")
    private static let dayNames = "sun mon tue wed thu fri sat".split(separator: " ")
    private static let fields: [Field] = [
        Field(least: 0, most: 59), Field(least: 0, most: 23), Field(least: 1, most: 31),
        Field(
            least: 1, most: 12,
            names: Dictionary(uniqueKeysWithValues: monthNames.enumerated().map { (String($1), $0 + 1) })),
        Field(
            least: 0, most: 6, names: Dictionary(uniqueKeysWithValues: dayNames.enumerated().map { (String($1), $0) })),
    ]
    private static let descriptors = [
        "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
        "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
    ]

    /// - Throws: what is wrong, in the parser's words. `@every` is refused: Kubernetes' calendar has no use for it.
    public init(parsing text: String) throws(ParseError) {
        var text = text
        if text.hasPrefix("@") {
            guard let expanded = Self.descriptors[text] else {
                throw ParseError(description: "unrecognized descriptor: \(text)")
            }
            text = expanded
        }
        let parts = text.split(whereSeparator: \.isWhitespace).map(String.init)
        guard !parts.isEmpty else { throw ParseError(description: "empty spec string") }
        guard parts.count == 5 else {
            throw ParseError(
                description: "expected exactly 5 fields, found \(parts.count): [\(parts.joined(separator: " "))]")
        }
        var sets: [UInt64] = []
        for (part, field) in zip(parts, Self.fields) { sets.append(try Self.set(part, field)) }
        (minutes, hours, days, months, weekdays) = (sets[0], sets[1], sets[2], sets[3], sets[4])
        (anyDay, anyWeekday) = (Self.isAny(parts[2]), Self.isAny(parts[4]))
    }

    private static func isAny(_ text: String) -> Bool { text.hasPrefix("*") || text.hasPrefix("?") }

    private static func set(_ text: String, _ field: Field) throws(ParseError) -> UInt64 {
        var bits: UInt64 = 0
        for item in text.split(separator: ",") { bits |= try range(String(item), field) }
        return bits
    }

    /// NUMBER, NUMBER-NUMBER or *, each with /STEP; NUMBER/STEP reaches to the end.
    private static func range(_ text: String, _ field: Field) throws(ParseError) -> UInt64 {
        let halves = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let ends = halves[0].split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        var (first, last) = (field.least, field.most)
        if ends[0] != "*", ends[0] != "?" {
            first = try number(ends[0], field)
            switch ends.count {
            case 1: last = halves.count == 2 ? field.most : first
            case 2: last = try number(ends[1], field)
            default: throw ParseError(description: "too many hyphens: \(text)")
            }
        }
        var step = 1
        switch halves.count {
        case 1: break
        case 2: step = try integer(halves[1])
        default: throw ParseError(description: "too many slashes: \(text)")
        }
        if first < field.least {
            throw ParseError(description: "beginning of range (\(first)) below minimum (\(field.least)): \(text)")
        }
        if last > field.most {
            throw ParseError(description: "end of range (\(last)) above maximum (\(field.most)): \(text)")
        }
        if first > last {
            throw ParseError(description: "beginning of range (\(first)) beyond end of range (\(last)): \(text)")
        }
        if step == 0 { throw ParseError(description: "step of range should be a positive number: \(text)") }
        return stride(from: first, through: last, by: step).reduce(0) { $0 | 1 << UInt64($1) }
    }

    private static func number(_ text: String, _ field: Field) throws(ParseError) -> Int {
        if let named = field.names[text.lowercased()] { return named }
        return try integer(text)
    }

    private static func integer(_ text: String) throws(ParseError) -> Int {
        guard let number = Int(text) else {
            throw ParseError(
                description: "failed to parse int from \(text): strconv.Atoi: parsing \(Quote.go(text)): invalid syntax"
            )
        }
        guard number >= 0 else { throw ParseError(description: "negative number (\(number)) not allowed: \(text)") }
        return number
    }
}

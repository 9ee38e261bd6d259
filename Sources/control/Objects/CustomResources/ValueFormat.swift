// The formats of strings that CustomResourceDefinitions may ask for, as k8s.io/kube-openapi/pkg/validation/strfmt has
// them. A format nobody knows is no rule (the CRD gets a warning), which is what Kubernetes does.

import System

enum ValueFormat {
    /// Whether the text has the format; true for formats that are not known.
    static func accepts(_ format: String, _ text: String) -> Bool { checks[format]?(text) ?? true }

    /// Known for a string; numbers have int32, int64, float and double.
    static func isKnown(_ format: String) -> Bool {
        checks[format] != nil || ["int32", "int64", "float", "double", "int-or-string"].contains(format)
    }

    private static let checks: [String: @Sendable (String) -> Bool] = [
        "date-time": { Timestamp(rfc3339: $0) != nil }, "datetime": { Timestamp(rfc3339: $0) != nil },
        "date": { isDate($0) }, "duration": { isDuration($0) },
        "byte": { Base64.decode($0) != nil }, "password": { _ in true },
        "uri": { isURI($0) }, "email": { isEmail($0) }, "hostname": { isHostname($0) },
        "ipv4": { IPAddress($0).map { !$0.isV6 } ?? false }, "ipv6": { IPAddress($0)?.isV6 ?? false },
        "cidr": { isCIDR($0) }, "mac": { isMAC($0) },
        "uuid": { isUUID($0, version: nil) }, "uuid3": { isUUID($0, version: "3") },
        "uuid4": { isUUID($0, version: "4") }, "uuid5": { isUUID($0, version: "5") },
        "bsonobjectid": { $0.utf8.count == 24 && $0.utf8.allSatisfy(isHex) },
        "hexcolor": { isHexColor($0) }, "rgbcolor": { isMatch(rgb, $0) },
        "isbn": { isISBN10($0) || isISBN13($0) }, "isbn10": { isISBN10($0) }, "isbn13": { isISBN13($0) },
        "creditcard": { isCreditCard($0) }, "ssn": { isMatch(ssn, $0) },
        "k8s-short-name": { Names.dns1123Label($0).isEmpty }, "k8s-long-name": { Names.dns1123Subdomain($0).isEmpty },
    ]

    private static let rgb = try? Pattern(
        #"^rgb\(\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*\)$"#)
    private static let ssn = try? Pattern(#"^\d{3}[- ]?\d{2}[- ]?\d{4}$"#)

    private static func isMatch(_ pattern: Pattern?, _ text: String) -> Bool { pattern?.matches(text) ?? false }

    private static func isDigit(_ byte: UInt8) -> Bool { 0x30...0x39 ~= byte }
    private static func isHex(_ byte: UInt8) -> Bool {
        isDigit(byte) || 0x41...0x46 ~= byte || 0x61...0x66 ~= byte
    }

    private static func isDate(_ text: String) -> Bool {
        text.utf8.count == 10 && Timestamp(rfc3339: text + "T00:00:00Z") != nil
    }

    /// Go's durations (`1h30m`, `1.5s`), and "3 weeks", "2 d" as strfmt reads them.
    private static func isDuration(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        var position = 0
        if position < bytes.count, bytes[position] == 0x2B || bytes[position] == 0x2D { position += 1 }
        if bytes[position...].elementsEqual("0".utf8) { return true }
        let units: Set<String> = [
            "ns", "us", "µs", "μs", "ms", "s", "m", "h", "d", "w", "nano", "nanos", "nanosecond", "nanoseconds",
            "micro",
            "micros", "microsecond", "microseconds", "milli", "millis", "millisecond", "milliseconds", "sec", "secs",
            "second", "seconds", "min", "mins", "minute", "minutes", "hr", "hrs", "hour", "hours", "day", "days", "wk",
            "wks", "week", "weeks",
        ]
        var parts = 0
        while position < bytes.count {
            let start = position
            while position < bytes.count, isDigit(bytes[position]) || bytes[position] == 0x2E { position += 1 }
            guard position > start, bytes[start..<position].count(where: { $0 == 0x2E }) < 2,
                bytes[start..<position].contains(where: isDigit)
            else { return false }
            while position < bytes.count, bytes[position] == 0x20 { position += 1 }
            let unit = position
            while position < bytes.count, !isDigit(bytes[position]), bytes[position] != 0x20 { position += 1 }
            guard units.contains(String(decoding: bytes[unit..<position], as: UTF8.self).lowercased()) else {
                return false
            }
            while position < bytes.count, bytes[position] == 0x20 { position += 1 }
            parts += 1
        }
        return parts > 0
    }

    /// What Go's url.ParseRequestURI takes: a scheme, or an absolute path.
    private static func isURI(_ text: String) -> Bool {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else { return false }
        var bytes = text.utf8[...]
        while let percent = bytes.firstIndex(of: 0x25) {
            let rest = bytes[bytes.index(after: percent)...].prefix(2)
            guard rest.count == 2, rest.allSatisfy(isHex) else { return false }
            bytes = bytes[bytes.index(after: percent)...]
        }
        if text.hasPrefix("/") { return true }
        guard let colon = text.utf8.firstIndex(of: 0x3A) else { return false }
        let scheme = Array(text.utf8[..<colon])
        guard let first = scheme.first, 0x41...0x5A ~= first || 0x61...0x7A ~= first else { return false }
        return scheme.allSatisfy {
            isDigit($0) || 0x41...0x5A ~= $0 || 0x61...0x7A ~= $0 || "+-.".utf8.contains($0)
        }
    }

    private static func isEmail(_ text: String) -> Bool {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return false }
        return text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && !"<>()[],;:\\\"".utf8.contains($0) }
            && !parts[0].hasPrefix(".") && !parts[0].hasSuffix(".") && !text.contains("..")
            && !parts[1].hasPrefix(".") && !parts[1].hasSuffix(".")
    }

    private static func isHostname(_ text: String) -> Bool {
        guard !text.isEmpty, text.utf8.count <= 255 else { return false }
        let labels = (text.hasSuffix(".") ? text.dropLast() : text[...]).utf8.split(
            separator: 0x2E, omittingEmptySubsequences: false)
        return labels.allSatisfy { label in
            guard let first = label.first, let last = label.last, label.count <= 63 else { return false }
            return first != 0x2D && last != 0x2D
                && label.allSatisfy {
                    isDigit($0) || 0x41...0x5A ~= $0 || 0x61...0x7A ~= $0 || $0 == 0x2D || $0 == 0x5F || $0 >= 0x80
                }
        }
    }

    private static func isCIDR(_ text: String) -> Bool {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(String(parts[0])), let length = Int(parts[1]) else {
            return false
        }
        return String(length) == parts[1] && 0...(address.isV6 ? 128 : 32) ~= length
    }

    private static func isMAC(_ text: String) -> Bool {
        for (separator, width, counts) in [(":", 2, [6, 8, 20]), ("-", 2, [6, 8, 20]), (".", 4, [3, 4, 10])] {
            let parts = text.utf8.split(separator: separator.utf8.first!, omittingEmptySubsequences: false)
            if counts.contains(parts.count), parts.allSatisfy({ $0.count == width && $0.allSatisfy(isHex) }) {
                return true
            }
        }
        return false
    }

    private static func isUUID(_ text: String, version: Character?) -> Bool {
        let digits = Array(text.utf8.filter { $0 != 0x2D })
        guard digits.count == 32, digits.allSatisfy(isHex) else { return false }
        let parts = text.utf8.split(separator: 0x2D, omittingEmptySubsequences: false).map(\.count)
        guard parts == [32] || parts == [8, 4, 4, 4, 12] else { return false }
        guard let version else { return true }
        let variant = "89abAB".utf8.contains(digits[16])
        return digits[12] == version.asciiValue && (version == "3" || variant)
    }

    private static func isHexColor(_ text: String) -> Bool {
        let digits = text.utf8.first == 0x23 ? text.utf8.dropFirst() : text.utf8[...]
        return [3, 6].contains(digits.count) && digits.allSatisfy(isHex)
    }

    private static func isISBN10(_ text: String) -> Bool {
        let bytes = text.utf8.filter { $0 != 0x2D && $0 != 0x20 }
        guard bytes.count == 10, bytes.dropLast().allSatisfy(isDigit) else { return false }
        guard isDigit(bytes[9]) || bytes[9] == 0x58 || bytes[9] == 0x78 else { return false }
        let sum = bytes.enumerated().reduce(0) {
            $0 + ($1.offset + 1) * (isDigit($1.element) ? Int($1.element) - 0x30 : 10)
        }
        return sum % 11 == 0
    }

    private static func isISBN13(_ text: String) -> Bool {
        let bytes = text.utf8.filter { $0 != 0x2D && $0 != 0x20 }
        guard bytes.count == 13, bytes.allSatisfy(isDigit) else { return false }
        return bytes.enumerated().reduce(0) { $0 + (Int($1.element) - 0x30) * ($1.offset % 2 == 0 ? 1 : 3) } % 10 == 0
    }

    private static func isCreditCard(_ text: String) -> Bool {
        let bytes = text.utf8.filter { $0 != 0x2D && $0 != 0x20 }
        guard 13...19 ~= bytes.count, bytes.allSatisfy(isDigit) else { return false }
        var sum = 0
        for (index, byte) in bytes.reversed().enumerated() {
            let digit = Int(byte) - 0x30
            sum += index % 2 == 0 ? digit : digit * 2 > 9 ? digit * 2 - 9 : digit * 2
        }
        return sum % 10 == 0
    }
}

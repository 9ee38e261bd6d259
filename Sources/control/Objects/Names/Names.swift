// What names the API allows: each function returns what is wrong with a text, in the words of Kubernetes
// (k8s.io/apimachinery/pkg/util/validation), and nothing when it is right. Used as details of FieldErrors.
//
// The patterns are checked by hand: they are short, run on every write, and need no regular expression engine.

/// Rules for names, labels, keys and ports.
public enum Names {
    /// RFC 1123 label: lower case alphanumerics and '-', at most 63 bytes. Names of pods' containers, namespaces, …
    public static func dns1123Label(_ text: String) -> [String] {
        tooLong(text, 63)
            + unless(
                isDNSLabel(text),
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
                    + "and must start and end with an alphanumeric character",
                pattern: "[a-z0-9]([-a-z0-9]*[a-z0-9])?", examples: ["my-name", "123-abc"])
    }

    /// RFC 1123 subdomain: labels joined by dots, at most 253 bytes. Names of most objects.
    public static func dns1123Subdomain(_ text: String) -> [String] {
        let labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return tooLong(text, 253)
            + unless(
                labels.allSatisfy { isDNSLabel(String(Substring($0))) },
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
                    + "and must start and end with an alphanumeric character",
                pattern: "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", examples: ["example.com"])
    }

    /// RFC 1035 label: starts with a letter. Names of Services (until they are relaxed) and of generated DNS labels.
    public static func dns1035Label(_ text: String) -> [String] {
        tooLong(text, 63)
            + unless(
                isDNSLabel(text) && text.utf8.first.map(isLower) == true,
                "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
                    + "character, and end with an alphanumeric character",
                pattern: "[a-z]([-a-z0-9]*[a-z0-9])?", examples: ["my-name", "abc-123"])
    }

    /// A wildcard subdomain, `*.example.com`.
    public static func wildcardDNS1123Subdomain(_ text: String) -> [String] {
        let rest = text.hasPrefix("*.") ? String(text.dropFirst(2)) : ""
        return tooLong(text, 253)
            + unless(
                dns1123Subdomain(rest).isEmpty,
                "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must "
                    + "consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric "
                    + "character",
                pattern: "\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
                examples: ["*.example.com"])
    }

    private static let qualifiedPattern = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
    private static let qualifiedExamples = ["MyName", "my.name", "123-abc"]
    private static let qualifiedMessage =
        "must consist of alphanumeric characters, '-', '_' or '.', "
        + "and must start and end with an alphanumeric character"

    /// `name` or `prefix/name`: keys of labels and annotations, names of taints, resources and conditions.
    public static func qualifiedName(_ text: String) -> [String] {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        var problems: [String] = []
        let name: String
        switch parts.count {
        case 1: name = parts[0]
        case 2:
            name = parts[1]
            if parts[0].isEmpty {
                problems.append("prefix part " + empty)
            } else {
                problems += dns1123Subdomain(parts[0]).map { "prefix part " + $0 }
            }
        default:
            return [
                "a qualified name "
                    + withPattern(qualifiedMessage, qualifiedPattern, qualifiedExamples)
                    + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ]
        }
        if name.isEmpty { problems.append("name part " + empty) } else { problems += tooLong(name, 63, "name part ") }
        if !isQualified(name) {
            problems.append("name part " + withPattern(qualifiedMessage, qualifiedPattern, qualifiedExamples))
        }
        return problems
    }

    /// At most 63 bytes, empty or like a qualified name's name.
    public static func labelValue(_ text: String) -> [String] {
        tooLong(text, 63)
            + unless(
                text.isEmpty || isQualified(text),
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
                    + "and must start and end with an alphanumeric character",
                pattern: "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", examples: ["MyValue", "my_value", "12345"])
    }

    /// Names of environment variables, as relaxed since 1.34: printable ASCII but '='.
    public static func environmentVariable(_ text: String) -> [String] {
        if text.isEmpty { return ["environment variable name " + empty] }
        let allowed = text.utf8.allSatisfy { 0x20...0x7E ~= $0 && $0 != UInt8(ascii: "=") }
        return allowed
            ? []
            : ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
    }

    /// Keys of ConfigMaps and Secrets, which become file names.
    public static func configMapKey(_ text: String) -> [String] {
        var problems = tooLong(text, 253)
        if text.isEmpty || !text.utf8.allSatisfy({ isAlphanumeric($0) || "-_.".utf8.contains($0) }) {
            problems.append(
                withPattern(
                    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'", "[-._a-zA-Z0-9]+",
                    ["key.name", "KEY_NAME", "key-name"]))
        }
        if text == "." { problems.append("must not be '.'") }
        if text == ".." {
            problems.append("must not be '..'")
        } else if text.hasPrefix("..") {
            problems.append("must not start with '..'")
        }
        return problems
    }

    /// IANA service names: names of containers' ports.
    public static func portName(_ text: String) -> [String] {
        var problems = tooLong(text, 15)
        if !text.utf8.allSatisfy({ isLower($0) || isDigit($0) || $0 == UInt8(ascii: "-") }) || text.isEmpty {
            problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
        }
        if !text.utf8.contains(where: isLower) { problems.append("must contain at least one letter (a-z)") }
        if text.contains("--") { problems.append("must not contain consecutive hyphens") }
        if text.hasPrefix("-") || text.hasSuffix("-") { problems.append("must not begin or end with a hyphen") }
        return problems
    }

    public static func portNumber(_ port: Int64) -> [String] {
        1...65535 ~= port ? [] : ["must be between 1 and 65535, inclusive"]
    }

    /// Names that become a path segment: of RBAC objects and of kinds without a rule of their own.
    public static func pathSegment(_ text: String) -> [String] {
        if text == "." { return ["may not be '.'"] }
        if text == ".." { return ["may not be '..'"] }
        return ["/", "%"].filter(text.contains).map { "may not contain '\($0)'" }
    }

    // MARK: Pieces

    private static let empty = "must be non-empty"

    private static func isLower(_ byte: UInt8) -> Bool { UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte }
    private static func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }
    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        isLower(byte) || isDigit(byte) || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
    }

    private static func isDNSLabel(_ text: String) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last else { return false }
        return first != UInt8(ascii: "-") && last != UInt8(ascii: "-")
            && text.utf8.allSatisfy { isLower($0) || isDigit($0) || $0 == UInt8(ascii: "-") }
    }

    private static func isQualified(_ text: String) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last else { return false }
        return isAlphanumeric(first) && isAlphanumeric(last)
            && text.utf8.allSatisfy { isAlphanumeric($0) || "-_.".utf8.contains($0) }
    }

    private static func tooLong(_ text: String, _ limit: Int, _ prefix: String = "") -> [String] {
        text.utf8.count <= limit ? [] : ["\(prefix)must be no more than \(limit) bytes"]
    }

    private static func unless(
        _ right: Bool, _ message: String, pattern: String, examples: [String]
    ) -> [String] { right ? [] : [withPattern(message, pattern, examples)] }

    private static func withPattern(_ message: String, _ pattern: String, _ examples: [String]) -> String {
        // The doubled space is Kubernetes' own.
        let list = examples.map { "'\($0)', " }.joined(separator: " or ")
        return "\(message) (e.g. \(list)regex used for validation is '\(pattern)')"
    }
}

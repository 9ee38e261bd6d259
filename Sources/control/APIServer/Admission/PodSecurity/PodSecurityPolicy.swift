// What a namespace demands of its pods: level and version for enforcing, for audit notes and for warnings, read from
// its labels (pod-security.kubernetes.io/…). Nothing said means privileged, latest.
//
// A label that cannot be read makes enforcement strict (restricted, latest) and notes and warnings silent.

internal import Objects

enum SecurityLevel: String, Comparable, Sendable {
    case privileged, baseline, restricted

    private var strictness: Int { self == .privileged ? 0 : self == .baseline ? 1 : 2 }
    static func < (left: SecurityLevel, right: SecurityLevel) -> Bool { left.strictness < right.strictness }
}

/// The minor version of the standards, 1.x.
struct SecurityVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    let minor: Int

    static let latest = SecurityVersion(minor: .max)

    static func < (left: SecurityVersion, right: SecurityVersion) -> Bool { left.minor < right.minor }

    var description: String { self == .latest ? "latest" : "v1.\(minor)" }

    init(minor: Int) { self.minor = minor }

    /// `latest` or `v1.24`; no leading zeros.
    init?(_ text: String) {
        if text == "latest" {
            self = .latest
            return
        }
        guard text.hasPrefix("v1."), let minor = Int(text.dropFirst(3)), text == "v1.\(minor)", minor >= 0,
            minor < .max
        else { return nil }
        self.minor = minor
    }
}

/// `restricted:latest`
struct SecurityStandard: Hashable, Sendable, CustomStringConvertible {
    var level = SecurityLevel.privileged
    var version = SecurityVersion.latest

    var description: String { "\(level.rawValue):\(version)" }
}

struct PodSecurityPolicy: Sendable {
    private(set) var enforce = SecurityStandard()
    private(set) var audit = SecurityStandard()
    private(set) var warn = SecurityStandard()
    private(set) var errors: [FieldError] = []

    private static let prefix = "pod-security.kubernetes.io/"

    init(_ labels: [String: String]) {
        guard labels.keys.contains(where: { $0.hasPrefix(Self.prefix) }) else { return }
        enforce = standard("enforce", labels, failing: .restricted)
        audit = standard("audit", labels, failing: .privileged)
        warn = standard("warn", labels, failing: .privileged)
    }

    private mutating func standard(
        _ mode: String, _ labels: [String: String], failing: SecurityLevel
    ) -> SecurityStandard {
        var result = SecurityStandard()
        if let text = labels[Self.prefix + mode] {
            if let level = SecurityLevel(rawValue: text) {
                result.level = level
            } else {
                result.level = failing
                refuse(mode, text, "must be one of privileged, baseline, restricted")
            }
        }
        if let text = labels["\(Self.prefix)\(mode)-version"] {
            if let version = SecurityVersion(text) {
                result.version = version
            } else {
                refuse(mode + "-version", text, "must be \"latest\" or \"v1.x\"")
            }
        }
        return result
    }

    private mutating func refuse(_ label: String, _ value: String, _ why: String) {
        errors.append(.invalid(FieldPath("metadata.labels").key(Self.prefix + label), .string(value), why))
    }

    /// Every label of ours is readable and asks for nothing.
    var isSilent: Bool {
        errors.isEmpty && enforce.level == .privileged && audit.level == .privileged && warn.level == .privileged
    }
}

// Field selectors as LIST and WATCH take them: `metadata.name=x,status.phase!=Running`
// (k8s.io/apimachinery/pkg/fields).
//
// Only =, == and != exist, and each kind publishes which fields it can be selected by; the API server refuses others.
// A backslash escapes a comma, an equals sign or a backslash in a value.

/// A conjunction of comparisons of fields with strings.
public struct FieldSelector: Hashable, Sendable, CustomStringConvertible {
    public struct Requirement: Hashable, Sendable {
        /// A path like `metadata.name`.
        public let field: String
        public let value: String
        /// false for !=
        public let equal: Bool

        public init(field: String, value: String, equal: Bool = true) {
            self.field = field
            self.value = value
            self.equal = equal
        }
    }

    public let requirements: [Requirement]

    public init(_ requirements: [Requirement]) { self.requirements = requirements }

    /// Selects by equality of one field.
    public init(_ field: String, equals value: String) { self.init([Requirement(field: field, value: value)]) }

    public static let everything = FieldSelector([])
    public var isEverything: Bool { requirements.isEmpty }

    /// The string form; the message of a failure is Kubernetes'.
    public init(parsing text: String) throws(SelectorError) {
        var requirements: [Requirement] = []
        for term in Self.split(text) where !term.isEmpty {
            guard let requirement = try Self.requirement(term) else {
                throw SelectorError("invalid selector: '\(text)'; can't understand '\(term)'")
            }
            requirements.append(requirement)
        }
        self.requirements = requirements
    }

    /// Splits at commas that are not escaped.
    private static func split(_ text: String) -> [String] {
        var terms: [String] = []
        var term: [UInt8] = []
        var escaped = false
        for byte in text.utf8 {
            if byte == UInt8(ascii: ","), !escaped {
                terms.append(String(decoding: term, as: UTF8.self))
                term = []
                continue
            }
            escaped = byte == UInt8(ascii: "\\") && !escaped
            term.append(byte)
        }
        return terms + [String(decoding: term, as: UTF8.self)]
    }

    private static func requirement(_ term: String) throws(SelectorError) -> Requirement? {
        let bytes = Array(term.utf8)
        for index in bytes.indices {
            let rest = bytes[index...]
            let operators: [(String, Bool)] = [("!=", false), ("==", true), ("=", true)]
            for (sign, equal) in operators where rest.starts(with: sign.utf8) {
                let field = String(decoding: bytes[..<index], as: UTF8.self)
                let value = try unescape(Array(rest.dropFirst(sign.utf8.count)))
                return field.isEmpty ? nil : Requirement(field: field, value: value, equal: equal)
            }
        }
        return nil
    }

    private static func unescape(_ bytes: [UInt8]) throws(SelectorError) -> String {
        var result: [UInt8] = []
        var escaped = false
        for byte in bytes {
            if escaped {
                guard [UInt8(ascii: "\\"), UInt8(ascii: ","), UInt8(ascii: "=")].contains(byte) else {
                    throw SelectorError(
                        "invalid field selector: invalid escape sequence: \\\(Character(Unicode.Scalar(byte)))")
                }
                result.append(byte)
                escaped = false
            } else if byte == UInt8(ascii: "\\") {
                escaped = true
            } else if byte == UInt8(ascii: ",") || byte == UInt8(ascii: "=") {
                throw SelectorError(
                    "invalid field selector: unescaped character in value: \(Character(Unicode.Scalar(byte)))")
            } else {
                result.append(byte)
            }
        }
        if escaped { throw SelectorError("invalid field selector: trailing backslash") }
        return String(decoding: result, as: UTF8.self)
    }

    /// Whether an object has the fields.
    public func matches(_ object: JSON) -> Bool { matches { Self.value($0, of: object) } }

    /// Whether fields have the values; a missing field is an empty string.
    public func matches(_ value: (_ field: String) -> String) -> Bool {
        requirements.allSatisfy { (value($0.field) == $0.value) == $0.equal }
    }

    /// What a field selector compares with: the value at the path, or what Kubernetes has instead of a missing one.
    public static func value(_ field: String, of object: JSON) -> String {
        var value = object.at(field.split(separator: ".").map(String.init))
        if field == "source" { value = value?["component"] ?? object["reportingComponent"] }
        switch value {
        case .string(let text): return text
        case .bool(let flag): return flag ? "true" : "false"
        case .int(let number): return String(number)
        default: return booleans.contains(field) ? "false" : ""
        }
    }

    private static let booleans: Set<String> = ["spec.unschedulable", "spec.hostNetwork"]

    /// The value that a field must have for a match, when the selector says so: a hint for an index.
    public func required(_ field: String) -> String? {
        requirements.first { $0.equal && $0.field == field }?.value
    }

    /// The fields a resource can be selected by.
    public static func supported(for resource: ResourceID) -> Set<String> {
        var fields: Set<String> = ["metadata.name", "metadata.namespace"]
        fields.formUnion(supportedByResource[resource.groupResource] ?? [])
        return fields
    }

    private static let supportedByResource: [String: Set<String>] = [
        "pods": [
            "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
            "spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName",
        ],
        "nodes": ["spec.unschedulable"],
        "namespaces": ["status.phase"],
        "secrets": ["type"],
        "services": ["spec.clusterIP", "spec.type"],
        "replicationcontrollers": ["status.replicas"],
        "replicasets.apps": ["status.replicas"],
        "jobs.batch": ["status.successful"],
        "certificatesigningrequests.certificates.k8s.io": ["spec.signerName"],
        "resourceslices.resource.k8s.io": ["spec.driver", "spec.nodeName"],
        "events": [
            "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
            "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
            "reportingComponent", "source", "type",
        ],
    ]

    public var description: String {
        requirements.map { requirement in
            var value = ""
            for character in requirement.value {
                if "\\,=".contains(character) { value += "\\" }
                value.append(character)
            }
            return requirement.field + (requirement.equal ? "=" : "!=") + value
        }.joined(separator: ",")
    }
}

/// Why a selector was refused.
public struct SelectorError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}

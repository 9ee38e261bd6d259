// Label selectors, in the string form of URLs (`app=web,tier in (a,b),!old`) and the object form of specs
// (matchLabels and matchExpressions). Semantics of k8s.io/apimachinery/pkg/labels: != and notin also match what lacks
// the key; an empty selector matches everything. Parsing of the string form is in LabelSelectorParser.swift.

/// A conjunction of requirements on labels.
public struct LabelSelector: Hashable, Sendable, CustomStringConvertible {
    public enum Operator: String, Sendable {
        case equals = "="
        case doubleEquals = "=="
        case notEquals = "!="
        case `in` = "in"
        case notIn = "notin"
        case exists
        case doesNotExist = "!"
        case greaterThan = ">"
        case lessThan = "<"
    }

    public struct Requirement: Hashable, Sendable, CustomStringConvertible {
        public let key: String
        public let operation: Operator
        /// Sorted.
        public let values: [String]

        public init(_ key: String, _ operation: Operator, _ values: [String] = []) {
            self.key = key
            self.operation = operation
            self.values = values.sorted(by: Bytes.less)
        }

        /// - Parameter label: the label's value, nil when it is missing.
        public func matches(_ label: String?) -> Bool {
            switch operation {
            case .equals, .doubleEquals, .in: return label.map(values.contains) ?? false
            case .notEquals, .notIn: return label.map { !values.contains($0) } ?? true
            case .exists: return label != nil
            case .doesNotExist: return label == nil
            case .greaterThan, .lessThan:
                guard let label, let number = Int64(label), let limit = Int64(values.first ?? "") else { return false }
                return operation == .greaterThan ? number > limit : number < limit
            }
        }

        public var description: String {
            switch operation {
            case .equals, .doubleEquals, .notEquals, .greaterThan, .lessThan:
                return key + operation.rawValue + (values.first ?? "")
            case .in, .notIn: return "\(key) \(operation.rawValue) (\(values.joined(separator: ",")))"
            case .exists: return key
            case .doesNotExist: return "!" + key
            }
        }
    }

    /// Sorted by key.
    public let requirements: [Requirement]

    public init(_ requirements: [Requirement]) {
        self.requirements = requirements.enumerated().sorted {
            $0.element.key == $1.element.key ? $0.offset < $1.offset : Bytes.less($0.element.key, $1.element.key)
        }.map(\.element)
    }

    /// Equality of all given labels, as a Service selects its pods.
    public init(labels: [String: String]) { self.init(labels.map { Requirement($0.key, .equals, [$0.value]) }) }

    /// The object form, meta/v1 LabelSelector. Refuses what Kubernetes' validation refuses, by its words.
    public init(_ json: JSON) throws(SelectorError) {
        var requirements: [Requirement] = []
        for (key, value) in json["matchLabels"]?.object ?? JSONObject() {
            requirements.append(Requirement(key, .equals, [value.string ?? ""]))
        }
        for expression in json["matchExpressions"]?.array ?? [] {
            let name = expression["operator"]?.string ?? ""
            guard let operation = Self.objectOperators[name] else {
                throw SelectorError("\(Quote.go(name)) is not a valid label selector operator")
            }
            let requirement = Requirement(
                expression["key"]?.string ?? "", operation, expression["values"]?.strings ?? [])
            try requirement.check()
            requirements.append(requirement)
        }
        self.init(requirements)
    }

    private static let objectOperators: [String: Operator] = [
        "In": .in, "NotIn": .notIn, "Exists": .exists, "DoesNotExist": .doesNotExist,
    ]

    public static let everything = LabelSelector([])
    public var isEverything: Bool { requirements.isEmpty }

    public func matches(_ labels: [String: String]) -> Bool {
        requirements.allSatisfy { $0.matches(labels[$0.key]) }
    }

    /// - Parameter labels: the value of metadata.labels.
    public func matches(labels: JSONObject?) -> Bool {
        requirements.allSatisfy { $0.matches(labels?[$0.key]?.string) }
    }

    /// Whether an object's metadata.labels match.
    public func matches(_ object: JSON) -> Bool {
        requirements.isEmpty || matches(labels: object.at("metadata", "labels")?.object)
    }

    /// The string form, which parses back to an equal selector.
    public var description: String { requirements.map(\.description).joined(separator: ",") }

    /// How tables print the object form: `<none>` when it is empty.
    public static func table(_ json: JSON?) -> String {
        guard let json, !json.isNull else { return "<none>" }
        guard let selector = try? LabelSelector(json) else { return "<error>" }
        return selector.isEverything ? "<none>" : selector.description
    }
}

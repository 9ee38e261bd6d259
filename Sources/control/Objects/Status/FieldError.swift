// One thing that is wrong with one field of an object, said as Kubernetes says it.
//
// Validation collects these, APIStatus.invalid makes the 422 answer of them. The wording of each type is that of
// k8s.io/apimachinery/pkg/util/validation/field, because people search for it and tools compare it.

/// The path of a field, printed as `spec.containers[0].env[1].name` or `metadata.labels[app]`.
public struct FieldPath: Hashable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
    public let description: String

    /// A path that starts at the object's root; empty for the object itself.
    public init(_ path: String = "") { description = path }
    public init(stringLiteral value: String) { self.init(value) }

    /// `path.name`; at the empty path, just the name.
    public func child(_ names: String...) -> FieldPath {
        FieldPath(names.reduce(description) { $0.isEmpty ? $1 : "\($0).\($1)" })
    }

    /// `path[3]`
    public func index(_ index: Int) -> FieldPath { FieldPath("\(description)[\(index)]") }

    /// `path[key]`
    public func key(_ key: String) -> FieldPath { FieldPath("\(description)[\(key)]") }
}

/// A validation error of one field (an item of a Status' `details.causes`).
public struct FieldError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Raw values are the reasons in `details.causes`.
    public enum Kind: String, Sendable {
        case notFound = "FieldValueNotFound"
        case required = "FieldValueRequired"
        case duplicate = "FieldValueDuplicate"
        case invalid = "FieldValueInvalid"
        case notSupported = "FieldValueNotSupported"
        case forbidden = "FieldValueForbidden"
        case tooLong = "FieldValueTooLong"
        case tooMany = "FieldValueTooMany"
        case typeInvalid = "FieldValueTypeInvalid"
        case internalError = "InternalError"
    }

    public let kind: Kind
    public let field: FieldPath
    /// Printed for the kinds that show a value.
    public let value: JSON
    public let detail: String

    public init(_ kind: Kind, _ field: FieldPath, value: JSON? = nil, detail: String = "") {
        self.kind = kind
        self.field = field
        self.value = value ?? .null
        self.detail = detail
    }

    public static func required(_ field: FieldPath, _ detail: String = "") -> FieldError {
        FieldError(.required, field, detail: detail)
    }

    public static func invalid(_ field: FieldPath, _ value: JSON?, _ detail: String) -> FieldError {
        FieldError(.invalid, field, value: value, detail: detail)
    }

    public static func typeInvalid(_ field: FieldPath, _ value: JSON?, _ detail: String) -> FieldError {
        FieldError(.typeInvalid, field, value: value, detail: detail)
    }

    public static func duplicate(_ field: FieldPath, _ value: JSON) -> FieldError {
        FieldError(.duplicate, field, value: value)
    }

    public static func notFound(_ field: FieldPath, _ value: JSON) -> FieldError {
        FieldError(.notFound, field, value: value)
    }

    public static func forbidden(_ field: FieldPath, _ detail: String) -> FieldError {
        FieldError(.forbidden, field, detail: detail)
    }

    /// The supported values are listed in order.
    public static func notSupported(_ field: FieldPath, _ value: JSON, _ supported: [String]) -> FieldError {
        let list = supported.sorted().map(Quote.go).joined(separator: ", ")
        return FieldError(
            .notSupported, field, value: value, detail: supported.isEmpty ? "" : "supported values: \(list)")
    }

    /// - Parameter limit: in bytes; none when negative.
    public static func tooLong(_ field: FieldPath, limit: Int) -> FieldError {
        FieldError(
            .tooLong, field, detail: limit < 0 ? "value is too long" : "may not be more than \(limit) bytes")
    }

    public static func tooMany(_ field: FieldPath, actual: Int, limit: Int) -> FieldError {
        let items = limit == 1 ? "item" : "items"
        return FieldError(
            .tooMany, field, value: .int(Int64(actual)),
            detail: limit < 0 ? "has too many items" : "must have at most \(limit) \(items)")
    }

    public static func internalError(_ field: FieldPath, _ detail: String) -> FieldError {
        FieldError(.internalError, field, detail: detail)
    }

    /// The reason in `details.causes`.
    public var reason: String { kind.rawValue }

    /// What is wrong, without the field.
    public var body: String {
        var text: String
        switch kind {
        case .required: text = "Required value"
        case .forbidden: text = "Forbidden"
        case .tooLong: text = "Too long"
        case .internalError: text = "Internal error"
        case .notFound: text = "Not found: \(shownValue)"
        case .duplicate: text = "Duplicate value: \(shownValue)"
        case .invalid, .typeInvalid: text = "Invalid value: \(shownValue)"
        case .notSupported: text = "Unsupported value: \(shownValue)"
        case .tooMany: text = "Too many: \(shownValue)"
        }
        if !detail.isEmpty { text += ": " + detail }
        return text
    }

    private var shownValue: String {
        switch value {
        case .null: return "\"null\""
        case .string(let text): return Quote.go(text)
        default: return value.text
        }
    }

    public var description: String { field.description.isEmpty ? "<nil>: \(body)" : "\(field): \(body)" }
}

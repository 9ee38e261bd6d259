// What is special about one kind of object: its code defaults, what the server decides at create and update, its
// rules, and the fields that selectors may name. Everything else follows from the declaration.
//
// All of it is pure: JSON in, JSON or errors out; no clock, no store, no other object. The order in which the API
// server calls is in ResourceDeclaration. A kind without special behaviour uses PlainStrategy.

/// Which face of an object a write goes through.
public enum WriteTarget: Sendable, Hashable {
    /// The object itself: everything but the status.
    case main
    /// A subresource that takes the same kind: "status", "ephemeralcontainers", "finalize".
    case subresource(String)

    public init(_ subresource: String?) {
        self = subresource.map { .subresource($0) } ?? .main
    }

    public var isStatus: Bool { self == .subresource("status") }
    /// The status, or the part of it that is somebody else's to write: the verdict on a CertificateSigningRequest.
    var writesStatus: Bool { isStatus || self == .subresource("approval") }
}

public protocol ResourceStrategy: Sendable {
    /// Fills in what Kubernetes defaults by code. Types were checked, unknown fields pruned. Must be idempotent.
    func setDefaults(_ object: inout JSON)

    /// What the server decides for a new object: drops the status, sets the phase, ... (generation is set for all).
    func prepareForCreate(_ object: inout JSON)

    /// What the server decides for a changed object, beyond what holds for all (see ResourceDeclaration).
    func prepareForUpdate(_ object: inout JSON, old: JSON, target: WriteTarget)

    /// The rules for a new object, without those of metadata.
    func validate(_ object: JSON) -> [FieldError]

    /// The rules for a changed object, without those of metadata.
    func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError]

    /// Texts for Warning headers.
    func warnings(_ object: JSON) -> [String]

    /// How the object may be named.
    var nameRule: NameRule { get }

    /// Names of the field labels this kind supports besides metadata.name and metadata.namespace, in the order of
    /// `fieldValues`.
    var fieldLabels: [String] { get }

    /// Their values for one object; missing ones are "".
    func fieldValue(_ label: String, of object: JSON) -> String

    /// PUT of an object that does not exist creates it.
    var allowsCreateOnUpdate: Bool { get }

    /// An update may leave resourceVersion out.
    var allowsUnconditionalUpdate: Bool { get }

    /// A write of the status leaves metadata alone, labels and annotations too; else only owners and what no write
    /// sets.
    var statusKeepsMetadata: Bool { get }

    /// A new object may bring its status along (nodes register so); else it is dropped.
    var keepsStatusOnCreate: Bool { get }

    /// For a resource that shows another one's objects (see ResourceDeclaration.storage): there and back. Identity for
    /// all others.
    func toStorage(_ object: JSON) -> JSON
    func fromStorage(_ object: JSON) -> JSON

    /// The grace period in seconds that a deletion gets when the client asked for `requested` (nil: did not say);
    /// nil when this kind is deleted at once.
    func gracePeriod(_ object: JSON, requested: Int64?) -> Int64?
}

extension ResourceStrategy {
    public func setDefaults(_ object: inout JSON) {}
    public func prepareForCreate(_ object: inout JSON) {}
    public func prepareForUpdate(_ object: inout JSON, old: JSON, target: WriteTarget) {}
    public func validate(_ object: JSON) -> [FieldError] { [] }
    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] { validate(object) }
    public func warnings(_ object: JSON) -> [String] { [] }
    public var nameRule: NameRule { .subdomain }
    public var fieldLabels: [String] { [] }
    /// By default a label is the path of a string, bool or number in the object.
    public func fieldValue(_ label: String, of object: JSON) -> String { object.fieldText(label) }
    public func toStorage(_ object: JSON) -> JSON { object }
    public func fromStorage(_ object: JSON) -> JSON { object }
    public var allowsCreateOnUpdate: Bool { false }
    public var allowsUnconditionalUpdate: Bool { true }
    public var statusKeepsMetadata: Bool { false }
    public var keepsStatusOnCreate: Bool { false }
    public func gracePeriod(_ object: JSON, requested: Int64?) -> Int64? { nil }
}

/// For kinds without special behaviour.
public struct PlainStrategy: ResourceStrategy {
    public init() {}
}

extension JSON {
    /// The scalar at a dotted path, as a field selector compares it; "" when there is none.
    func fieldText(_ path: String) -> String {
        switch at(path.split(separator: ".").map(String.init)) {
        case .string(let text)?: text
        case .bool(let value)?: value ? "true" : "false"
        case .int(let value)?: String(value)
        default: ""
        }
    }

    /// Changes the member in place; nothing happens when it is missing.
    mutating func modify(_ key: String, _ body: (inout JSON) -> Void) {
        guard self[key] != nil else { return }
        body(&self[key]!)
    }

    /// Changes each element of the list in place; nothing happens when it is missing.
    mutating func modifyEach(_ key: String, _ body: (inout JSON) -> Void) {
        guard case .array(var elements)? = self[key] else { return }
        self[key] = .null
        for index in elements.indices { body(&elements[index]) }
        self[key] = .array(elements)
    }

    /// Sets the member unless it is there. Go's decoder knows no difference between "" and nothing: nor does this.
    mutating func setDefault(_ key: String, _ value: JSON) {
        switch self[key] {
        case nil, .null?, .string("")?: self[key] = value
        default: break
        }
    }
}

// APIStatus: the error of everything that speaks the Kubernetes API, in process or over the wire.
//
// It is the failure form of meta/v1 Status. Codes, reasons and messages are exactly those of Kubernetes
// (k8s.io/apimachinery/pkg/api/errors): clients switch on the reason, people search for the message.

/// A failed API request (meta/v1 Status with status Failure).
public struct APIStatus: Error, Hashable, Sendable {
    /// Machine-readable cause of the failure (`reason`).
    public struct Reason: RawRepresentable, Hashable, Sendable, ExpressibleByStringLiteral {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        public init(stringLiteral value: String) { rawValue = value }

        public static let unknown: Reason = ""
        public static let unauthorized: Reason = "Unauthorized"
        public static let forbidden: Reason = "Forbidden"
        public static let notFound: Reason = "NotFound"
        public static let alreadyExists: Reason = "AlreadyExists"
        public static let conflict: Reason = "Conflict"
        public static let gone: Reason = "Gone"
        public static let expired: Reason = "Expired"
        public static let invalid: Reason = "Invalid"
        public static let serverTimeout: Reason = "ServerTimeout"
        public static let timeout: Reason = "Timeout"
        public static let tooManyRequests: Reason = "TooManyRequests"
        public static let badRequest: Reason = "BadRequest"
        public static let methodNotAllowed: Reason = "MethodNotAllowed"
        public static let notAcceptable: Reason = "NotAcceptable"
        public static let requestEntityTooLarge: Reason = "RequestEntityTooLarge"
        public static let unsupportedMediaType: Reason = "UnsupportedMediaType"
        public static let internalError: Reason = "InternalError"
        public static let serviceUnavailable: Reason = "ServiceUnavailable"
    }

    public struct Cause: Hashable, Sendable {
        public var reason: String
        public var message: String
        public var field: String

        public init(reason: String, message: String, field: String = "") {
            self.reason = reason
            self.message = message
            self.field = field
        }
    }

    /// What the failure is about; empty fields are left out of the JSON.
    public struct Details: Hashable, Sendable {
        public var name = ""
        public var group = ""
        /// The kind, or the resource where Kubernetes puts that.
        public var kind = ""
        public var uid = ""
        public var causes: [Cause] = []
        /// Seconds; 0 for none.
        public var retryAfterSeconds = 0

        public init(
            name: String = "", group: String = "", kind: String = "", uid: String = "", causes: [Cause] = [],
            retryAfterSeconds: Int = 0
        ) {
            (self.name, self.group, self.kind, self.uid) = (name, group, kind, uid)
            self.causes = causes
            self.retryAfterSeconds = retryAfterSeconds
        }
    }

    /// The HTTP status.
    public var code: Int
    public var reason: Reason
    public var message: String
    public var details: Details?
    /// meta.continue: with an expired list, the token to go on with.
    public var continueToken = ""

    public init(code: Int, reason: Reason, message: String, details: Details? = nil) {
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
    }
}

extension APIStatus: CustomStringConvertible {
    public var description: String { message }
}

// MARK: - Constructors

extension APIStatus {
    /// 404: `pods "x" not found`
    public static func notFound(_ resource: ResourceID, _ name: String) -> APIStatus {
        APIStatus(
            code: 404, reason: .notFound, message: "\(resource.groupResource) \(Quote.go(name)) not found",
            details: Details(name: name, group: resource.group, kind: resource.resource))
    }

    /// 404 for a path that names nothing.
    public static var noSuchResource: APIStatus {
        APIStatus(
            code: 404, reason: .notFound, message: "the server could not find the requested resource",
            details: Details())
    }

    /// 409: `pods "x" already exists`
    public static func alreadyExists(_ resource: ResourceID, _ name: String) -> APIStatus {
        APIStatus(
            code: 409, reason: .alreadyExists, message: "\(resource.groupResource) \(Quote.go(name)) already exists",
            details: Details(name: name, group: resource.group, kind: resource.resource))
    }

    /// 409: the object changed since it was read, or, with a detail of one's own, cannot be changed so.
    public static func conflict(
        _ resource: ResourceID, _ name: String,
        _ detail: String =
            "the object has been modified; please apply your changes to the latest version and try again"
    ) -> APIStatus {
        APIStatus(
            code: 409, reason: .conflict,
            message: "Operation cannot be fulfilled on \(resource.groupResource) \(Quote.go(name)): \(detail)",
            details: Details(name: name, group: resource.group, kind: resource.resource))
    }

    /// 422: `Deployment.apps "x" is invalid: spec.replicas: Invalid value: -1: must be …`; several in brackets.
    public static func invalid(_ kind: GroupVersionKind, _ name: String, _ errors: [FieldError]) -> APIStatus {
        var seen: Set<String> = []
        let texts = errors.map(\.description).filter { seen.insert($0).inserted }
        var message = "\(kind.groupKind) \(Quote.go(name)) is invalid"
        if texts.count == 1 {
            message += ": \(texts[0])"
        } else if texts.count > 1 {
            message += ": [\(texts.joined(separator: ", "))]"
        }
        let causes = errors.map {
            Cause(
                reason: $0.kind.rawValue, message: $0.body,
                field: $0.field.description.isEmpty ? "<nil>" : $0.field.description)
        }
        return APIStatus(
            code: 422, reason: .invalid, message: message,
            details: Details(name: name, group: kind.group, kind: kind.kind, causes: causes))
    }

    /// 400 with the message as given.
    public static func badRequest(_ message: String) -> APIStatus {
        APIStatus(code: 400, reason: .badRequest, message: message)
    }

    /// 405: `create is not supported on resources of kind "pods"`
    public static func methodNotAllowed(_ resource: ResourceID, _ verb: String) -> APIStatus {
        APIStatus(
            code: 405, reason: .methodNotAllowed,
            message: "\(verb) is not supported on resources of kind \(Quote.go(resource.groupResource))",
            details: Details(group: resource.group, kind: resource.resource))
    }

    /// 410, reason Expired: a list or watch cannot go on from there; start again.
    public static func expired(_ message: String) -> APIStatus {
        APIStatus(code: 410, reason: .expired, message: message)
    }

    /// 410, reason Gone.
    public static func gone(_ message: String) -> APIStatus {
        APIStatus(code: 410, reason: .gone, message: message)
    }

    /// 403: `pods "x" is forbidden: …`; without a name `pods is forbidden: …`; without a resource `forbidden: …`.
    public static func forbidden(_ resource: ResourceID?, _ name: String, _ detail: String) -> APIStatus {
        guard let resource, !resource.resource.isEmpty else {
            return APIStatus(
                code: 403, reason: .forbidden, message: "forbidden: \(detail)", details: Details(name: name))
        }
        let what = resource.groupResource + (name.isEmpty ? "" : " \(Quote.go(name))")
        return APIStatus(
            code: 403, reason: .forbidden, message: "\(what) is forbidden: \(detail)",
            details: Details(name: name, group: resource.group, kind: resource.resource))
    }

    /// 401
    public static func unauthorized(_ message: String = "Unauthorized") -> APIStatus {
        APIStatus(code: 401, reason: .unauthorized, message: message)
    }

    /// 413
    /// - Parameter limit: bytes.
    public static func tooLarge(limit: Int) -> APIStatus {
        APIStatus(
            code: 413, reason: .requestEntityTooLarge, message: "Request entity too large: limit is \(limit)")
    }

    /// 415
    public static func unsupportedMediaType(accepted: [String]) -> APIStatus {
        APIStatus(
            code: 415, reason: .unsupportedMediaType,
            message: "the body of the request was in an unknown format - accepted media types include: "
                + accepted.joined(separator: ", "))
    }

    /// 406
    public static func notAcceptable(accepted: [String]) -> APIStatus {
        APIStatus(
            code: 406, reason: .notAcceptable,
            message: "only the following media types are accepted: " + accepted.joined(separator: ", "))
    }

    /// 429; clients wait that many seconds.
    public static func tooManyRequests(_ message: String, retryAfterSeconds: Int = 1) -> APIStatus {
        APIStatus(
            code: 429, reason: .tooManyRequests, message: message,
            details: Details(retryAfterSeconds: retryAfterSeconds))
    }

    /// 504: the server gave up waiting.
    public static func timeout(_ message: String) -> APIStatus {
        APIStatus(code: 504, reason: .timeout, message: "Timeout: \(message)", details: Details())
    }

    /// 503
    public static func unavailable(_ message: String) -> APIStatus {
        APIStatus(code: 503, reason: .serviceUnavailable, message: message)
    }

    /// 500: `Internal error occurred: …`
    public static func internalError(_ message: String) -> APIStatus {
        APIStatus(
            code: 500, reason: .internalError, message: "Internal error occurred: \(message)",
            details: Details(causes: [Cause(reason: "", message: message)]))
    }

    public var isNotFound: Bool { reason == .notFound }
    public var isAlreadyExists: Bool { reason == .alreadyExists }
    public var isConflict: Bool { reason == .conflict }
    /// A list or watch has to start anew.
    public var isExpired: Bool { reason == .expired || reason == .gone }
}

// MARK: - JSON

extension APIStatus {
    /// The meta/v1 Status object.
    public var json: JSON {
        var metadata = JSONObject()
        if !continueToken.isEmpty { metadata["continue"] = .string(continueToken) }
        var status: JSONObject = [
            "kind": "Status", "apiVersion": "v1", "metadata": .object(metadata), "status": "Failure",
            "message": .string(message), "code": .int(Int64(code)),
        ]
        if reason != .unknown { status["reason"] = .string(reason.rawValue) }
        if let details { status["details"] = details.json }
        return .object(status)
    }

    /// From a meta/v1 Status with status Failure; nil for anything else.
    public init?(_ json: JSON) {
        guard json["kind"]?.string == "Status", json["status"]?.string == "Failure" else { return nil }
        self.init(
            code: Int(json["code"]?.int ?? 500), reason: Reason(rawValue: json["reason"]?.string ?? ""),
            message: json["message"]?.string ?? "", details: json["details"].map(Details.init))
        continueToken = json.at("metadata", "continue")?.string ?? ""
    }

    /// The Status that answers a delete that left nothing behind.
    public static func success(_ resource: ResourceID, _ name: String, uid: String) -> JSON {
        [
            "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success",
            "details": Details(name: name, group: resource.group, kind: resource.resource, uid: uid).json,
        ]
    }
}

extension APIStatus.Details {
    var json: JSON {
        var details = JSONObject()
        for (key, value) in [("name", name), ("group", group), ("kind", kind), ("uid", uid)] where !value.isEmpty {
            details[key] = .string(value)
        }
        if !causes.isEmpty {
            details["causes"] = .array(
                causes.map { cause in
                    var json = JSONObject()
                    if !cause.reason.isEmpty { json["reason"] = .string(cause.reason) }
                    if !cause.message.isEmpty { json["message"] = .string(cause.message) }
                    if !cause.field.isEmpty { json["field"] = .string(cause.field) }
                    return .object(json)
                })
        }
        if retryAfterSeconds > 0 { details["retryAfterSeconds"] = .int(Int64(retryAfterSeconds)) }
        return .object(details)
    }

    init(_ json: JSON) {
        self.init(
            name: json["name"]?.string ?? "", group: json["group"]?.string ?? "", kind: json["kind"]?.string ?? "",
            uid: json["uid"]?.string ?? "",
            causes: (json["causes"]?.array ?? []).map {
                APIStatus.Cause(
                    reason: $0["reason"]?.string ?? "", message: $0["message"]?.string ?? "",
                    field: $0["field"]?.string ?? "")
            },
            retryAfterSeconds: Int(json["retryAfterSeconds"]?.int ?? 0))
    }
}

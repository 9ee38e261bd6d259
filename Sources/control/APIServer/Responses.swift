// HTTP responses with the headers and bodies that clients of Kubernetes expect.

internal import HTTP
internal import Objects

enum Responses {
    /// Answer to a create that has no object to show (binding, eviction).
    static let created: JSON = [
        "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "code": 201,
    ]

    static var methodNotAllowed: APIStatus {
        APIStatus(
            code: 405, reason: .methodNotAllowed,
            message: "the server does not allow this method on the requested resource", details: APIStatus.Details())
    }

    /// For paths that name no resource.
    static var noSuchPath: HTTPResponse { text(404, "404 page not found\n") }

    private static let jsonHeaders = headers(contentType: "application/json")
    private static let yamlHeaders = headers(contentType: "application/yaml")

    private static func headers(contentType: String) -> HTTPHeaders {
        ["Content-Type": contentType, "Cache-Control": "no-cache, private"]
    }

    static func headers(_ negotiated: Negotiated, _ warnings: [String] = []) -> HTTPHeaders {
        var headers = negotiated.yaml ? yamlHeaders : jsonHeaders
        for warning in warnings { headers.add("Warning", Responses.warning(warning)) }
        return headers
    }

    /// A Warning field's value (RFC 7234, 5.5: 299, from nobody in particular).
    static func warning(_ text: String) -> String { "299 - \(quote(text))" }

    static func json(
        _ status: Int, _ json: JSON, _ negotiated: Negotiated = Negotiated(), _ warnings: [String] = []
    ) -> HTTPResponse {
        HTTPResponse(
            status: status, headers: headers(negotiated, warnings),
            bytes: negotiated.yaml ? json.encodeYAML() : negotiated.pretty ? json.encodeIndented() : json.encode())
    }

    static func text(_ status: Int, _ text: String) -> HTTPResponse {
        HTTPResponse(
            status: status,
            headers: ["Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"],
            bytes: Array(text.utf8))
    }

    static func failure(_ status: APIStatus) -> HTTPResponse {
        var response = json(status.code, status.json)
        if let seconds = status.details?.retryAfterSeconds, seconds > 0 {
            response.headers["Retry-After"] = String(seconds)
        } else if status.code == 503 {
            response.headers["Retry-After"] = "1"
        }
        return response
    }

    /// A quoted-string (RFC 9110, 5.6.4); control characters, which no header may hold, become spaces.
    private static func quote(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\":
                out += "\\"
                out.unicodeScalars.append(scalar)
            case _ where scalar.value < 0x20 || scalar.value == 0x7f: out += " "
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}

extension HTTPReply {
    /// The same with a Warning.
    func warning(_ text: String) -> HTTPReply {
        switch self {
        case .response(var response):
            response.headers.add("Warning", Responses.warning(text))
            return .response(response)
        case .deferred(let work): return .deferred { await work().warning(text) }
        case .stream(let status, var headers, let start):
            headers.add("Warning", Responses.warning(text))
            return .stream(status: status, headers: headers, start: start)
        case .webSocket, .forward: return self
        }
    }
}

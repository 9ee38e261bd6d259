// What Transport itself refuses, in the shape of the API's own errors (Status, meta/v1): its clients read no other.
// Written as text, because the API's objects are not known here.

import HTTP

enum Refusal {
    /// - Parameter limit: bytes.
    static func tooLarge(_ limit: Int) -> HTTPResponse {
        response(413, "RequestEntityTooLarge", "Request entity too large: limit is \(limit)")
    }

    static var tooBusy: HTTPResponse {
        var response = response(
            429, "TooManyRequests", "too many request bodies are under way, please try again later")
        response.headers["Retry-After"] = "1"
        return response
    }

    /// - Parameter message: plain text without quotes and backslashes.
    static func response(_ code: Int, _ reason: String, _ message: String) -> HTTPResponse {
        HTTPResponse(
            status: code, headers: ["Content-Type": "application/json"],
            bytes: Array(status(code, reason, message).utf8))
    }

    /// - Parameter message: plain text without quotes and backslashes.
    static func status(_ code: Int, _ reason: String, _ message: String) -> String {
        """
        {"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"\(message)",\
        "reason":"\(reason)","code":\(code)}
        """
    }
}

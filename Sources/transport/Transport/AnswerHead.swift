// The head of an answer in HTTP/1.1 (RFC 9112, section 4), as bytes.
//
// What frames the body is said here, once: a field of the handler's that says something else of it gives way. Statuses
// that have no body (RFC 9110, 6.4.1) get no framing. Nothing can fail: fields come from handlers, or were parsed.

import HTTP
import NIOCore
import NIOHTTP1

struct AnswerHead {
    enum Framing {
        /// Content-Length, bytes.
        case length(Int)
        /// The body is chunks.
        case chunked
        /// What the fields say; without them the end of the connection is the end of the body.
        case given
    }

    let status: Int
    let fields: HTTP.HTTPHeaders
    let framing: Framing
    /// The Connection field, in place of one that is there.
    let connection: StaticString?
    /// 1.0, or else 1.1.
    let version: HTTPVersion

    init(
        _ status: Int, _ fields: HTTP.HTTPHeaders, framing: Framing, connection: StaticString? = nil,
        version: HTTPVersion = .http1_1
    ) {
        self.status = status
        self.fields = fields
        self.framing = framing
        self.connection = connection
        self.version = version
    }

    /// Not one of those that only come before the answer.
    var isFinal: Bool { !(100..<200).contains(status) || status == 101 }

    /// The body comes in chunks.
    var isChunked: Bool {
        if case .chunked = framing { Self.mayHaveBody(status) } else { false }
    }

    /// Whether an answer of this status may have a body, and fields about it.
    static func mayHaveBody(_ status: Int) -> Bool {
        !(100..<200).contains(status) && status != 204 && status != 304
    }

    /// The head, and behind it the first slice of a body.
    /// - Parameter date: for the Date field, unless there is one: another server's.
    func encoded(with body: inout BodyWriter, date: String = DateField.now) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(BodyWriter.headRoom + min(body.remaining, BodyWriter.slice))
        buffer.writeStaticString(version == .http1_0 ? "HTTP/1.0 " : "HTTP/1.1 ")
        buffer.writeString(String(status))
        buffer.writeStaticString(" ")
        buffer.writeString(HTTPResponseStatus(statusCode: status).reasonPhrase)
        buffer.writeStaticString("\r\n")
        var hasDate = !isFinal
        for field in fields where !isReplaced(field) {
            if field.isNamed("Date") { hasDate = true }
            buffer.writeString(field.name)
            buffer.writeStaticString(": ")
            buffer.writeString(field.value)
            buffer.writeStaticString("\r\n")
        }
        if Self.mayHaveBody(status) {
            switch framing {
            case .length(let length):
                buffer.writeStaticString("Content-Length: ")
                buffer.writeString(String(length))
                buffer.writeStaticString("\r\n")
            case .chunked: buffer.writeStaticString("Transfer-Encoding: chunked\r\n")
            case .given: break
            }
        }
        if !hasDate {
            buffer.writeStaticString("Date: ")
            buffer.writeString(date)
            buffer.writeStaticString("\r\n")
        }
        if let connection {
            buffer.writeStaticString("Connection: ")
            buffer.writeStaticString(connection)
            buffer.writeStaticString("\r\n")
        }
        buffer.writeStaticString("\r\n")
        body.take(into: &buffer)
        return buffer
    }

    private func isReplaced(_ field: HTTP.HTTPHeaders.Field) -> Bool {
        if field.isNamed("Connection") { return connection != nil }
        guard field.isNamed("Content-Length") || field.isNamed("Transfer-Encoding") else { return false }
        if case .given = framing { return !Self.mayHaveBody(status) }
        return true
    }
}

// gzip (RFC 1952) for large answers, when the client asks for it: ISA-L's level 1, some 400 MB/s a core, so that it
// pays on any link slower than that. Small answers are sent as they are, as kube-apiserver does.
//
// It cannot fail: an answer that does not get smaller, or that the library refuses, goes out as it was.

import CInflate
import HTTP
import NIOCore

enum Gzip {
    /// Bytes of the smallest body that is worth it.
    static let threshold = 128 << 10
    /// Bytes given to the library at once: the pieces of a list are many and small.
    private static let block = 64 << 10

    /// Whether this answer to this request should be compressed.
    static func isWanted(_ response: HTTPResponse, _ request: HTTPRequest) -> Bool {
        guard request.method == "GET", response.status == 200, response.headers["Content-Encoding"] == nil,
            response.contentLength >= threshold
        else { return false }
        return request.headers.list("Accept-Encoding").contains { accepts($0) }
    }

    /// `gzip`, `*`, `gzip;q=0.5`; not `gzip;q=0`.
    private static func accepts(_ coding: String) -> Bool {
        let parts = coding.split(separator: ";").map { $0.filter { $0 != " " } }
        guard let name = parts.first, name.lowercased() == "gzip" || name == "*" else { return false }
        let quality = parts.dropFirst().first { $0.hasPrefix("q=") }.flatMap { Double($0.dropFirst(2)) }
        return (quality ?? 1) > 0
    }

    static func compressed(_ response: HTTPResponse) -> HTTPResponse {
        guard let bytes = deflate(response.body, count: response.contentLength), bytes.count < response.contentLength
        else { return response }
        var answer = HTTPResponse(status: response.status, headers: response.headers, bytes: bytes)
        answer.headers["Content-Encoding"] = "gzip"
        answer.headers.add("Vary", "Accept-Encoding")
        return answer
    }

    static func deflate(_ pieces: [ArraySlice<UInt8>], count: Int) -> [UInt8]? {
        // Some 80 KiB: not for the stack.
        let stream = UnsafeMutablePointer<isal_zstream>.allocate(capacity: 1)
        defer { stream.deallocate() }
        isal_deflate_init(stream)
        // ISAL_DEF_LVL1_LARGE, which Swift does not import: hashes, and 64 Ki tokens of four bytes.
        let levelBytes = 276 << 10
        let level = UnsafeMutablePointer<UInt8>.allocate(capacity: levelBytes)
        defer { level.deallocate() }
        stream.pointee.level = 1
        stream.pointee.level_buf = level
        stream.pointee.level_buf_size = UInt32(levelBytes)
        stream.pointee.gzip_flag = UInt16(IGZIP_GZIP)
        var body = BodyWriter(pieces, count: count)
        var out: [UInt8] = []
        out.reserveCapacity(count / 4)
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: block)
        defer { room.deallocate() }
        repeat {
            var input = body.take()
            stream.pointee.end_of_stream = body.remaining == 0 ? 1 : 0
            let isDone: Bool = input.withUnsafeMutableReadableBytes { bytes in
                stream.pointee.next_in = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
                stream.pointee.avail_in = UInt32(bytes.count)
                repeat {
                    stream.pointee.next_out = room
                    stream.pointee.avail_out = UInt32(block)
                    guard isal_deflate(stream) == COMP_OK else { return false }
                    let count = block - Int(stream.pointee.avail_out)
                    out.append(contentsOf: UnsafeBufferPointer(start: room, count: count))
                } while stream.pointee.avail_out == 0
                return stream.pointee.avail_in == 0
            }
            guard isDone else { return nil }
        } while body.remaining > 0
        return out
    }
}

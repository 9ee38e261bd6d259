// SPDY/3 header blocks: one zlib stream a direction over the whole connection, begun with a dictionary that the
// protocol fixes (draft-mbelshe-httpbis-spdy-00, 2.6.10.1). ISA-L inflates.
//
//   block   count 32, then count times: length 32, name, length 32, value      (after inflating)

internal import CInflate
import System

struct SPDYHeaderInflater: ~Copyable {
    /// Bytes of a header block after inflating; kubectl's have a hundred.
    static let limit = 64 << 10

    private let state: UnsafeMutablePointer<inflate_state>

    init() {
        state = .allocate(capacity: 1)
        UnsafeMutableRawPointer(state).initializeMemory(
            as: UInt8.self, repeating: 0, count: MemoryLayout<inflate_state>.size)
        isal_inflate_init(state)
        state.pointee.crc_flag = UInt32(ISAL_ZLIB)
    }

    deinit { state.deallocate() }

    mutating func headers(_ block: ArraySlice<UInt8>) throws(SPDYError) -> [String: String] {
        try Self.parse(try inflate(block))
    }

    private mutating func inflate(_ block: ArraySlice<UInt8>) throws(SPDYError) -> [UInt8] {
        var input = Array(block)
        var output = [UInt8](repeating: 0, count: Self.limit)
        let state = state
        let (result, left, room) = input.withUnsafeMutableBufferPointer { input in
            output.withUnsafeMutableBufferPointer { output -> (Int32, UInt32, UInt32) in
                state.pointee.next_in = input.baseAddress
                state.pointee.avail_in = UInt32(input.count)
                state.pointee.next_out = output.baseAddress
                state.pointee.avail_out = UInt32(output.count)
                var result = isal_inflate(state)
                if result == ISAL_NEED_DICT {
                    var dictionary = SPDYDictionary.bytes
                    result = dictionary.withUnsafeMutableBufferPointer {
                        isal_inflate_set_dict(state, $0.baseAddress, UInt32($0.count))
                    }
                    if result == ISAL_DECOMP_OK { result = isal_inflate(state) }
                }
                return (result, state.pointee.avail_in, state.pointee.avail_out)
            }
        }
        guard result >= 0, result != ISAL_NEED_DICT else { throw .malformed("a header block (inflate: \(result))") }
        guard left == 0, room > 0 else { throw .malformed("a header block of more than \(Self.limit) bytes") }
        return Array(output.prefix(Self.limit - Int(room)))
    }

    private static func parse(_ bytes: [UInt8]) throws(SPDYError) -> [String: String] {
        var at = 0
        func number() throws(SPDYError) -> Int {
            guard bytes.count - at >= 4 else { throw .malformed("a header block that ends early") }
            defer { at += 4 }
            return Int(SPDYReader.number(bytes, at))
        }
        func text() throws(SPDYError) -> String {
            let length = try number()
            guard bytes.count - at >= length else { throw .malformed("a header block that ends early") }
            defer { at += length }
            return String(decoding: bytes[at..<(at + length)], as: UTF8.self)
        }
        var headers: [String: String] = [:]
        // Each takes eight bytes at least, so a count that lies ends soon.
        for _ in 0..<(try number()) {
            let name = try text().lowercased()
            headers[name] = try text()
        }
        guard at == bytes.count else { throw .malformed("bytes behind a header block") }
        return headers
    }
}

enum SPDYDictionary {
    /// 1423 bytes, Adler-32 e3c6a7c2.
    static let bytes: [UInt8] = {
        var bytes: [UInt8] = []
        for word in words.split(whereSeparator: \.isWhitespace) {
            let text = word == "200_OK" ? "200 OK" : String(word)
            bytes += [0, 0, 0, UInt8(text.utf8.count)] + Array(text.utf8)
        }
        return bytes + Array(rest.utf8)
    }()

    private static let words = """
        options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age
        allow authorization cache-control connection content-base content-encoding content-language content-length
        content-location content-md5 content-range content-type date etag expect expires from host if-match
        if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma
        proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade
        user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie
        keep-alive origin
        """

    private static let rest = """
        100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Author\
        itative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 No\
        t Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Au\
        g Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,\
        image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,def\
        late,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.
        """
}

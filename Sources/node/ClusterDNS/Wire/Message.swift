// Messages (RFC 1035, 4; EDNS0: RFC 6891): a checked view of received bytes, and answers as values.
//
// A view is made once, checks every length, and afterwards holds only offsets that are inside. Bytes after the last
// record are ignored. What breaks the format throws DNSFormatError; a message without even a header is dropped by
// callers.

struct ResponseCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    let rawValue: UInt8
    init(rawValue: UInt8) { self.rawValue = rawValue }
    static let noError = ResponseCode(rawValue: 0)
    static let formatError = ResponseCode(rawValue: 1)
    static let serverFailure = ResponseCode(rawValue: 2)
    static let nameError = ResponseCode(rawValue: 3)
    static let notImplemented = ResponseCode(rawValue: 4)
    static let refused = ResponseCode(rawValue: 5)
    var description: String {
        ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"].indices.contains(Int(rawValue))
            ? ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"][Int(rawValue)] : "RCODE\(rawValue)"
    }
}

/// The twelve bytes at the front.
struct DNSHeader: Hashable, Sendable {
    static let size = 12

    var id: UInt16
    var flags: UInt16
    /// Questions, answers, authority, additional.
    var counts: [UInt16]

    var isResponse: Bool { flags & 0x8000 != 0 }
    var opcode: UInt16 { flags >> 11 & 0xf }
    var isTruncated: Bool { flags & 0x0200 != 0 }
    var recursionDesired: Bool { flags & 0x0100 != 0 }
    var checkingDisabled: Bool { flags & 0x0010 != 0 }
    var code: ResponseCode { ResponseCode(rawValue: UInt8(flags & 0xf)) }

    init(id: UInt16, flags: UInt16, counts: [UInt16]) { (self.id, self.flags, self.counts) = (id, flags, counts) }

    init(_ bytes: [UInt8]) throws(DNSFormatError) {
        guard bytes.count >= Self.size else { throw DNSFormatError(what: "\(bytes.count) bytes are no header") }
        let numbers = (0..<6).map { UInt16(bytes[2 * $0]) << 8 | UInt16(bytes[2 * $0 + 1]) }
        self.init(id: numbers[0], flags: numbers[1], counts: Array(numbers[2...]))
    }

    func write(to bytes: inout [UInt8]) {
        for number in [id, flags] + counts { bytes += [UInt8(number >> 8), UInt8(number & 0xff)] }
    }
}

struct Question: Hashable, Sendable, CustomStringConvertible {
    let name: DNSName
    let type: RecordType
    let questionClass: UInt16
    var description: String { "\(name) \(type)" }
}

/// Where a record lies in its message.
struct RecordView: Sendable {
    enum Section: Int, Sendable { case answer = 1, authority, additional }
    let section: Section
    let start: Int
    let name: DNSName
    let type: RecordType
    let recordClass: UInt16
    let ttl: UInt32
    let data: Range<Int>
    var ttlOffset: Int { data.lowerBound - 6 }
    var end: Int { data.upperBound }
}

/// A message whose every length has been checked.
struct MessageView: Sendable {
    let bytes: [UInt8]
    let header: DNSHeader
    let question: Question?
    /// The question as it was sent, case and all.
    let questionBytes: ArraySlice<UInt8>
    let records: [RecordView]

    init(_ bytes: [UInt8]) throws(DNSFormatError) {
        self.bytes = bytes
        header = try DNSHeader(bytes)
        guard header.counts[0] <= 1 else { throw DNSFormatError(what: "\(header.counts[0]) questions") }
        var offset = DNSHeader.size
        func number(_ size: Int) throws(DNSFormatError) -> UInt32 {
            guard offset + size <= bytes.count else { throw DNSFormatError(what: "message is cut off") }
            defer { offset += size }
            return bytes[offset..<(offset + size)].reduce(0) { $0 << 8 | UInt32($1) }
        }
        if header.counts[0] == 1 {
            let name = try DNSName.parse(bytes, &offset)
            question = Question(
                name: name, type: RecordType(rawValue: UInt16(try number(2))), questionClass: UInt16(try number(2)))
        } else {
            question = nil
        }
        questionBytes = bytes[DNSHeader.size..<offset]
        var records: [RecordView] = []
        for section in 1...3 {
            for _ in 0..<header.counts[section] {
                let start = offset
                let name = try DNSName.parse(bytes, &offset)
                let (type, kind, ttl) = (try number(2), try number(2), try number(4))
                let length = Int(try number(2))
                guard offset + length <= bytes.count else { throw DNSFormatError(what: "record runs over the end") }
                records.append(
                    RecordView(
                        section: RecordView.Section(rawValue: section)!, start: start, name: name,
                        type: RecordType(rawValue: UInt16(type)), recordClass: UInt16(kind), ttl: ttl,
                        data: offset..<(offset + length)))
                offset += length
            }
        }
        self.records = records
    }

    var end: Int { records.last?.end ?? questionBytes.endIndex }
    var optRecord: RecordView? { records.first { $0.section == .additional && $0.type == .opt } }
}

/// A question from a client, with what its answer must respect.
struct Query: Sendable {
    struct EDNS: Hashable, Sendable {
        let size: Int
        let version: UInt8
        let dnssec: Bool
    }

    /// Largest datagram that passes everywhere without fragments (DNS flag day 2020).
    static let largestDatagram = 1232

    let header: DNSHeader
    let question: Question
    let questionBytes: ArraySlice<UInt8>
    let edns: EDNS?

    /// Throws when it cannot be answered as a query with one question.
    init(_ view: MessageView) throws(DNSFormatError) {
        guard let question = view.question else { throw DNSFormatError(what: "no question") }
        guard view.records.count(where: { $0.type == .opt }) <= 1 else { throw DNSFormatError(what: "two OPT records") }
        header = view.header
        self.question = question
        // The name must stand there whole: a pointer cannot be echoed.
        guard view.questionBytes.count == question.name.wire.count + 4 else {
            throw DNSFormatError(what: "compressed question")
        }
        questionBytes = view.questionBytes
        edns = view.optRecord.map {
            EDNS(size: Int($0.recordClass), version: UInt8($0.ttl >> 16 & 0xff), dnssec: $0.ttl & 0x8000 != 0)
        }
    }

    /// Bytes a UDP answer may have.
    var datagramLimit: Int { min(max(edns?.size ?? 512, 512), Self.largestDatagram) }
}

/// Extended errors (RFC 8914): why, for the human who runs dig.
struct ExtendedError: Hashable, Sendable {
    let code: UInt16
    let text: String
    static let stale = ExtendedError(code: 3, text: "the upstream is away")
    static func unreachable(_ text: String) -> ExtendedError { ExtendedError(code: 22, text: text) }
    static func noUpstream(_ text: String) -> ExtendedError { ExtendedError(code: 23, text: text) }
    static func tooLarge(_ bytes: UInt64) -> ExtendedError {
        ExtendedError(
            code: 0, text: "the Service's names need \(bytes) bytes, more than this server takes of one Service")
    }
    static let loop = ExtendedError(code: 0, text: "this query went in a circle")
}

/// An answer before it is bytes.
struct Answer: Hashable, Sendable {
    var code = ResponseCode.noError
    var authoritative = false
    var answers: [Record] = []
    var authority: [Record] = []
    var additional: [Record] = []
    var problem: ExtendedError?

    /// More records than these fit into no message: an address behind a pointer to its name has 16 bytes.
    static let mostRecords = 4096

    /// The message for `query`, at most `limit` bytes (up to 65,535): what does not fit is left out and TC set. Stops
    /// at the record that is too much, so that neither its time nor its counts grow with what there would be to say.
    func encode(for query: Query, limit: Int) -> [UInt8] {
        let echoed = query.header.flags & 0x0110
        let flags = 0x8080 | echoed | (authoritative ? 0x0400 : 0) | UInt16(code.rawValue)
        var header = DNSHeader(id: query.header.id, flags: flags, counts: [1, 0, 0, 0])
        var writer = MessageWriter(header: header, question: query.questionBytes, name: query.question.name)
        for (section, records) in [(1, answers), (2, authority), (3, additional)] {
            // Once over the limit the last record is one of those that `finish` cuts off, which sets TC.
            for record in records where writer.bytes.count <= limit {
                writer.append(record)
                header.counts[section] += 1
            }
        }
        writer.replace(header)
        return Self.finish(writer.bytes, for: query, limit: limit, problem: problem)
    }

    /// Adds the OPT record if the query had one, and cuts whole records off until it all fits.
    static func finish(_ message: [UInt8], for query: Query, limit: Int, problem: ExtendedError? = nil) -> [UInt8] {
        var message = message
        let opt = query.edns == nil ? [] : optRecord(query: query, problem: problem)
        if message.count + opt.count > limit, let view = try? MessageView(message) {
            let kept = view.records.prefix { $0.end <= limit - opt.count }
            message.removeLast(message.count - (kept.last?.end ?? view.questionBytes.endIndex))
            var header = view.header
            for section in 1...3 { header.counts[section] = UInt16(kept.count { $0.section.rawValue == section }) }
            if header.counts[1] < view.header.counts[1] || header.counts[2] < view.header.counts[2] {
                header.flags |= 0x0200
            }
            var front: [UInt8] = []
            header.write(to: &front)
            message.replaceSubrange(..<DNSHeader.size, with: front)
        }
        if !opt.isEmpty {
            let additional = UInt16(message[10]) << 8 | UInt16(message[11]) + 1
            (message[10], message[11]) = (UInt8(additional >> 8), UInt8(additional & 0xff))
            message += opt
        }
        return message
    }

    /// BADVERS is 16: its upper bits stand in the OPT record.
    private static func optRecord(query: Query, problem: ExtendedError?) -> [UInt8] {
        let badVersion = query.edns?.version != 0
        let flags: UInt8 = query.edns?.dnssec == true ? 0x80 : 0
        var opt: [UInt8] = [0, 0, 41]
        opt += [UInt8(Query.largestDatagram >> 8), UInt8(Query.largestDatagram & 0xff), badVersion ? 1 : 0, 0, flags, 0]
        guard let problem else { return opt + [0, 0] }
        let text = Array(problem.text.utf8.prefix(200))
        opt += [0, UInt8(text.count + 6), 0, 15, 0, UInt8(text.count + 2), UInt8(problem.code >> 8)]
        return opt + [UInt8(problem.code & 0xff)] + text
    }

    /// A query of our own: recursion desired, EDNS with our size.
    static func question(
        _ question: Question, id: UInt16, dnssec: Bool = false, checkingDisabled: Bool = false
    ) -> [UInt8] {
        let flags: UInt16 = 0x0100 | (checkingDisabled ? 0x0010 : 0)
        let header = DNSHeader(id: id, flags: flags, counts: [1, 0, 0, 1])
        var writer = MessageWriter(header: header, question: [], name: nil)
        writer.append(question.name)
        writer.append(question.type.rawValue)
        writer.append(question.questionClass)
        let opt: [UInt8] = [0, 0, 41, UInt8(Query.largestDatagram >> 8), UInt8(Query.largestDatagram & 0xff), 0, 0]
        return writer.bytes + opt + [dnssec ? 0x80 : 0, 0, 0, 0]
    }
}

// Answers of upstream servers, by question. An entry is the message as it came, and where its TTLs stand, so that
// giving it out again is a copy and a few subtractions. What has expired is kept up to a day for the case that the
// upstream is away (RFC 8767). Bounded in entries and bytes; beyond it the oldest goes. The order of age keeps what was
// replaced until it is more than what is valid: then it is made anew.

struct CacheKey: Hashable, Sendable {
    let question: Question
    let dnssec: Bool
    let checkingDisabled: Bool

    init(_ query: Query, name: DNSName? = nil) {
        question = name.map {
            Question(name: $0, type: query.question.type, questionClass: query.question.questionClass)
        } ?? query.question
        dnssec = query.edns?.dnssec ?? false
        checkingDisabled = query.header.checkingDisabled
    }
}

struct AnswerCache: Sendable {
    enum Limits {
        static let entries = 10_000
        static let bytes = 8 << 20
        /// Seconds: the longest an answer, a negative answer and an expired answer are kept.
        static let positive: UInt32 = 3600
        static let negative: UInt32 = 300
        static let stale: Int64 = 86_400_000
        /// TTL of an expired answer (RFC 8767, 5).
        static let staleTTL: UInt32 = 30
    }

    private struct Entry: Sendable {
        let message: [UInt8]
        let ttlOffsets: [Int]
        let stored: Int64
        let expires: Int64
        let generation: UInt64
    }

    private var entries: [CacheKey: Entry] = [:]
    private var order: [(CacheKey, UInt64)] = []
    private var oldest = 0
    private var bytes = 0
    private var generation: UInt64 = 0

    var count: Int { entries.count }
    /// Elements of the order of age, those of replaced entries with them.
    var backlog: Int { order.count }

    /// Keeps an answer without OPT; not when its TTL is 0 or it is negative without SOA. Milliseconds of any clock.
    mutating func store(_ view: MessageView, _ key: CacheKey, now: Int64) {
        guard let ttl = Self.lifetime(view), ttl > 0, !view.header.isTruncated else { return }
        remove(key)
        generation += 1
        entries[key] = Entry(
            message: view.bytes, ttlOffsets: view.records.map(\.ttlOffset), stored: now,
            expires: now + Int64(ttl) * 1000, generation: generation)
        bytes += view.bytes.count
        order.append((key, generation))
        while entries.count > Limits.entries || bytes > Limits.bytes { evict() }
        if order.count > 2 * entries.count + 1024 {
            order = order[oldest...].filter { entries[$0.0]?.generation == $0.1 }
            oldest = 0
        }
    }

    private mutating func remove(_ key: CacheKey) {
        if let old = entries.removeValue(forKey: key) { bytes -= old.message.count }
    }

    private mutating func evict() {
        guard oldest < order.count else { return }
        let (key, generation) = order[oldest]
        oldest += 1
        if entries[key]?.generation == generation { remove(key) }
    }

    /// The message with its TTLs counted down; with `stale`, also when it has expired.
    func find(_ key: CacheKey, now: Int64, stale: Bool = false) -> [UInt8]? {
        guard let entry = entries[key] else { return nil }
        let fresh = now < entry.expires
        guard fresh || (stale && now < entry.expires + Limits.stale) else { return nil }
        var message = entry.message
        let age = UInt32(clamping: (now - entry.stored) / 1000)
        for offset in entry.ttlOffsets {
            let ttl = message[offset..<(offset + 4)].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            let left = fresh ? (ttl > age ? ttl - age : 0) : Limits.staleTTL
            for byte in 0..<4 { message[offset + byte] = UInt8(left >> UInt32(24 - 8 * byte) & 0xff) }
        }
        return message
    }

    private static func lifetime(_ view: MessageView) -> UInt32? {
        guard view.header.code == .noError || view.header.code == .nameError else { return nil }
        let answers = view.records.filter { $0.section == .answer }
        // An alias alone answers nothing: its own TTL says how long it may be kept, the SOA how long the nothing.
        let negative = view.header.code == .nameError || !answers.contains {
            $0.type == view.question?.type || view.question?.type == .any
        }
        var ttl = answers.map(\.ttl).min() ?? .max
        if negative {
            guard let start = view.records.first(where: { $0.section == .authority && $0.type == .soa }),
                let soa = try? Record(start, in: view.bytes), case .soa(_, _, _, let minimum) = soa.data
            else { return nil }
            ttl = min(ttl, soa.ttl, minimum, Limits.negative)
        }
        // RFC 2181, 8: a TTL with its first bit set is 0.
        return ttl > 0x7fff_ffff ? nil : min(ttl, Limits.positive)
    }
}

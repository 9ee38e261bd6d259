// The resolver's decisions as a value: messages, failures and the time go in, actions come out. It opens no socket and
// reads no clock (milliseconds of any monotonic clock are passed in), so its behaviour is tested without either.
//
//   query ──> chain of handlers (Handlers.swift) ──> reply
//                     └─ forward ──> exchange: ask ──> reply of the upstream ──> every waiting client
//                                      └─ failed or late: next server; then stale answer or SERVFAIL
//
// Equal questions share an exchange, which also ends a loop after one round: the query that comes back to us joins the
// exchange it came from instead of being sent again. Everything is bounded; overload sheds the oldest.

import Kernel
import System

struct ResolverCore: Sendable {
    enum Client: Hashable, Sendable {
        /// Of the listening sockets, by index.
        case udp(socket: Int, InternetEndpoint)
        case tcp(connection: Int)
    }

    enum Action: Hashable, Sendable {
        case reply(Client, [UInt8])
        /// Send to this server from a fresh socket; it replaces the exchange's former one.
        case ask(exchange: Int, InternetEndpoint, [UInt8], tcp: Bool)
        /// The exchange's socket is needed no more.
        case close(exchange: Int)
        /// For the log.
        case notice(String)
    }

    struct Request: Sendable {
        let client: Client
        let query: Query
        /// What is asked of cache and upstream: the question's name, or where an alias led.
        var name: DNSName
        var aliases: [Record] = []

        var limit: Int { if case .tcp = client { 65535 } else { query.datagramLimit } }
        var key: CacheKey { CacheKey(query, name: name) }
    }

    struct Exchange: Sendable {
        let key: CacheKey
        var waiting: [Request]
        var server: InternetEndpoint
        var asked: [InternetEndpoint] = []
        var id: UInt16 = 0
        var overTCP = false
        var deadline: Int64 = 0
        var isProbe = false
        /// What the last server that answered at all said (SERVFAIL, REFUSED).
        var refusal: [UInt8]?
    }

    enum Limits {
        static let exchanges = 512
        static let waiting = 256
        /// Milliseconds each server gets; together below the 5 s after which clients ask again.
        static let patience: [Int64] = [800, 1500, 2000]
    }

    var zone: ClusterZone
    var cache = AnswerCache()
    var upstreams = Upstreams()
    /// Why there is nobody to ask, in words.
    var noUpstreamReason = "no upstream is configured"
    private(set) var exchanges: [Int: Exchange] = [:]
    private var byKey: [CacheKey: Int] = [:]
    private var nextExchange = 0
    private(set) var rotation = 0
    private(set) var probes: [DNSName: InternetEndpoint] = [:]
    private var saidNoUpstream = false

    init(zone: ClusterZone) { self.zone = zone }

    // MARK: From clients

    /// A message of a client. What is no query gets the matching refusal, or nothing when it is no message at all.
    mutating func receive(_ bytes: [UInt8], from client: Client, now: Int64) -> [Action] {
        guard let header = try? DNSHeader(bytes), !header.isResponse else { return [] }
        guard header.opcode == 0 else { return [.reply(client, Self.bare(header, .notImplemented))] }
        guard let view = try? MessageView(bytes), let query = try? Query(view) else {
            return [.reply(client, Self.bare(header, .formatError))]
        }
        var request = Request(client: client, query: query, name: query.question.name)
        var actions: [Action] = []
        for handler in Self.chain {
            switch handler.handle(&self, &request, now, &actions) {
            case .next: continue
            case .done: return actions
            case .answer(let answer):
                actions.append(.reply(client, answer.encode(for: query, limit: request.limit)))
                return actions
            }
        }
        return actions
    }

    private static func bare(_ header: DNSHeader, _ code: ResponseCode) -> [UInt8] {
        var bytes: [UInt8] = []
        let flags = 0x8080 | header.flags & 0x7910 | UInt16(code.rawValue)
        DNSHeader(id: header.id, flags: flags, counts: [0, 0, 0, 0]).write(to: &bytes)
        return bytes
    }

    /// Spreads clients that take the first address over all of them.
    mutating func rotate(_ records: [Record]) -> [Record] {
        guard records.count > 1, records.allSatisfy({ $0.data.type == records[0].data.type }) else { return records }
        rotation &+= 1
        let start = Int(UInt(bitPattern: rotation) % UInt(records.count))
        return Array(records[start...] + records[..<start])
    }

    /// Gives an upstream's message (without OPT) to a client.
    func reply(_ message: [UInt8], to request: Request, problem: ExtendedError? = nil) -> Action {
        let query = request.query
        guard let view = try? MessageView(message) else {
            return .reply(request.client, Answer(code: .serverFailure).encode(for: query, limit: request.limit))
        }
        if !request.aliases.isEmpty {
            var answer = Answer(code: view.header.code, answers: request.aliases, problem: problem)
            for record in view.records where record.section != .additional {
                guard let record = try? Record(record, in: message) else { continue }
                if record.data.type == .soa { answer.authority.append(record) } else { answer.answers.append(record) }
            }
            return .reply(request.client, answer.encode(for: query, limit: request.limit))
        }
        var message = message
        let flags = view.header.flags & 0x002f | 0x8080 | query.header.flags & 0x0110
        var front: [UInt8] = []
        DNSHeader(id: query.header.id, flags: flags, counts: view.header.counts).write(to: &front)
        message.replaceSubrange(..<DNSHeader.size, with: front)
        if view.questionBytes.count == query.questionBytes.count {
            message.replaceSubrange(view.questionBytes.indices, with: query.questionBytes)
        }
        return .reply(request.client, Answer.finish(message, for: query, limit: request.limit, problem: problem))
    }

    func failure(_ request: Request, _ problem: ExtendedError) -> Action {
        let answer = Answer(code: .serverFailure, problem: problem)
        return .reply(request.client, answer.encode(for: request.query, limit: request.limit))
    }

    // MARK: To upstreams

    /// Puts the request into an exchange, or answers that there is nobody to ask.
    mutating func forward(_ request: Request, now: Int64, waits: Bool = true) -> [Action] {
        let key = request.key
        if let id = byKey[key] {
            guard waits else { return [] }
            exchanges[id]!.waiting.append(request)
            if exchanges[id]!.waiting.count > Limits.waiting { exchanges[id]!.waiting.removeFirst() }
            return []
        }
        guard let server = upstreams.next(except: [], now: now) else {
            var actions = waits ? [failure(request, .noUpstream(noUpstreamReason))] : []
            if !saidNoUpstream {
                saidNoUpstream = true
                actions.append(.notice("names outside \(zone.origin) get SERVFAIL: \(noUpstreamReason)"))
            }
            return actions
        }
        var actions = shed()
        nextExchange += 1
        exchanges[nextExchange] = Exchange(key: key, waiting: waits ? [request] : [], server: server)
        byKey[key] = nextExchange
        actions.append(ask(nextExchange, now: now))
        return actions
    }

    private mutating func shed() -> [Action] {
        guard exchanges.count >= Limits.exchanges, let oldest = exchanges.keys.min() else { return [] }
        return forget(oldest)
    }

    private mutating func ask(_ id: Int, now: Int64) -> Action {
        var exchange = exchanges[id]!
        let attempt = min(exchange.asked.count, Limits.patience.count - 1)
        exchange.id = UInt16.random(in: 0...UInt16.max)
        exchange.deadline = now + Limits.patience[attempt]
        exchanges[id] = exchange
        let bytes = Answer.question(
            exchange.key.question, id: exchange.id, dnssec: exchange.key.dnssec,
            checkingDisabled: exchange.key.checkingDisabled)
        return .ask(exchange: id, exchange.server, bytes, tcp: exchange.overTCP)
    }

    @discardableResult
    private mutating func forget(_ id: Int) -> [Action] {
        guard let exchange = exchanges.removeValue(forKey: id) else { return [] }
        if byKey[exchange.key] == id { byKey[exchange.key] = nil }
        if exchange.isProbe { probes[exchange.key.question.name] = nil }
        return [.close(exchange: id)]
    }

    /// A message on an exchange's socket. One that does not match id and question is ignored: it may be forged.
    mutating func upstreamReplied(_ id: Int, _ bytes: [UInt8], now: Int64) -> [Action] {
        guard var exchange = exchanges[id], let view = try? MessageView(bytes), view.header.isResponse,
            view.header.id == exchange.id, view.question == exchange.key.question
        else { return [] }
        if exchange.isProbe { return forget(id) }
        if view.header.isTruncated, !exchange.overTCP {
            exchange.overTCP = true
            exchanges[id] = exchange
            return [ask(id, now: now)]
        }
        let message = Self.withoutOPT(view)
        guard view.header.code == .noError || view.header.code == .nameError, let plain = try? MessageView(message)
        else {
            exchanges[id]!.refusal = message
            return upstreamFailed(id, now: now)
        }
        upstreams.worked(exchange.server)
        cache.store(plain, exchange.key, now: now)
        return exchange.waiting.map { reply(message, to: $0) } + forget(id)
    }

    /// The server could not be reached, did not answer in time, or refused: the next one is asked.
    mutating func upstreamFailed(_ id: Int, now: Int64) -> [Action] {
        guard var exchange = exchanges[id] else { return [] }
        if exchange.isProbe { return forget(id) }
        upstreams.failed(exchange.server, now: now)
        exchange.asked.append(exchange.server)
        exchange.overTCP = false
        var actions: [Action] = []
        if let stale = cache.find(exchange.key, now: now, stale: true) {
            actions += exchange.waiting.map { reply(stale, to: $0, problem: .stale) }
            exchange.waiting = []
        }
        if exchange.asked.count < Limits.patience.count,
            let server = upstreams.next(except: exchange.asked, now: now),
            exchange.refusal == nil || !exchange.asked.contains(server) {
            exchange.server = server
            exchanges[id] = exchange
            return actions + [ask(id, now: now)]
        }
        let names = Set(exchange.asked).map(\.description).sorted().joined(separator: ", ")
        for request in exchange.waiting {
            let refusal = exchange.refusal.map { reply($0, to: request) }
            actions.append(refusal ?? failure(request, .unreachable("no answer from \(names)")))
        }
        return actions + forget(id)
    }

    /// When `tick` must be called next.
    var deadline: Int64? { exchanges.values.lazy.map(\.deadline).min() }

    mutating func tick(now: Int64) -> [Action] {
        let late = exchanges.filter { $0.value.deadline <= now }.keys.sorted()
        return late.flatMap { upstreamFailed($0, now: now) }
    }

    /// OPT concerns one hop (RFC 6891). When it is not the last record, the whole additional section goes with it:
    /// names behind it could be pointed at.
    private static func withoutOPT(_ view: MessageView) -> [UInt8] {
        guard let opt = view.optRecord, let last = view.records.last else { return Array(view.bytes[..<view.end]) }
        let whole = last.start == opt.start
        let cut = whole ? opt : view.records.first { $0.section == .additional }!
        var bytes = Array(view.bytes[..<cut.start])
        let left = whole ? view.header.counts[3] - 1 : 0
        (bytes[10], bytes[11]) = (UInt8(left >> 8), UInt8(left & 0xff))
        return bytes
    }

    // MARK: Upstreams and their loops

    /// Other servers; each is asked for a name that nobody else knows, to see whether the question comes back to us.
    mutating func use(_ endpoints: [InternetEndpoint], otherwise reason: String, now: Int64) -> [Action] {
        upstreams = Upstreams(endpoints)
        noUpstreamReason = reason
        saidNoUpstream = false
        var actions = probes.values.isEmpty ? [] : exchanges.filter(\.value.isProbe).keys.flatMap { forget($0) }
        for endpoint in endpoints {
            guard let name = DNSName("\(Hex.encode(Random.bytes(16))).\(Hex.encode(Random.bytes(8)))") else { continue }
            let question = Question(name: name, type: .hinfo, questionClass: 1)
            nextExchange += 1
            let key = CacheKey(question: question)
            exchanges[nextExchange] = Exchange(key: key, waiting: [], server: endpoint, isProbe: true)
            byKey[key] = nextExchange
            probes[name] = endpoint
            actions.append(ask(nextExchange, now: now))
        }
        return actions
    }

    /// Our own probe came in as a query: what we ask that server, it asks us.
    mutating func loopFound(_ name: DNSName, _ actions: inout [Action]) {
        guard let endpoint = probes[name] else { return }
        upstreams.disable(endpoint)
        noUpstreamReason = "the upstream \(endpoint) asks this resolver back"
        actions.append(.notice("upstream \(endpoint) leads back to this resolver (a loop): it is not asked any more"))
        let id = exchanges.first { $0.value.isProbe && $0.value.key.question.name == name }?.key
        if let id { actions += forget(id) }
    }
}

extension CacheKey {
    init(question: Question) { (self.question, dnssec, checkingDisabled) = (question, false, false) }
}

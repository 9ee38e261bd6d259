// DNS messages: what pods send to the resolver, and what the servers behind it answer.

import Kernel
import System

@testable import ClusterDNS

extension Targets {
    private static let zone: ClusterZone = {
        let port = ServiceNames.Port(name: "http", transport: "tcp", number: 80)
        let endpoints = (0..<300).map { ServiceNames.Endpoint(address: .v4(0x0a01_0000 + UInt32($0))) }
        let services: [(String, ServiceNames.Target)] = [
            ("web", .clusterIPs([.v4(0x0a60_0001)], [port])), ("db", .headless([.init(ports: [port], endpoints: endpoints)])),
            ("out", .external("www.example.org")), ("circle", .external("circle.prod.svc.cluster.local")),
            ("large", .tooLarge(bytes: 1 << 30)),
        ]
        let range = CIDR("10.0.0.0/8")!
        var zone = ClusterZone(ZoneConfig(domain: "cluster.local", podCIDRs: [range], reverseCIDRs: [range]))
        for (name, target) in services { zone.put(ServiceNames(namespace: "prod", name: name, target: target)) }
        return zone
    }()

    /// The bytes as a message to the resolver, and as what an upstream answers: each is answered with a message that has
    /// the question's id and fits, or with nothing.
    static func dns(_ bytes: [UInt8]) {
        if let view = try? MessageView(bytes) {
            hold(view.end <= bytes.count, "a message ends behind its bytes")
            for record in view.records { _ = try? Record(record, in: bytes) }
        }
        let upstream = InternetEndpoint(.v4(0xc000_0235), 53)
        let clients: [ResolverCore.Client] = [.tcp(connection: 1), .udp(socket: 0, upstream)]
        for client in clients {
            var core = ResolverCore(zone: zone)
            core.upstreams = Upstreams([upstream])
            holdAnswers(core.receive(bytes, from: client, now: 0), to: bytes)
            // The same bytes behind the header and question of a real exchange.
            guard bytes.count >= 8 else { continue }
            let question = Question(name: DNSName("www.example.org")!, type: .any, questionClass: 1)
            let query = Answer.question(question, id: 7)
            for case .ask(let id, _, let asked, _) in core.receive(query, from: client, now: 0) {
                var answer = asked[..<2] + [bytes[0] | 0x80, bytes[1], 0, 1] + bytes[2..<8]
                answer += asked[DNSHeader.size..<(asked.count - 11)] + bytes[8...]
                holdAnswers(core.upstreamReplied(id, Array(answer), now: 1), to: query)
            }
            // Out of the cache, if it went there, with smaller TTLs.
            holdAnswers(core.receive(query, from: client, now: 5001), to: query)
        }
    }

    private static func holdAnswers(_ actions: [ResolverCore.Action], to query: [UInt8]) {
        for case .reply(let client, let answer) in actions {
            guard let view = try? MessageView(answer) else { fatalError("broken: an answer that is no message") }
            hold(view.header.isResponse, "an answer that is a question")
            hold(answer.starts(with: query.prefix(2)), "an answer to another question")
            let limit = if case .tcp = client { 65535 } else { Query.largestDatagram }
            hold(answer.count <= limit, "an answer of \(answer.count) bytes, of at most \(limit)")
        }
    }
}

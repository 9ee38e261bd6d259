// What the cluster's names are, written as zone lines.

import Kernel
import Objects
import System
import Testing

@testable import ClusterDNS

func address(_ text: String) -> IPAddress { IPAddress(text)! }

let http = ServiceNames.Port(name: "http", transport: "tcp", number: 80)
let testServices = [
    ServiceNames(
        namespace: "default", name: "web", target: .clusterIPs([address("10.96.0.1"), address("fd00::1")], [http])),
    ServiceNames(
        namespace: "prod", name: "db",
        target: .headless([
            .init(
                ports: [http],
                endpoints: [
                    .init(address: address("10.1.0.5"), hostname: "db-0"), .init(address: address("10.1.0.6")),
                ])
        ])),
    ServiceNames(namespace: "prod", name: "empty", target: .headless([])),
    ServiceNames(namespace: "prod", name: "inside", target: .external("web.default.svc.cluster.local")),
    ServiceNames(namespace: "prod", name: "outside", target: .external("www.example.org")),
    ServiceNames(namespace: "prod", name: "circle", target: .external("circle.prod.svc.cluster.local")),
]

func testZone() -> ClusterZone {
    var zone = ClusterZone(
        ZoneConfig(
            domain: "cluster.local", addresses: [address("10.96.0.10")], podCIDRs: [CIDR("10.1.0.0/16")!],
            reverseCIDRs: [CIDR("10.1.0.0/16")!, CIDR("10.96.0.0/12")!]))
    for service in testServices { zone.put(service) }
    return zone
}

@Suite struct ZoneTests {
    static let soa = "; cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 5"

    func ask(_ name: String, _ type: RecordType) throws -> [String] {
        var core = ResolverCore(zone: testZone())
        let client = ResolverCore.Client.tcp(connection: 1)
        guard case .reply(client, let bytes)? = core.receive(query(name, type), from: client, now: 0).first else {
            return []
        }
        return try zoneLines(bytes)
    }

    @Test(arguments: [
        ("WEB.default.svc.cluster.local", RecordType.a, ["NOERROR", "web.default.svc.cluster.local. 30 IN A 10.96.0.1"]),
        ("web.default.svc.cluster.local", .aaaa, ["NOERROR", "web.default.svc.cluster.local. 30 IN AAAA fd00::1"]),
        ("web.default.svc.cluster.local", .txt, ["NOERROR", soa]),
        ("nope.default.svc.cluster.local", .a, ["NXDOMAIN", soa]),
        ("web.other.svc.cluster.local", .a, ["NXDOMAIN", soa]),
        ("default.svc.cluster.local", .a, ["NOERROR", soa]),
        ("svc.cluster.local", .a, ["NOERROR", soa]),
        ("web.default.svc.default.svc.cluster.local", .a, ["NXDOMAIN", soa]),
        ("example.org.cluster.local", .a, ["NXDOMAIN", soa]),
        ("cluster.local", .soa, ["NOERROR", String(soa.dropFirst(2))]),
        ("ns.dns.cluster.local", .a, ["NOERROR", "ns.dns.cluster.local. 30 IN A 10.96.0.10"]),
        ("dns-version.cluster.local", .txt, ["NOERROR", "dns-version.cluster.local. 30 IN TXT \"1.1.0\""]),
        ("_http._tcp.web.default.svc.cluster.local", .srv, [
            "NOERROR", "_http._tcp.web.default.svc.cluster.local. 30 IN SRV 0 100 80 web.default.svc.cluster.local.",
            "; web.default.svc.cluster.local. 30 IN A 10.96.0.1",
            "; web.default.svc.cluster.local. 30 IN AAAA fd00::1",
        ]),
        ("_http._udp.web.default.svc.cluster.local", .srv, ["NXDOMAIN", soa]),
        ("_tcp.web.default.svc.cluster.local", .a, ["NOERROR", soa]),
        ("db-0.db.prod.svc.cluster.local", .a, ["NOERROR", "db-0.db.prod.svc.cluster.local. 5 IN A 10.1.0.5"]),
        ("10-1-0-6.db.prod.svc.cluster.local", .a, ["NOERROR", "10-1-0-6.db.prod.svc.cluster.local. 5 IN A 10.1.0.6"]),
        ("db-1.db.prod.svc.cluster.local", .a, ["NXDOMAIN", soa]),
        ("empty.prod.svc.cluster.local", .a, ["NOERROR", soa]),
        ("inside.prod.svc.cluster.local", .a, [
            "NOERROR", "inside.prod.svc.cluster.local. 5 IN CNAME web.default.svc.cluster.local.",
            "web.default.svc.cluster.local. 30 IN A 10.96.0.1",
        ]),
        ("circle.prod.svc.cluster.local", .a, ["SERVFAIL"]),
        ("10-1-2-3.any.pod.cluster.local", .a, ["NOERROR", "10-1-2-3.any.pod.cluster.local. 5 IN A 10.1.2.3"]),
        ("10-9-2-3.any.pod.cluster.local", .a, ["NXDOMAIN", soa]),
        ("1.0.96.10.in-addr.arpa", .ptr, ["NOERROR", "1.0.96.10.in-addr.arpa. 5 IN PTR web.default.svc.cluster.local."]),
        ("5.0.1.10.in-addr.arpa", .ptr, ["NOERROR", "5.0.1.10.in-addr.arpa. 5 IN PTR db-0.db.prod.svc.cluster.local."]),
        ("99.0.1.10.in-addr.arpa", .ptr, ["NXDOMAIN", soa]),
        ("8.8.8.8.in-addr.arpa", .ptr, ["SERVFAIL"]),
        ("cluster.local", .axfr, ["REFUSED"]),
    ])
    func answers(_ name: String, _ type: RecordType, _ expected: [String]) throws {
        #expect(try ask(name, type) == expected)
    }

    @Test func headlessServicesTurnTheirAddresses() throws {
        var core = ResolverCore(zone: testZone())
        var first: Set<String> = []
        for _ in 0..<4 {
            let actions = core.receive(query("db.prod.svc.cluster.local", .a), from: .tcp(connection: 1), now: 0)
            guard case .reply(_, let bytes)? = actions.first else { return }
            let lines = try zoneLines(bytes)
            #expect(lines.count == 3)
            first.insert(lines[1])
        }
        #expect(first.count == 2)
    }

    @Test func whatIsRemovedIsGone() throws {
        var zone = testZone()
        for service in testServices { zone.remove(namespace: service.namespace, name: service.name) }
        let reverse = Question(name: DNSName("1.0.96.10.in-addr.arpa")!, type: .ptr, questionClass: 1)
        guard case .answer(let answer) = zone.lookUp(reverse) else { return #expect(Bool(false)) }
        #expect(answer.code == .nameError)
        #expect(zone.serviceCount == 0)
    }

    @Test func objectsBecomeNames() throws {
        func object(_ yaml: String) throws -> JSON { try YAML.parse(Array(yaml.utf8))[0] }
        let service = Service(try object("""
            metadata: {name: db, namespace: prod}
            spec: {clusterIP: None, ports: [{name: http, port: 80}]}
            """))
        let slice = EndpointSlice(try object("""
            metadata: {name: db-x, namespace: prod}
            addressType: IPv4
            ports: [{name: http, port: 8080, protocol: TCP}]
            endpoints:
            - {addresses: [10.1.0.7], hostname: db-0, conditions: {ready: true}}
            - {addresses: [10.1.0.8], conditions: {ready: false}}
            """))
        let port = ServiceNames.Port(name: "http", transport: "tcp", number: 8080)
        #expect(ServiceNames(service, slices: [slice])?.target
            == .headless([.init(ports: [port], endpoints: [.init(address: address("10.1.0.7"), hostname: "db-0")])]))
        var all = service
        all.spec.publishNotReadyAddresses = true
        guard case .headless(let groups)? = ServiceNames(all, slices: [slice, slice])?.target else { return }
        #expect(groups.map { $0.endpoints.map(\.address) } == [[address("10.1.0.7"), address("10.1.0.8")]])
    }
}

@Suite struct ForwardTests {
    static let server = InternetEndpoint(address("192.0.2.53"), 53)
    static let other = InternetEndpoint(address("192.0.2.54"), 53)
    static let client = ResolverCore.Client.udp(socket: 0, InternetEndpoint(address("10.1.0.9"), 4000))

    /// The first question to an upstream among the actions.
    func asked(_ actions: [ResolverCore.Action]) -> (id: Int, server: InternetEndpoint, bytes: [UInt8], tcp: Bool)? {
        for case .ask(let id, let server, let bytes, let tcp) in actions { return (id, server, bytes, tcp) }
        return nil
    }

    func replied(_ actions: [ResolverCore.Action]) throws -> [String]? {
        for case .reply(_, let bytes) in actions { return try zoneLines(bytes) }
        return nil
    }

    func answer(_ bytes: [UInt8], ttl: UInt32 = 60, code: ResponseCode = .noError) throws -> [UInt8] {
        let query = try Query(MessageView(bytes))
        let record = Record(name: query.question.name, ttl: ttl, data: .address(address("198.51.100.1")))
        return Answer(code: code, answers: code == .noError ? [record] : []).encode(for: query, limit: 1232)
    }

    func core() -> ResolverCore {
        var core = ResolverCore(zone: testZone())
        for action in core.use([Self.server, Self.other], otherwise: "", now: 0) {
            if case .ask(let id, _, let bytes, _) = action, let reply = try? answer(bytes, code: .nameError) {
                _ = core.upstreamReplied(id, reply, now: 0)
            }
        }
        return core
    }

    @Test func anAnswerIsForwardedCachedAndServedStale() throws {
        var core = core()
        let question = query("www.example.org", .a)
        let ask = asked(core.receive(question, from: Self.client, now: 0))!
        #expect(ask.server == Self.server)
        var forged = try answer(ask.bytes)
        forged[0] ^= 0xff
        #expect(core.upstreamReplied(ask.id, forged, now: 1).isEmpty)
        #expect(try replied(core.upstreamReplied(ask.id, answer(ask.bytes), now: 1))
            == ["NOERROR", "www.example.org. 60 IN A 198.51.100.1"])
        #expect(try replied(core.receive(question, from: Self.client, now: 20_500))
            == ["NOERROR", "www.example.org. 40 IN A 198.51.100.1"])
        // Expired, and nobody answers.
        let again = core.receive(question, from: Self.client, now: 100_000)
        #expect(try replied(again) == nil)
        #expect(try replied(core.tick(now: 100_900)) == ["NOERROR", "www.example.org. 30 IN A 198.51.100.1"])
    }

    @Test func aServerThatFailsIsFollowedByTheNext() throws {
        var core = core()
        let first = asked(core.receive(query("a.example.org", .a), from: Self.client, now: 0))!
        let second = asked(core.upstreamReplied(first.id, try answer(first.bytes, code: .serverFailure), now: 5))!
        #expect(second.server == Self.other)
        #expect(try replied(core.upstreamReplied(second.id, answer(second.bytes), now: 9))?.first == "NOERROR")
        // And asked first from now on.
        #expect(asked(core.receive(query("b.example.org", .a), from: Self.client, now: 10))?.server == Self.other)
    }

    @Test func nobodyAnsweringIsSERVFAILBeforeTheClientGivesUp() throws {
        var core = core()
        _ = core.receive(query("a.example.org", .a), from: Self.client, now: 0)
        var now: Int64 = 0
        var reply: [String]?
        while reply == nil, let deadline = core.deadline {
            now = deadline
            reply = try replied(core.tick(now: now))
        }
        #expect(reply == ["SERVFAIL"])
        #expect(now < 5000)
        #expect(core.exchanges.isEmpty)
    }

    @Test func truncationIsAskedAgainOverTCP() throws {
        var core = core()
        let ask = asked(core.receive(query("a.example.org", .a), from: Self.client, now: 0))!
        var cut = try answer(ask.bytes)
        cut[2] |= 0x02
        let again = asked(core.upstreamReplied(ask.id, cut, now: 1))!
        #expect(again.tcp && again.server == ask.server)
    }

    @Test func equalQuestionsShareOneExchange() throws {
        var core = core()
        let ask = asked(core.receive(query("a.example.org", .a, id: 1), from: Self.client, now: 0))!
        #expect(core.receive(query("A.example.org", .a, id: 2), from: Self.client, now: 1).isEmpty)
        let replies = core.upstreamReplied(ask.id, try answer(ask.bytes), now: 2).compactMap {
            if case .reply(_, let bytes) = $0 { bytes } else { nil as [UInt8]? }
        }
        #expect(replies.map { $0[1] } == [1, 2])
        // Each sees its own spelling.
        #expect(replies.map { $0[13] } == [0x61, 0x61])
    }

    @Test func aLoopDisablesThatUpstreamOnly() throws {
        var core = ResolverCore(zone: testZone())
        let probes = core.use([Self.server, Self.other], otherwise: "", now: 0)
        let probe = asked(probes)!
        #expect(probe.server == Self.server)
        let actions = core.receive(probe.bytes, from: Self.client, now: 1)
        #expect(actions.contains { if case .notice = $0 { true } else { false } })
        #expect(asked(core.receive(query("a.example.org", .a), from: Self.client, now: 2))?.server == Self.other)
    }

    @Test(
        "CVE-2026-26017: no spelling of a cluster name is asked for outside, none of its answers come from there",
        arguments: [
            "WEB.DEFAULT.SVC.CLUSTER.LOCAL", "nothing.default.svc.Cluster.Local", "cluster.LOCAL", "x.y.z.cLuStEr.local",
            "1.0.96.10.IN-ADDR.ARPA",
        ])
    func clusterNamesStayInside(name: String) throws {
        var core = core()
        let actions = core.receive(query(name, name.hasSuffix("ARPA") ? .ptr : .a), from: Self.client, now: 0)
        #expect(asked(actions) == nil)
        #expect(try replied(actions) != nil)
    }

    @Test("CVE-2026-26018: what an attacker would have to guess is random")
    func identitiesAreRandom() {
        var ids: Set<[UInt8]> = []
        var probes: Set<[UInt8]> = []
        for number in 0..<64 {
            var core = ResolverCore(zone: testZone())
            // The name of the question that finds loops, anew in each process.
            probes.insert(Array(asked(core.use([Self.server], otherwise: "", now: 0))!.bytes.dropFirst(12)))
            ids.insert(Array(asked(core.receive(query("n\(number).example.org", .a), from: Self.client, now: 0))!.bytes[..<2]))
        }
        #expect(probes.count == 64)
        #expect(ids.count > 56)
    }

    @Test func anAliasToTheOutsideIsFollowed() throws {
        var core = core()
        let ask = asked(core.receive(query("outside.prod.svc.cluster.local", .a), from: Self.client, now: 0))!
        #expect(try replied(core.upstreamReplied(ask.id, answer(ask.bytes), now: 1)) == [
            "NOERROR", "outside.prod.svc.cluster.local. 5 IN CNAME www.example.org.",
            "www.example.org. 60 IN A 198.51.100.1",
        ])
    }

    @Test func overloadShedsTheOldest() throws {
        var core = core()
        for number in 0..<(ResolverCore.Limits.exchanges + 50) {
            _ = core.receive(query("n\(number).example.org", .a), from: Self.client, now: 0)
        }
        #expect(core.exchanges.count == ResolverCore.Limits.exchanges)
        #expect(!core.exchanges.values.contains { $0.key.question.name == DNSName("n0.example.org") })
    }

    @Test func stubsAndOurselvesAreNoUpstreams() {
        let text = "search x\nnameserver 127.0.0.53\nnameserver 10.96.0.10 \n# nameserver 1.1.1.1\nnameserver\t192.0.2.53\n"
        let (servers, dropped) = Upstreams.parse(text, own: [address("10.96.0.10")])
        #expect(servers == [Self.server])
        #expect(dropped == [address("127.0.0.53"), address("10.96.0.10")])
    }
}

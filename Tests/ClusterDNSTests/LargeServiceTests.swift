// Services that are larger than a message, or larger than the resolver takes: they may cost their owner something, never
// the others.

import Objects
import System
import Testing

@testable import ClusterDNS

@Suite struct LargeServiceTests {
    private static let client = ResolverCore.Client.tcp(connection: 1)

    private func core(_ target: ServiceNames.Target) -> ResolverCore {
        var core = ResolverCore(zone: testZone())
        core.zone.put(ServiceNames(namespace: "prod", name: "large", target: target))
        return core
    }

    private func ask(_ core: inout ResolverCore, _ name: String, _ type: RecordType) throws -> [String] {
        guard case .reply(_, let bytes)? = core.receive(query(name, type), from: Self.client, now: 0).first else {
            return []
        }
        return try zoneLines(bytes)
    }

    private func endpoints(_ count: Int, hostname: (Int) -> String = { _ in "" }) -> [ServiceNames.Endpoint] {
        (0..<count).map { .init(address: .v4(0x0a01_0000 + UInt32($0)), hostname: hostname($0)) }
    }

    private func ports(_ count: Int) -> [ServiceNames.Port] {
        (0..<count).map { .init(name: "p\($0)", transport: "tcp", number: UInt16($0 + 1)) }
    }

    @Test func aQueryForMorePortsThanAMessageHoldsIsAnswered() throws {
        var core = core(.headless([.init(ports: ports(17_000), endpoints: endpoints(5))]))
        let all = try ask(&core, "large.prod.svc.cluster.local", .srv)
        #expect(all[0] == "NOERROR TC")
        #expect(all.count > 1000)
        #expect(try ask(&core, "large.prod.svc.cluster.local", .a).count == 6)
        // One port of them is whole.
        let one = try ask(&core, "_p16999._tcp.large.prod.svc.cluster.local", .srv)
        #expect(one.filter { $0.contains(" SRV 0 20 17000 ") }.count == 5)
        #expect(try ask(&core, "_p17000._tcp.large.prod.svc.cluster.local", .srv)[0] == "NXDOMAIN")
        #expect(try ask(&core, "web.default.svc.cluster.local", .a)[0] == "NOERROR")
    }

    @Test func eachOfManyEndpointsHasItsTurn() throws {
        var core = core(.headless([.init(ports: [http], endpoints: endpoints(10_000) { "pod-\($0)" })]))
        var seen: Set<String> = []
        for _ in 0..<6 {
            let lines = try ask(&core, "large.prod.svc.cluster.local", .a)
            #expect(lines[0] == "NOERROR TC" || lines.count < 4000)
            seen.formUnion(lines.dropFirst())
        }
        #expect(seen.count > 9_900)
        #expect(try ask(&core, "pod-9999.large.prod.svc.cluster.local", .a).last?.hasSuffix(" 10.1.39.15") == true)
        #expect(try ask(&core, "pod-10000.large.prod.svc.cluster.local", .a)[0] == "NXDOMAIN")
        #expect(try ask(&core, "large.prod.svc.cluster.local", .srv)[0] == "NOERROR TC")
    }

    @Test func oneAddressMayHaveManyNames() throws {
        let same = (0..<20_000).map { ServiceNames.Endpoint(address: address("10.1.0.9"), hostname: "n\($0)") }
        var core = core(.headless([.init(ports: [], endpoints: same)]))
        #expect(try ask(&core, "9.0.1.10.in-addr.arpa", .ptr)[0] == "NOERROR TC")
        core.zone.remove(namespace: "prod", name: "large")
        #expect(try ask(&core, "9.0.1.10.in-addr.arpa", .ptr)[0] == "NXDOMAIN")
    }

    @Test func portsTravelOnceForAllTheirEndpoints() throws {
        let service = ServiceNames(
            namespace: "prod", name: "large", target: .headless([.init(ports: ports(17_000), endpoints: endpoints(1000))]))
        let (frame, tooLarge) = ControlMessage.update(service)
        #expect(tooLarge == nil)
        var reader = ControlReader()
        reader.append(frame)
        #expect(try reader.messages() == [.put(service)])
    }

    @Test func slicesWithEqualPortsAreOneGroup() throws {
        func object(_ yaml: String) throws -> JSON { try YAML.parse(Array(yaml.utf8))[0] }
        func slice(_ address: String, _ port: Int) throws -> EndpointSlice {
            EndpointSlice(try object("""
                metadata: {name: x, namespace: prod}
                addressType: IPv4
                ports: [{name: http, port: \(port), protocol: TCP}]
                endpoints: [{addresses: [\(address)], conditions: {ready: true}}]
                """))
        }
        let service = Service(try object("{metadata: {name: db, namespace: prod}, spec: {clusterIP: None}}"))
        let slices = [try slice("10.1.0.9", 80), try slice("10.1.0.7", 80), try slice("10.1.0.8", 81)]
        let (one, other) = (http, ServiceNames.Port(name: "http", transport: "tcp", number: 81))
        let expected = ServiceNames.Target.headless([
            .init(ports: [one], endpoints: [.init(address: address("10.1.0.7")), .init(address: address("10.1.0.9"))]),
            .init(ports: [other], endpoints: [.init(address: address("10.1.0.8"))]),
        ])
        #expect(ServiceNames(service, slices: slices)?.target == expected)
        #expect(ServiceNames(service, slices: slices.reversed())?.target == expected)
    }

    @Test func aServiceThatIsTooLargeFailsAloneAndSaysWhy() throws {
        let long = String(repeating: "h", count: 50)
        let groups = [ServiceNames.Group(ports: [], endpoints: endpoints(40_000) { "\(long)\($0)" })]
        let (frame, tooLarge) = ControlMessage.update(
            ServiceNames(namespace: "prod", name: "large", target: .headless(groups)))
        let bytes = try #require(tooLarge)
        #expect(bytes > ControlMessage.largestService)
        var reader = ControlReader()
        reader.append(frame)
        let expected = ServiceNames(namespace: "prod", name: "large", target: .tooLarge(bytes: UInt64(bytes)))
        #expect(try reader.messages() == [.put(expected)])
        var core = core(.tooLarge(bytes: UInt64(bytes)))
        #expect(try ask(&core, "large.prod.svc.cluster.local", .a) == ["SERVFAIL"])
        #expect(try ask(&core, "db.prod.svc.cluster.local", .a)[0] == "NOERROR")
    }
}

@Suite struct AnswerCacheTests {
    @Test func refreshingANameForeverTakesNoMemory() throws {
        var cache = AnswerCache()
        let views = try (0..<10).map { number in
            let asked = try Query(MessageView(query("n\(number).example.org", .a)))
            let record = Record(name: asked.question.name, ttl: 1, data: .address(address("198.51.100.1")))
            return try MessageView(Answer(answers: [record]).encode(for: asked, limit: 512))
        }
        var most = 0
        for round in 0..<100_000 {
            let view = views[round % views.count]
            cache.store(view, CacheKey(question: view.question!), now: Int64(round) * 1000)
            most = max(most, cache.backlog)
        }
        #expect(cache.count == 10)
        #expect(most < 2000)
        #expect(cache.find(CacheKey(question: views[0].question!), now: 99_990_500) != nil)
    }

    @Test func theOldestGoesFirst() throws {
        var cache = AnswerCache()
        let total = AnswerCache.Limits.entries + 3000
        for number in 0..<total {
            let asked = try Query(MessageView(query("n\(number).example.org", .a)))
            let record = Record(name: asked.question.name, ttl: 60, data: .address(address("198.51.100.1")))
            let view = try MessageView(Answer(answers: [record]).encode(for: asked, limit: 512))
            cache.store(view, CacheKey(question: view.question!), now: 0)
        }
        #expect(cache.count == AnswerCache.Limits.entries)
        func has(_ number: Int) -> Bool {
            let name = DNSName("n\(number).example.org")!
            return cache.find(CacheKey(question: Question(name: name, type: .a, questionClass: 1)), now: 1) != nil
        }
        #expect(!has(2999) && has(3000) && has(total - 1))
    }
}

// The wire format: what goes out comes in again, and nothing that comes in can run over an end or in a circle.

import System
import Testing

@testable import ClusterDNS

/// A query as a client sends it.
func query(_ name: String, _ type: RecordType, id: UInt16 = 7, edns: Int? = nil) -> [UInt8] {
    var writer = MessageWriter(
        header: DNSHeader(id: id, flags: 0x0100, counts: [1, 0, 0, edns == nil ? 0 : 1]), question: [], name: nil)
    writer.append(DNSName(name)!)
    writer.append(type.rawValue)
    writer.append(UInt16(1))
    return writer.bytes + (edns.map { [0, 0, 41, UInt8($0 >> 8), UInt8($0 & 0xff), 0, 0, 0, 0, 0, 0] } ?? [])
}

/// A message as zone lines, its code first: "NOERROR", "web.… 30 IN A …", "; …" for the other sections.
func zoneLines(_ message: [UInt8]) throws -> [String] {
    let view = try MessageView(message)
    let lines = try view.records.filter { $0.type != .opt }.map { record in
        (record.section == .answer ? "" : "; ") + (try Record(record, in: message)).description
    }
    return ["\(view.header.code)" + (view.header.isTruncated ? " TC" : "")] + lines
}

@Suite struct WireTests {
    @Test func namesKeepToTheirLimits() {
        #expect(DNSName("Web.Default.svc.")?.description == "web.default.svc.")
        #expect(DNSName("")?.description == ".")
        #expect(DNSName("a..b") == nil)
        #expect(DNSName(String(repeating: "a", count: 64)) == nil)
        #expect(DNSName(Array(repeating: String(repeating: "a", count: 63), count: 4).joined(separator: ".")) == nil)
        let zone = DNSName("cluster.local")!
        #expect(DNSName("x.cluster.local")!.isWithin(zone))
        #expect(!DNSName("xcluster.local")!.isWithin(zone))
        #expect(DNSName("a.b.cluster.local")!.labels(above: zone) == ["a", "b"])
    }

    @Test func recordsSurviveTheWire() throws {
        let name = DNSName("a.example.org")!
        let records: [RecordData] = [
            .address(IPAddress("10.0.0.1")!), .address(IPAddress("fd00::1")!), .cname(DNSName("b.example.org")!),
            .srv(priority: 1, weight: 2, port: 3, target: DNSName("c.example.org")!), .ptr(DNSName("org")!),
            .ns(DNSName("ns.example.org")!), .txt(["1.1.0", ""]), .other(RecordType(rawValue: 257), [1, 2, 3]),
            .soa(primary: name, mailbox: name, serial: 9, minimum: 5),
        ]
        let answer = Answer(answers: records.map { Record(name: name, ttl: 30, data: $0) })
        let asked = try Query(MessageView(query("A.example.org", .any)))
        let message = answer.encode(for: asked, limit: 65535)
        let view = try MessageView(message)
        #expect(try view.records.map { try Record($0, in: message) } == answer.answers)
        // Every owner's name is a pointer to the question.
        #expect(view.records.allSatisfy { message[$0.start] == 0xc0 && message[$0.start + 1] == 12 })
    }

    @Test func anAnswerThatIsTooLongIsCutBetweenRecords() throws {
        let name = DNSName("many.example.org")!
        let answer = Answer(answers: (0..<200).map { Record(name: name, ttl: 5, data: .address(.v4(UInt32($0)))) })
        for (edns, expected) in [(nil, 29), (4096, 74), (100, 29)] as [(Int?, Int)] {
            let asked = try Query(MessageView(query("many.example.org", .a, edns: edns)))
            let message = answer.encode(for: asked, limit: asked.datagramLimit)
            let view = try MessageView(message)
            #expect(message.count <= asked.datagramLimit)
            #expect(view.header.isTruncated)
            #expect(Int(view.header.counts[1]) == expected)
            #expect((view.optRecord != nil) == (edns != nil))
        }
    }

    @Test(arguments: [512, 1232, 65535])
    func moreRecordsThanCountsCanSayAreCut(limit: Int) throws {
        let name = DNSName("many.example.org")!
        let target = DNSName("one.many.example.org")!
        let records = (0..<70_000).map { number in
            let data = RecordData.srv(priority: 0, weight: 1, port: UInt16(number & 0xffff), target: target)
            return Record(name: name, ttl: 5, data: data)
        }
        let asked = try Query(MessageView(query("many.example.org", .srv, edns: 4096)))
        for answer in [Answer(answers: records), Answer(answers: [records[0]], authority: records)] {
            let message = answer.encode(for: asked, limit: limit)
            let view = try MessageView(message)
            #expect(view.header.isTruncated)
            #expect(message.count <= limit && message.count > limit - 100)
            #expect(try Record(view.records[0], in: message) == records[0])
            #expect(view.optRecord != nil)
        }
        // What is only thrown in is left out without a word (RFC 2181, 9).
        let message = Answer(answers: [records[0]], additional: records).encode(for: asked, limit: limit)
        #expect(try MessageView(message).header.isTruncated == false)
    }

    @Test func circlesAndOverrunsAreRefused() {
        let header: [UInt8] = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
        let broken: [[UInt8]] = [
            [], [0, 7, 1], header, header + [0xc0, 12, 0, 1, 0, 1], header + [0xc0, 13, 0, 1, 0, 1],
            header + [1, 0x61, 0xc0, 12, 0, 1, 0, 1], header + [0xff, 0xff], header + [0x40, 0, 1, 0, 1],
            header + [0xc0, 5, 0, 1, 0, 1], header + [1, 0x61, 0xc0, 11, 0, 1, 0, 1],
            header + [63, 0x61], header + [1, 0x61, 0, 0, 1],
            [0, 7, 0x81, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0xff, 0xff],
        ]
        for bytes in broken { #expect(throws: DNSFormatError.self, "\(bytes)") { try MessageView(bytes) } }
    }

    @Test func noBytesBringItDown() throws {
        var generator = SystemRandomNumberGenerator()
        var core = ResolverCore(zone: testZone())
        _ = core.use([], otherwise: "test", now: 0)
        let seeds = [
            query("web.default.svc.cluster.local", .any, edns: 4096), query("1.0.96.10.in-addr.arpa", .ptr),
            Answer(answers: [Record(name: .root, ttl: 1, data: .txt(["x"]))]).encode(
                for: try Query(MessageView(query("x.y", .txt))), limit: 512),
        ]
        for round in 0..<30_000 {
            var bytes = seeds[round % seeds.count]
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let at = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0...3, using: &generator) {
                case 0: bytes[at] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes[at] = 0xc0
                case 2: bytes.removeLast(min(bytes.count - 1, Int.random(in: 0...4, using: &generator)))
                default: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: at)
                }
            }
            if let view = try? MessageView(bytes) { for record in view.records { _ = try? Record(record, in: bytes) } }
            for case .reply(_, let reply) in core.receive(bytes, from: .tcp(connection: 1), now: 0) {
                #expect(throws: Never.self) { try MessageView(reply) }
            }
            if let control = try? ControlMessage(bytes[...]) { _ = control.encoded() }
        }
    }

    @Test func controlMessagesSurvive() throws {
        let messages: [ControlMessage] = [
            .hello(version: 1, pid: 42), .begin, .commit(7), .stop, .applied(7), .notice("x"),
            .remove(namespace: "a", name: "b"),
            .configure(ResolverConfig(zone: testZone().config, resolvConf: "/etc/resolv.conf")),
        ] + testServices.map { .put($0) }
        var reader = ControlReader()
        var got: [ControlMessage] = []
        for byte in messages.flatMap({ $0.encoded() }) {
            reader.append([byte])
            got += try reader.messages()
        }
        #expect(got == messages)
    }
}

// The real resolver process over loopback, in a run directory and on an address of its own: who dies is replaced, and
// no query is lost.

import Client
import Kernel
import Logging
import Objects
import Synchronization
import System
import Testing

@testable import ClusterDNS

/// As much of an API as informers need: a list per resource, and watches that never say anything more than they are told.
final class ListedObjects: APIClient {
    private let objects: [ResourceID: [JSON]]
    private let watches = Mutex<[ResourceID: [AsyncThrowingStream<WatchEvent, any Error>.Continuation]]>([:])

    init(_ objects: [ResourceID: [JSON]]) { self.objects = objects }

    func tell(_ resource: ResourceID, _ event: WatchEvent) {
        watches.withLock { $0[resource] ?? [] }.forEach { $0.yield(event) }
    }

    func list(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?
    ) async throws(APIStatus) -> ObjectList { ObjectList(items: objects[resource] ?? [], resourceVersion: "1") }

    func watch(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?, from: String
    ) -> AsyncThrowingStream<WatchEvent, any Error> {
        let (stream, continuation) = AsyncThrowingStream<WatchEvent, any Error>.makeStream()
        watches.withLock { $0[resource, default: []].append(continuation) }
        return stream
    }

    func get(_ r: ResourceID, _ key: ObjectKey) async throws(APIStatus) -> JSON { throw .badRequest("not here") }
    func create(_ r: ResourceID, _ object: JSON) async throws(APIStatus) -> JSON { throw .badRequest("not here") }
    func create(
        _ r: ResourceID, _ key: ObjectKey, subresource: String, _ object: JSON
    ) async throws(APIStatus) -> JSON { throw .badRequest("not here") }
    func update(_ r: ResourceID, _ object: JSON, subresource: String?) async throws(APIStatus) -> JSON {
        throw .badRequest("not here")
    }
    func patch(
        _ r: ResourceID, _ key: ObjectKey, _ type: PatchType, _ body: JSON, subresource: String?
    ) async throws(APIStatus) -> JSON { throw .badRequest("not here") }
    func delete(_ r: ResourceID, _ key: ObjectKey, _ options: DeleteOptions) async throws(APIStatus) {
        throw .badRequest("not here")
    }
}

struct Fixture {
    static let executable: String? = {
        // The test bundle lies beside the helper programs.
        let candidates = CommandLine.arguments + [Files.symlinkTarget("/proc/self/exe") ?? ""]
        return candidates.filter { $0.contains("/debug/") }.map { path in
            let end = path.range("/debug/")!
            return String(path[..<end]) + "/debug/dns-resolver-test"
        }.first { Files.exists($0) }
    }()

    let directory: String
    let api: ListedObjects
    let informers: InformerSet
    let config: ClusterDNSConfig
    let dns: ClusterDNS

    init(upstreams: [InternetEndpoint] = [], objects: [ResourceID: [JSON]] = [:]) throws {
        directory = "/tmp/noded-dns-\(Random.nameSuffix(10))"
        try Files.makeDirectory(directory)
        let service: JSON = [
            "metadata": ["name": "web", "namespace": "default"],
            "spec": ["clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [["port": 80]]],
        ]
        api = ListedObjects(objects.merging([.services: [service]]) { $0 + $1 })
        var logger = Logger(label: "dns-test")
        logger.logLevel = .error
        informers = InformerSet(client: api, logger: logger)
        // An address of this test's own; the kernel picks no port, so one is drawn.
        let own = IPAddress.v4(0x7f00_0000 | UInt32(Random.uniform(below: 1 << 23)) + 256)
        let port = UInt16(20_000 + Random.uniform(below: 10_000))
        config = ClusterDNSConfig(
            addresses: [own], port: port, runDirectory: directory, executable: try #require(Self.executable),
            arguments: [], resolvConfPath: "\(directory)/none", upstreams: upstreams)
        dns = ClusterDNS(config, informers: informers, logger: logger)
    }

    var endpoint: InternetEndpoint { InternetEndpoint(config.addresses[0], config.port) }

    func remove() {
        dns.teardown()
        try? Files.removeTree(directory)
    }

    /// Runs noded's side while `body` runs.
    func running(_ body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await informers.run() }
            group.addTask { try await dns.run() }
            defer { group.cancelAll() }
            try await body()
        }
    }

    func until(_ what: String, _ condition: () -> Bool) async throws {
        for _ in 0..<6000 where !condition() { try await Task.sleep(for: .milliseconds(10)) }
        try #require(condition(), "\(what) did not come true; log: \((try? Files.readText("\(directory)/resolver.log")) ?? "")")
    }

    /// Asks once, over UDP; nil when nothing comes within the time.
    func ask(_ name: String, _ type: RecordType = .a, seconds: Int32 = 60) async throws -> [String]? {
        let endpoint = endpoint
        return try await BlockingPool.shared.run {
            let socket = try InternetSocket.connected(.udp, to: endpoint)
            _ = try InternetSocket.send(socket.raw, query(name, type)[...])
            var entries = [Poll.Entry(socket.raw, reading: true)]
            try Poll.wait(&entries, milliseconds: seconds * 1000)
            guard let bytes = try InternetSocket.receive(socket.raw, upTo: 4096) else { return nil }
            return try zoneLines(bytes)
        }
    }
}

private final class Flag: Sendable { let isSet = Atomic(false) }

extension String {
    fileprivate func range(_ part: String) -> String.Index? {
        indices.first { self[$0...].hasPrefix(part) }
    }
}

@Suite(.serialized) struct ProcessTests {
    static let web = ["NOERROR", "web.default.svc.cluster.local. 30 IN A 10.96.0.1"]

    @Test func aResolverOutlivesItsFeederAndIsAdopted() async throws {
        let fixture = try Fixture()
        defer { fixture.remove() }
        try await fixture.running {
            try await fixture.until("the first snapshot") { fixture.dns.isCurrent }
            #expect(try await fixture.ask("web.default.svc.cluster.local") == Self.web)
        }
        let pid = fixture.dns.resolverPID
        // Nobody feeds it now.
        #expect(try await fixture.ask("web.default.svc.cluster.local") == Self.web)
        var logger = Logger(label: "dns-test")
        logger.logLevel = .error
        let informers = InformerSet(client: fixture.api, logger: logger)
        let next = ClusterDNS(fixture.config, informers: informers, logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await informers.run() }
            group.addTask { try await next.run() }
            defer { group.cancelAll() }
            try await fixture.until("adoption") { next.isCurrent }
            #expect(next.resolverPID == pid)
            let added: JSON = [
                "metadata": ["name": "new", "namespace": "default", "resourceVersion": "2"],
                "spec": ["clusterIP": "10.96.0.2"],
            ]
            #expect(try await fixture.ask("new.default.svc.cluster.local")?.first == "NXDOMAIN")
            fixture.api.tell(.services, WatchEvent(kind: .added, object: added))
            var answer: [String]?
            for _ in 0..<6000 where answer?.first != "NOERROR" {
                answer = try await fixture.ask("new.default.svc.cluster.local")
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(answer == ["NOERROR", "new.default.svc.cluster.local. 30 IN A 10.96.0.2"])
        }
    }

    @Test func aServiceThatIsTooLargeLeavesTheOthersTheirNames() async throws {
        func headless(_ name: String) -> JSON {
            ["metadata": ["name": .string(name), "namespace": "default"], "spec": ["clusterIP": "None"]]
        }
        func slice(_ owner: String, _ endpoints: Int, _ version: String) -> JSON {
            let hostname = String(repeating: "h", count: 63)
            let list = (0..<endpoints).map { number -> JSON in
                let addresses = (0..<150).map { JSON.string("10.1.\(number).\($0)") }
                return ["addresses": .array(addresses), "hostname": .string(hostname), "conditions": ["ready": true]]
            }
            let metadata: JSON = [
                "name": .string(owner), "namespace": "default", "resourceVersion": .string(version),
                "labels": ["kubernetes.io/service-name": .string(owner)],
            ]
            return ["metadata": metadata, "addressType": "IPv4", "endpoints": .array(list)]
        }
        let fixture = try Fixture(objects: [
            .services: [headless("before"), headless("large"), headless("then")],
            .endpointSlices: [slice("before", 1, "1"), slice("large", 256, "1"), slice("then", 1, "1")],
        ])
        defer { fixture.remove() }
        try await fixture.running {
            try await fixture.until("the first snapshot") { fixture.dns.isCurrent }
            let pid = fixture.dns.resolverPID
            #expect(try await fixture.ask("web.default.svc.cluster.local") == Self.web)
            for name in ["before", "then"] {
                #expect(try await fixture.ask("\(name).default.svc.cluster.local")?.first == "NOERROR TC")
            }
            #expect(try await fixture.ask("large.default.svc.cluster.local") == ["SERVFAIL"])
            fixture.api.tell(.endpointSlices, WatchEvent(kind: .modified, object: slice("large", 1, "2")))
            var answer: String?
            for _ in 0..<6000 where answer != "NOERROR TC" {
                answer = try await fixture.ask("large.default.svc.cluster.local")?.first
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(answer == "NOERROR TC")
            #expect(fixture.dns.resolverPID == pid)
        }
    }

    @Test func aKilledResolverIsReplacedAndTheQueryInTheGapIsAnswered() async throws {
        let fixture = try Fixture()
        defer { fixture.remove() }
        try await fixture.running {
            try await fixture.until("the first snapshot") { fixture.dns.isCurrent }
            for _ in 0..<3 {
                let pid = try #require(fixture.dns.resolverPID)
                let process = try ProcessHandle(pid: pid)
                try process.signal(Signal.kill)
                #expect(try await fixture.ask("web.default.svc.cluster.local") == Self.web)
                #expect(fixture.dns.resolverPID != pid)
            }
        }
        fixture.dns.teardown()
        #expect(try Files.list(fixture.directory).isEmpty)
    }

    @Test func otherNamesGoToTheUpstreamOverUDPAndTCP() async throws {
        let upstream = InternetEndpoint(IPAddress("127.0.0.1")!, 0)
        let (udp, tcp) = try Self.sockets(upstream)
        let endpoint = try InternetSocket.local(udp.raw)
        let stopped = Flag()
        let fixture = try Fixture(upstreams: [endpoint])
        defer { fixture.remove() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await WorkerThread(name: "upstream").run { try Self.serve(udp, tcp, until: stopped) }
            }
            defer { stopped.isSet.store(true, ordering: .relaxed) }
            try await fixture.running {
                try await fixture.until("the first snapshot") { fixture.dns.isCurrent }
                #expect(try await fixture.ask("www.example.org") == ["NOERROR", "www.example.org. 60 IN A 198.51.100.1"])
                #expect(try await fixture.ask("big.example.org") == ["NOERROR", "big.example.org. 60 IN A 198.51.100.2"])
                // A client over TCP, two questions in one stream.
                let client = SharedDescriptor(try InternetSocket.connected(.tcp, to: fixture.endpoint))
                _ = try await Readiness.shared.wait(client, for: .writable)
                let frames = ["web.default.svc.cluster.local", "www.example.org"].flatMap { name -> [UInt8] in
                    let message = query(name, .a)
                    return [0, UInt8(message.count)] + message
                }
                #expect(try InternetSocket.send(client.raw, frames[...]) == frames.count)
                var input: [UInt8] = []
                var answers: [[String]] = []
                while answers.count < 2 {
                    _ = try await Readiness.shared.wait(client, for: .readable)
                    let bytes = try #require(try InternetSocket.receive(client.raw, upTo: 4096))
                    try #require(!bytes.isEmpty)
                    input += bytes
                    while input.count > 2, case let end = 2 + (Int(input[0]) << 8 | Int(input[1])), input.count >= end {
                        answers.append(try zoneLines(Array(input[2..<end])))
                        input.removeFirst(end)
                    }
                }
                #expect(answers.contains(Self.web))
            }
        }
    }

    /// One for each protocol, on the same port of the kernel's choice: it chooses for one, the other's may be taken.
    private static func sockets(_ any: InternetEndpoint) throws -> (udp: SharedDescriptor, tcp: SharedDescriptor) {
        while true {
            let udp = SharedDescriptor(try InternetSocket.bound(.udp, any))
            do {
                return (udp, SharedDescriptor(try InternetSocket.bound(.tcp, InternetSocket.local(udp.raw))))
            } catch {
                guard error.errno == .EADDRINUSE else { throw error }
            }
        }
    }

    /// A server that knows www, and big over TCP only.
    private static func serve(
        _ udp: SharedDescriptor, _ tcp: SharedDescriptor, until stopped: Flag
    ) throws {
        func answer(_ bytes: [UInt8], truncated: Bool, _ last: UInt32) throws -> [UInt8] {
            let query = try Query(MessageView(bytes))
            let record = Record(name: query.question.name, ttl: 60, data: .address(.v4(0xc633_6400 + last)))
            var reply = Answer(answers: truncated ? [] : [record]).encode(for: query, limit: 1232)
            if truncated { reply[2] |= 2 }
            return reply
        }
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !stopped.isSet.load(ordering: .relaxed) {
            var entries = [Poll.Entry(udp.raw, reading: true), Poll.Entry(tcp.raw, reading: true)]
            try Poll.wait(&entries, milliseconds: 50)
            if let (count, from) = try InternetSocket.receive(udp.raw, into: &buffer) {
                let bytes = Array(buffer[..<count])
                let big = try MessageView(bytes).question?.name == DNSName("big.example.org")
                try InternetSocket.send(udp.raw, try answer(bytes, truncated: big, 1), to: from)
            }
            guard let connection = try InternetSocket.accept(tcp.raw) else { continue }
            var waiting = [Poll.Entry(connection.raw, reading: true)]
            try Poll.wait(&waiting, milliseconds: 60_000)
            guard let bytes = try InternetSocket.receive(connection.raw, upTo: 4096), bytes.count > 2 else { continue }
            let reply = try answer(Array(bytes[2...]), truncated: false, 2)
            _ = try InternetSocket.send(connection.raw, ([0, UInt8(reply.count)] + reply)[...])
        }
    }
}

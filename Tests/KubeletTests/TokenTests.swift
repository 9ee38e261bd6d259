// Service account tokens in volumes: what is asked for, how long it is kept, what happens when none is to be had.

import Client
import Logging
import Objects
import Synchronization
import System
import Testing

@testable import Kubelet

/// Answers TokenRequests; nothing else is asked of it.
private final class Tokens: APIClient {
    let asked = Mutex<[JSON]>([])
    let isAway = Mutex(false)
    /// Happens while a request is on its way.
    let meanwhile = Mutex<(@Sendable () async -> Void)?>(nil)
    let clock: Mutex<Timestamp>

    init(_ start: Timestamp) { clock = Mutex(start) }

    var now: Timestamp { clock.withLock { $0 } }
    func pass(_ seconds: Int64) { clock.withLock { $0 = $0.advanced(by: .seconds(seconds)) } }

    func create(
        _ resource: ResourceID, _ key: ObjectKey, subresource: String, _ object: JSON
    ) async throws(APIStatus) -> JSON {
        if isAway.withLock({ $0 }) { throw .unavailable("away") }
        guard resource == .serviceAccounts, subresource == "token" else { throw .notFound(resource, key.name) }
        if let happens = meanwhile.withLock({ $0 }) { await happens() }
        let number = asked.withLock { asked in
            asked.append(object)
            return asked.count
        }
        let seconds = Int64(object.child("spec").integer("expirationSeconds") ?? 0)
        return [
            "status": [
                "token": .string("\(key.namespace)/\(key.name)#\(number)"),
                "expirationTimestamp": .string(now.advanced(by: .seconds(seconds)).rfc3339),
            ]
        ]
    }

    func get(_ resource: ResourceID, _ key: ObjectKey) async throws(APIStatus) -> JSON {
        throw .notFound(resource, key.name)
    }
    func list(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?
    ) async throws(APIStatus) -> ObjectList { throw .notFound(resource, "") }
    func create(_ resource: ResourceID, _ object: JSON) async throws(APIStatus) -> JSON {
        throw .notFound(resource, "")
    }
    func update(_ resource: ResourceID, _ object: JSON, subresource: String?) async throws(APIStatus) -> JSON {
        throw .notFound(resource, "")
    }
    func patch(
        _ resource: ResourceID, _ key: ObjectKey, _ type: PatchType, _ body: JSON, subresource: String?
    ) async throws(APIStatus) -> JSON { throw .notFound(resource, key.name) }
    func delete(_ resource: ResourceID, _ key: ObjectKey, _ options: DeleteOptions) async throws(APIStatus) {}
    func watch(
        _ resource: ResourceID, namespace: String?, labels: LabelSelector?, fields: FieldSelector?, from: String
    ) -> AsyncThrowingStream<WatchEvent, any Error> { AsyncThrowingStream { $0.finish() } }
}

@Suite(.timeLimit(.minutes(5))) struct TokenTests {
    static let pod = PodIdentity(namespace: "shop", name: "web", uid: "u1")
    static let question = TokenQuestion(account: "robot", audience: "", seconds: 1000)

    private func cache(_ server: Tokens, _ due: @escaping @Sendable (String) -> Void = { _ in }) -> TokenCache {
        var logger = Logger(label: "tokens")
        logger.logLevel = .critical
        return TokenCache(client: server, logger: logger, now: { server.now }, due: due)
    }

    private func text(_ cache: TokenCache, _ question: TokenQuestion = Self.question) async throws -> String {
        String(decoding: try await cache.token(question, for: Self.pod), as: UTF8.self)
    }

    @Test func aTokenIsBoundToItsPodAndKeptForFourFifthsOfItsLife() async throws {
        let server = Tokens(.now())
        let cache = cache(server)
        #expect(try await text(cache) == "shop/robot#1")
        server.pass(799)
        #expect(try await text(cache) == "shop/robot#1")
        server.pass(1)
        #expect(try await text(cache) == "shop/robot#2")
        let spec = try #require(server.asked.withLock { $0.first }).child("spec")
        #expect(spec.child("boundObjectRef") == ["apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u1"])
        #expect(spec.integer("expirationSeconds") == 1000)
        #expect(spec["audiences"] == [])
        // Another audience is another token.
        #expect(
            try await text(cache, TokenQuestion(account: "robot", audience: "vault", seconds: 1000)) == "shop/robot#3")
        #expect(server.asked.withLock { $0.last?.child("spec")["audiences"] } == ["vault"])
        // However long it would live, a day is enough.
        let long = TokenQuestion(account: "robot", audience: "", seconds: 10_000_000)
        #expect(try await text(cache, long) == "shop/robot#4")
        server.pass(24 * 3600)
        #expect(try await text(cache, long) == "shop/robot#5")
    }

    @Test func anOldTokenGoesOnWhileItIsValid() async throws {
        let server = Tokens(.now())
        let cache = cache(server)
        #expect(try await text(cache) == "shop/robot#1")
        server.isAway.withLock { $0 = true }
        server.pass(900)
        #expect(try await text(cache) == "shop/robot#1")
        server.pass(101)
        await #expect(throws: (any Error).self) { _ = try await text(cache) }
        server.isAway.withLock { $0 = false }
        #expect(try await text(cache) == "shop/robot#2")
        await cache.release("u1")
        #expect(try await text(cache) == "shop/robot#3")
    }

    @Test func thePodHearsWhenItIsTime() async throws {
        let server = Tokens(.now())
        let (told, tell) = AsyncStream<String>.makeStream()
        let cache = cache(server) { tell.yield($0) }
        let running = Task { await cache.run() }
        // A life of nothing is over at once: due in the moment it is there.
        _ = try await text(cache, TokenQuestion(account: "robot", audience: "", seconds: 0))
        for await uid in told {
            #expect(uid == "u1")
            break
        }
        running.cancel()
        await running.value
    }

    @Test func nothingIsKeptOfAPodThatHasGone() async throws {
        let server = Tokens(.now())
        let cache = cache(server)
        server.meanwhile.withLock { $0 = { await cache.release("u1") } }
        #expect(try await text(cache) == "shop/robot#1")
        #expect(await cache.count == 0)
        // A pod that goes takes nobody else's along.
        server.meanwhile.withLock { $0 = { await cache.release("u2") } }
        #expect(try await text(cache) == "shop/robot#2")
        #expect(await cache.count == 1)
    }

    @Test func whatIsNoLongerValidGoes() async throws {
        let server = Tokens(.now())
        let (told, tell) = AsyncStream<String>.makeStream()
        let cache = cache(server) { tell.yield($0) }
        _ = try await text(cache)
        _ = try await text(cache, TokenQuestion(account: "robot", audience: "", seconds: 5000))
        server.pass(1001)
        let running = Task { await cache.run() }
        // The pod is told first: it may want another.
        for await uid in told {
            #expect(uid == "u1")
            break
        }
        while await cache.count > 1 { await Task.yield() }
        #expect(await cache.count == 1)
        running.cancel()
        await running.value
    }

    @Test func theVolumeHoldsIt() async throws {
        try await withFolder { (folder: String) async throws in
            let pod = try yaml(
                """
                metadata: {name: web, namespace: shop}
                spec:
                  serviceAccountName: robot
                  volumes:
                  - name: v
                    projected:
                      defaultMode: 420
                      sources:
                      - serviceAccountToken: {path: token, expirationSeconds: 3607}
                      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
                      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
                """)
            let asked = Mutex<TokenQuestion?>(nil)
            var lookups = Lookups(object: { _, _ in ["kind": "ConfigMap", "data": ["ca.crt": "PEM"]] })
            lookups.token = { question in
                asked.withLock { $0 = question }
                return Array("secret".utf8)
            }
            let view = PodView(
                pod: pod, podIPs: [], hostIPs: [],
                allocatable: Allocatable(milliCPU: 0, memory: 0, ephemeralStorage: 0, pods: 0))
            let files = try await VolumeContents(view: view, lookups: lookups).files(
                pod.child("spec").list("volumes")[0])
            #expect(Set(files.keys) == ["token", "ca.crt", "namespace"])
            #expect(files["token"] == VolumeFile(bytes: Array("secret".utf8), mode: 0o644))
            #expect(files["namespace"]?.bytes == Array("shop".utf8))
            #expect(asked.withLock { $0 } == TokenQuestion(account: "robot", audience: "", seconds: 3607))
        }
    }
}

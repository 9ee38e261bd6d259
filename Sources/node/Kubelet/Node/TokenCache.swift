// The service account tokens in pods' volumes (TokenRequest, authentication.k8s.io/v1): bound to their pod, asked for
// once, and again when four fifths of their life, or a day, are over.
//
// One sleep for all of them, to the earliest due time. A token that cannot be renewed stays in use as long as it is
// valid; the next try comes after a minute. One that nobody asks for again goes when it is no longer valid, and nothing
// is kept of a pod that has gone, not even what was asked for before and answered after.

import Client
import Logging
import Objects
import System

actor TokenCache {
    private struct Key: Hashable {
        var pod: PodIdentity
        var question: TokenQuestion
    }

    private struct Token {
        var bytes: [UInt8]
        var due: Timestamp
        var expires: Timestamp
        /// The pod has been told that it is due.
        var told = false
    }

    static let longest: Int64 = 24 * 3600
    private static let retry = Duration.seconds(60)

    private let client: any APIClient
    private let logger: Logger
    private let due: @Sendable (_ podUID: String) -> Void
    private let now: @Sendable () -> Timestamp
    private var tokens: [Key: Token] = [:]
    /// Requests on their way, by pod uid, and whether the pod went meanwhile.
    private var asking: [String: (count: Int, released: Bool)] = [:]
    /// Signalled when a due time may have come nearer.
    private nonisolated let changed = ChangeSignal()

    /// - Parameter due: called when a token of the pod wants to be asked for again.
    init(
        client: any APIClient, logger: Logger, now: @escaping @Sendable () -> Timestamp = { .now() },
        due: @escaping @Sendable (_ podUID: String) -> Void
    ) {
        self.client = client
        self.logger = logger
        self.now = now
        self.due = due
    }

    /// How many are kept.
    var count: Int { tokens.count }

    func token(_ question: TokenQuestion, for pod: PodIdentity) async throws -> [UInt8] {
        let key = Key(pod: pod, question: question)
        let now = now()
        if let known = tokens[key], now < known.due { return known.bytes }
        asking[pod.uid, default: (0, false)].count += 1
        defer { answered(pod.uid) }
        do {
            let fresh = try await request(key, now)
            if asking[pod.uid]?.released == true { return fresh.bytes }
            tokens[key] = fresh
            changed.signal()
            return fresh.bytes
        } catch {
            guard var known = tokens[key], now < known.expires else { throw error }
            logger.warning(
                "token not renewed yet, the old one goes on",
                metadata: [
                    "pod": "\(pod.namespace)/\(pod.name)", "account": "\(question.account)", "error": "\(error)",
                ])
            known.due = now.advanced(by: Self.retry)
            known.told = false
            tokens[key] = known
            changed.signal()
            return known.bytes
        }
    }

    private func answered(_ podUID: String) {
        guard let state = asking[podUID] else { return }
        asking[podUID] = state.count > 1 ? (state.count - 1, state.released) : nil
    }

    private func request(_ key: Key, _ now: Timestamp) async throws -> Token {
        var spec: JSON = [
            "expirationSeconds": .int(Int64(key.question.seconds)),
            "boundObjectRef": [
                "apiVersion": "v1", "kind": "Pod", "name": .string(key.pod.name), "uid": .string(key.pod.uid),
            ],
        ]
        spec["audiences"] = key.question.audience.isEmpty ? [] : [.string(key.question.audience)]
        let answer = try await client.create(
            .serviceAccounts, ObjectKey(namespace: key.pod.namespace, name: key.question.account), subresource: "token",
            ["apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec])
        let status = answer.child("status")
        guard let token = status.text("token"), !token.isEmpty,
            let expires = status.text("expirationTimestamp").flatMap({ Timestamp(rfc3339: $0) })
        else { throw KubeletError.badRequest("the API server answered a TokenRequest without a token") }
        let life = max(0, expires.seconds - now.seconds)
        let due = now.advanced(by: .seconds(min(life * 4 / 5, Self.longest)))
        return Token(bytes: Array(token.utf8), due: due, expires: expires)
    }

    func release(_ podUID: String) {
        tokens = tokens.filter { $0.key.pod.uid != podUID }
        asking[podUID]?.released = true
    }

    /// Tells pods of due tokens until the task is cancelled.
    func run() async {
        while !Task.isCancelled {
            // Listened to before it is looked: a change in between is not missed. A stream serves one wait: a cancelled
            // wait ends it.
            let wakes = changed.changes()
            let now = now()
            for (key, token) in tokens where token.due <= now && !token.told {
                tokens[key]?.told = true
                due(key.pod.uid)
            }
            tokens = tokens.filter { !$0.value.told || now < $0.value.expires }
            let next = tokens.values.map { $0.told ? $0.expires : $0.due }.min()
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    for await _ in wakes { break }
                }
                if let next { group.addTask { try? await Task.sleep(for: max(.milliseconds(10), next.since(now))) } }
                await group.next()
                group.cancelAll()
            }
        }
    }
}

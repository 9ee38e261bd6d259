// Events for the API, sent in the background: one that repeats raises the count of the first (Event v1, `count`),
// an object that talks too much is cut (25 at once, then one in 5 min, as Kubernetes does it).
//
// Nothing waits for an event and a lost one is only logged: the queue is bounded, the oldest goes.

public import Client
public import Logging
import Objects
import System

/// What an event is about.
public struct EventSubject: Sendable, Hashable {
    public var kind: String
    public var namespace: String
    public var name: String
    public var uid: String
    public var fieldPath: String?

    public init(kind: String, namespace: String, name: String, uid: String, fieldPath: String? = nil) {
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.uid = uid
        self.fieldPath = fieldPath
    }
}

public actor EventRecorder {
    private struct Entry: Sendable {
        var subject: EventSubject
        var report: PodReport
        var at: Timestamp
    }

    private struct Identity: Hashable {
        var subject: EventSubject
        var warning: Bool
        var reason: String
        var message: String
    }

    private struct Sent {
        var key: ObjectKey
        var count: Int64
        var last: Timestamp
    }

    private struct Budget {
        var left: Double
        var at: Timestamp
    }

    private let client: any APIClient
    private let nodeName: String
    private let logger: Logger
    private nonisolated let queue: AsyncStream<Entry>
    private nonisolated let inlet: AsyncStream<Entry>.Continuation
    private var sent: [Identity: Sent] = [:]
    private var budgets: [EventSubject: Budget] = [:]

    private static let remembered = 2048
    private static let burst = 25.0
    private static let refillPerSecond = 1.0 / 300

    public init(client: any APIClient, nodeName: String, logger: Logger) {
        self.client = client
        self.nodeName = nodeName
        self.logger = logger
        (queue, inlet) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1000))
    }

    /// Queues an event; returns at once.
    public nonisolated func record(_ report: PodReport, about subject: EventSubject) {
        inlet.yield(Entry(subject: subject, report: report, at: .now()))
    }

    /// Sends until the task is cancelled.
    public func run() async {
        for await entry in queue { await send(entry) }
    }

    private func send(_ entry: Entry) async {
        let identity = Identity(
            subject: entry.subject, warning: entry.report.warning, reason: entry.report.reason,
            message: entry.report.message)
        guard allow(entry) else { return }
        do {
            if let known = sent[identity], try await raise(known, identity, entry.at) { return }
            let name = "\(entry.subject.name).\(Hex.encode(Random.bytes(8)))"
            let key = ObjectKey(
                namespace: entry.subject.namespace.isEmpty ? "default" : entry.subject.namespace, name: name)
            _ = try await client.create(.events, object(entry, key))
            if sent.count >= Self.remembered { sent.removeAll() }
            sent[identity] = Sent(key: key, count: 1, last: entry.at)
        } catch {
            logger.debug("cannot send event", metadata: ["reason": "\(entry.report.reason)", "error": "\(error)"])
        }
    }

    private func raise(_ known: Sent, _ identity: Identity, _ at: Timestamp) async throws(APIStatus) -> Bool {
        do {
            _ = try await client.patch(
                .events, known.key, .merge,
                ["count": .int(known.count + 1), "lastTimestamp": .string(at.rfc3339)], subresource: nil)
            sent[identity] = Sent(key: known.key, count: known.count + 1, last: at)
            return true
        } catch {
            guard error.code == 404 else { throw error }
            sent[identity] = nil
            return false
        }
    }

    private func allow(_ entry: Entry) -> Bool {
        var subject = entry.subject
        subject.fieldPath = nil
        var budget = budgets[subject] ?? Budget(left: Self.burst, at: entry.at)
        let passed = Double(max(0, entry.at.seconds - budget.at.seconds))
        budget.left = min(Self.burst, budget.left + passed * Self.refillPerSecond)
        budget.at = entry.at
        let allowed = budget.left >= 1
        if allowed { budget.left -= 1 }
        if budgets.count >= Self.remembered { budgets.removeAll() }
        budgets[subject] = budget
        return allowed
    }

    private func object(_ entry: Entry, _ key: ObjectKey) -> JSON {
        let subject = entry.subject
        var involved: JSON = [
            "apiVersion": "v1", "kind": .string(subject.kind), "name": .string(subject.name),
            "uid": .string(subject.uid),
        ]
        if !subject.namespace.isEmpty { involved["namespace"] = .string(subject.namespace) }
        if let path = subject.fieldPath { involved["fieldPath"] = .string(path) }
        // An event's message may have 1024 bytes.
        let message = String(decoding: entry.report.message.utf8.prefix(1024), as: UTF8.self)
        return [
            "apiVersion": "v1", "kind": "Event",
            "metadata": ["name": .string(key.name), "namespace": .string(key.namespace)],
            "involvedObject": involved, "reason": .string(entry.report.reason), "message": .string(message),
            "source": ["component": "kubelet", "host": .string(nodeName)],
            "firstTimestamp": .string(entry.at.rfc3339), "lastTimestamp": .string(entry.at.rfc3339), "count": 1,
            "type": .string(entry.report.warning ? "Warning" : "Normal"), "reportingComponent": "kubelet",
            "reportingInstance": .string(nodeName),
        ]
    }
}

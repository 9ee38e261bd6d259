// Events as kubectl shows them: one object per (about whom, type, reason, message), counted up when it recurs.
//
// Recording never blocks and never fails its caller: what cannot be written is logged and forgotten, for an
// event is a note about the work, not the work. The queue is bounded; beyond it the oldest unsent is dropped. An object
// that talks too much is cut: 25 events at once, then one in 5 min, as Kubernetes does it.

public import Logging
public import Objects
import System
import Synchronization

/// Writes v1 Events for one component, such as `scheduler` or `kubelet`.
public final class EventRecorder: Sendable {
    public enum Severity: String, Sendable { case normal = "Normal", warning = "Warning" }

    private struct Note: Hashable {
        let about: JSON
        let severity: Severity
        let reason: String
        let message: String
    }

    private struct Known {
        let key: ObjectKey
        var count: Int64
    }

    private struct State {
        var known: [Note: Known] = [:]
        var order: [Note] = []
        var budgets: [JSON: Budget] = [:]
        private var lastSuffix: Int64 = 0

        /// Nanoseconds since 1970 in hexadecimal, never twice: kubectl shows events of one second in the order of their
        /// names.
        mutating func nameSuffix(at time: Timestamp) -> String {
            lastSuffix = max(lastSuffix + 1, time.seconds * 1_000_000_000 + Int64(time.nanoseconds))
            return String(lastSuffix, radix: 16)
        }
    }

    /// Events that may still be written about one object.
    private struct Budget {
        var left: Double
        var at: Timestamp

        func refilled(at now: Timestamp) -> Budget {
            let passed = Double(max(0, now.seconds - at.seconds))
            return Budget(left: min(EventRecorder.burst, left + passed * EventRecorder.refillPerSecond), at: now)
        }
    }

    /// How many distinct notes are remembered to be counted up rather than written anew.
    private static let remembered = 2048
    private static let burst = 25.0
    private static let refillPerSecond = 1.0 / 300
    /// An event's message may have 1024 bytes (core/v1 Event validation).
    private static let messageLimit = 1024

    private let client: any APIClient
    private let component: String
    private let host: String
    private let logger: Logger
    private let queue: AsyncStream<(Note, Timestamp)>
    private let input: AsyncStream<(Note, Timestamp)>.Continuation

    public init(client: any APIClient, component: String, host: String = "", logger: Logger) {
        self.client = client
        self.component = component
        self.host = host
        self.logger = logger
        (queue, input) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1024))
    }

    /// Notes something about `object` (a whole object or one with kind, apiVersion and metadata).
    /// `fieldPath` names a part of it, as `spec.containers{web}`.
    public func record(
        _ severity: Severity, _ reason: String, _ message: String, about object: JSON, kind: String,
        apiVersion: String = "v1", fieldPath: String? = nil
    ) {
        let metadata = object["metadata"]
        var about: JSON = [
            "kind": .string(kind), "apiVersion": .string(apiVersion),
            "name": .string(metadata?["name"]?.string ?? ""),
        ]
        for field in ["namespace", "uid", "resourceVersion"] {
            if let value = metadata?[field] { about[field] = value }
        }
        // The revision says which state was meant, but would make every recurrence a new event.
        about["resourceVersion"] = nil
        if let fieldPath { about["fieldPath"] = .string(fieldPath) }
        let text = message.utf8.count <= Self.messageLimit
            ? message : String(decoding: message.utf8.prefix(Self.messageLimit - 3), as: UTF8.self) + "..."
        input.yield((Note(about: about, severity: severity, reason: reason, message: text), Timestamp.now()))
    }

    /// Writes what is recorded, one at a time, until the task is cancelled.
    public func run() async {
        var state = State()
        for await (note, time) in queue {
            guard Self.allow(note, at: time, &state.budgets) else { continue }
            do throws(APIStatus) {
                try await write(note, at: time, &state)
            } catch {
                logger.debug("event not written", metadata: ["reason": "\(note.reason)", "error": "\(error)"])
            }
        }
    }

    private static func allow(_ note: Note, at time: Timestamp, _ budgets: inout [JSON: Budget]) -> Bool {
        var subject = note.about
        subject["fieldPath"] = nil
        if budgets.count >= remembered {
            // Whoever has its whole budget again need not be remembered.
            budgets = budgets.filter { $0.value.refilled(at: time).left < burst }
        }
        var budget = (budgets[subject] ?? Budget(left: burst, at: time)).refilled(at: time)
        let allowed = budget.left >= 1
        if allowed { budget.left -= 1 }
        budgets[subject] = budget
        return allowed
    }

    private func write(_ note: Note, at time: Timestamp, _ state: inout State) async throws(APIStatus) {
        if let known = state.known[note] {
            let patch: JSON = ["count": .int(known.count + 1), "lastTimestamp": .string(time.rfc3339)]
            do throws(APIStatus) {
                _ = try await client.patch(.events, known.key, .merge, patch, subresource: nil)
                state.known[note]?.count += 1
                return
            } catch where error.code == 404 {
                state.known[note] = nil
            }
        }
        let namespace = note.about["namespace"]?.string ?? "default"
        let key = ObjectKey(
            namespace: namespace,
            name: "\(note.about["name"]?.string ?? "").\(state.nameSuffix(at: time))")
        _ = try await client.create(.events, event(note, key, time))
        state.known[note] = Known(key: key, count: 1)
        state.order.append(note)
        if state.order.count > Self.remembered { state.known[state.order.removeFirst()] = nil }
    }

    private func event(_ note: Note, _ key: ObjectKey, _ time: Timestamp) -> JSON {
        [
            "apiVersion": "v1", "kind": "Event",
            "metadata": ["name": .string(key.name), "namespace": .string(key.namespace)],
            "involvedObject": note.about, "reason": .string(note.reason), "message": .string(note.message),
            "source": host.isEmpty
                ? ["component": .string(component)]
                : ["component": .string(component), "host": .string(host)],
            "firstTimestamp": .string(time.rfc3339), "lastTimestamp": .string(time.rfc3339), "count": 1,
            "type": .string(note.severity.rawValue), "eventTime": .null,
            "reportingComponent": .string(component), "reportingInstance": .string(host),
        ]
    }
}

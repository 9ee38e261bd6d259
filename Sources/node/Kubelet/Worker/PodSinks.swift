// The two ends of a pod's status: the API server, or the log when there is none (standalone).

import Client
import Logging
import Objects
import System

struct APISink: PodSink {
    let client: any APIClient
    let recorder: EventRecorder

    func publish(_ status: JSON, of pod: JSON, after last: JSON?) async throws -> Bool {
        if last == nil, Self.covers(pod.child("status"), status) { return true }
        var body = status
        // Addresses are a merged list; those of an earlier sandbox must not stay in it.
        for field in ["podIPs", "hostIPs"] {
            guard let list = status[field]?.array else { continue }
            body[field] = .array([["$patch": "replace"]] + list)
        }
        // A pod that has lost its sandbox has no address: it may be another pod's by now.
        for field in Self.addressFields where status[field] == nil { body[field] = .null }
        body["conditions"] = .array(status.list("conditions").map { condition in
            var condition = condition
            for key in ["reason", "message"] where condition[key] == nil { condition[key] = .null }
            return condition
        } + Self.passed(pod, status, after: last))
        return try await patch(pod, body)
    }

    private static let addressFields = ["podIP", "podIPs"]

    /// Deletions of conditions that were there for a while: the list merges by type.
    private static func passed(_ pod: JSON, _ status: JSON, after last: JSON?) -> [JSON] {
        let known = pod.child("status").list("conditions") + (last?.list("conditions") ?? [])
        return PodMachine.passingConditions.filter { type in
            known.contains { $0.text("type") == type }
                && !status.list("conditions").contains { $0.text("type") == type }
        }.map { ["$patch": "delete", "type": .string($0)] }
    }

    private func patch(_ pod: JSON, _ status: JSON) async throws(APIStatus) -> Bool {
        let uid = pod.child("metadata").text("uid") ?? ""
        do {
            _ = try await client.patch(
                .pods, ObjectKey(pod), .strategic, ["metadata": ["uid": .string(uid)], "status": status],
                subresource: "status")
            return true
        } catch {
            if try await isGone(pod, error) { return false }
            throw error
        }
    }

    /// Whether `error` says that the pod is gone. A conflict alone does not: another writer may just have been faster.
    private func isGone(_ pod: JSON, _ error: APIStatus) async throws(APIStatus) -> Bool {
        guard error.code == 409 else { return error.code == 404 }
        do {
            return try await client.get(.pods, ObjectKey(pod)).child("metadata")["uid"] != pod.child("metadata")["uid"]
        } catch {
            if error.code == 404 { return true }
            throw error
        }
    }

    func remove(_ pod: JSON) async throws { try await delete(pod) }

    private func delete(_ pod: JSON) async throws(APIStatus) {
        let uid = pod.child("metadata").text("uid") ?? ""
        do {
            try await client.delete(.pods, ObjectKey(pod), DeleteOptions(gracePeriodSeconds: 0, uid: uid))
        } catch {
            if try await !isGone(pod, error) { throw error }
        }
    }

    func report(_ report: PodReport, about pod: JSON) {
        let spec = pod.child("spec")
        let list = ["initContainers", "ephemeralContainers"].first { list in
            spec.list(list).contains { $0.text("name") == report.container }
        }
        let path = report.container.map { "spec.\(list ?? "containers"){\($0)}" }
        recorder.record(
            report.warning ? .warning : .normal, report.reason, report.message, about: pod, kind: "Pod",
            fieldPath: path)
    }

    /// Whether the API already shows everything in `status`.
    static func covers(_ known: JSON, _ status: JSON) -> Bool {
        guard let fields = status.object, passed(["status": known], status, after: nil).isEmpty,
            addressFields.allSatisfy({ known[$0] == nil || status[$0] != nil })
        else { return false }
        for (key, value) in fields {
            if key == "conditions" {
                let have = known.list("conditions")
                for condition in value.array ?? [] {
                    guard let other = have.first(where: { $0["type"] == condition["type"] }) else { return false }
                    for field in ["status", "reason", "message", "lastTransitionTime", "observedGeneration"]
                    where other[field] != condition[field] { return false }
                }
            } else if known[key] != value {
                return false
            }
        }
        return true
    }
}

/// Standalone mode: a line a change.
struct LogSink: PodSink {
    let logger: Logger

    func publish(_ status: JSON, of pod: JSON, after last: JSON?) async throws -> Bool {
        let metadata = pod.child("metadata")
        let ready = status.list("conditions").contains { $0.text("type") == "Ready" && $0.text("status") == "True" }
        let containers = (status.list("initContainerStatuses") + status.list("containerStatuses")).map { item in
            let state = item.child("state")
            var text = state.object?.keys.first ?? "waiting"
            if let reason = state.child(text).text("reason") { text += "(\(reason))" }
            return "\(item.text("name") ?? "")=\(text) restarts=\(item.integer("restartCount") ?? 0)"
        }
        logger.info("pod status", metadata: [
            "pod": "\(metadata.text("namespace") ?? "")/\(metadata.text("name") ?? "")",
            "phase": "\(status.text("phase") ?? "")", "ready": "\(ready)", "ip": "\(status.text("podIP") ?? "-")",
            "containers": "\(containers.joined(separator: ", "))",
        ])
        return true
    }

    func remove(_ pod: JSON) async throws {}

    /// The worker has logged it.
    func report(_ report: PodReport, about pod: JSON) {}
}

// One deployment and its replica sets as a value: which set is new, what the next scaling step is, what the
// status says. No I/O, no clock: tested by walking it.
//
// Bounds while rolling: never more than replicas + maxSurge pods, never fewer than replicas - maxUnavailable
// available ones.

import Objects
import System

struct Rollout {
    /// Set `uid` to `replicas`.
    struct Step: Equatable {
        let uid: String
        let replicas: Int64
    }

    static let revisionKey = "deployment.kubernetes.io/revision"
    private static let desiredKey = "deployment.kubernetes.io/desired-replicas"
    private static let maxKey = "deployment.kubernetes.io/max-replicas"
    private static let lastAppliedKey = "kubectl.kubernetes.io/last-applied-configuration"

    var deployment: JSON
    /// The set of the present template, if it is there.
    private(set) var new: JSON?
    /// All others, oldest first.
    private(set) var old: [JSON]

    init(deployment: JSON, replicaSets: [JSON]) {
        self.deployment = deployment
        let sorted = replicaSets.sorted {
            let a = $0["metadata"]?["creationTimestamp"]?.string ?? ""
            let b = $1["metadata"]?["creationTimestamp"]?.string ?? ""
            return (a, Self.name($0)) < (b, Self.name($1))
        }
        let template = deployment["spec"]?["template"]
        // Several may match after a collision was mended: the oldest is taken, always the same one.
        let found = sorted.firstIndex { TemplateHash.sameTemplate($0["spec"]?["template"], template) }
        new = found.map { sorted[$0] }
        old = sorted.enumerated().filter { $0.offset != found }.map(\.element)
    }

    static func name(_ object: JSON) -> String { object["metadata"]?["name"]?.string ?? "" }
    static func uid(_ object: JSON) -> String { object["metadata"]?["uid"]?.string ?? "" }
    private static func size(_ replicaSet: JSON) -> Int64 { replicaSet["spec"]?["replicas"]?.int ?? 0 }
    private static func count(_ replicaSet: JSON, _ field: String) -> Int64 { replicaSet["status"]?[field]?.int ?? 0 }

    var template: JSON { deployment["spec"]?["template"] ?? [:] }
    var replicas: Int64 { deployment["spec"]?["replicas"]?.int ?? 1 }
    var isPaused: Bool { deployment["spec"]?["paused"]?.bool ?? false }
    var collisionCount: Int64 { deployment["status"]?["collisionCount"]?.int ?? 0 }
    private var isRecreate: Bool { deployment["spec"]?["strategy"]?["type"]?.string == "Recreate" }
    private var all: [JSON] { old + (new.map { [$0] } ?? []) }

    /// maxSurge and maxUnavailable as pod counts: percentages round up and down; both zero means one unavailable. With
    /// the surge no set is larger than its field (int32) can say.
    var bounds: (surge: Int64, unavailable: Int64) {
        guard !isRecreate else { return (0, replicas) }
        let rolling = deployment["spec"]?["strategy"]?["rollingUpdate"]
        func amount(_ field: String, up: Bool) -> Int64 {
            IntOrPercent.count(rolling?[field] ?? "25%", of: replicas, roundingUp: up)
        }
        let surge = min(amount("maxSurge", up: true), Int64(Int32.max) - replicas)
        let unavailable = amount("maxUnavailable", up: false)
        return surge == 0 && unavailable == 0 ? (0, 1) : (surge, min(unavailable, replicas))
    }

    func replicaSet(_ uid: String) -> JSON? { all.first { Self.uid($0) == uid } }

    mutating func replace(_ replicaSet: JSON) {
        if let index = old.firstIndex(where: { Self.uid($0) == Self.uid(replicaSet) }) {
            old[index] = replicaSet
        } else {
            new = replicaSet
        }
    }

    // MARK: - Revisions

    private static func revision(_ object: JSON) -> Int64 {
        object["metadata"]?["annotations"]?[revisionKey]?.string.flatMap { Int64($0) } ?? 0
    }

    /// The new set's revision: one above all old ones', or its own when that is higher already.
    var newRevision: Int64 {
        // An annotation, so anybody may have written it.
        max((old.map(Self.revision).max() ?? 0).addingSaturated(1), new.map(Self.revision) ?? 0)
    }

    /// The new set's annotations: the deployment's own, its revision, its size marks.
    func annotations(for replicaSet: JSON, revision: String) -> JSON {
        var annotations = sizeAnnotations(on: replicaSet)
        for (key, value) in deployment["metadata"]?["annotations"]?.object ?? JSONObject()
        where key != Self.revisionKey && key != Self.lastAppliedKey { annotations[key] = value }
        annotations[Self.revisionKey] = .string(revision)
        return annotations
    }

    /// The annotations of a set with what a later proportional scaling goes by.
    func sizeAnnotations(on replicaSet: JSON) -> JSON {
        var annotations = replicaSet["metadata"]?["annotations"] ?? [:]
        annotations[Self.desiredKey] = .string(String(replicas))
        annotations[Self.maxKey] = .string(String(replicas + bounds.surge))
        return annotations
    }

    func makeReplicaSet(hash: String, revision: String) -> JSON {
        var template = template
        template.set("metadata", "labels", TemplateHash.label, to: .string(hash))
        var selector = deployment["spec"]?["selector"] ?? [:]
        selector.set("matchLabels", TemplateHash.label, to: .string(hash))
        var object: JSON = [
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": [
                "name": .string("\(Self.name(deployment))-\(hash)"),
                "namespace": deployment["metadata"]?["namespace"] ?? "",
                "labels": template["metadata"]?["labels"] ?? [:],
                "ownerReferences": [Ownership.reference(to: deployment, "apps/v1", "Deployment")],
            ],
            "spec": ["replicas": .int(firstSize), "selector": selector, "template": template],
        ]
        if let minReady = deployment["spec"]?["minReadySeconds"] { object.set("spec", "minReadySeconds", to: minReady) }
        object.set("metadata", "annotations", to: annotations(for: object, revision: revision))
        return object
    }

    /// What a set that is just being made may have at once.
    private var firstSize: Int64 {
        let total = old.reduce(0) { $0 + Self.size($1) }
        if isRecreate { return total == 0 ? replicas : 0 }
        return min(replicas, max(0, replicas + bounds.surge - total))
    }

    // MARK: - Scaling

    /// The next step of the roll-out. Empty when nothing may move at present.
    func nextScale(oldPodsGone: Bool) -> [Step] {
        guard let new else { return [] }
        let active = old.filter { Self.size($0) > 0 }
        if active.isEmpty {
            // A Recreate waits for the last old pod, or old and new would run side by side.
            guard !isRecreate || oldPodsGone else { return [] }
            return Self.size(new) == replicas ? [] : [Step(uid: Self.uid(new), replicas: replicas)]
        }
        if isRecreate { return active.map { Step(uid: Self.uid($0), replicas: 0) } }
        let resized = proportionalScale()
        if !resized.isEmpty { return resized }
        if let up = scaleUpNew(new) { return [up] }
        return scaleDownOld(new, active)
    }

    private func scaleUpNew(_ new: JSON) -> Step? {
        let size = Self.size(new)
        if size > replicas { return Step(uid: Self.uid(new), replicas: replicas) }
        let total = all.reduce(0) { $0 + Self.size($1) }
        let room = replicas + bounds.surge - total
        guard size < replicas, room > 0 else { return nil }
        return Step(uid: Self.uid(new), replicas: min(replicas, size + room))
    }

    /// First the old pods that are not available anyway, then as many available ones as may be missing.
    private func scaleDownOld(_ new: JSON, _ active: [JSON]) -> [Step] {
        let minAvailable = replicas - bounds.unavailable
        let total = all.reduce(0) { $0 + Self.size($1) }
        let newUnavailable = Self.size(new) - Self.count(new, "availableReplicas")
        var removable = total - minAvailable - newUnavailable
        guard removable > 0 else { return [] }
        var sizes: [String: Int64] = [:]
        var left: [String: Int64] = [:]
        for set in active {
            let size = Self.size(set)
            let sick = min(max(0, size - Self.count(set, "availableReplicas")), removable)
            sizes[Self.uid(set)] = size - sick
            left[Self.uid(set)] = size - sick
            removable -= sick
        }
        let available = all.reduce(0) { $0 + Self.count($1, "availableReplicas") }
        var spare = min(max(0, available - minAvailable), max(0, removable))
        for set in active where spare > 0 {
            let uid = Self.uid(set)
            let take = min(left[uid] ?? 0, spare)
            sizes[uid, default: 0] -= take
            spare -= take
        }
        return active.compactMap { set in
            let size = sizes[Self.uid(set)] ?? Self.size(set)
            return size == Self.size(set) ? nil : Step(uid: Self.uid(set), replicas: size)
        }
    }

    /// When the deployment was resized in the middle of a roll-out (or while paused), every set grows or shrinks
    /// with it in proportion to its size, so that risk stays spread as it was.
    func proportionalScale() -> [Step] {
        let active = all.filter { Self.size($0) > 0 }
        if active.count <= 1 {
            guard isPaused, let only = active.first ?? new ?? old.last, Self.size(only) != replicas else { return [] }
            return [Step(uid: Self.uid(only), replicas: replicas)]
        }
        let resized = active.contains { set in
            let desired = set["metadata"]?["annotations"]?[Self.desiredKey]?.string.flatMap { Int64($0) }
            return desired != nil && desired != replicas
        }
        guard resized else { return [] }
        let total = active.reduce(0) { $0 + Self.size($1) }
        let allowed = replicas > 0 ? replicas + bounds.surge : 0
        var toAdd = allowed - total
        let order = active.sorted { (Self.size($0), Self.name($0)) > (Self.size($1), Self.name($1)) }
        var steps: [Step] = []
        for set in order {
            let size = Self.size(set)
            var share = total == 0 ? 0 : Int64((Double(size) * Double(allowed) / Double(total)).rounded()) - size
            share = toAdd > 0 ? min(max(share, 0), toAdd) : max(min(share, 0), toAdd)
            toAdd -= share
            steps.append(Step(uid: Self.uid(set), replicas: max(0, size + share)))
        }
        if let first = steps.first, toAdd != 0 {
            steps[0] = Step(uid: first.uid, replicas: max(0, first.replicas + toAdd))
        }
        return steps
    }

    /// Empty old sets beyond spec.revisionHistoryLimit, oldest revision first.
    func surplusHistory() -> [JSON] {
        let limit = Int(deployment["spec"]?["revisionHistoryLimit"]?.int ?? 10)
        let empty = old.filter {
            Self.size($0) == 0 && Self.count($0, "replicas") == 0 && $0["metadata"]?["deletionTimestamp"] == nil
        }
        return Array(empty.sorted { Self.revision($0) < Self.revision($1) }.prefix(max(0, empty.count - limit)))
    }
}

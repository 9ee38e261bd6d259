// eviction (policy/v1 Eviction): a delete of a pod that its PodDisruptionBudget may refuse.
//
//   pending, ended or going already?  ──────────────────────────────────────────────────────────> delete
//   no budget selects it?  ─────────────────────────────────────────────────────────────────────> delete
//   several do?  ──> 500: whose budget would it be?
//   not ready, and that is no loss (policy AlwaysAllow, or the budget is met without it)?  ──────> delete
//   a disruption left?  ──> taken: disruptionsAllowed - 1, the pod in disruptedPods  ────────────> delete
//                       └─> 429, cause DisruptionBudget; `kubectl drain` tries again
//
// Taking is an update of the budget on condition of its revision, so two evictions never take the same disruption. The
// delete is preceded by the pod's condition DisruptionTarget. Messages and codes are kube-apiserver's.

internal import Client
internal import Objects
internal import Store
internal import System

/// The verdicts on an eviction, as plain functions of pod and budget.
enum Eviction {
    static let refusal = "Cannot evict pod as it would violate the pod's disruption budget."
    private static let cause = "DisruptionBudget"
    /// Evictions that the disruption controller has not confirmed yet; more at a time are refused.
    private static let mostDisrupted = 2000

    /// Whose end disrupts nothing.
    static func isFree(_ pod: JSON) -> Bool { hasEnded(pod) || phase(pod) == "Pending" }

    /// It has disrupted already what it could disrupt.
    static func hasEnded(_ pod: JSON) -> Bool {
        phase(pod) == "Succeeded" || phase(pod) == "Failed" || pod.at("metadata", "deletionTimestamp") != nil
    }

    private static func phase(_ pod: JSON) -> String? { pod.at("status", "phase")?.string }

    private static func isReady(_ pod: JSON) -> Bool {
        (pod.at("status", "conditions")?.array ?? []).contains { $0["type"] == "Ready" && $0["status"] == "True" }
    }

    /// A pod that is not ready counts in no budget, so nothing is taken for it; whether it may go is the policy's say.
    static func isNoLoss(_ pod: JSON, _ budget: JSON) -> Bool {
        guard !isReady(pod) else { return false }
        if budget.at("spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow" { return true }
        let wanted = count(budget, "desiredHealthy")
        return wanted > 0 && count(budget, "currentHealthy") >= wanted
    }

    /// The budget with one disruption taken for the pod.
    /// - Throws: 429 when there is none left or the status is behind the spec; 403 when it cannot be right.
    static func take(_ pod: String, from budget: JSON, now: Timestamp) throws(APIStatus) -> JSON {
        let name = budget.at("metadata", "name")?.string ?? ""
        let id = ResourceID(group: "policy", version: "v1", resource: "poddisruptionbudget")
        guard count(budget, "observedGeneration") >= budget.at("metadata", "generation")?.int ?? 0 else {
            throw inProgress(name)
        }
        let allowed = count(budget, "disruptionsAllowed")
        guard allowed >= 0 else { throw .forbidden(id, name, "pdb disruptions allowed is negative") }
        guard budget.at("status", "disruptedPods")?.object?.count ?? 0 <= mostDisrupted else {
            throw .forbidden(
                id, name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
        }
        guard allowed > 0 else { throw spent(name, budget) }
        var taken = budget
        taken.set("status", "disruptionsAllowed", to: .int(allowed - 1))
        taken.set("status", "disruptedPods", pod, to: .string(now.rfc3339))
        if allowed == 1 { taken.set("status", "conditions", to: insufficient(budget, now)) }
        return taken
    }

    private static func count(_ budget: JSON, _ field: String) -> Int64 { budget.at("status", field)?.int ?? 0 }

    private static func insufficient(_ budget: JSON, _ now: Timestamp) -> JSON {
        let type = "DisruptionAllowed"
        var condition = Conditions.make(
            type: type, status: "False", reason: "InsufficientPods", message: "",
            previous: Conditions.find(type, in: budget))
        condition["observedGeneration"] = budget.at("status", "observedGeneration")
        let others = (budget.at("status", "conditions")?.array ?? []).filter { $0["type"]?.string != type }
        return .array(others + [condition])
    }

    private static func spent(_ name: String, _ budget: JSON) -> APIStatus {
        let condition = Conditions.find("DisruptionAllowed", in: budget)
        if condition?["reason"] == "SyncFailed" {
            let problem = condition?["message"]?.string ?? ""
            return refused(
                "The disruption budget \(name) does not allow evicting pods currently because it failed sync: "
                    + problem,
                retryAfter: 0)
        }
        return refused(
            "The disruption budget \(name) needs \(count(budget, "desiredHealthy")) healthy pods and has "
                + "\(count(budget, "currentHealthy")) currently", retryAfter: 0)
    }

    /// Pod or budget are changing just now.
    static func inProgress(_ name: String) -> APIStatus {
        refused("The disruption budget \(name) is still being processed by the server.", retryAfter: 10)
    }

    private static func refused(_ message: String, retryAfter: Int) -> APIStatus {
        var status = APIStatus.tooManyRequests(refusal, retryAfterSeconds: retryAfter)
        status.details?.causes = [APIStatus.Cause(reason: cause, message: message)]
        return status
    }

    static var severalBudgets: APIStatus {
        APIStatus(
            code: 500, reason: .unknown,
            message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
    }

    /// The pod, marked as about to be disrupted.
    static func target(_ pod: JSON) -> JSON {
        let type = "DisruptionTarget"
        let condition = Conditions.make(
            type: type, status: "True", reason: "EvictionByEvictionAPI", message: "Eviction API: evicting",
            previous: Conditions.find(type, in: pod))
        let others = (pod.at("status", "conditions")?.array ?? []).filter { $0["type"]?.string != type }
        var marked = pod
        marked.set("status", "conditions", to: .array(others + [condition]))
        return marked
    }
}

extension APICore {
    /// - Parameter body: the Eviction; its deleteOptions hold for the delete.
    func evict(_ key: ObjectKey, _ body: JSON, _ write: WriteOptions) async throws(APIStatus) {
        let pods = try declaration(.pods)
        var write = write
        let options = try admitEviction(key, body, pods, &write)
        let isConditional = !(options.preconditions?.resourceVersion ?? "").isEmpty
        for _ in 0..<APICore.evictionRounds {
            let pod = try object(pods, key).tree()
            var conditional = options
            if Eviction.isFree(pod) {
                // A pending pod that has begun to run meanwhile is not free any more.
                if !Eviction.hasEnded(pod) { conditional = options.holding(pod) }
            } else if let budget = try budget(of: pod, key.namespace) {
                if Eviction.isNoLoss(pod, budget) {
                    // Nor is a pod that has become ready.
                    conditional = options.holding(pod)
                } else {
                    try await take(key, budget, write)
                }
            }
            do throws(APIStatus) {
                return try await disrupt(pods, key, conditional, write)
            } catch {
                guard error.isConflict, !isConditional, conditional.preconditions != options.preconditions else {
                    throw error
                }
            }
        }
        throw Eviction.inProgress(try budget(of: try object(pods, key).tree(), key.namespace).map(APICore.name) ?? "")
    }

    /// Rounds for a pod that keeps changing.
    private static let evictionRounds = 20

    private static func name(_ object: JSON) -> String { object.at("metadata", "name")?.string ?? "" }

    private func admitEviction(
        _ key: ObjectKey, _ body: JSON, _ pods: ResourceDeclaration, _ write: inout WriteOptions
    ) throws(APIStatus) -> DeleteOptions {
        guard let subresource = pods.subresource("eviction") else { throw .noSuchResource }
        let eviction = try pods.decode(
            body, subresource: subresource, duplicates: write.duplicates, validation: write.validation
        ).object
        let named = APICore.name(eviction)
        guard named.isEmpty || named == key.name else {
            throw .badRequest("name in URL does not match name in Eviction object: \"\(key.name)\" vs \"\(named)\"")
        }
        // `kubectl drain --dry-run=server` says so in the body alone.
        let dryRun = eviction.at("deleteOptions", "dryRun")?.strings ?? []
        guard dryRun.allSatisfy({ $0 == "All" }) else {
            throw .badRequest("deleteOptions.dryRun: Unsupported value: \(dryRun): supported values: \"All\"")
        }
        write.dryRun = write.dryRun || !dryRun.isEmpty
        var request = AdmissionRequest(pods, .create, namespace: key.namespace, object: eviction, write)
        request.name = key.name
        request.target = .subresource("eviction")
        try Admission.check(&request, self)
        return DeleteOptions(eviction["deleteOptions"] ?? [:])
    }

    /// The one budget that covers a pod.
    private func budget(of pod: JSON, _ namespace: String) throws(APIStatus) -> JSON? {
        let labels = pod.at("metadata", "labels")?.stringMap ?? [:]
        var found: [JSON] = []
        try cache(try declaration(.podDisruptionBudgets)).snapshot().table.scan(prefix: namespace + "/") { object in
            let budget = object.tree()
            if let json = budget.at("spec", "selector"), let selector = try? LabelSelector(json),
                selector.matches(labels)
            {
                found.append(budget)
            }
            return true
        }
        guard found.count < 2 else { throw Eviction.severalBudgets }
        return found.first
    }

    /// Takes a disruption from the budget as it stands when the update is made.
    private func take(_ pod: ObjectKey, _ budget: JSON, _ write: WriteOptions) async throws(APIStatus) {
        var own = WriteOptions()
        own.dryRun = write.dryRun
        do throws(APIStatus) {
            _ = try await modify(
                try declaration(.podDisruptionBudgets), ObjectKey(budget), target: WriteTarget("status"), own
            ) { current throws(APIStatus) in
                var taken = try Eviction.take(pod.name, from: current, now: .now())
                // Whoever changes it meanwhile makes this look again.
                taken.set("metadata", "resourceVersion", to: nil)
                return taken
            }
        } catch {
            // Deleted: nothing guards the pod any more.
            if error.isNotFound { return }
            guard error.isConflict else { throw error }
            var late = APIStatus.timeout(
                "couldn't update PodDisruptionBudget \(Quote.go(APICore.name(budget))) due to conflicts")
            late.details?.retryAfterSeconds = 10
            throw late
        }
    }

    private func disrupt(
        _ pods: ResourceDeclaration, _ key: ObjectKey, _ options: DeleteOptions, _ write: WriteOptions
    ) async throws(APIStatus) {
        var options = options
        if !write.dryRun {
            let wanted = options.preconditions
            let marked = try await modify(pods, key, target: WriteTarget("status"), WriteOptions()) { pod in
                var marked = Eviction.target(pod)
                let version = wanted?.resourceVersion ?? ""
                marked.set("metadata", "resourceVersion", to: version.isEmpty ? nil : .string(version))
                if let uid = wanted?.uid, !uid.isEmpty { marked.set("metadata", "uid", to: .string(uid)) }
                return marked
            }
            if let version = wanted?.resourceVersion, !version.isEmpty {
                options.preconditions?.resourceVersion = String(marked.revision)
            }
        }
        _ = try await delete(pods, key, options, write)
    }
}

extension DeleteOptions {
    /// Only if the pod is still as it is; options that name a version keep theirs.
    fileprivate func holding(_ pod: JSON) -> DeleteOptions {
        guard (preconditions?.resourceVersion ?? "").isEmpty else { return self }
        var options = self
        var preconditions = preconditions ?? Preconditions([:])
        preconditions.resourceVersion = pod.at("metadata", "resourceVersion")?.string ?? ""
        options.preconditions = preconditions
        return options
    }
}

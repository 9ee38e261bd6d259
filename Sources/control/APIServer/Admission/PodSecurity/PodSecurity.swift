// Pod Security admission: pods that break what their namespace enforces are refused; what breaks its audit or warn
// standard leaves a note or a warning, for workloads too, whose pods would be refused later.
//
// The labels of the namespace are in the cache; a namespace without them costs one look-up. Nothing is exempt.

internal import Client
internal import Objects

struct PodSecurity: AdmissionStep {
    /// Where the pod is in what makes pods.
    static let templates: [ResourceID: [String]] = [
        .podTemplates: ["template"], .replicationControllers: ["spec", "template"], .replicaSets: ["spec", "template"],
        .deployments: ["spec", "template"], .statefulSets: ["spec", "template"], .daemonSets: ["spec", "template"],
        .jobs: ["spec", "template"], .cronJobs: ["spec", "jobTemplate", "spec", "template"],
    ]

    /// Subresources through which a pod's spec can change.
    private static let podTargets: Set<WriteTarget> = [
        .main, .subresource("ephemeralcontainers"), .subresource("resize"),
    ]

    func concerns(_ site: AdmissionSite) -> Bool {
        guard site.operation != .delete else { return false }
        if site.resource == .pods { return PodSecurity.podTargets.contains(site.target) }
        return site.target == .main && (site.resource == .namespaces || PodSecurity.templates[site.resource] != nil)
    }

    func validate(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        if request.declaration.id == .namespaces { return try namespace(request, core) }
        guard let labels = core.peek(.namespaces, name: request.namespace)?.labels else { return }
        let policy = PodSecurityPolicy(labels)
        if policy.isSilent { return }
        guard request.declaration.id == .pods else {
            guard let path = PodSecurity.templates[request.declaration.id], let template = request.object.at(path),
                let spec = template["spec"]
            else { return }
            return note(CheckedPod(metadata: template["metadata"], spec: spec), policy, request)
        }
        if let old = request.old, !PodSecurity.isSignificant(request.object, old) { return }
        let pod = CheckedPod(metadata: request.object["metadata"], spec: request.object["spec"] ?? [:])
        let faults = PodChecks.faults(pod, policy.enforce)
        request.options.audit.add("pod-security.kubernetes.io/enforce-policy", "\(policy.enforce)")
        guard faults.isEmpty else {
            note(pod, policy, request, warns: false)
            throw request.forbidden("violates PodSecurity \"\(policy.enforce)\": \(PodSecurity.text(faults))")
        }
        note(pod, policy, request)
    }

    private func note(
        _ pod: CheckedPod, _ policy: PodSecurityPolicy, _ request: AdmissionRequest, warns: Bool = true
    ) {
        if !policy.errors.isEmpty {
            let errors = policy.errors.map(\.description).joined(separator: ", ")
            request.options.audit.add("pod-security.kubernetes.io/error", "Failed to parse policy: \(errors)")
        }
        let audited = PodChecks.faults(pod, policy.audit)
        if !audited.isEmpty {
            request.options.audit.add(
                "pod-security.kubernetes.io/audit-violations",
                "would violate PodSecurity \"\(policy.audit)\": \(PodSecurity.text(audited))")
        }
        guard warns else { return }
        let warned = policy.warn == policy.audit ? audited : PodChecks.faults(pod, policy.warn)
        if !warned.isEmpty {
            request.options.warnings.add([
                "would violate PodSecurity \"\(policy.warn)\": \(PodSecurity.text(warned))"
            ])
        }
    }

    private static func text(_ faults: [PodFault]) -> String { faults.map(\.text).joined(separator: ", ") }

    /// Of an existing pod little can change; only images, added containers and seccomp annotations matter here.
    private static func isSignificant(_ pod: JSON, _ old: JSON) -> Bool {
        func seccomp(_ pod: JSON) -> [String: String] {
            (pod.at("metadata", "annotations")?.stringMap ?? [:]).filter {
                $0.key.contains("seccomp.security.alpha.kubernetes.io/")
            }
        }
        func images(_ pod: JSON, _ list: String) -> [String] {
            (pod.at("spec", list)?.array ?? []).map { "\($0["name"]?.string ?? "")=\($0["image"]?.string ?? "")" }
        }
        return seccomp(pod) != seccomp(old)
            || ["containers", "initContainers", "ephemeralContainers"].contains { images(pod, $0) != images(old, $0) }
    }

    // MARK: - Namespaces

    private func namespace(_ request: AdmissionRequest, _ core: APICore) throws(APIStatus) {
        let policy = PodSecurityPolicy(request.object.at("metadata", "labels")?.stringMap ?? [:])
        let before = request.old.map { PodSecurityPolicy($0.at("metadata", "labels")?.stringMap ?? [:]) }
        // An update need not mend what it did not break.
        if !policy.errors.isEmpty, before?.errors != policy.errors {
            throw .invalid(request.declaration.gvk, request.name, policy.errors)
        }
        guard let before, policy.enforce != before.enforce, policy.enforce.level != .privileged else { return }
        if policy.enforce.version == before.enforce.version, policy.enforce.level <= before.enforce.level { return }
        request.options.warnings.add(try existing(request.name, policy.enforce, core))
    }

    /// At most this many pods are looked at when a namespace becomes stricter.
    private static let podLimit = 3000

    /// Warnings about the pods that the new standard would refuse: they stay.
    private func existing(
        _ namespace: String, _ standard: SecurityStandard, _ core: APICore
    ) throws(APIStatus) -> [String] {
        let table = try core.cache(try core.declaration(.pods)).snapshot().table
        var found: [String: [String]] = [:]
        var looked = 0
        var total = 0
        table.scan(prefix: namespace + "/") { object in
            total += 1
            guard looked < PodSecurity.podLimit else { return true }
            looked += 1
            let pod = object.tree()
            let faults = PodChecks.faults(
                CheckedPod(metadata: pod["metadata"], spec: pod["spec"] ?? [:]), standard)
            if !faults.isEmpty {
                found[faults.map(\.reason).joined(separator: ", "), default: []].append(object.name)
            }
            return true
        }
        var warnings: [String] = []
        if looked < total {
            warnings.append(
                "new PodSecurity enforce level only checked against the first \(looked) of \(total) existing pods")
        }
        guard !found.isEmpty else { return warnings }
        warnings.append(
            "existing pods in namespace \(Quote.go(namespace)) violate the new PodSecurity enforce level "
                + "\"\(standard)\"")
        let lines = found.map { reasons, pods in
            let more = pods.count - 1
            let others = more == 0 ? "" : more == 1 ? " (and 1 other pod)" : " (and \(more) other pods)"
            return "\(pods.min() ?? "")\(others): \(reasons)"
        }
        return warnings + lines.sorted()
    }
}

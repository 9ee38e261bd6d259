// pods/resize: the one way to change what a running pod's containers may use. Only cpu and memory, only of app
// containers and sidecars, and nothing that was given is taken away (pkg/apis/core/validation, ValidatePodResize). And
// resizePolicy, which says what a change costs a container.

enum ResizeRules {
    private static let resizable = ["cpu", "memory"]
    private static let lists = ["containers", "initContainers"]

    /// What a resize takes of a new spec: resources and policies of containers. Where the containers do not correspond
    /// the new spec is left as it is, for `validate` to refuse.
    static func merge(_ spec: JSON, into old: JSON) -> JSON {
        guard mismatch(spec, old) == nil else { return spec }
        var result = old
        for list in lists {
            guard var containers = old[list]?.array else { continue }
            let new = spec[list]?.array ?? []
            for index in containers.indices {
                for key in ["resources", "resizePolicy"] { containers[index][key] = new[index][key] }
            }
            result[list] = .array(containers)
        }
        return result
    }

    static func validate(_ pod: JSON, old: JSON) -> [FieldError] {
        let path: FieldPath = "spec"
        let spec = pod["spec"] ?? [:]
        let before = old["spec"] ?? [:]
        var errors = PodRules.validate(spec: spec, path, metadata: pod["metadata"])
        if PodStrategy.qosClass(old) != PodStrategy.qosClass(pod) {
            errors.append(
                .invalid(
                    path, .string(PodStrategy.qosClass(pod)), "Pod QOS Class may not change as a result of resizing"))
        }
        if let mismatch = mismatch(spec, before) { return errors + [.forbidden(path, mismatch)] }
        for list in lists {
            for (index, container) in (spec[list]?.array ?? []).enumerated() {
                let then = before[list]?[index] ?? [:]
                errors += compare(container, then, list: list, path, path.child(list)[index].child("resources"))
            }
        }
        return errors
    }

    /// Why the containers are not the same ones in the same order; nil when they are.
    private static func mismatch(_ spec: JSON, _ old: JSON) -> String? {
        for list in lists {
            let now = (spec[list]?.array ?? []).map { $0["name"] }
            let then = (old[list]?.array ?? []).map { $0["name"] }
            if now.count != then.count { return "\(list) may not be added or removed" }
            if now != then { return "\(list) may not be renamed or reordered" }
        }
        return nil
    }

    private static func compare(
        _ container: JSON, _ old: JSON, list: String, _ spec: FieldPath, _ path: FieldPath
    ) -> [FieldError] {
        let isSidecar = list == "initContainers" && old["restartPolicy"] == "Always"
        if list == "initContainers", !isSidecar {
            return container == old
                ? [] : [.forbidden(spec, "resources for non-sidecar init containers are immutable")]
        }
        var errors: [FieldError] = []
        for part in ["requests", "limits"] {
            let now = container.at("resources", part)
            if (old.at("resources", part)?.object?.keys ?? []).contains(where: { now?[$0] == nil }) {
                errors.append(.forbidden(path.child(part), "resource \(part) cannot be removed"))
            }
        }
        if fixed(container) != fixed(old) {
            let whose = isSidecar ? " for sidecar containers" : ""
            errors.append(.forbidden(spec, "only cpu and memory resources\(whose) are mutable"))
        }
        return errors
    }

    /// The container without what may change.
    private static func fixed(_ container: JSON) -> JSON {
        var copy = container
        var resources = copy["resources"] ?? [:]
        for part in ["requests", "limits"] {
            guard var amounts = resources[part] else { continue }
            for name in resizable { amounts[name] = nil }
            resources[part] = amounts.object?.isEmpty == true ? nil : amounts
        }
        copy["resources"] = resources.object?.isEmpty == true ? nil : resources
        return copy
    }

    /// Of one container's resizePolicy.
    static func policies(_ container: JSON, _ path: FieldPath, podRestartPolicy: String) -> [FieldError] {
        var errors: [FieldError] = []
        var names: Set<String> = []
        for (index, policy) in (container["resizePolicy"]?.array ?? []).enumerated() {
            let name = policy["resourceName"]?.string ?? ""
            if !names.insert(name).inserted { errors.append(.duplicate(path[index], .string(name))) }
            errors += Rules.oneOf(policy, "resourceName", resizable, path[index])
            errors += Rules.oneOf(policy, "restartPolicy", ["NotRequired", "RestartContainer"], path[index])
            if podRestartPolicy == "Never", policy["restartPolicy"] == "RestartContainer" {
                errors.append(
                    .invalid(path, "RestartContainer", "must be 'NotRequired' when `restartPolicy` is 'Never'"))
            }
        }
        return errors
    }
}

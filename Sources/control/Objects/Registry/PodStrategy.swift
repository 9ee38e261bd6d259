// Pods: phases and quality of service at creation, a spec that hardly changes, and the subresources of their own.

public struct PodStrategy: ResourceStrategy {
    public init() {}

    public var fieldLabels: [String] {
        [
            "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
            "spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName",
        ]
    }

    public func fieldValue(_ label: String, of object: JSON) -> String {
        switch label {
        case "spec.hostNetwork": object.at("spec", "hostNetwork")?.bool == true ? "true" : "false"
        case "status.podIPs":
            (object.at("status", "podIPs")?.array ?? []).compactMap { $0["ip"]?.string }.joined(separator: ",")
        default: object.fieldText(label)
        }
    }

    public func setDefaults(_ object: inout JSON) { PodDefaults.setPod(&object) }

    public func prepareForCreate(_ object: inout JSON) {
        object["status"] = ["phase": "Pending", "qosClass": .string(Self.qosClass(object))]
        // A negative grace period means "at once, but orderly".
        if let grace = object.at("spec", "terminationGracePeriodSeconds")?.int, grace < 0 {
            object.set("spec", "terminationGracePeriodSeconds", to: 1)
        }
    }

    public func prepareForUpdate(_ object: inout JSON, old: JSON, target: WriteTarget) {
        switch target {
        case .subresource("ephemeralcontainers"):
            var spec = old["spec"] ?? .object(JSONObject())
            spec["ephemeralContainers"] = object.at("spec", "ephemeralContainers")
            object["spec"] = spec
            keepLabels(&object, old)
        case .subresource("resize"):
            object["spec"] = ResizeRules.merge(object["spec"] ?? [:], into: old["spec"] ?? [:])
            keepLabels(&object, old)
        case .main:
            // Only the subresource may write these.
            object.set("spec", "ephemeralContainers", to: old.at("spec", "ephemeralContainers"))
        default: break
        }
        // The class is set once, from what was created.
        if let qosClass = old.at("status", "qosClass") { object.set("status", "qosClass", to: qosClass) }
    }

    /// These subresources write one part of the spec, nothing of the metadata.
    private func keepLabels(_ object: inout JSON, _ old: JSON) {
        for key in ["labels", "annotations", "finalizers", "ownerReferences"] {
            object.set("metadata", key, to: old.at("metadata", key))
        }
    }

    public func validate(_ object: JSON) -> [FieldError] {
        var errors = PodRules.validate(spec: object["spec"], "spec", metadata: object["metadata"])
        if !(object.at("spec", "ephemeralContainers")?.array ?? []).isEmpty {
            errors.append(
                .forbidden("spec.ephemeralContainers", "cannot be set on create"))
        }
        return errors
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        switch target {
        case .subresource("status"): return PodRules.validateStatusUpdate(object, old: old)
        case .subresource("resize"): return ResizeRules.validate(object, old: old)
        case .subresource("ephemeralcontainers"): return PodRules.validateEphemeralUpdate(object, old: old)
        default: return PodRules.validateUpdate(object, old: old)
        }
    }

    /// The pod's own period unless the client asks for another; 0 at once when nothing can be running.
    public func gracePeriod(_ object: JSON, requested: Int64?) -> Int64? {
        var period = requested ?? object.at("spec", "terminationGracePeriodSeconds")?.int ?? 30
        if (object.at("spec", "nodeName")?.string ?? "").isEmpty { period = 0 }
        let phase = object.at("status", "phase")?.string
        if phase == "Failed" || phase == "Succeeded" { period = 0 }
        return max(0, period)
    }

    /// Guaranteed: every container has CPU and memory limits equal to its requests. BestEffort: none has any. Else
    /// Burstable. Zero counts as not given.
    public static func qosClass(_ pod: JSON) -> String {
        var any = false
        var guaranteed = true
        let containers = ["containers", "initContainers"].flatMap { pod.at("spec", $0)?.array ?? [] }
        for container in containers {
            for name in ["cpu", "memory"] {
                let request = Quantity(container.at("resources", "requests", name)).flatMap { $0.isZero ? nil : $0 }
                let limit = Quantity(container.at("resources", "limits", name)).flatMap { $0.isZero ? nil : $0 }
                if request != nil || limit != nil { any = true }
                if limit == nil || (request != nil && request != limit) { guaranteed = false }
            }
        }
        return any ? (guaranteed ? "Guaranteed" : "Burstable") : "BestEffort"
    }

    private static let podsBinding = ResourceID(group: "", version: "v1", resource: "pods/binding")

    /// What pods/binding does: assigns the node that a Binding names; the Binding's labels and annotations are added.
    /// - Throws: 409 when the pod has a node already, is being deleted or is held by scheduling gates.
    public static func bind(_ pod: JSON, _ binding: JSON) throws(APIStatus) -> JSON {
        let name = pod.at("metadata", "name")?.string ?? ""
        if pod.at("metadata", "deletionTimestamp") != nil {
            throw APIStatus.conflict(
                Self.podsBinding, name, "pod \(name) is being deleted, cannot be assigned to a host")
        }
        let node = pod.at("spec", "nodeName")?.string ?? ""
        if !node.isEmpty {
            throw APIStatus.conflict(Self.podsBinding, name, "pod \(name) is already assigned to node \"\(node)\"")
        }
        if !(pod.at("spec", "schedulingGates")?.array ?? []).isEmpty {
            throw APIStatus.conflict(Self.podsBinding, name, "pod \(name) has non-empty .spec.schedulingGates")
        }
        var result = pod
        result.set("spec", "nodeName", to: binding.at("target", "name"))
        for field in ["annotations", "labels"] {
            for (key, value) in binding.at("metadata", field)?.object ?? JSONObject() {
                result.set("metadata", field, key, to: value)
            }
        }
        return result
    }
}

/// Assigns a pod to a node. Never stored.
public struct BindingStrategy: ResourceStrategy {
    public init() {}

    public var nameRule: NameRule { .none }

    public func validate(_ object: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        let kind = object.at("target", "kind")?.string ?? ""
        if !kind.isEmpty, kind != "Node" {
            errors.append(.notSupported("target.kind", .string(kind), ["Node", "<empty>"]))
        }
        if (object.at("target", "name")?.string ?? "").isEmpty { errors.append(.required("target.name")) }
        return errors
    }
}

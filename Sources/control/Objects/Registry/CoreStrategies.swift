// Namespace, Node, Service, ConfigMap, Secret, ServiceAccount.

import System

public struct NamespaceStrategy: ResourceStrategy {
    public init() {}

    public var nameRule: NameRule { .label }
    public var fieldLabels: [String] { ["status.phase"] }
    public func setDefaults(_ object: inout JSON) { Defaults.namespace(&object) }

    public func prepareForCreate(_ object: inout JSON) {
        Defaults.namespace(&object)  // once more: the name may have been generated
        object["status"] = ["phase": "Active"]
        var finalizers = object.at("spec", "finalizers")?.array ?? []
        if !finalizers.contains("kubernetes") { finalizers.append("kubernetes") }
        object.set("spec", "finalizers", to: .array(finalizers))
    }

    public func prepareForUpdate(_ object: inout JSON, old: JSON, target: WriteTarget) {
        switch target {
        case .subresource("finalize"): object["status"] = old["status"]
        // Finalizers change through /finalize only.
        default: object.set("spec", "finalizers", to: old.at("spec", "finalizers"))
        }
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        var errors: [FieldError] = []
        for (index, name) in (object.at("spec", "finalizers")?.strings ?? []).enumerated() {
            errors.invalid(
                FieldPath("spec").child("finalizers")[index], .string(name), Names.qualifiedName(name))
        }
        if target.isStatus {
            let phase = object.at("status", "phase")?.string ?? ""
            let deleted = object.at("metadata", "deletionTimestamp") != nil
            if !deleted, phase != "Active" {
                errors.append(
                    .invalid("status.Phase", .string(phase), "may only be 'Active' if `deletionTimestamp` is empty"))
            } else if deleted, phase != "Terminating" {
                errors.append(
                    .invalid(
                        "status.Phase", .string(phase),
                        "may only be 'Terminating' if `deletionTimestamp` is not empty"))
            }
        }
        return errors
    }
}

public struct NodeStrategy: ResourceStrategy {
    public init() {}

    public var fieldLabels: [String] { ["spec.unschedulable"] }

    public func fieldValue(_ label: String, of object: JSON) -> String {
        object.at("spec", "unschedulable")?.bool == true ? "true" : "false"
    }

    public func setDefaults(_ object: inout JSON) { Defaults.node(&object) }

    /// Kubelets register nodes with their status in one write.
    public var keepsStatusOnCreate: Bool { true }

    public func validate(_ object: JSON) -> [FieldError] { CoreRules.node(object) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        CoreRules.node(object) + CoreRules.nodeUpdate(object, old: old)
    }
}

public struct ServiceStrategy: ResourceStrategy {
    public var allowsCreateOnUpdate: Bool { true }
    public init() {}

    public var nameRule: NameRule { .serviceLabel }
    public var fieldLabels: [String] { ["spec.clusterIP", "spec.type"] }
    public func setDefaults(_ object: inout JSON) { Defaults.service(&object) }

    public func prepareForCreate(_ object: inout JSON) {
        object["status"] = ["loadBalancer": .object(JSONObject())]
        object.modify("spec") { spec in
            Self.mirrorAddresses(&spec)
            Self.setFamilies(&spec)
        }
    }

    /// Keeps what was allocated when the client leaves it out, as `kubectl apply` and `replace` do.
    public func prepareForUpdate(_ object: inout JSON, old: JSON, target: WriteTarget) {
        guard !target.isStatus else { return }
        object.modify("spec") { spec in
            let before = old["spec"] ?? .object(JSONObject())
            let type = spec["type"]?.string ?? ""
            Self.dropUnneeded(&spec, before)
            if type == "ExternalName" {
                if before["type"] != "ExternalName" {
                    for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]
                    where spec[key] == before[key] { spec[key] = nil }
                }
                return
            }
            if (spec["clusterIP"]?.string ?? "").isEmpty, (spec["clusterIPs"]?.array ?? []).isEmpty {
                spec["clusterIP"] = before["clusterIP"]
                spec["clusterIPs"] = before["clusterIPs"]
            }
            // Who knows only the old, single form changes that one: it decides, and is refused for it.
            if spec["clusterIP"] != before["clusterIP"], spec["clusterIPs"] == before["clusterIPs"] {
                spec["clusterIPs"] = nil
            }
            if spec["ipFamilies"] == nil { spec["ipFamilies"] = before["ipFamilies"] }
            if spec["ipFamilyPolicy"] == nil { spec["ipFamilyPolicy"] = before["ipFamilyPolicy"] }
            Self.mirrorAddresses(&spec)
            Self.setFamilies(&spec)
            if type == "NodePort" || type == "LoadBalancer" {
                Self.keepNodePorts(&spec, before)
            } else if before["type"] == "NodePort" || before["type"] == "LoadBalancer" {
                Self.dropNodePorts(&spec, before)
            }
        }
    }

    public func validate(_ object: JSON) -> [FieldError] { ServiceRules.validate(object["spec"]) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus
            ? [] : ServiceRules.validate(object["spec"]) + ServiceRules.validateUpdate(object["spec"], old: old["spec"])
    }

    /// A change of type takes along what only the old type needs, unless the client changes that, too.
    private static func dropUnneeded(_ spec: inout JSON, _ before: JSON) {
        func isBalanced(_ spec: JSON) -> Bool { spec["type"] == "LoadBalancer" }
        func isExternal(_ spec: JSON) -> Bool {
            isBalanced(spec) || spec["type"] == "NodePort" || !(spec["externalIPs"]?.array ?? []).isEmpty
        }
        func isChecked(_ spec: JSON) -> Bool { isBalanced(spec) && spec["externalTrafficPolicy"] == "Local" }
        let needs: [(field: String, by: (JSON) -> Bool)] = [
            ("externalTrafficPolicy", isExternal), ("healthCheckNodePort", isChecked),
            ("allocateLoadBalancerNodePorts", isBalanced), ("loadBalancerClass", isBalanced),
        ]
        let wanted = spec
        for (field, by) in needs where by(before) && !by(wanted) && wanted[field] == before[field] { spec[field] = nil }
    }

    /// clusterIP is the old, single form of clusterIPs: whichever is given decides the other.
    static func mirrorAddresses(_ spec: inout JSON) {
        let single = spec["clusterIP"]?.string ?? ""
        let all = spec["clusterIPs"]?.array ?? []
        if !single.isEmpty, all.isEmpty {
            spec["clusterIPs"] = [.string(single)]
        } else if single.isEmpty, let first = all.first {
            spec["clusterIP"] = first
        }
    }

    /// Single stack, in the family of the given address, IPv4 when there is none. The allocator of the API server may
    /// choose otherwise before it calls the validation.
    static func setFamilies(_ spec: inout JSON) {
        guard spec["type"] != "ExternalName" else { return }
        let addresses = (spec["clusterIPs"]?.strings ?? []).compactMap { IPAddress($0) }
        if spec["ipFamilies"] == nil {
            let families = addresses.map { JSON.string($0.isV6 ? "IPv6" : "IPv4") }
            spec["ipFamilies"] = .array(families.isEmpty ? ["IPv4"] : families)
        }
        if spec["ipFamilyPolicy"] == nil {
            let dual = (spec["ipFamilies"]?.array ?? []).count > 1
            spec["ipFamilyPolicy"] = dual ? "RequireDualStack" : "SingleStack"
        }
    }

    private static func portKey(_ port: JSON) -> String {
        "\(port["protocol"]?.string ?? "")/\(port["port"]?.int ?? 0)"
    }

    private static func keepNodePorts(_ spec: inout JSON, _ old: JSON) {
        let given = Set((spec["ports"]?.array ?? []).compactMap { $0["nodePort"]?.int })
        var known: [String: Int64] = [:]
        for port in old["ports"]?.array ?? [] { known[portKey(port)] = port["nodePort"]?.int }
        spec.modifyEach("ports") { port in
            if port["nodePort"]?.int ?? 0 == 0, let number = known[portKey(port)], !given.contains(number) {
                port["nodePort"] = .int(number)
            }
        }
    }

    private static func dropNodePorts(_ spec: inout JSON, _ old: JSON) {
        let known = Set((old["ports"]?.array ?? []).compactMap { $0["nodePort"]?.int })
        spec.modifyEach("ports") { port in
            if let number = port["nodePort"]?.int, known.contains(number) { port["nodePort"] = nil }
        }
    }
}

public struct ConfigMapStrategy: ResourceStrategy {
    public init() {}

    public func validate(_ object: JSON) -> [FieldError] { DataRules.configMap(object) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        DataRules.immutable(object, old, ["data", "binaryData"]) + DataRules.configMap(object)
    }
}

public struct SecretStrategy: ResourceStrategy {
    public init() {}

    public var fieldLabels: [String] { ["type"] }

    /// stringData is write only: it goes into data, encoded.
    public func setDefaults(_ object: inout JSON) {
        object.setDefault("type", "Opaque")
        guard let plain = object["stringData"]?.object else { return }
        for (key, value) in plain {
            object.set("data", key, to: .string(Base64.encode(Array((value.string ?? "").utf8))))
        }
        object["stringData"] = nil
    }

    /// A type that is left out in an update stays.
    public func prepareForUpdate(_ object: inout JSON, old: JSON, target: WriteTarget) {
        if (object["type"]?.string ?? "").isEmpty { object["type"] = old["type"] }
    }

    public func validate(_ object: JSON) -> [FieldError] { DataRules.secret(object) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        Rules.immutable(object, old, "type", FieldPath("")) + DataRules.immutable(object, old, ["data"])
            + DataRules.secret(object)
    }
}

public struct ServiceAccountStrategy: ResourceStrategy {
    public init() {}
}

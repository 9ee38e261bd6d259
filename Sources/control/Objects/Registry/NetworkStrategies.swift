// networking.k8s.io/v1, and Endpoints.

import System

public struct IngressStrategy: ResourceStrategy {
    public init() {}

    public func prepareForCreate(_ object: inout JSON) { object["status"] = ["loadBalancer": [:]] }

    public func validate(_ object: JSON) -> [FieldError] {
        NetworkRules.oneIngressClass(object) + NetworkRules.ingress(object["spec"])
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus ? [] : NetworkRules.ingress(object["spec"])
    }
}

public struct IngressClassStrategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.modify("spec") { $0.modify("parameters") { $0.setDefault("scope", "Cluster") } }
    }

    public func validate(_ object: JSON) -> [FieldError] { NetworkRules.ingressClass(object["spec"]) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        validate(object) + Rules.immutable(object["spec"], old["spec"], "controller", "spec")
    }
}

public struct NetworkPolicyStrategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.modify("spec") { spec in
            for direction in ["ingress", "egress"] {
                spec.modifyEach(direction) { rule in rule.modifyEach("ports") { $0.setDefault("protocol", "TCP") } }
            }
            if (spec["policyTypes"]?.array ?? []).isEmpty {
                let hasEgress = !(spec["egress"]?.array ?? []).isEmpty
                spec["policyTypes"] = hasEgress ? ["Ingress", "Egress"] : ["Ingress"]
            }
        }
    }

    public func validate(_ object: JSON) -> [FieldError] { NetworkRules.policy(object["spec"]) }
}

public struct ServiceCIDRStrategy: ResourceStrategy {
    public var statusKeepsMetadata: Bool { true }
    public init() {}

    public func validate(_ object: JSON) -> [FieldError] {
        let path: FieldPath = "spec.cidrs"
        let ranges = object.at("spec", "cidrs")?.strings ?? []
        if ranges.isEmpty { return [.required(path, "at least one CIDR required")] }
        if ranges.count > 2 { return [.invalid(path, object.at("spec", "cidrs"), "may only hold up to 2 values")] }
        let parsed = ranges.compactMap { CIDR($0) }
        if parsed.count == 2, parsed[0].address.isV6 == parsed[1].address.isV6 {
            return [
                .invalid(
                    path, object.at("spec", "cidrs"),
                    "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64")
            ]
        }
        return ranges.enumerated().filter { CIDR($1) == nil }.map {
            .invalid(path[$0], .string($1), NetworkRules.cidrText)
        }
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        target.isStatus ? [] : Rules.immutable(object["spec"], old["spec"], "cidrs", "spec")
    }
}

public struct IPAddressStrategy: ResourceStrategy {
    public init() {}

    /// The name is the address; the rule for it says more than one for names would.
    public var nameRule: NameRule { .pathSegment }

    public func validate(_ object: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        let name = object.at("metadata", "name")?.string ?? ""
        if IPAddress(name)?.description != name {
            errors.append(.invalid("metadata.name", .string(name), "must be a valid IP address in canonical form"))
        }
        guard let parent = object.at("spec", "parentRef") else {
            errors.append(.required("spec.parentRef"))
            return errors
        }
        for key in ["resource", "name"] where (parent[key]?.string ?? "").isEmpty {
            errors.append(.required(FieldPath("spec.parentRef").child(key)))
        }
        return errors
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        Rules.immutable(object["spec"], old["spec"], "parentRef", "spec")
    }
}

public struct EndpointsStrategy: ResourceStrategy {
    public var allowsCreateOnUpdate: Bool { true }
    public init() {}

    public func setDefaults(_ object: inout JSON) {
        object.modifyEach("subsets") { subset in subset.modifyEach("ports") { $0.setDefault("protocol", "TCP") } }
    }

    public func validate(_ object: JSON) -> [FieldError] { NetworkRules.endpoints(object["subsets"]?.array ?? []) }
}

// The rules of events, leases and EndpointSlices (pkg/apis/{core,events,coordination,discovery}/validation).

import System

enum OtherRules {
    static func event(_ event: JSON) -> [FieldError] {
        let namespace = event.at("metadata", "namespace")?.string ?? ""
        let involved = event.at("involvedObject", "namespace")?.string ?? ""
        return eventNamespace(namespace, involved, FieldPath("involvedObject").child("namespace"))
    }

    /// Events of cluster-scoped objects live in "default".
    private static func eventNamespace(_ namespace: String, _ involved: String, _ path: FieldPath) -> [FieldError] {
        if involved.isEmpty {
            return ["default", "kube-system", ""].contains(namespace)
                ? [] : [.invalid(path, .string(involved), "does not match event.namespace")]
        }
        return namespace == involved ? [] : [.invalid(path, .string(involved), "does not match event.namespace")]
    }

    static func groupEvent(_ event: JSON) -> [FieldError] {
        var errors = eventNamespace(
            event.at("metadata", "namespace")?.string ?? "", event.at("regarding", "namespace")?.string ?? "",
            "involvedObject.namespace")
        if event["eventTime"] == nil { errors.append(.required("eventTime")) }
        for key in ["reportingController", "reportingInstance", "action", "reason"] {
            let text = event[key]?.string ?? ""
            if text.isEmpty { errors.append(.required(FieldPath(key))) }
        }
        if let name = event["reportingController"]?.string, !name.isEmpty {
            errors.invalid("reportingController", .string(name), Names.qualifiedName(name))
        }
        for (key, limit) in [("reportingInstance", 128), ("action", 128), ("reason", 128), ("note", 1024)] {
            if let text = event[key]?.string, text.utf8.count > limit {
                errors.append(.invalid(FieldPath(key), "", "can have at most \(limit) characters"))
            }
        }
        let type = event["type"]?.string ?? ""
        if !["Normal", "Warning"].contains(type) {
            errors.append(.invalid("type", "", "has invalid value: \(type)"))
        }
        for key in ["deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount", "deprecatedSource"] {
            let given = event[key]
            if given != nil, given != 0, given != [:] {
                errors.append(.invalid(FieldPath(key), given!, "needs to be unset"))
            }
        }
        return errors
    }

    /// Of a newer event only the series may change.
    static func groupEventUpdate(_ event: JSON, old: JSON) -> [FieldError] {
        [
            "eventTime", "reportingController", "reportingInstance", "action", "reason", "regarding", "related",
            "note", "type",
        ].flatMap { Rules.immutable(event, old, $0, FieldPath("")) }
    }

    static func lease(_ spec: JSON?) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors: [FieldError] = []
        if let duration = spec?["leaseDurationSeconds"]?.int, duration <= 0 {
            errors.append(.invalid(path.child("leaseDurationSeconds"), .int(duration), "must be greater than 0"))
        }
        errors += Rules.nonNegative(spec, ["leaseTransitions"], path)
        if let strategy = spec?["strategy"]?.string, strategy != "OldestEmulationVersion", !strategy.contains("/") {
            errors.append(.notSupported(path.child("strategy"), .string(strategy), ["OldestEmulationVersion"]))
        }
        return errors
    }

    // MARK: EndpointSlice

    private static let maxEndpoints = 1000
    private static let maxAddresses = 100
    private static let maxPorts = 20000

    static func endpointSlice(_ slice: JSON) -> [FieldError] {
        let types = ["FQDN", "IPv4", "IPv6"]
        var errors = Rules.oneOf(slice, "addressType", types, FieldPath(""))
        let type = slice["addressType"]?.string ?? ""
        let endpoints = slice["endpoints"]?.array ?? []
        if endpoints.count > maxEndpoints {
            errors.append(.tooMany("endpoints", actual: endpoints.count, limit: maxEndpoints))
            return errors
        }
        for (index, endpoint) in endpoints.enumerated() {
            errors += self.endpoint(endpoint, type, FieldPath("endpoints")[index])
        }
        return errors + ports(slice["ports"]?.array ?? [])
    }

    private static func endpoint(_ endpoint: JSON, _ type: String, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        let addresses = endpoint["addresses"]?.strings ?? []
        if addresses.isEmpty {
            errors.append(.required(path.child("addresses"), "must contain at least 1 address"))
        } else if addresses.count > maxAddresses {
            errors.append(.tooMany(path.child("addresses"), actual: addresses.count, limit: maxAddresses))
        }
        for (index, text) in addresses.enumerated() {
            let path = path.child("addresses")[index]
            switch type {
            case "IPv4", "IPv6":
                guard let address = IPAddress(text) else {
                    errors.append(.invalid(path, .string(text), Rules.ipText))
                    continue
                }
                if address.isV6 != (type == "IPv6") {
                    errors.append(.invalid(path, .string(text), "must be an \(type) address"))
                }
                if address.isLoopback {
                    errors.append(
                        .invalid(path, .string(text), "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
                }
            case "FQDN": errors.invalid(path, .string(text), Names.dns1123Subdomain(text))
            default: break
            }
        }
        if let node = endpoint["nodeName"]?.string {
            errors.invalid(path.child("nodeName"), .string(node), Names.dns1123Subdomain(node))
        }
        if let name = endpoint["hostname"]?.string {
            errors.invalid(path.child("hostname"), .string(name), Names.dns1123Label(name))
        }
        for list in ["forZones", "forNodes"] {
            for (index, hint) in (endpoint.at("hints", list)?.array ?? []).enumerated() {
                guard let name = hint["name"]?.string else { continue }
                errors.invalid(path.child("hints", list)[index].child("name"), .string(name), Names.labelValue(name))
            }
        }
        return errors
    }

    private static func ports(_ ports: [JSON]) -> [FieldError] {
        var errors: [FieldError] = []
        if ports.count > maxPorts {
            errors.append(.tooMany("ports", actual: ports.count, limit: maxPorts))
            return errors
        }
        var names: Set<String> = []
        for (index, port) in ports.enumerated() {
            let path = FieldPath("ports")[index]
            let name = port["name"]?.string ?? ""
            if !name.isEmpty { errors.invalid(path.child("name"), .string(name), Names.dns1123Label(name)) }
            if !names.insert(name).inserted { errors.append(.duplicate(path.child("name"), .string(name))) }
            errors += Rules.oneOf(port, "protocol", ["SCTP", "TCP", "UDP"], path)
            if let number = port["port"]?.int {
                errors.invalid(path.child("port"), .int(number), Names.portNumber(number))
            }
        }
        return errors
    }
}

// The rules of Services (pkg/apis/core/validation, ValidateService).

import System

enum ServiceRules {
    /// The ports that node ports may be; the one Kubernetes has by default.
    static let nodePortRange: ClosedRange<Int64> = 30000...32767

    static func validate(_ spec: JSON?) -> [FieldError] {
        let path: FieldPath = "spec"
        let type = spec?["type"]?.string ?? ""
        let isHeadless = spec?["clusterIP"]?.string == "None"
        let ports = spec?["ports"]?.array ?? []
        var errors: [FieldError] = []
        if ports.isEmpty, !isHeadless, type != "ExternalName" { errors.append(.required(path.child("ports"))) }
        if type == "LoadBalancer" || type == "NodePort", isHeadless {
            errors.append(
                .invalid(
                    path.child("clusterIPs")[0], "None",
                    "may not be set to 'None' for \(type == "NodePort" ? "NodePort" : "LoadBalancer") services"))
        }
        errors += self.ports(ports, type, path.child("ports"))
        errors += MetadataRules.labels(spec?["selector"], path.child("selector"))
        errors += Rules.oneOf(spec, "sessionAffinity", ["ClientIP", "None"], path)
        errors += affinity(spec, path)
        errors += Rules.oneOf(spec, "type", ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], path)
        errors += addresses(spec, type, path)
        errors += policies(spec, type, path)
        return errors
    }

    private static func ports(_ ports: [JSON], _ type: String, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        var names: Set<String> = []
        var numbers: Set<String> = []
        var nodePorts: Set<String> = []
        for (index, port) in ports.enumerated() {
            let path = path[index]
            let name = port["name"]?.string ?? ""
            if name.isEmpty {
                if ports.count > 1 { errors.append(.required(path.child("name"))) }
            } else {
                errors.invalid(path.child("name"), .string(name), Names.dns1123Label(name))
                if !names.insert(name).inserted { errors.append(.duplicate(path.child("name"), .string(name))) }
            }
            let number = port["port"]?.int ?? 0
            errors.invalid(path.child("port"), .int(number), Names.portNumber(number))
            errors += Rules.oneOf(port, "protocol", ["SCTP", "TCP", "UDP"], path)
            errors += Rules.portOrName(port["targetPort"], path.child("targetPort"))
            if let app = port["appProtocol"]?.string {
                errors.invalid(path.child("appProtocol"), .string(app), Names.qualifiedName(app))
            }
            let transport = port["protocol"]?.string ?? ""
            if !numbers.insert("\(transport)/\(number)").inserted {
                errors.append(.duplicate(path, ["port": .int(number), "protocol": .string(transport)]))
            }
            let nodePort = port["nodePort"]?.int ?? 0
            guard nodePort != 0 else { continue }
            errors += self.nodePort(nodePort, type, path.child("nodePort"))
            if !nodePorts.insert("\(transport)/\(nodePort)").inserted {
                errors.append(.duplicate(path.child("nodePort"), .int(nodePort)))
            }
        }
        return errors
    }

    private static func nodePort(_ port: Int64, _ type: String, _ path: FieldPath) -> [FieldError] {
        if type == "ClusterIP" { return [.forbidden(path, "may not be used when `type` is 'ClusterIP'")] }
        if type == "ExternalName" { return [.forbidden(path, "may not be used when `type` is 'ExternalName'")] }
        if nodePortRange.contains(port) { return [] }
        return [
            .invalid(
                path, .int(port),
                "provided port is not in the valid range. The range of valid ports is "
                    + "\(nodePortRange.lowerBound)-\(nodePortRange.upperBound)")
        ]
    }

    private static func affinity(_ spec: JSON?, _ path: FieldPath) -> [FieldError] {
        let config = spec?["sessionAffinityConfig"]
        if spec?["sessionAffinity"] == "None", config != nil {
            return [
                .forbidden(
                    path.child("sessionAffinityConfig"),
                    "must not be set when session affinity is None")
            ]
        }
        guard spec?["sessionAffinity"] == "ClientIP", let seconds = config?.at("clientIP", "timeoutSeconds")?.int,
            !(1...86400 ~= seconds)
        else { return [] }
        return [
            .invalid(
                path.child("sessionAffinityConfig", "clientIP", "timeoutSeconds"), .int(seconds),
                "must be greater than 0 and less than 86400")
        ]
    }

    private static func addresses(_ spec: JSON?, _ type: String, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        let clusterIPs = spec?["clusterIPs"]?.strings ?? []
        let clusterIP = spec?["clusterIP"]?.string ?? ""
        if type == "ExternalName" {
            if !clusterIPs.isEmpty {
                errors.append(
                    .forbidden(
                        path.child("clusterIPs")[0],
                        "may not be set for services with type ExternalName"))
            }
            let name = spec?["externalName"]?.string ?? ""
            if name.isEmpty {
                errors.append(.required(path.child("externalName")))
            } else {
                let host = name.hasSuffix(".") ? String(name.dropLast()) : name
                errors.invalid(path.child("externalName"), .string(name), Names.dns1123Subdomain(host))
            }
            return errors
        }
        if let first = clusterIPs.first, first != clusterIP {
            errors.append(
                .invalid(
                    path.child("clusterIPs"), .array(clusterIPs.map(JSON.string)),
                    "first value must match `clusterIP`"))
        }
        if clusterIPs.count > 2 {
            errors.append(
                .invalid(path.child("clusterIPs"), .array(clusterIPs.map(JSON.string)), "may only hold up to 2 values"))
        }
        for (index, text) in clusterIPs.enumerated() where !(index == 0 && text == "None") && IPAddress(text) == nil {
            errors.append(.invalid(path.child("clusterIPs")[index], .string(text), Rules.ipText))
        }
        errors += Rules.oneOf(
            spec, "ipFamilyPolicy", ["PreferDualStack", "RequireDualStack", "SingleStack"], path, required: false)
        for (index, family) in (spec?["ipFamilies"]?.strings ?? []).enumerated()
        where family != "IPv4" && family != "IPv6" {
            errors.append(
                .notSupported(path.child("ipFamilies")[index], .string(family), ["IPv4", "IPv6"]))
        }
        for (index, text) in (spec?["externalIPs"]?.strings ?? []).enumerated() {
            let path = path.child("externalIPs")[index]
            guard let address = IPAddress(text) else {
                errors.append(.invalid(path, .string(text), Rules.ipText))
                continue
            }
            if address.isLoopback {
                errors.append(
                    .invalid(path, .string(text), "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
            }
        }
        return errors
    }

    private static func policies(_ spec: JSON?, _ type: String, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        errors += Rules.oneOf(spec, "internalTrafficPolicy", ["Cluster", "Local"], path, required: false)
        errors += Rules.oneOf(spec, "externalTrafficPolicy", ["Cluster", "Local"], path, required: false)
        let isExternal =
            type == "NodePort" || type == "LoadBalancer" || !(spec?["externalIPs"]?.array ?? []).isEmpty
        if spec?["externalTrafficPolicy"] != nil, !isExternal {
            errors.append(
                .invalid(
                    path.child("externalTrafficPolicy"), spec?["externalTrafficPolicy"] ?? .null,
                    "may only be set for externally-accessible services"))
        }
        if type != "LoadBalancer" {
            for key in ["loadBalancerClass", "allocateLoadBalancerNodePorts"] where spec?[key] != nil {
                errors.append(.forbidden(path.child(key), "may only be used when `type` is 'LoadBalancer'"))
            }
            if !(spec?["loadBalancerSourceRanges"]?.array ?? []).isEmpty {
                errors.append(
                    .forbidden(
                        path.child("loadBalancerSourceRanges"), "may only be used when `type` is 'LoadBalancer'"))
            }
        }
        if let port = spec?["healthCheckNodePort"]?.int, port != 0,
            type != "LoadBalancer" || spec?["externalTrafficPolicy"] != "Local"
        {
            errors.append(
                .invalid(
                    path.child("healthCheckNodePort"), .int(port),
                    "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
        }
        errors += Rules.oneOf(
            spec, "trafficDistribution", ["PreferClose", "PreferSameNode", "PreferSameZone"], path, required: false)
        return errors
    }

    static func validateUpdate(_ spec: JSON?, old: JSON?) -> [FieldError] {
        // Changing to or from ExternalName releases or allocates addresses.
        guard spec?["type"] != "ExternalName", old?["type"] != "ExternalName" else { return [] }
        let path: FieldPath = "spec"
        var errors: [FieldError] = []
        let before = old?["clusterIPs"]?.strings ?? []
        let now = spec?["clusterIPs"]?.strings ?? []
        if let first = before.first, !first.isEmpty, first != now.first {
            errors.append(
                .invalid(
                    path.child("clusterIPs")[0], .array(now.map(JSON.string)), "may not change once set"))
        }
        let families = old?["ipFamilies"]?.array ?? []
        if let first = families.first, first != spec?["ipFamilies"]?[0] {
            errors.append(
                .invalid(path.child("ipFamilies")[0], spec?["ipFamilies"] ?? .null, "may not change once set"))
        }
        return errors
    }
}

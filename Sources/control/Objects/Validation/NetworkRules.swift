// The rules of Ingresses, NetworkPolicies and Endpoints (pkg/apis/{networking,core}/validation).

import System

enum NetworkRules {
    /// "acme.io/foo": who it is that does something.
    static func domainPrefixedPath(_ text: String, _ path: FieldPath) -> [FieldError] {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        if parts.count < 2 || parts[0].isEmpty || parts[1].isEmpty {
            return [.invalid(path, .string(text), "must be a domain-prefixed path (such as \"acme.io/foo\")")]
        }
        var errors: [FieldError] = []
        errors.invalid(path, .string(text), Names.dns1123Subdomain(parts[0]))
        return errors
    }

    static let cidrText = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"

    // MARK: Ingress

    static func oneIngressClass(_ object: JSON) -> [FieldError] {
        let annotation = object.at("metadata", "annotations", "kubernetes.io/ingress.class")
        guard let annotation, object.at("spec", "ingressClassName") != nil else { return [] }
        return [
            .invalid(
                FieldPath("metadata.annotations")[key: "kubernetes.io/ingress.class"], annotation,
                "can not be set when the class field is also set")
        ]
    }

    static func ingress(_ spec: JSON?) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors: [FieldError] = []
        let rules = spec?["rules"]?.array ?? []
        if rules.isEmpty, spec?["defaultBackend"] == nil {
            errors.append(
                .invalid(path, .array(rules), "either `defaultBackend` or `rules` must be specified"))
        }
        for (index, rule) in rules.enumerated() { errors += self.rule(rule, path.child("rules")[index]) }
        if let backend = spec?["defaultBackend"] { errors += self.backend(backend, path.child("defaultBackend")) }
        for (index, tls) in (spec?["tls"]?.array ?? []).enumerated() {
            let path = path.child("tls")[index]
            for (index, host) in (tls["hosts"]?.strings ?? []).enumerated() {
                errors.invalid(path.child("hosts")[index], .string(host), hostProblems(host))
            }
            if let name = tls["secretName"]?.string, !name.isEmpty {
                errors.invalid(path.child("secretName"), .string(name), Names.dns1123Subdomain(name))
            }
        }
        if let name = spec?["ingressClassName"]?.string {
            errors.invalid(path.child("ingressClassName"), .string(name), Names.dns1123Subdomain(name))
        }
        return errors
    }

    private static func hostProblems(_ host: String) -> [String] {
        host.contains("*") ? Names.wildcardDNS1123Subdomain(host) : Names.dns1123Subdomain(host)
    }

    private static func rule(_ rule: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        if let host = rule["host"]?.string, !host.isEmpty {
            if Rules.isIP(host) {
                errors.append(.invalid(path.child("host"), .string(host), "must be a DNS name, not an IP address"))
            }
            errors.invalid(path.child("host"), .string(host), hostProblems(host))
        }
        guard let http = rule["http"] else { return errors }
        let paths = http["paths"]?.array ?? []
        if paths.isEmpty { errors.append(.required(path.child("http", "paths"))) }
        for (index, entry) in paths.enumerated() {
            let path = path.child("http", "paths")[index]
            errors += self.path(entry, path)
            errors += backend(entry["backend"] ?? [:], path.child("backend"))
        }
        return errors
    }

    private static func path(_ entry: JSON, _ path: FieldPath) -> [FieldError] {
        guard let type = entry["pathType"]?.string else {
            return [.required(path.child("pathType"), "pathType must be specified")]
        }
        let text = entry["path"]?.string ?? ""
        let path = path.child("path")
        var errors: [FieldError] = []
        switch type {
        case "Exact", "Prefix":
            if !text.hasPrefix("/") { errors.append(.invalid(path, .string(text), "must be an absolute path")) }
            for part in ["//", "/./", "/../", "%2f", "%2F"] where text.contains(part) {
                errors.append(.invalid(path, .string(text), "must not contain '\(part)'"))
            }
            for end in ["/..", "/."] where text.hasSuffix(end) {
                errors.append(.invalid(path, .string(text), "cannot end with '\(end)'"))
            }
        case "ImplementationSpecific":
            if !text.isEmpty, !text.hasPrefix("/") {
                errors.append(.invalid(path, .string(text), "must be an absolute path"))
            }
        default:
            let parent = FieldPath(String(path.description.dropLast(".path".count)))
            errors.append(
                .notSupported(
                    parent.child("pathType"), .string(type), ["Exact", "ImplementationSpecific", "Prefix"]))
        }
        return errors
    }

    private static func backend(_ backend: JSON, _ path: FieldPath) -> [FieldError] {
        let service = backend["service"]
        let resource = backend["resource"]
        switch (service, resource) {
        case (.some, .some): return [.invalid(path, "", "cannot set both resource and service backends")]
        case (nil, nil): return [.invalid(path, "", "resource or service backend is required")]
        case (nil, let resource?):
            return ["kind", "name"].compactMap {
                (resource[$0]?.string ?? "").isEmpty ? .required(path.child("resource", $0)) : nil
            }
        case (let service?, nil):
            let path = path.child("service")
            var errors: [FieldError] = []
            let name = service["name"]?.string ?? ""
            if name.isEmpty {
                errors.append(.required(path.child("name")))
            } else {
                errors.invalid(path.child("name"), .string(name), Names.dns1035Label(name))
            }
            let portName = service.at("port", "name")?.string ?? ""
            let number = service.at("port", "number")?.int ?? 0
            if !portName.isEmpty, number != 0 {
                errors.append(.invalid(path, "", "cannot set both port name & port number"))
            } else if !portName.isEmpty {
                errors.invalid(path.child("port", "name"), .string(portName), Names.portName(portName))
            } else if number != 0 {
                errors.invalid(path.child("port", "number"), .int(number), Names.portNumber(number))
            } else {
                errors.append(.required(path, "port name or number is required"))
            }
            return errors
        }
    }

    static func ingressClass(_ spec: JSON?) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors: [FieldError] = []
        let controller = spec?["controller"]?.string ?? ""
        if controller.isEmpty {
            errors.append(.required(path.child("controller")))
        } else {
            errors += domainPrefixedPath(controller, path.child("controller"))
        }
        if controller.utf8.count > 250 { errors.append(.tooLong(path.child("controller"), limit: 250)) }
        guard let parameters = spec?["parameters"] else { return errors }
        let below = path.child("parameters")
        for key in ["kind", "name"] where (parameters[key]?.string ?? "").isEmpty {
            errors.append(.required(below.child(key)))
        }
        errors += Rules.oneOf(parameters, "scope", ["Cluster", "Namespace"], below)
        let hasNamespace = !(parameters["namespace"]?.string ?? "").isEmpty
        if parameters["scope"] == "Namespace", !hasNamespace {
            errors.append(.required(below.child("namespace"), "`parameters.scope` is set to 'Namespace'"))
        } else if parameters["scope"] == "Cluster", hasNamespace {
            errors.append(.forbidden(below.child("namespace"), "`parameters.scope` is set to 'Cluster'"))
        }
        return errors
    }

    // MARK: NetworkPolicy

    static func policy(_ spec: JSON?) -> [FieldError] {
        let path: FieldPath = "spec"
        var errors = Rules.labelSelector(spec?["podSelector"], path.child("podSelector"))
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            for (index, rule) in (spec?[direction]?.array ?? []).enumerated() {
                let path = path.child(direction)[index]
                for (index, port) in (rule["ports"]?.array ?? []).enumerated() {
                    errors += self.port(port, path.child("ports")[index])
                }
                for (index, peer) in (rule[peers]?.array ?? []).enumerated() {
                    errors += self.peer(peer, path.child(peers)[index])
                }
            }
        }
        let types = spec?["policyTypes"]?.strings ?? []
        if types.count > 2 {
            errors.append(
                .invalid(path.child("policyTypes"), spec?["policyTypes"], "may not specify more than two policyTypes"))
            return errors
        }
        for (index, type) in types.enumerated() where type != "Ingress" && type != "Egress" {
            errors.append(.notSupported(path.child("policyTypes")[index], .string(type), ["Egress", "Ingress"]))
        }
        return errors
    }

    private static func port(_ port: JSON, _ path: FieldPath) -> [FieldError] {
        var errors = Rules.oneOf(port, "protocol", ["SCTP", "TCP", "UDP"], path, required: false)
        if let value = port["port"] { errors += Rules.portOrName(value, path.child("port")) }
        guard let end = port["endPort"]?.int else { return errors }
        let below = path.child("endPort")
        switch port["port"] {
        case nil: errors.append(.invalid(below, .int(end), "may not be specified when `port` is not specified"))
        case .string?: errors.append(.invalid(below, .int(end), "may not be specified when `port` is non-numeric"))
        case let number?:
            if end < number.int ?? 0 {
                errors.append(.invalid(below, .int(end), "must be greater than or equal to `port`"))
            }
            errors.invalid(below, .int(end), Names.portNumber(end))
        }
        return errors
    }

    private static func peer(_ peer: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        let selectors = ["podSelector", "namespaceSelector"].filter { peer[$0] != nil }
        for key in selectors { errors += Rules.labelSelector(peer[key], path.child(key)) }
        guard let block = peer["ipBlock"] else {
            if selectors.isEmpty { errors.append(.required(path, "must specify a peer")) }
            return errors
        }
        if !selectors.isEmpty {
            errors.append(.forbidden(path, "may not specify both ipBlock and another peer"))
        }
        let below = path.child("ipBlock")
        let text = block["cidr"]?.string ?? ""
        if text.isEmpty {
            errors.append(.required(below.child("cidr")))
            return errors
        }
        guard let range = CIDR(text) else {
            errors.append(.invalid(below.child("cidr"), .string(text), cidrText))
            return errors
        }
        for (index, text) in (block["except"]?.strings ?? []).enumerated() {
            let path = below.child("except")[index]
            guard let hole = CIDR(text) else {
                errors.append(.invalid(path, .string(text), cidrText))
                continue
            }
            if !range.contains(hole.address) || hole.prefixLength <= range.prefixLength {
                errors.append(.invalid(path, .string(text), "must be a strict subset of `cidr`"))
            }
        }
        return errors
    }

    // MARK: Endpoints

    static func endpoints(_ subsets: [JSON]) -> [FieldError] {
        var errors: [FieldError] = []
        for (index, subset) in subsets.enumerated() {
            let path = FieldPath("subsets")[index]
            let lists = ["addresses", "notReadyAddresses"]
            if lists.allSatisfy({ (subset[$0]?.array ?? []).isEmpty }) {
                errors.append(.required(path, "must specify `addresses` or `notReadyAddresses`"))
            }
            for list in lists {
                for (index, address) in (subset[list]?.array ?? []).enumerated() {
                    errors += self.address(address, path.child(list)[index])
                }
            }
            let ports = subset["ports"]?.array ?? []
            for (index, port) in ports.enumerated() {
                let path = path.child("ports")[index]
                let name = port["name"]?.string ?? ""
                if name.isEmpty {
                    if ports.count > 1 { errors.append(.required(path.child("name"))) }
                } else {
                    errors.invalid(path.child("name"), .string(name), Names.dns1123Label(name))
                }
                let number = port["port"]?.int ?? 0
                errors.invalid(path.child("port"), .int(number), Names.portNumber(number))
                errors += Rules.oneOf(port, "protocol", ["SCTP", "TCP", "UDP"], path)
            }
        }
        return errors
    }

    private static func address(_ address: JSON, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        let text = address["ip"]?.string ?? ""
        if let parsed = IPAddress(text) {
            if parsed.isLoopback {
                errors.append(
                    .invalid(
                        path.child("ip"), .string(text), "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
            }
        } else {
            errors.append(.invalid(path.child("ip"), .string(text), Rules.ipText))
        }
        if let name = address["hostname"]?.string, !name.isEmpty {
            errors.invalid(path.child("hostname"), .string(name), Names.dns1123Label(name))
        }
        return errors
    }
}

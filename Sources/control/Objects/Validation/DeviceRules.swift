// The rules of resource.k8s.io: what devices a claim asks for, what a class selects, what a driver offers.
//
// Expressions are CEL, which is not compiled here: any text passes. Sizes of lists and names as Kubernetes has them.

enum DeviceRules {
    private static let listLimit = 32
    private static let deviceLimit = 128

    /// `spec.devices` of a claim.
    static func claim(_ devices: JSON?, _ path: FieldPath) -> [FieldError] {
        let requests = devices?["requests"]?.array ?? []
        var errors = unique(requests, path.child("requests"), limit: listLimit) { request($0, $1) }
        let names = references(requests)
        errors += each(devices?["constraints"], path.child("constraints"), limit: listLimit) {
            constraint($0, names, $1)
        }
        return errors
            + each(devices?["config"], path.child("config"), limit: listLimit) {
                self.requests($0, names, $1) + configuration($0, $1)
            }
    }

    /// `spec` of a class.
    static func deviceClass(_ spec: JSON?, _ path: FieldPath) -> [FieldError] {
        selectors(spec?["selectors"], path.child("selectors"))
            + each(spec?["config"], path.child("config"), limit: listLimit) { configuration($0, $1) }
    }

    /// `spec` of a slice.
    static func slice(_ spec: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors = driver(spec?["driver"], path.child("driver"))
        errors += pool(spec?["pool"], path.child("pool"))
        let ways = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"]
        let rule = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
        let chosen = ways.filter { way in spec?[way] != nil && spec?[way] != "" && spec?[way] != .bool(false) }
        if chosen.isEmpty {
            errors.append(.required(path, rule))
        } else if chosen.count > 1 {
            let shown = "{" + chosen.map { "`\($0)`" }.joined(separator: ", ") + "}"
            errors.append(.invalid(path, .string(shown), rule + ", but multiple fields are set"))
        }
        if let name = spec?["nodeName"]?.string, !name.isEmpty {
            errors.invalid(path.child("nodeName"), .string(name), Names.dns1123Subdomain(name))
        }
        return errors
            + unique(spec?["devices"]?.array ?? [], path.child("devices"), limit: deviceLimit) {
                label($0["name"], $1.child("name"))
            }
    }

    // MARK: Parts

    private static func request(_ request: JSON, _ path: FieldPath) -> [FieldError] {
        var errors = label(request["name"], path.child("name"))
        let alternatives = request["firstAvailable"]?.array ?? []
        let rule = "exactly one of `exactly` or `firstAvailable` is required"
        switch (request["exactly"], alternatives.isEmpty) {
        case (nil, true): errors.append(.required(path, rule))
        case (_?, false): errors.append(.invalid(path, .null, rule + ", but multiple fields are set"))
        case (let exact?, true): errors += device(exact, path.child("exactly"))
        case (nil, false):
            errors += unique(alternatives, path.child("firstAvailable"), limit: 8) {
                label($0["name"], $1.child("name")) + device($0, $1)
            }
        }
        return errors
    }

    /// What one request wants of one class.
    private static func device(_ request: JSON, _ path: FieldPath) -> [FieldError] {
        var errors = subdomain(request["deviceClassName"], path.child("deviceClassName"))
        errors += selectors(request["selectors"], path.child("selectors"))
        let count = request["count"]?.int ?? 0
        let mode = request["allocationMode"]?.string ?? ""
        switch mode {
        case "All":
            if count != 0 {
                errors.append(
                    .invalid(path.child("count"), .int(count), "must not be specified when allocationMode is 'All'"))
            }
        case "ExactCount":
            if count <= 0 { errors.append(.invalid(path.child("count"), .int(count), "must be greater than zero")) }
        default:
            errors.append(.notSupported(path.child("allocationMode"), .string(mode), ["All", "ExactCount"]))
        }
        return errors
    }

    private static func selectors(_ selectors: JSON?, _ path: FieldPath) -> [FieldError] {
        each(selectors, path, limit: listLimit) { $0["cel"] == nil ? [.required($1.child("cel"))] : [] }
    }

    private static func constraint(_ constraint: JSON, _ names: Set<String>, _ path: FieldPath) -> [FieldError] {
        var errors = requests(constraint, names, path)
        if constraint["matchAttribute"] == nil, constraint["distinctAttribute"] == nil {
            errors.append(.required(path.child("matchAttribute")))
        }
        return errors
    }

    private static func configuration(_ config: JSON, _ path: FieldPath) -> [FieldError] {
        guard let opaque = config["opaque"] else { return [.required(path.child("opaque"))] }
        let path = path.child("opaque")
        return driver(opaque["driver"], path.child("driver"))
            + (opaque["parameters"] == nil ? [.required(path.child("parameters"))] : [])
    }

    private static func pool(_ pool: JSON?, _ path: FieldPath) -> [FieldError] {
        var errors: [FieldError] = []
        let name = pool?["name"]?.string ?? ""
        if name.isEmpty { errors.append(.required(path.child("name"))) }
        if name.utf8.count > 253 { errors.append(.tooLong(path.child("name"), limit: 253)) }
        for part in name.split(separator: "/", omittingEmptySubsequences: false) where !name.isEmpty {
            errors.invalid(path.child("name"), .string(String(part)), Names.dns1123Subdomain(String(part)))
        }
        let slices = pool?["resourceSliceCount"]?.int ?? 0
        if slices <= 0 {
            errors.append(.invalid(path.child("resourceSliceCount"), .int(slices), "must be greater than zero"))
        }
        if let generation = pool?["generation"]?.int, generation < 0 {
            errors.append(
                .invalid(path.child("generation"), .int(generation), "must be greater than or equal to zero"))
        }
        return errors
    }

    /// A driver's name: a subdomain that fits into a label.
    private static func driver(_ name: JSON?, _ path: FieldPath) -> [FieldError] {
        let errors = subdomain(name, path)
        return (name?.string ?? "").utf8.count > 63 ? errors + [.tooLong(path, limit: 63)] : errors
    }

    private static func subdomain(_ name: JSON?, _ path: FieldPath) -> [FieldError] {
        named(name, path, Names.dns1123Subdomain)
    }

    private static func label(_ name: JSON?, _ path: FieldPath) -> [FieldError] {
        named(name, path, Names.dns1123Label)
    }

    /// - Parameter problems: what is wrong with a name.
    private static func named(
        _ name: JSON?, _ path: FieldPath, _ problems: (String) -> [String]
    ) -> [FieldError] {
        let name = name?.string ?? ""
        if name.isEmpty { return [.required(path)] }
        var errors: [FieldError] = []
        errors.invalid(path, .string(name), problems(name))
        return errors
    }

    // MARK: References

    /// How requests may be named elsewhere: "request", and "request/alternative".
    private static func references(_ requests: [JSON]) -> Set<String> {
        var names: Set<String> = []
        for request in requests {
            let name = request["name"]?.string ?? ""
            names.insert(name)
            for alternative in request["firstAvailable"]?.array ?? [] {
                names.insert("\(name)/\(alternative["name"]?.string ?? "")")
            }
        }
        return names
    }

    private static func requests(_ object: JSON, _ names: Set<String>, _ path: FieldPath) -> [FieldError] {
        (object["requests"]?.strings ?? []).enumerated().filter { !names.contains($1) }.map {
            .invalid(path.child("requests")[$0], .string($1), "must be the name of a request in the claim")
        }
    }

    // MARK: Lists

    private static func each(
        _ list: JSON?, _ path: FieldPath, limit: Int, _ check: (JSON, FieldPath) -> [FieldError]
    ) -> [FieldError] {
        let elements = list?.array ?? []
        if elements.count > limit { return [.tooMany(path, actual: elements.count, limit: limit)] }
        return elements.enumerated().flatMap { check($1, path[$0]) }
    }

    /// The same for elements that are told apart by their name.
    private static func unique(
        _ elements: [JSON], _ path: FieldPath, limit: Int, _ check: (JSON, FieldPath) -> [FieldError]
    ) -> [FieldError] {
        var seen: Set<String> = []
        return each(.array(elements), path, limit: limit) { element, path in
            let name = element["name"]?.string ?? ""
            return check(element, path)
                + (seen.insert(name).inserted ? [] : [.duplicate(path.child("name"), .string(name))])
        }
    }
}

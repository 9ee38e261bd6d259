// What storage drivers say of themselves: per node (CSINode), per topology (CSIStorageCapacity).

enum DriverRules {
    /// A driver's name: letters of either case, else as a subdomain, at most 63 bytes.
    static func name(_ name: String, _ path: FieldPath) -> [FieldError] {
        if name.isEmpty { return [.required(path)] }
        var errors: [FieldError] = []
        if name.utf8.count > 63 { errors.append(.tooLong(path, limit: 63)) }
        errors.invalid(path, .string(name), Names.dns1123Subdomain(name.lowercased()))
        return errors
    }
}

public struct CSINodeStrategy: ResourceStrategy {
    public init() {}

    public func validate(_ object: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        var names: Set<String> = []
        for (index, driver) in (object.at("spec", "drivers")?.array ?? []).enumerated() {
            let path = FieldPath("spec.drivers")[index]
            let name = driver["name"]?.string ?? ""
            errors += DriverRules.name(name, path.child("name"))
            let id = driver["nodeID"]?.string ?? ""
            if id.isEmpty { errors.append(.required(path.child("nodeID"))) }
            if id.utf8.count > 256 {
                errors.append(.invalid(path.child("nodeID"), .string(id), "must be 256 characters or less"))
            }
            errors += Rules.nonNegative(driver["allocatable"], ["count"], path.child("allocatable"))
            if !names.insert(name).inserted { errors.append(.duplicate(path.child("name"), .string(name))) }
            var keys: Set<String> = []
            for key in driver["topologyKeys"]?.strings ?? [] {
                if key.isEmpty { errors.append(.required(path)) }
                if !keys.insert(key).inserted { errors.append(.duplicate(path, .string(key))) }
                errors.invalid(path, .string(key), Names.qualifiedName(key))
            }
        }
        return errors
    }

    /// A driver may come and go; what it said of itself stays, but for what can be allocated.
    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        var errors = validate(object)
        let before = old.at("spec", "drivers")?.array ?? []
        for (index, driver) in (object.at("spec", "drivers")?.array ?? []).enumerated() {
            guard let known = before.first(where: { $0["name"] == driver["name"] }) else { continue }
            if !Rules.same(driver, known, except: ["allocatable"]) {
                errors.append(.invalid(FieldPath("spec.drivers")[index], driver, "field is immutable"))
            }
        }
        return errors
    }
}

public struct CSIStorageCapacityStrategy: ResourceStrategy {
    public init() {}

    public func validate(_ object: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        if let selector = object["nodeTopology"] { errors += Rules.labelSelector(selector, "nodeTopology") }
        let name = object["storageClassName"]?.string ?? ""
        errors.invalid("storageClassName", .string(name), Names.dns1123Subdomain(name))
        if let capacity = Quantity(object["capacity"]), capacity < .zero {
            errors.append(.invalid("capacity", object["capacity"], Rules.nonNegativeText))
        }
        return errors
    }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        validate(object)
            + ["nodeTopology", "storageClassName"].flatMap { Rules.immutable(object, old, $0, FieldPath("")) }
    }
}

// Role, ClusterRole, RoleBinding, ClusterRoleBinding.

public struct RoleStrategy: ResourceStrategy {
    public var allowsCreateOnUpdate: Bool { true }
    public init() {}

    public var nameRule: NameRule { .pathSegment }
    public func validate(_ object: JSON) -> [FieldError] { AccessRules.rules(object["rules"], isNamespaced: true) }
}

public struct ClusterRoleStrategy: ResourceStrategy {
    public var allowsCreateOnUpdate: Bool { true }
    public init() {}

    public var nameRule: NameRule { .pathSegment }
    public func validate(_ object: JSON) -> [FieldError] { AccessRules.clusterRole(object) }
}

public struct RoleBindingStrategy: ResourceStrategy {
    public var allowsCreateOnUpdate: Bool { true }
    private let isNamespaced: Bool

    /// - Parameter isNamespaced: false for ClusterRoleBinding.
    public init(isNamespaced: Bool) { self.isNamespaced = isNamespaced }

    public var nameRule: NameRule { .pathSegment }

    public func setDefaults(_ object: inout JSON) {
        object.modify("roleRef") { $0.setDefault("apiGroup", .string(AccessRules.group)) }
        object.modifyEach("subjects") { subject in
            guard ["User", "Group"].contains(subject["kind"]?.string) else { return }
            subject.setDefault("apiGroup", .string(AccessRules.group))
        }
    }

    public func validate(_ object: JSON) -> [FieldError] { AccessRules.binding(object, isNamespaced: isNamespaced) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        var errors = validate(object)
        if object["roleRef"] != old["roleRef"] {
            errors.append(.invalid("roleRef", object["roleRef"], "cannot change roleRef"))
        }
        return errors
    }
}

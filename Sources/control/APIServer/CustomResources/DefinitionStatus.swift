// The status of a CustomResourceDefinition: which of its names are free, and whether it is served. A pure function.
//
// Names belong to a group: a plural, singular, short name, kind or list kind that another definition of the group has
// been given is not given again. A definition that was established stays so.

internal import Objects
internal import System

enum DefinitionStatus {
    /// The definition with the status it should have; the same value when it has it.
    static func updated(
        _ definition: CustomDefinition, others: [CustomResources.Summary], now: Timestamp
    ) -> JSON {
        var json = definition.json
        let wanted = json.at("spec", "names") ?? [:]
        let conflict = isBuiltIn(definition) ? builtInConflict(wanted) : self.conflict(wanted, others)
        var conditions = json.at("status", "conditions")?.array ?? []
        if let conflict {
            set(&conditions, "NamesAccepted", "False", conflict.reason, conflict.message, now)
        } else {
            set(&conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now)
            json.set("status", "acceptedNames", to: wanted)
        }
        if !definition.isEstablished {
            if conflict == nil {
                set(
                    &conditions, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted",
                    now)
            } else {
                set(&conditions, "Established", "False", "NotAccepted", "not all names are accepted", now)
            }
        }
        if DefinitionApproval.isProtected(definition.group) {
            if let problem = DefinitionApproval.problem(json) {
                set(&conditions, "KubernetesAPIApprovalPolicyConformant", "False", problem.reason, problem.message, now)
            } else {
                set(
                    &conditions, "KubernetesAPIApprovalPolicyConformant", "True", "ApprovedAnnotation",
                    "approved by annotation", now)
            }
        }
        if definition.isTerminating {
            set(
                &conditions, "Terminating", "True", "InstanceDeletionInProgress",
                "CustomResource deletion is in progress", now)
        }
        json.set("status", "conditions", to: .array(conditions))
        return json
    }

    /// A definition that would take the place of a resource that noded has itself, in whatever version. It is never
    /// served: its cache and its deletion would be those of the real objects.
    static func isBuiltIn(_ definition: CustomDefinition) -> Bool {
        let plural = definition.json.at("spec", "names", "plural")?.string
        return Registry.builtIn.contains { $0.id.group == definition.group && $0.id.resource == plural }
    }

    private static func builtInConflict(_ wanted: JSON) -> (reason: String, message: String) {
        ("PluralConflict", "\(Quote.go(wanted["plural"]?.string ?? "")) is a resource of the API server itself")
    }

    private static func conflict(
        _ wanted: JSON, _ others: [CustomResources.Summary]
    ) -> (reason: String, message: String)? {
        var resources: Set<String> = []
        var kinds: Set<String> = []
        for names in others.map(\.acceptedNames) {
            resources.formUnion([names["plural"], names["singular"]].compactMap { $0?.string })
            resources.formUnion(names["shortNames"]?.strings ?? [])
            kinds.formUnion([names["kind"], names["listKind"]].compactMap { $0?.string })
        }
        func taken(_ name: String?, _ set: Set<String>, _ reason: String) -> (String, String)? {
            guard let name, !name.isEmpty, set.contains(name) else { return nil }
            return (reason, "\"\(name)\" is already in use")
        }
        if let found = taken(wanted["plural"]?.string, resources, "PluralConflict") { return found }
        if let found = taken(wanted["singular"]?.string, resources, "SingularConflict") { return found }
        for name in wanted["shortNames"]?.strings ?? [] {
            if let found = taken(name, resources, "ShortNamesConflict") { return found }
        }
        if let found = taken(wanted["kind"]?.string, kinds, "KindConflict") { return found }
        return taken(wanted["listKind"]?.string, kinds, "ListKindConflict")
    }

    private static func set(
        _ conditions: inout [JSON], _ type: String, _ status: String, _ reason: String, _ message: String,
        _ now: Timestamp
    ) {
        let index = conditions.firstIndex { $0["type"]?.string == type }
        var condition: JSON = [
            "type": .string(type), "status": .string(status), "reason": .string(reason), "message": .string(message),
            "lastTransitionTime": .string(now.rfc3339),
        ]
        guard let index else {
            conditions.append(condition)
            return
        }
        if conditions[index]["status"]?.string == status {
            condition["lastTransitionTime"] = conditions[index]["lastTransitionTime"]
        }
        conditions[index] = condition
    }
}

// Events (and their events.k8s.io view), Leases, EndpointSlices.

public struct EventStrategy: ResourceStrategy {
    public init() {}

    public var allowsCreateOnUpdate: Bool { true }
    public var fieldLabels: [String] {
        [
            "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
            "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
            "reportingComponent", "source", "type",
        ]
    }

    public func fieldValue(_ label: String, of object: JSON) -> String {
        guard label == "source" else { return object.fieldText(label) }
        let source = object.fieldText("source.component")
        return source.isEmpty ? object.fieldText("reportingComponent") : source
    }

    public func setDefaults(_ object: inout JSON) {
        // The published schema requires it; kube-apiserver prints it even when nothing was given.
        if object["involvedObject"] == nil { object["involvedObject"] = .object(JSONObject()) }
    }

    public func validate(_ object: JSON) -> [FieldError] { OtherRules.event(object) }
}

/// events.k8s.io/v1: the same objects under newer names. The API server stores what `toStorage` makes.
public struct GroupEventStrategy: ResourceStrategy {
    public init() {}

    public var allowsCreateOnUpdate: Bool { true }
    public var fieldLabels: [String] { ["reason", "regarding.kind", "regarding.name", "reportingController", "type"] }

    public func validate(_ object: JSON) -> [FieldError] { OtherRules.groupEvent(object) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        OtherRules.groupEventUpdate(object, old: old)
    }

    public func toStorage(_ object: JSON) -> JSON { EventView.rename(object, "v1", EventView.names.map { ($1, $0) }) }
    public func fromStorage(_ object: JSON) -> JSON { EventView.rename(object, "events.k8s.io/v1", EventView.names) }
}

/// The two shapes of an event: core/v1 on the left, events.k8s.io/v1 on the right.
enum EventView {
    static let names: [(String, String)] = [
        ("involvedObject", "regarding"), ("message", "note"), ("reportingComponent", "reportingController"),
        ("source", "deprecatedSource"), ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"), ("count", "deprecatedCount"),
    ]

    static func rename(_ object: JSON, _ apiVersion: String, _ names: [(String, String)]) -> JSON {
        var result = object
        for (from, to) in names {
            result[from] = nil
            result[to] = object[from]
        }
        result["apiVersion"] = .string(apiVersion)
        return result
    }
}

public struct LeaseStrategy: ResourceStrategy {
    public init() {}

    public var allowsCreateOnUpdate: Bool { true }
    public var allowsUnconditionalUpdate: Bool { false }

    public func validate(_ object: JSON) -> [FieldError] { OtherRules.lease(object["spec"]) }
}

public struct EndpointSliceStrategy: ResourceStrategy {
    public init() {}

    public func setDefaults(_ object: inout JSON) { Defaults.endpointSlice(&object) }

    public func validate(_ object: JSON) -> [FieldError] { OtherRules.endpointSlice(object) }

    public func validateUpdate(_ object: JSON, old: JSON, target: WriteTarget) -> [FieldError] {
        Rules.immutable(object, old, "addressType", FieldPath("")) + OtherRules.endpointSlice(object)
    }
}

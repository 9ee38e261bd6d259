// The small core kinds: Namespace, ConfigMap, Secret, ServiceAccount, Event.
//
// Not reformatted: one property a line is what makes a view readable.
// swift-format-ignore-file

public import System

/// core/v1 Namespace.
public struct Namespace: APIObject {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }
    public static let kind = GroupVersionKind.namespace
    public static let resource = ResourceID.namespaces

    /// Active or Terminating.
    public var phase: String {
        get { json.at("status", "phase")?.string ?? "" }
        set { json.set("status", "phase", to: .string(newValue)) }
    }
    /// spec.finalizers, which the namespace controller removes when the namespace is empty.
    public var finalizers: [String] {
        get { json.at("spec", "finalizers")?.strings ?? [] }
        set { json.set("spec", "finalizers", to: newValue.isEmpty ? nil : .array(newValue.map(JSON.string))) }
    }
}

/// core/v1 ConfigMap.
public struct ConfigMap: APIObject {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }
    public static let kind = GroupVersionKind.configMap
    public static let resource = ResourceID.configMaps

    public var data: [String: String] { get { map("data") } set { put("data", newValue) } }
    public var immutable: Bool { get { flag("immutable") } set { put("immutable", newValue) } }

    /// Of data and binaryData, the latter decoded; values that are not base64 are left out.
    public var files: [String: [UInt8]] {
        var files = data.mapValues { Array($0.utf8) }
        for (key, value) in map("binaryData") { files[key] = Base64.decode(value) }
        return files
    }
}

/// core/v1 Secret.
public struct Secret: APIObject {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }
    public static let kind = GroupVersionKind.secret
    public static let resource = ResourceID.secrets

    public var type: String { get { text("type", default: "Opaque") } set { put("type", newValue) } }
    public var immutable: Bool { get { flag("immutable") } set { put("immutable", newValue) } }

    /// Decoded; values that are not base64 are left out.
    public var data: [String: [UInt8]] {
        get { map("data").compactMapValues { Base64.decode($0) } }
        set { put("data", newValue.mapValues { Base64.encode($0) }) }
    }
}

/// core/v1 ServiceAccount.
public struct ServiceAccount: APIObject {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }
    public static let kind = GroupVersionKind.serviceAccount
    public static let resource = ResourceID.serviceAccounts

    public var automountServiceAccountToken: Bool? {
        get { optionalFlag("automountServiceAccountToken") }
        set { put("automountServiceAccountToken", newValue) }
    }
    public var imagePullSecrets: [LocalObjectReference] {
        get { views("imagePullSecrets") }
        set { put("imagePullSecrets", newValue) }
    }
    public var secrets: [ObjectReference] { get { views("secrets") } set { put("secrets", newValue) } }
}

/// core/v1 Event.
public struct Event: APIObject {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }
    public static let kind = GroupVersionKind.event
    public static let resource = ResourceID.events

    public var involvedObject: ObjectReference {
        get { ObjectReference(json["involvedObject"] ?? [:]) }
        set { put("involvedObject", newValue) }
    }
    /// Normal or Warning.
    public var type: String { get { text("type") } set { put("type", newValue) } }
    public var reason: String { get { text("reason") } set { put("reason", newValue) } }
    public var message: String { get { text("message") } set { put("message", newValue) } }
    public var action: String { get { text("action") } set { put("action", newValue) } }
    public var count: Int? { get { integer("count") } set { put("count", newValue) } }
    public var firstTimestamp: Timestamp? { get { time("firstTimestamp") } set { put("firstTimestamp", newValue) } }
    public var lastTimestamp: Timestamp? { get { time("lastTimestamp") } set { put("lastTimestamp", newValue) } }
    public var eventTime: Timestamp? { get { time("eventTime") } set { putMicro("eventTime", newValue) } }
    public var reportingComponent: String {
        get { text("reportingComponent") }
        set { put("reportingComponent", newValue) }
    }
    public var reportingInstance: String {
        get { text("reportingInstance") }
        set { put("reportingInstance", newValue) }
    }
    public var source: EventSource { get { EventSource(json["source"] ?? [:]) } set { put("source", newValue) } }
    public var series: JSON? { get { value("series") } set { put("series", newValue) } }
}

/// core/v1 EventSource.
public struct EventSource: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var component: String { get { text("component") } set { put("component", newValue) } }
    public var host: String { get { text("host") } set { put("host", newValue) } }
}

// Typed views: structs that hold the JSON of an object and give its fields names and types.
//
// A view never converts: reading looks into the JSON, writing changes it, and fields no view names stay as they are.
// That is why one `Pod` serves the API server, the scheduler and the kubelet, and why nothing is lost when one of them
// writes a pod back. A field that is missing, null or of another type reads as its zero (empty text, empty list, nil);
// writing a zero removes it, as Kubernetes' `omitempty` does. Where Kubernetes has a default it is the one read here,
// so that code works the same on objects that never went through the API server.

internal import System

/// A struct over a JSON object.
public protocol JSONView: Hashable, Sendable, CustomStringConvertible {
    var json: JSON { get set }
    init(_ json: JSON)
}

/// A view of a whole API object: one that has apiVersion, kind and metadata.
public protocol APIObject: JSONView {
    static var kind: GroupVersionKind { get }
    static var resource: ResourceID { get }
}

extension APIObject {
    /// An empty object of this kind.
    public init(namespace: String = "", name: String) {
        self.init(["apiVersion": .string(Self.kind.apiVersion), "kind": .string(Self.kind.kind)])
        metadata.name = name
        metadata.namespace = namespace
    }

    public var metadata: ObjectMeta {
        get { ObjectMeta(json["metadata"] ?? [:]) }
        set { json["metadata"] = newValue.json }
    }
}

extension JSONView {
    public init() { self.init([:]) }

    public var description: String { json.text }

    // MARK: Reading

    func value(_ key: String) -> JSON? { json[key] }
    func text(_ key: String, default other: String = "") -> String { json[key]?.string ?? other }
    func optionalText(_ key: String) -> String? { json[key]?.string }
    func integer(_ key: String) -> Int? { json[key]?.int.map(Int.init) }
    func flag(_ key: String, default other: Bool = false) -> Bool { json[key]?.bool ?? other }
    func optionalFlag(_ key: String) -> Bool? { json[key]?.bool }
    func texts(_ key: String) -> [String] { json[key]?.strings ?? [] }
    func map(_ key: String) -> [String: String] { json[key]?.stringMap ?? [:] }
    func time(_ key: String) -> Timestamp? { json[key]?.string.flatMap { Timestamp(rfc3339: $0) } }

    func view<View: JSONView>(_ key: String) -> View? {
        guard let value = json[key], case .object = value else { return nil }
        return View(value)
    }

    func views<View: JSONView>(_ key: String) -> [View] { (json[key]?.array ?? []).map(View.init) }

    func quantities(_ key: String) -> [String: Quantity] {
        var result: [String: Quantity] = [:]
        for (name, value) in json[key]?.object ?? JSONObject() { result[name] = Quantity(value) }
        return result
    }

    // MARK: Writing

    mutating func put(_ key: String, _ value: JSON?) { json[key] = value }
    mutating func put(_ key: String, _ value: String) { json[key] = value.isEmpty ? nil : .string(value) }
    mutating func put(_ key: String, _ value: String?) { json[key] = value.map(JSON.string) }
    mutating func put(_ key: String, _ value: Int?) { json[key] = value.map { .int(Int64($0)) } }
    mutating func put(_ key: String, _ value: Bool) { json[key] = .bool(value) }
    mutating func put(_ key: String, _ value: Bool?) { json[key] = value.map(JSON.bool) }
    mutating func put(_ key: String, _ value: [String]) {
        json[key] = value.isEmpty ? nil : .array(value.map(JSON.string))
    }
    mutating func put(_ key: String, _ value: [String: String]) { json[key] = value.isEmpty ? nil : JSON(value) }
    /// meta/v1 Time: whole seconds.
    mutating func put(_ key: String, _ value: Timestamp?) { json[key] = value.map { .string($0.rfc3339) } }
    /// meta/v1 MicroTime.
    mutating func putMicro(_ key: String, _ value: Timestamp?) { json[key] = value.map { .string($0.rfc3339Micro) } }
    mutating func put(_ key: String, _ value: (some JSONView)?) { json[key] = value?.json }
    mutating func put(_ key: String, _ value: [some JSONView]) {
        json[key] = value.isEmpty ? nil : .array(value.map(\.json))
    }
    mutating func put(_ key: String, _ value: [String: Quantity]) {
        json[key] = value.isEmpty ? nil : .object(JSONObject(value.map { ($0.key, .string($0.value.description)) }))
    }
}

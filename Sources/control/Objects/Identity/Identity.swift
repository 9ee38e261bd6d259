// The names of things in the API: resources (what URLs and RBAC say) and kinds (what objects say).
//
// A ResourceID is group, version and plural, a GroupVersionKind group, version and kind. Which belongs to which is the
// registry's knowledge; the constants below are the ones that code must name.

/// A resource as a URL names it: /apis/GROUP/VERSION/…/RESOURCE, the core group being the empty one.
public struct ResourceID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let group: String
    public let version: String
    /// The plural, lower case: `deployments`.
    public let resource: String

    public init(group: String, version: String, resource: String) {
        self.group = group
        self.version = version
        self.resource = resource
    }

    /// Looked up with every request: the version, in which few resources differ, is left to the comparison.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(resource)
        hasher.combine(group)
    }

    /// `apps/v1`, or `v1` for the core group.
    public var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }

    /// `deployments.apps`, or `pods` for the core group: how Kubernetes' messages name a resource.
    public var groupResource: String { group.isEmpty ? resource : "\(resource).\(group)" }

    /// `apps/deployments`, or `/pods`: a name without the version, the same for all versions of a resource.
    public var storageName: String { "\(group)/\(resource)" }

    public var description: String { "\(apiVersion)/\(resource)" }

    public static func < (left: ResourceID, right: ResourceID) -> Bool {
        (left.group, left.version, left.resource) < (right.group, right.version, right.resource)
    }
}

/// A kind as an object names it in apiVersion and kind.
public struct GroupVersionKind: Hashable, Sendable, CustomStringConvertible {
    public let group: String
    public let version: String
    public let kind: String

    public init(group: String, version: String, kind: String) {
        self.group = group
        self.version = version
        self.kind = kind
    }

    /// nil when apiVersion has more than one slash, or one of the two is empty.
    public init?(apiVersion: String, kind: String) {
        let parts = apiVersion.split(separator: "/", omittingEmptySubsequences: false)
        guard !kind.isEmpty, parts.count <= 2, let version = parts.last, !version.isEmpty else { return nil }
        self.init(group: parts.count == 2 ? String(parts[0]) : "", version: String(version), kind: kind)
    }

    /// What the object says of itself; nil when it does not say it.
    public init?(of object: JSON) {
        guard let apiVersion = object["apiVersion"]?.string, let kind = object["kind"]?.string else { return nil }
        self.init(apiVersion: apiVersion, kind: kind)
    }

    /// `apps/v1`, or `v1` for the core group.
    public var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }

    /// `Deployment.apps`, or `Pod` for the core group: how Kubernetes' messages name a kind.
    public var groupKind: String { group.isEmpty ? kind : "\(kind).\(group)" }

    public var description: String { "\(apiVersion), Kind=\(kind)" }

    public static let pod = GroupVersionKind(group: "", version: "v1", kind: "Pod")
    public static let service = GroupVersionKind(group: "", version: "v1", kind: "Service")
    public static let node = GroupVersionKind(group: "", version: "v1", kind: "Node")
    public static let namespace = GroupVersionKind(group: "", version: "v1", kind: "Namespace")
    public static let configMap = GroupVersionKind(group: "", version: "v1", kind: "ConfigMap")
    public static let secret = GroupVersionKind(group: "", version: "v1", kind: "Secret")
    public static let serviceAccount = GroupVersionKind(group: "", version: "v1", kind: "ServiceAccount")
    public static let event = GroupVersionKind(group: "", version: "v1", kind: "Event")
    public static let endpoints = GroupVersionKind(group: "", version: "v1", kind: "Endpoints")
    public static let status = GroupVersionKind(group: "", version: "v1", kind: "Status")
    public static let lease = GroupVersionKind(group: "coordination.k8s.io", version: "v1", kind: "Lease")
    public static let deployment = GroupVersionKind(group: "apps", version: "v1", kind: "Deployment")
    public static let replicaSet = GroupVersionKind(group: "apps", version: "v1", kind: "ReplicaSet")
    public static let endpointSlice = GroupVersionKind(
        group: "discovery.k8s.io", version: "v1", kind: "EndpointSlice")
}

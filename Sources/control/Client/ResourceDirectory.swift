// Which custom resources there are, for controllers that must see every kind: the garbage collector, the namespace
// controller. Built-in kinds are known when a program is compiled; these come and go with their definitions.

public import Objects

/// One custom resource, in the version that clients prefer.
public struct DirectoryEntry: Hashable, Sendable {
    public let resource: ResourceID
    public let kind: String
    public let isNamespaced: Bool
    /// Every served version, preferred first.
    public let versions: [String]
    /// Where its objects hold the wanted number of replicas; nil for one without the subresource scale.
    public let replicasPath: [String]?

    public init(
        resource: ResourceID, kind: String, isNamespaced: Bool, versions: [String], replicasPath: [String]? = nil
    ) {
        self.resource = resource
        self.kind = kind
        self.isNamespaced = isNamespaced
        self.versions = versions
        self.replicasPath = replicasPath
    }

    /// Whether an object with this apiVersion and kind is one of them.
    public func matches(apiVersion: String, kind: String) -> Bool {
        self.kind == kind && versions.contains { "\(resource.group)/\($0)" == apiVersion }
    }
}

public protocol ResourceDirectory: Sendable {
    var customResources: [DirectoryEntry] { get }

    /// One element now, and one after each change; changes that come while nobody reads are told once.
    func changes() -> AsyncStream<Void>
}

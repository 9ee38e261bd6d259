// Node and Lease.
//
// Not reformatted: one property a line is what makes a view readable.
// swift-format-ignore-file

public import System

/// core/v1 Node.
public struct Node: APIObject {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }
    public static let kind = GroupVersionKind.node
    public static let resource = ResourceID.nodes

    public var spec: NodeSpec { get { NodeSpec(json["spec"] ?? [:]) } set { put("spec", newValue) } }
    public var status: NodeStatus { get { NodeStatus(json["status"] ?? [:]) } set { put("status", newValue) } }

    /// The Ready condition is True.
    public var isReady: Bool { status.condition("Ready")?.isTrue ?? false }
}

/// core/v1 NodeSpec.
public struct NodeSpec: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var podCIDR: String { get { text("podCIDR") } set { put("podCIDR", newValue) } }
    public var podCIDRs: [String] { get { texts("podCIDRs") } set { put("podCIDRs", newValue) } }
    public var providerID: String { get { text("providerID") } set { put("providerID", newValue) } }
    public var unschedulable: Bool { get { flag("unschedulable") } set { put("unschedulable", newValue) } }
    public var taints: [Taint] { get { views("taints") } set { put("taints", newValue) } }
}

/// core/v1 NodeStatus.
public struct NodeStatus: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var capacity: [String: Quantity] { get { quantities("capacity") } set { put("capacity", newValue) } }
    public var allocatable: [String: Quantity] {
        get { quantities("allocatable") }
        set { put("allocatable", newValue) }
    }
    public var conditions: [Condition] { get { views("conditions") } set { put("conditions", newValue) } }
    public var addresses: [NodeAddress] { get { views("addresses") } set { put("addresses", newValue) } }
    public var nodeInfo: JSON? { get { value("nodeInfo") } set { put("nodeInfo", newValue) } }
    public var images: JSON? { get { value("images") } set { put("images", newValue) } }
    public var daemonEndpoints: JSON? { get { value("daemonEndpoints") } set { put("daemonEndpoints", newValue) } }

    public func condition(_ type: String) -> Condition? { conditions.first { $0.type == type } }

    /// The first address of a type: InternalIP, ExternalIP or Hostname.
    public func address(_ type: String) -> String? { addresses.first { $0.type == type }?.address }
}

/// core/v1 NodeAddress.
public struct NodeAddress: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var type: String { get { text("type") } set { put("type", newValue) } }
    public var address: String { get { text("address") } set { put("address", newValue) } }
}

/// coordination.k8s.io/v1 Lease.
public struct Lease: APIObject {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }
    public static let kind = GroupVersionKind.lease
    public static let resource = ResourceID.leases

    public var spec: LeaseSpec { get { LeaseSpec(json["spec"] ?? [:]) } set { put("spec", newValue) } }
}

/// coordination.k8s.io/v1 LeaseSpec.
public struct LeaseSpec: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var holderIdentity: String { get { text("holderIdentity") } set { put("holderIdentity", newValue) } }
    public var leaseDurationSeconds: Int? {
        get { integer("leaseDurationSeconds") }
        set { put("leaseDurationSeconds", newValue) }
    }
    public var acquireTime: Timestamp? { get { time("acquireTime") } set { putMicro("acquireTime", newValue) } }
    public var renewTime: Timestamp? { get { time("renewTime") } set { putMicro("renewTime", newValue) } }
    public var leaseTransitions: Int? { get { integer("leaseTransitions") } set { put("leaseTransitions", newValue) } }
}

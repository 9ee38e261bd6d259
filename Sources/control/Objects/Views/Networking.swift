// Service and EndpointSlice.
//
// Not reformatted: one property a line is what makes a view readable.
// swift-format-ignore-file

/// core/v1 Service.
public struct Service: APIObject {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }
    public static let kind = GroupVersionKind.service
    public static let resource = ResourceID.services

    public var spec: ServiceSpec { get { ServiceSpec(json["spec"] ?? [:]) } set { put("spec", newValue) } }
    public var status: JSON? { get { value("status") } set { put("status", newValue) } }
}

/// core/v1 ServiceSpec.
public struct ServiceSpec: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    /// ClusterIP, NodePort, LoadBalancer or ExternalName.
    public var type: String { get { text("type", default: "ClusterIP") } set { put("type", newValue) } }
    /// An address, None for headless, empty before allocation.
    public var clusterIP: String { get { text("clusterIP") } set { put("clusterIP", newValue) } }
    public var clusterIPs: [String] { get { texts("clusterIPs") } set { put("clusterIPs", newValue) } }
    /// IPv4, IPv6
    public var ipFamilies: [String] { get { texts("ipFamilies") } set { put("ipFamilies", newValue) } }
    /// SingleStack, PreferDualStack or RequireDualStack.
    public var ipFamilyPolicy: String { get { text("ipFamilyPolicy") } set { put("ipFamilyPolicy", newValue) } }
    public var selector: [String: String] { get { map("selector") } set { put("selector", newValue) } }
    public var ports: [ServicePort] { get { views("ports") } set { put("ports", newValue) } }
    /// None or ClientIP.
    public var sessionAffinity: String {
        get { text("sessionAffinity", default: "None") }
        set { put("sessionAffinity", newValue) }
    }
    public var externalIPs: [String] { get { texts("externalIPs") } set { put("externalIPs", newValue) } }
    public var externalName: String { get { text("externalName") } set { put("externalName", newValue) } }
    /// Cluster or Local.
    public var externalTrafficPolicy: String {
        get { text("externalTrafficPolicy") }
        set { put("externalTrafficPolicy", newValue) }
    }
    /// Cluster or Local.
    public var internalTrafficPolicy: String {
        get { text("internalTrafficPolicy") }
        set { put("internalTrafficPolicy", newValue) }
    }
    public var trafficDistribution: String {
        get { text("trafficDistribution") }
        set { put("trafficDistribution", newValue) }
    }
    public var healthCheckNodePort: Int? {
        get { integer("healthCheckNodePort") }
        set { put("healthCheckNodePort", newValue) }
    }
    public var loadBalancerIP: String { get { text("loadBalancerIP") } set { put("loadBalancerIP", newValue) } }
    public var loadBalancerClass: String {
        get { text("loadBalancerClass") }
        set { put("loadBalancerClass", newValue) }
    }
    public var loadBalancerSourceRanges: [String] {
        get { texts("loadBalancerSourceRanges") }
        set { put("loadBalancerSourceRanges", newValue) }
    }
    public var publishNotReadyAddresses: Bool {
        get { flag("publishNotReadyAddresses") }
        set { put("publishNotReadyAddresses", newValue) }
    }

    public var isHeadless: Bool { clusterIP == "None" }

    /// Seconds; 10800 when it is not set.
    public var sessionAffinityTimeout: Int {
        json.at("sessionAffinityConfig", "clientIP", "timeoutSeconds")?.int.map(Int.init) ?? 10800
    }
}

/// core/v1 ServicePort.
public struct ServicePort: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
    /// TCP, UDP or SCTP.
    public var `protocol`: String { get { text("protocol", default: "TCP") } set { put("protocol", newValue) } }
    public var port: Int? { get { integer("port") } set { put("port", newValue) } }
    /// A number or the name of a container's port; the port itself when it is not set.
    public var targetPort: JSON? { get { value("targetPort") } set { put("targetPort", newValue) } }
    public var nodePort: Int? { get { integer("nodePort") } set { put("nodePort", newValue) } }
    public var appProtocol: String { get { text("appProtocol") } set { put("appProtocol", newValue) } }
}

/// discovery.k8s.io/v1 EndpointSlice.
public struct EndpointSlice: APIObject {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }
    public static let kind = GroupVersionKind.endpointSlice
    public static let resource = ResourceID.endpointSlices

    /// IPv4, IPv6 or FQDN.
    public var addressType: String { get { text("addressType") } set { put("addressType", newValue) } }
    public var endpoints: [Endpoint] { get { views("endpoints") } set { put("endpoints", newValue) } }
    public var ports: [EndpointPort] { get { views("ports") } set { put("ports", newValue) } }
}

/// discovery.k8s.io/v1 Endpoint.
public struct Endpoint: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var addresses: [String] { get { texts("addresses") } set { put("addresses", newValue) } }
    public var conditions: EndpointConditions {
        get { EndpointConditions(json["conditions"] ?? [:]) }
        set { put("conditions", newValue) }
    }
    public var hostname: String { get { text("hostname") } set { put("hostname", newValue) } }
    public var nodeName: String { get { text("nodeName") } set { put("nodeName", newValue) } }
    public var zone: String { get { text("zone") } set { put("zone", newValue) } }
    public var targetRef: ObjectReference? { get { view("targetRef") } set { put("targetRef", newValue) } }
}

/// discovery.k8s.io/v1 EndpointConditions.
public struct EndpointConditions: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var ready: Bool { get { flag("ready", default: true) } set { put("ready", newValue) } }
    public var serving: Bool? { get { optionalFlag("serving") } set { put("serving", newValue) } }
    public var terminating: Bool { get { flag("terminating") } set { put("terminating", newValue) } }
}

/// discovery.k8s.io/v1 EndpointPort.
public struct EndpointPort: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var `protocol`: String { get { text("protocol", default: "TCP") } set { put("protocol", newValue) } }
    public var port: Int? { get { integer("port") } set { put("port", newValue) } }
    public var appProtocol: String { get { text("appProtocol") } set { put("appProtocol", newValue) } }
}

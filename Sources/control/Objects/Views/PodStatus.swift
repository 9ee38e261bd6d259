// The status of a pod and of its containers, as the kubelet reports it.
//
// Not reformatted: one property a line is what makes a view readable.
// swift-format-ignore-file

public import System

/// core/v1 PodStatus.
public struct PodStatus: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    /// Pending, Running, Succeeded, Failed or Unknown.
    public var phase: String { get { text("phase") } set { put("phase", newValue) } }
    public var reason: String { get { text("reason") } set { put("reason", newValue) } }
    public var message: String { get { text("message") } set { put("message", newValue) } }
    public var conditions: [Condition] { get { views("conditions") } set { put("conditions", newValue) } }
    public var hostIP: String { get { text("hostIP") } set { put("hostIP", newValue) } }
    public var hostIPs: [IPItem] { get { views("hostIPs") } set { put("hostIPs", newValue) } }
    public var podIP: String { get { text("podIP") } set { put("podIP", newValue) } }
    public var podIPs: [IPItem] { get { views("podIPs") } set { put("podIPs", newValue) } }
    public var startTime: Timestamp? { get { time("startTime") } set { put("startTime", newValue) } }
    /// Guaranteed, Burstable or BestEffort.
    public var qosClass: String { get { text("qosClass") } set { put("qosClass", newValue) } }
    public var containerStatuses: [ContainerStatus] {
        get { views("containerStatuses") }
        set { put("containerStatuses", newValue) }
    }
    public var initContainerStatuses: [ContainerStatus] {
        get { views("initContainerStatuses") }
        set { put("initContainerStatuses", newValue) }
    }
    public var ephemeralContainerStatuses: [ContainerStatus] {
        get { views("ephemeralContainerStatuses") }
        set { put("ephemeralContainerStatuses", newValue) }
    }
    public var nominatedNodeName: String {
        get { text("nominatedNodeName") }
        set { put("nominatedNodeName", newValue) }
    }
    public var observedGeneration: Int? {
        get { integer("observedGeneration") }
        set { put("observedGeneration", newValue) }
    }

    public func condition(_ type: String) -> Condition? { conditions.first { $0.type == type } }
}

/// An item of podIPs and hostIPs.
public struct IPItem: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var ip: String { get { text("ip") } set { put("ip", newValue) } }
}

/// core/v1 ContainerStatus.
public struct ContainerStatus: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
    /// noded://ID
    public var containerID: String { get { text("containerID") } set { put("containerID", newValue) } }
    public var image: String { get { text("image") } set { put("image", newValue) } }
    public var imageID: String { get { text("imageID") } set { put("imageID", newValue) } }
    public var ready: Bool { get { flag("ready") } set { put("ready", newValue) } }
    public var started: Bool? { get { optionalFlag("started") } set { put("started", newValue) } }
    public var restartCount: Int? { get { integer("restartCount") } set { put("restartCount", newValue) } }
    public var state: ContainerStateView {
        get { ContainerStateView(json["state"] ?? [:]) }
        set { put("state", newValue) }
    }
    public var lastState: ContainerStateView {
        get { ContainerStateView(json["lastState"] ?? [:]) }
        set { put("lastState", newValue) }
    }
    public var allocatedResources: [String: Quantity] {
        get { quantities("allocatedResources") }
        set { put("allocatedResources", newValue) }
    }
    public var resources: ResourceRequirements? { get { view("resources") } set { put("resources", newValue) } }
}

/// core/v1 ContainerState: one of three; none means waiting.
public struct ContainerStateView: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var waiting: ContainerStateWaiting? { get { view("waiting") } set { put("waiting", newValue) } }
    public var running: ContainerStateRunning? { get { view("running") } set { put("running", newValue) } }
    public var terminated: ContainerStateTerminated? { get { view("terminated") } set { put("terminated", newValue) } }
}

/// core/v1 ContainerStateWaiting.
public struct ContainerStateWaiting: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var reason: String { get { text("reason") } set { put("reason", newValue) } }
    public var message: String { get { text("message") } set { put("message", newValue) } }
}

/// core/v1 ContainerStateRunning.
public struct ContainerStateRunning: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var startedAt: Timestamp? { get { time("startedAt") } set { put("startedAt", newValue) } }
}

/// core/v1 ContainerStateTerminated.
public struct ContainerStateTerminated: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var exitCode: Int? { get { integer("exitCode") } set { put("exitCode", newValue) } }
    public var signal: Int? { get { integer("signal") } set { put("signal", newValue) } }
    /// Completed, Error, OOMKilled, ...
    public var reason: String { get { text("reason") } set { put("reason", newValue) } }
    public var message: String { get { text("message") } set { put("message", newValue) } }
    public var startedAt: Timestamp? { get { time("startedAt") } set { put("startedAt", newValue) } }
    public var finishedAt: Timestamp? { get { time("finishedAt") } set { put("finishedAt", newValue) } }
    public var containerID: String { get { text("containerID") } set { put("containerID", newValue) } }
}

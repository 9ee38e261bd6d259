// Deployment and ReplicaSet.
//
// Not reformatted: one property a line is what makes a view readable.
// swift-format-ignore-file

/// apps/v1 Deployment.
public struct Deployment: APIObject {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }
    public static let kind = GroupVersionKind.deployment
    public static let resource = ResourceID.deployments

    public var spec: DeploymentSpec { get { DeploymentSpec(json["spec"] ?? [:]) } set { put("spec", newValue) } }
    public var status: DeploymentStatus {
        get { DeploymentStatus(json["status"] ?? [:]) }
        set { put("status", newValue) }
    }
}

/// apps/v1 DeploymentSpec with Kubernetes' defaults.
public struct DeploymentSpec: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var paused: Bool { get { flag("paused") } set { put("paused", newValue) } }
    public var selector: JSON? { get { value("selector") } set { put("selector", newValue) } }
    public var template: PodTemplate { get { PodTemplate(json["template"] ?? [:]) } set { put("template", newValue) } }
    public var strategy: DeploymentUpdateStrategy {
        get { DeploymentUpdateStrategy(json["strategy"] ?? [:]) }
        set { put("strategy", newValue) }
    }

    public var replicas: Int { get { integer("replicas") ?? 1 } set { put("replicas", newValue) } }
    /// Seconds.
    public var minReadySeconds: Int {
        get { integer("minReadySeconds") ?? 0 }
        set { put("minReadySeconds", newValue) }
    }
    public var revisionHistoryLimit: Int {
        get { integer("revisionHistoryLimit") ?? 10 }
        set { put("revisionHistoryLimit", newValue) }
    }
    /// Seconds.
    public var progressDeadlineSeconds: Int {
        get { integer("progressDeadlineSeconds") ?? 600 }
        set { put("progressDeadlineSeconds", newValue) }
    }
}

/// apps/v1 DeploymentStrategy.
public struct DeploymentUpdateStrategy: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    /// RollingUpdate or Recreate.
    public var type: String { get { text("type", default: "RollingUpdate") } set { put("type", newValue) } }

    /// A number or a percentage; 25% when it is not set.
    public var maxSurge: JSON { json.at("rollingUpdate", "maxSurge") ?? "25%" }
    /// A number or a percentage; 25% when it is not set.
    public var maxUnavailable: JSON { json.at("rollingUpdate", "maxUnavailable") ?? "25%" }
}

/// apps/v1 DeploymentStatus.
public struct DeploymentStatus: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var observedGeneration: Int? {
        get { integer("observedGeneration") }
        set { put("observedGeneration", newValue) }
    }
    public var replicas: Int? { get { integer("replicas") } set { put("replicas", newValue) } }
    public var updatedReplicas: Int? { get { integer("updatedReplicas") } set { put("updatedReplicas", newValue) } }
    public var readyReplicas: Int? { get { integer("readyReplicas") } set { put("readyReplicas", newValue) } }
    public var availableReplicas: Int? {
        get { integer("availableReplicas") }
        set { put("availableReplicas", newValue) }
    }
    public var unavailableReplicas: Int? {
        get { integer("unavailableReplicas") }
        set { put("unavailableReplicas", newValue) }
    }
    public var terminatingReplicas: Int? {
        get { integer("terminatingReplicas") }
        set { put("terminatingReplicas", newValue) }
    }
    public var collisionCount: Int? { get { integer("collisionCount") } set { put("collisionCount", newValue) } }
    public var conditions: [Condition] { get { views("conditions") } set { put("conditions", newValue) } }
}

/// core/v1 PodTemplateSpec.
public struct PodTemplate: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var metadata: ObjectMeta { get { ObjectMeta(json["metadata"] ?? [:]) } set { put("metadata", newValue) } }
    public var spec: PodSpec { get { PodSpec(json["spec"] ?? [:]) } set { put("spec", newValue) } }
}

/// apps/v1 ReplicaSet.
public struct ReplicaSet: APIObject {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }
    public static let kind = GroupVersionKind.replicaSet
    public static let resource = ResourceID.replicaSets

    public var spec: ReplicaSetSpec { get { ReplicaSetSpec(json["spec"] ?? [:]) } set { put("spec", newValue) } }
    public var status: ReplicaSetStatus {
        get { ReplicaSetStatus(json["status"] ?? [:]) }
        set { put("status", newValue) }
    }
}

/// apps/v1 ReplicaSetSpec.
public struct ReplicaSetSpec: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var selector: JSON? { get { value("selector") } set { put("selector", newValue) } }
    public var template: PodTemplate { get { PodTemplate(json["template"] ?? [:]) } set { put("template", newValue) } }

    public var replicas: Int { get { integer("replicas") ?? 1 } set { put("replicas", newValue) } }
    /// Seconds.
    public var minReadySeconds: Int {
        get { integer("minReadySeconds") ?? 0 }
        set { put("minReadySeconds", newValue) }
    }
}

/// apps/v1 ReplicaSetStatus.
public struct ReplicaSetStatus: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var replicas: Int? { get { integer("replicas") } set { put("replicas", newValue) } }
    public var fullyLabeledReplicas: Int? {
        get { integer("fullyLabeledReplicas") }
        set { put("fullyLabeledReplicas", newValue) }
    }
    public var readyReplicas: Int? { get { integer("readyReplicas") } set { put("readyReplicas", newValue) } }
    public var availableReplicas: Int? {
        get { integer("availableReplicas") }
        set { put("availableReplicas", newValue) }
    }
    public var terminatingReplicas: Int? {
        get { integer("terminatingReplicas") }
        set { put("terminatingReplicas", newValue) }
    }
    public var observedGeneration: Int? {
        get { integer("observedGeneration") }
        set { put("observedGeneration", newValue) }
    }
    public var conditions: [Condition] { get { views("conditions") } set { put("conditions", newValue) } }
}

// What all objects have: metadata, owners, conditions, and the options of a delete.
//
// Not reformatted: one property a line is what makes a view readable.
// swift-format-ignore-file

public import System

/// meta/v1 ObjectMeta.
public struct ObjectMeta: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var generateName: String { get { text("generateName") } set { put("generateName", newValue) } }
    /// Empty for cluster-scoped objects.
    public var namespace: String { get { text("namespace") } set { put("namespace", newValue) } }
    public var uid: String { get { text("uid") } set { put("uid", newValue) } }
    /// Opaque to clients; decimal digits here.
    public var resourceVersion: String { get { text("resourceVersion") } set { put("resourceVersion", newValue) } }
    public var generation: Int? { get { integer("generation") } set { put("generation", newValue) } }
    public var labels: [String: String] { get { map("labels") } set { put("labels", newValue) } }
    public var annotations: [String: String] { get { map("annotations") } set { put("annotations", newValue) } }
    public var creationTimestamp: Timestamp? {
        get { time("creationTimestamp") }
        set { put("creationTimestamp", newValue) }
    }
    /// Set once deletion has begun: when the grace period ends.
    public var deletionTimestamp: Timestamp? {
        get { time("deletionTimestamp") }
        set { put("deletionTimestamp", newValue) }
    }
    public var deletionGracePeriodSeconds: Int? {
        get { integer("deletionGracePeriodSeconds") }
        set { put("deletionGracePeriodSeconds", newValue) }
    }
    public var finalizers: [String] { get { texts("finalizers") } set { put("finalizers", newValue) } }
    public var ownerReferences: [OwnerReference] {
        get { views("ownerReferences") }
        set { put("ownerReferences", newValue) }
    }
    public var managedFields: JSON? { get { value("managedFields") } set { put("managedFields", newValue) } }

    /// Deletion has begun.
    public var isDeleted: Bool { json["deletionTimestamp"]?.string != nil }

    /// The owner that manages this object, if any.
    public var controller: OwnerReference? { ownerReferences.first(where: \.controller) }
}

/// meta/v1 OwnerReference.
public struct OwnerReference: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var apiVersion: String { get { text("apiVersion") } set { put("apiVersion", newValue) } }
    public var kind: String { get { text("kind") } set { put("kind", newValue) } }
    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var uid: String { get { text("uid") } set { put("uid", newValue) } }
    public var controller: Bool { get { flag("controller") } set { put("controller", newValue) } }
    public var blockOwnerDeletion: Bool {
        get { flag("blockOwnerDeletion") }
        set { put("blockOwnerDeletion", newValue) }
    }

    /// A reference to the controller of an object, as controllers make it: it blocks foreground deletion.
    public init(controller owner: some APIObject) {
        self.init([
            "apiVersion": .string(type(of: owner).kind.apiVersion), "kind": .string(type(of: owner).kind.kind),
            "name": .string(owner.metadata.name), "uid": .string(owner.metadata.uid),
            "controller": true, "blockOwnerDeletion": true,
        ])
    }
}

/// A condition of any kind (meta/v1 Condition, PodCondition, NodeCondition, DeploymentCondition).
public struct Condition: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var type: String { get { text("type") } set { put("type", newValue) } }
    /// True, False or Unknown.
    public var status: String { get { text("status") } set { put("status", newValue) } }
    public var reason: String { get { text("reason") } set { put("reason", newValue) } }
    public var message: String { get { text("message") } set { put("message", newValue) } }
    public var lastTransitionTime: Timestamp? {
        get { time("lastTransitionTime") }
        set { put("lastTransitionTime", newValue) }
    }
    /// NodeCondition
    public var lastHeartbeatTime: Timestamp? {
        get { time("lastHeartbeatTime") }
        set { put("lastHeartbeatTime", newValue) }
    }
    /// PodCondition
    public var lastProbeTime: Timestamp? { get { time("lastProbeTime") } set { put("lastProbeTime", newValue) } }
    /// DeploymentCondition
    public var lastUpdateTime: Timestamp? { get { time("lastUpdateTime") } set { put("lastUpdateTime", newValue) } }
    public var observedGeneration: Int? {
        get { integer("observedGeneration") }
        set { put("observedGeneration", newValue) }
    }

    public var isTrue: Bool { status == "True" }

    /// - Parameter now: becomes lastTransitionTime.
    public init(type: String, status: String, reason: String = "", message: String = "", now: Timestamp) {
        self.init(["type": .string(type), "status": .string(status)])
        self.reason = reason
        self.message = message
        lastTransitionTime = now
    }
}

/// core/v1 ObjectReference.
public struct ObjectReference: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var apiVersion: String { get { text("apiVersion") } set { put("apiVersion", newValue) } }
    public var kind: String { get { text("kind") } set { put("kind", newValue) } }
    public var namespace: String { get { text("namespace") } set { put("namespace", newValue) } }
    public var name: String { get { text("name") } set { put("name", newValue) } }
    public var uid: String { get { text("uid") } set { put("uid", newValue) } }
    public var resourceVersion: String { get { text("resourceVersion") } set { put("resourceVersion", newValue) } }
    public var fieldPath: String { get { text("fieldPath") } set { put("fieldPath", newValue) } }

    public init(to object: some APIObject, fieldPath: String = "") {
        self.init([:])
        (apiVersion, kind) = (type(of: object).kind.apiVersion, type(of: object).kind.kind)
        (namespace, name, uid) = (object.metadata.namespace, object.metadata.name, object.metadata.uid)
        (resourceVersion, self.fieldPath) = (object.metadata.resourceVersion, fieldPath)
    }
}

/// meta/v1 DeleteOptions.
public struct DeleteOptions: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    /// nil: the object's own; 0: at once.
    public var gracePeriodSeconds: Int? {
        get { integer("gracePeriodSeconds") }
        set { put("gracePeriodSeconds", newValue) }
    }
    /// Foreground, Background, Orphan, or empty for the kind's default.
    public var propagationPolicy: String {
        get { text("propagationPolicy") }
        set { put("propagationPolicy", newValue) }
    }
    public var orphanDependents: Bool? {
        get { optionalFlag("orphanDependents") }
        set { put("orphanDependents", newValue) }
    }
    public var dryRun: [String] { get { texts("dryRun") } set { put("dryRun", newValue) } }
    public var preconditions: Preconditions? { get { view("preconditions") } set { put("preconditions", newValue) } }

    public init(
        gracePeriodSeconds: Int? = nil, propagationPolicy: String = "", uid: String = "", resourceVersion: String = ""
    ) {
        self.init([:])
        self.gracePeriodSeconds = gracePeriodSeconds
        self.propagationPolicy = propagationPolicy
        guard !uid.isEmpty || !resourceVersion.isEmpty else { return }
        var preconditions = Preconditions([:])
        preconditions.uid = uid
        preconditions.resourceVersion = resourceVersion
        self.preconditions = preconditions
    }
}

/// What must be true of an object for it to be deleted; empty fields do not count.
public struct Preconditions: JSONView {
    public var json: JSON
    public init(_ json: JSON) { self.json = json }

    public var uid: String { get { text("uid") } set { put("uid", newValue) } }
    public var resourceVersion: String { get { text("resourceVersion") } set { put("resourceVersion", newValue) } }
}

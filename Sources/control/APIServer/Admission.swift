// Admission: what a new or changed object must agree with beyond itself. The order of the steps is the list below.
//
// A step may change the object and may refuse it. What it reserves elsewhere (an address) is held until the write is
// over: then either the stored object holds it, or nobody does.

internal import Client
internal import Objects

struct AdmissionRequest {
    enum Operation: Sendable { case create, update, delete }

    let declaration: ResourceDeclaration
    let operation: Operation
    /// "" for cluster scope.
    let namespace: String
    var name = ""
    var target = WriteTarget.main
    /// At delete, the object as it is.
    var object: JSON
    var old: JSON?
    let options: WriteOptions
    private var holds: [@Sendable () -> Void] = []

    init(
        _ declaration: ResourceDeclaration, _ operation: Operation, namespace: String, object: JSON,
        _ options: WriteOptions
    ) {
        self.declaration = declaration
        self.operation = operation
        self.namespace = namespace
        self.object = object
        self.options = options
    }

    /// Something was reserved for this write; `release` is called when the write is over.
    mutating func hold(_ release: @escaping @Sendable () -> Void) { holds.append(release) }

    /// The write is over, stored (the caches have seen it) or not.
    mutating func release() {
        for release in holds.reversed() { release() }
        holds = []
    }
}

protocol AdmissionStep: Sendable {
    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus)
}

enum Admission {
    /// Order matters: the namespace first, addresses (which reserve something) last.
    static let steps: [any AdmissionStep] = [
        NamespaceLifecycle(),
        ServiceAccountAdmission(),
        PriorityAdmission(),
        DefaultTolerationSeconds(),
        ServiceAddressAdmission(),
    ]

    static func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        for step in steps { try step.admit(&request, core) }
    }
}

/// Nothing is created in a namespace that is missing or on its way out, and three namespaces stay.
struct NamespaceLifecycle: AdmissionStep {
    static let immortal: Set<String> = ["default", "kube-system", "kube-public"]

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        if request.operation == .delete, request.declaration.id == .namespaces,
            NamespaceLifecycle.immortal.contains(request.name)
        {
            throw .forbidden(.namespaces, request.name, "this namespace may not be deleted")
        }
        guard request.operation == .create, request.declaration.isNamespaced else { return }
        guard let namespace = core.peek(.namespaces, name: request.namespace) else {
            throw .notFound(.namespaces, request.namespace)
        }
        guard namespace.isTerminating else { return }
        var status = APIStatus.forbidden(
            request.declaration.id, request.name,
            "unable to create new content in namespace \(request.namespace) because it is being terminated")
        status.details?.causes = [
            APIStatus.Cause(
                reason: "NamespaceTerminating", message: "namespace \(request.namespace) is being terminated",
                field: "metadata.namespace")
        ]
        throw status
    }
}

/// A pod runs as a service account: `default` when it names none. Tokens are not mounted yet: projected tokens need
/// the token issuer, which is not there; a pod that mounts one itself is refused by nobody and gets an event from the
/// kubelet.
struct ServiceAccountAdmission: AdmissionStep {
    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        guard request.operation == .create, request.declaration.id == .pods, request.target == .main else { return }
        let spec = request.object["spec"]
        var name = spec?["serviceAccountName"]?.string ?? ""
        if name.isEmpty { name = spec?["serviceAccount"]?.string ?? "" }
        if name.isEmpty { name = "default" }
        request.object.set("spec", "serviceAccountName", to: .string(name))
        request.object.set("spec", "serviceAccount", to: .string(name))
        // `default` is made with its namespace and remade when missing; a pod must not fail in between.
        guard name != "default",
            core.peek(.serviceAccounts, namespace: request.namespace, name: name) == nil
        else { return }
        throw .forbidden(
            .pods, request.name,
            "error looking up service account \(request.namespace)/\(name): serviceaccount \"\(name)\" not found")
    }
}

/// spec.priority from spec.priorityClassName. PriorityClass objects are not served yet; the two built-in ones exist.
struct PriorityAdmission: AdmissionStep {
    static let builtIn: [String: Int64] = [
        "system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000,
    ]

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        guard request.operation == .create, request.declaration.id == .pods, request.target == .main else { return }
        let name = request.object.at("spec", "priorityClassName")?.string ?? ""
        var priority: Int64 = 0
        if !name.isEmpty {
            guard let value = PriorityAdmission.builtIn[name] else {
                throw .forbidden(.pods, request.name, "no PriorityClass with name \(name) was found")
            }
            priority = value
        }
        if let given = request.object.at("spec", "priority")?.int, given != priority {
            throw .forbidden(
                .pods, request.name,
                "the integer value of priority (\(given)) must not be provided in pod spec; "
                    + "priority admission controller computed \(priority) from the given PriorityClass name")
        }
        request.object.set("spec", "priority", to: .int(priority))
        if request.object.at("spec", "preemptionPolicy")?.string == nil {
            request.object.set("spec", "preemptionPolicy", to: "PreemptLowerPriority")
        }
    }
}

/// A pod stays five minutes on a node that is not ready or not reachable, unless it says otherwise.
struct DefaultTolerationSeconds: AdmissionStep {
    static let keys = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        guard request.operation == .create, request.declaration.id == .pods, request.target == .main else { return }
        var tolerations = request.object.at("spec", "tolerations")?.array ?? []
        for key in DefaultTolerationSeconds.keys {
            let tolerated = tolerations.contains { toleration in
                let named = toleration["key"]?.string ?? ""
                let effect = toleration["effect"]?.string ?? ""
                return (named == key || named.isEmpty) && (effect == "NoExecute" || effect.isEmpty)
            }
            if tolerated { continue }
            tolerations.append([
                "key": .string(key), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
            ])
        }
        request.object.set("spec", "tolerations", to: .array(tolerations))
    }
}

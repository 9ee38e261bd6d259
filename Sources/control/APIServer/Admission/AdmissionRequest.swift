// What an admission step sees of a request: who asks, for what, the object and the one it replaces.
//
// What a step reserves elsewhere (an address, quota) is held until the write is over: then either the stored object
// holds it, or nobody does. A dry run reserves nothing: steps look at `options.dryRun`.

internal import Client
internal import Objects

struct AdmissionRequest {
    enum Operation: Hashable, Sendable { case create, update, delete }

    let declaration: ResourceDeclaration
    let operation: Operation
    /// "" for cluster scope.
    let namespace: String
    /// At the create of a subresource (eviction, token), the name of its parent.
    var name = ""
    var target = WriteTarget.main
    /// At delete, the object as it is; at the create of a subresource, what was posted (Eviction, TokenRequest).
    var object: JSON
    var old: JSON?
    /// User, dry run, warnings, audit annotations.
    let options: WriteOptions
    /// The steps that look at this request, once they are known.
    private var chain: [any AdmissionStep]?
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

    var site: AdmissionSite {
        AdmissionSite(
            resource: declaration.id, isNamespaced: declaration.isNamespaced, operation: operation, target: target)
    }

    /// The steps that look at this request, in order.
    mutating func steps(_ core: APICore) -> [any AdmissionStep] {
        if let chain { return chain }
        let steps = core.admission.steps(site)
        chain = steps
        return steps
    }

    /// Something was reserved for this write; `release` is called when the write is over.
    mutating func hold(_ release: @escaping @Sendable () -> Void) { holds.append(release) }

    /// The write is over, stored (the caches have seen it) or not.
    mutating func release() {
        for release in holds.reversed() { release() }
        holds = []
    }

    /// 403 about this request's object, as admission plugins word it.
    func forbidden(_ detail: String) -> APIStatus { .forbidden(declaration.id, name, detail) }
}

/// Where in the API a request is: all that decides which steps look at it.
struct AdmissionSite: Hashable, Sendable {
    let resource: ResourceID
    let isNamespaced: Bool
    let operation: AdmissionRequest.Operation
    let target: WriteTarget

    /// A create or update of this resource itself, not of a subresource.
    func writes(_ id: ResourceID) -> Bool { resource == id && target == .main && operation != .delete }

    func creates(_ id: ResourceID) -> Bool { resource == id && target == .main && operation == .create }
}

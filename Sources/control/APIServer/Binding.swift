// pods/binding (and the older collection `bindings`): a pod gets its node.
//
// decode -> admit the Binding (its site: pods/binding) -> rules ->┬-> read the pod -> preconditions -> assign -> commit
//                                                                 └────────── someone else was faster ──────────┘
//
// Admission sees the Binding, as in Kubernetes, and what it adds to the Binding's labels reaches the pod. The fields
// that change are the binder's in managedFields, through the subresource `binding`. The Binding's uid and
// resourceVersion are preconditions on the pod.
//
// Fails with 409 when the pod has a node, is on its way out, is held by scheduling gates or is not the one that was
// meant; with 422 for a Binding that names no node.

internal import Client
internal import Objects
internal import Store
internal import System

extension APICore {
    /// - Parameter pod: the name in the path; nil for `bindings`, where the Binding names it.
    func bind(_ namespace: String, _ pod: String?, _ body: JSON, _ options: WriteOptions) async throws(APIStatus) {
        let bindings = try declaration(.bindings)
        let pods = try declaration(.pods)
        let decoded = try bindings.decode(body, duplicates: options.duplicates, validation: options.validation)
        options.warnings.add(decoded.warnings)
        var binding = decoded.object
        let named = binding.at("metadata", "name")?.string ?? ""
        let name = pod ?? named
        guard named.isEmpty || named == name else {
            throw .badRequest("name in URL does not match name in Binding object")
        }
        let key = ObjectKey(namespace: try place(&binding, bindings, namespace), name: name)
        var request = AdmissionRequest(pods, .create, namespace: key.namespace, object: binding, options)
        request.name = name
        request.target = .subresource("binding")
        defer { request.release() }
        try Admission.admit(&request, self)
        let errors = bindings.strategy.validate(request.object)
        guard errors.isEmpty else { throw .invalid(bindings.gvk, name, errors) }
        try Admission.validate(&request, self)
        binding = request.object
        while true {
            let current = try object(pods, key)
            let old = current.tree()
            try check(binding, old, pods, key)
            var bound = try PodStrategy.bind(old, binding)
            let conditions = APICore.scheduled(old.at("status", "conditions")?.array ?? [])
            bound.set("status", "conditions", to: .array(conditions))
            try own(changed: &bound, old: old, pods, request.target, options)
            if options.dryRun { return }
            do throws(StoreError) {
                _ = try await put(pods, key, bound, .revision(current.revision))
                return
            } catch {
                if case .conflict = error { continue }
                throw failure(error, pods, name)
            }
        }
    }

    /// The Binding may say which pod of this name it means, and as of when.
    private func check(
        _ binding: JSON, _ pod: JSON, _ pods: ResourceDeclaration, _ key: ObjectKey
    ) throws(APIStatus) {
        for (field, word) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
            let wanted = binding.at("metadata", field)?.string ?? ""
            let present = pod.at("metadata", field)?.string ?? ""
            guard wanted.isEmpty || wanted == present else {
                throw .conflict(
                    pods.id, key.name,
                    "Precondition failed: \(word) in precondition: \(wanted), \(word) in object meta: \(present)")
            }
        }
    }

    /// The pod's conditions with PodScheduled true.
    private static func scheduled(_ conditions: [JSON]) -> [JSON] {
        if conditions.contains(where: { $0["type"]?.string == "PodScheduled" && $0["status"]?.string == "True" }) {
            return conditions
        }
        let condition: JSON = [
            "type": "PodScheduled", "status": "True", "lastProbeTime": .null,
            "lastTransitionTime": .string(Timestamp.now().rfc3339),
        ]
        return conditions.filter { $0["type"]?.string != "PodScheduled" } + [condition]
    }
}

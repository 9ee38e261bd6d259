// Nothing is created in a namespace that is missing or on its way out, and three namespaces stay.

internal import Client
internal import Objects

struct NamespaceLifecycle: AdmissionStep {
    static let immortal: Set<String> = ["default", "kube-system", "kube-public"]

    func concerns(_ site: AdmissionSite) -> Bool {
        switch site.operation {
        case .create: site.isNamespaced
        case .update: false
        case .delete: site.resource == .namespaces && site.target == .main
        }
    }

    func admit(_ request: inout AdmissionRequest, _ core: APICore) throws(APIStatus) {
        if request.operation == .delete {
            guard NamespaceLifecycle.immortal.contains(request.name) else { return }
            throw request.forbidden("this namespace may not be deleted")
        }
        // A review asks a question and leaves nothing behind; an answer here would tell of namespaces.
        guard request.declaration.id != .localSubjectAccessReviews else { return }
        guard let namespace = core.peek(.namespaces, name: request.namespace) else {
            throw .notFound(.namespaces, request.namespace)
        }
        guard namespace.isTerminating else { return }
        var status = request.forbidden(
            "unable to create new content in namespace \(request.namespace) because it is being terminated")
        status.details?.causes = [
            APIStatus.Cause(
                reason: "NamespaceTerminating", message: "namespace \(request.namespace) is being terminated",
                field: "metadata.namespace")
        ]
        throw status
    }
}

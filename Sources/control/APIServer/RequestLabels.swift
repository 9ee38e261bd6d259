// What a request is called in /metrics, with kube-apiserver's labels and words. Each request looks its numbers up by
// them, so they are words only when they are written. Only what the server knows becomes a label: no client can make
// the table grow.

internal import HTTP
internal import Objects

struct RequestLabels: Hashable, Sendable {
    /// The method, or what it means for the resource.
    enum Action {
        case get, head, post, put, patch, delete, options
        case list, watch, apply
        case other

        init(method: String) {
            switch method {
            case "GET": self = .get
            case "HEAD": self = .head
            case "POST": self = .post
            case "PUT": self = .put
            case "PATCH": self = .patch
            case "DELETE": self = .delete
            case "OPTIONS": self = .options
            default: self = .other
            }
        }

        var text: String {
            switch self {
            case .get: "GET"
            case .head: "HEAD"
            case .post: "POST"
            case .put: "PUT"
            case .patch: "PATCH"
            case .delete: "DELETE"
            case .options: "OPTIONS"
            case .list: "LIST"
            case .watch: "WATCH"
            case .apply: "APPLY"
            case .other: "other"
            }
        }
    }

    /// What the path is about: everything of the resource, a namespace of it, an object.
    enum Scope {
        case cluster, namespace, resource

        var text: String {
            switch self {
            case .cluster: "cluster"
            case .namespace: "namespace"
            case .resource: "resource"
            }
        }
    }

    let action: Action
    /// nil for paths that name none, or none that is served; the next two are only there with it.
    var resource: ResourceID?
    var scope: Scope?
    var subresource = ""

    /// The labels as they are written.
    var pairs: [(String, String)] {
        [
            ("group", resource?.group ?? ""), ("resource", resource?.resource ?? ""),
            ("scope", scope?.text ?? ""), ("subresource", subresource), ("verb", action.text),
            ("version", resource?.version ?? ""),
        ]
    }

    /// The order of the page.
    static func order(_ a: RequestLabels, _ b: RequestLabels) -> Bool {
        func key(_ labels: RequestLabels) -> (String, String, String, String) {
            (labels.resource?.group ?? "", labels.resource?.resource ?? "", labels.subresource, labels.action.text)
        }
        return key(a) < key(b)
    }
}

extension RequestInfo {
    /// - Parameter verb: nil for a request that was refused before its verb mattered.
    func labels(_ request: HTTPRequest, _ verb: Verb?) -> RequestLabels {
        let method = RequestLabels.Action(method: request.method)
        guard let path, let declaration else { return RequestLabels(action: method) }
        let action: RequestLabels.Action =
            switch verb {
            case .list?: .list
            case .watch?: .watch
            case .patch? where request.headers["Content-Type"]?.hasPrefix("application/apply-patch") == true: .apply
            default: method
            }
        let scope: RequestLabels.Scope =
            path.name != nil || verb == .create ? .resource : path.namespace != nil ? .namespace : .cluster
        let subresource = path.subresource.flatMap { RequestInfo.subresources.contains($0) ? $0 : nil }
        return RequestLabels(
            action: action, resource: declaration.id, scope: scope, subresource: subresource ?? "")
    }

    private static let subresources: Set<String> = [
        "status", "scale", "eviction", "binding", "token", "ephemeralcontainers", "resize", "finalize", "approval",
        "proxy", "log", "exec", "attach", "portforward",
    ]
}
